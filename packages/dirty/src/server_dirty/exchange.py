"""One call under way, on the caller's side.

Owns: ``Exchange``: its connection, its deadline, its steps.
Must not know: pools and where their sockets are; how its steps are waited for.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Optional, Type

from server_dirty import calls
from server_dirty.app import deadline_after
from server_dirty.errors import DirtyTimeoutError
from server_dirty.wire import Steps, Wire

MAX_STREAM_IDLE = 30.0  # seconds between two values of a stream, at the most


class Exchange:
    """One call under way: its wire, its deadline and its steps. As a context it hangs up at the end."""

    def __init__(self, wire: Wire, call: calls.Call, timeout: Optional[float]) -> None:
        self._wire = wire
        self._call = call
        self._timeout = timeout
        self._sent = False
        self.socket = wire.socket
        self.deadline = deadline_after(timeout)

    def __enter__(self) -> Exchange:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._wire.close()
        if isinstance(error, DirtyTimeoutError) and not error.details:
            raise DirtyTimeoutError(
                f"{self._call.app_path}.{self._call.action}: expected an answer within {self._timeout} s, got none",
                {"timeout": self._timeout, "app_path": self._call.app_path, "action": self._call.action},
            ) from None

    def result(self) -> Steps[Any]:
        yield from calls.send_call(self._wire, self._call)
        return (yield from calls.receive_result(self._wire, self._call))

    def chunk(self) -> Steps[Any]:
        if not self._sent:
            self._sent = True
            yield from calls.send_call(self._wire, self._call)
        return (yield from calls.receive_chunk(self._wire, self._call))

    def next_deadline(self) -> Optional[float]:
        """Return when the next value of a stream is late, in monotonic seconds."""
        if self.deadline is None:
            return None
        return min(self.deadline, time.monotonic() + MAX_STREAM_IDLE)
