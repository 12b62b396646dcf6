"""One call under way, on the caller's side.

Owns: ``PendingCall``: its connection, its deadline, its steps.
Must not know: pools and where their sockets are; how its steps are waited for.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Optional, Type

from server_dirty import calls, frames
from server_dirty.errors import DirtyTimeoutError
from server_dirty.wire import Steps, Wire

MAX_STREAM_IDLE = 30.0  # seconds between two values of a stream, at the most


class PendingCall:
    """One call under way: its wire, its deadline and its steps. As a context it hangs up at the end.

    Args:
        wire: the connection; the call owns it.
        call: the call.
        outgoing: its frame.
    """

    __slots__ = ("_call", "_unsent", "_wire", "deadline", "socket")

    def __init__(self, wire: Wire, call: calls.Call, outgoing: frames.Outgoing) -> None:
        self._wire = wire
        self._call = call
        self._unsent: Optional[frames.Outgoing] = outgoing
        self.socket = wire.socket
        self.deadline = None if call.timeout is None else call.sent + call.timeout

    def __enter__(self) -> PendingCall:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._wire.close()
        if isinstance(error, DirtyTimeoutError) and not error.details:
            call = self._call
            raise DirtyTimeoutError(
                f"{call.app_path}.{call.action}: expected an answer within {call.timeout} s, got none",
                {"timeout": call.timeout, "app_path": call.app_path, "action": call.action},
            ) from None

    def result(self) -> Steps[Any]:
        """Return the result; errors as ``calls.result_of``."""
        return calls.result_of((yield from self._answer()), self._call)

    def chunk(self) -> Steps[Any]:
        """Return the next value of a stream; errors as ``calls.chunk_of``."""
        return calls.chunk_of((yield from self._answer()), self._call)

    def _answer(self) -> Steps[Optional[frames.Frame]]:
        """Return the next frame that comes back, once the call is sent."""
        try:
            outgoing, self._unsent = self._unsent, None
            if outgoing is not None:
                yield from self._wire.send(outgoing)
            return (yield from self._wire.receive(wait=True))
        except OSError as error:
            raise calls.worker_gone(self._call, str(error)) from error

    def next_deadline(self) -> Optional[float]:
        """Return when the next value of a stream is late, in monotonic seconds."""
        if self.deadline is None:
            return None
        return min(self.deadline, time.monotonic() + MAX_STREAM_IDLE)
