"""One call on its way: what its frames mean, to the caller and to the worker.

Owns: the head and the arguments of a call, what an answer may be, the errors that stand for what came instead.
Must not know: threads, event loops, how anybody waits, in which order frames are sent; ``pending`` and ``running`` do.
"""

from __future__ import annotations

import struct
import traceback
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from server_dirty import frames
from server_dirty.errors import (
    DirtyBusyError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyProtocolError,
    DirtyWorkerError,
    describe,
)
from server_dirty.wire import Wire, connect, unreachable

END_OF_STREAM = object()


class Call(NamedTuple):
    """What a call runs, and for how long its caller waits from ``sent`` (monotonic seconds, of one machine) on:
    ``timeout`` seconds, or None."""

    app_path: str
    action: str
    sent: float
    timeout: Optional[float]
    stream: bool


class Arrival(NamedTuple):
    """A call as it reaches a worker. Its arguments are decoded where it runs, which may be elsewhere."""

    app_path: str
    action: str
    sent: float
    timeout: Optional[float]
    stream: bool
    frame: frames.Frame
    start: int  # of the arguments, in the frame's payload

    def arguments(self) -> Tuple[List[Any], Dict[str, Any]]:
        """Return its positional and keyword arguments. Raises DirtyProtocolError."""
        value = self.frame.value(self.start)
        if type(value) is not list or len(value) != 2:
            raise DirtyProtocolError(f"call: expected a list of arguments and one of names, got {type(value).__name__}")
        return value[0], value[1]


# Before the arguments: when it was sent, how long its caller waits (0: for ever), whether it streams, and the octets of
# the two names, which follow.
_HEAD = struct.Struct("!dd?HH")
MAX_NAMES = 4096  # octets of both


# --- the caller's side ---


def open_call(path: str, app_path: str) -> Wire:
    """Connect to the queue of an application at ``path``.

    Raises:
        DirtyBusyError: the queue is full; nothing was sent.
        DirtyNoWorkersAvailableError: nobody listens there.
        DirtyConnectionError: there is no such socket.
    """
    try:
        return Wire(connect(path))
    except BlockingIOError:
        raise DirtyBusyError(
            f"{app_path}: the queue is full; the call was not taken", {"app_path": app_path, "socket_path": path}
        ) from None
    except ConnectionRefusedError:
        raise DirtyNoWorkersAvailableError(
            f"{app_path}: no worker of it is running", {"app_path": app_path, "socket_path": path}
        ) from None
    except OSError as error:
        raise unreachable(path, error) from error


def pack_call(call: Call, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> frames.Outgoing:
    """Return the frame of a call. Raises DirtyProtocolError: arguments that cannot travel, or names too long."""
    path, action = call.app_path.encode(), call.action.encode()
    if len(path) + len(action) > MAX_NAMES:
        raise DirtyProtocolError(f"call: expected names of at most {MAX_NAMES} octets, got {len(path) + len(action)}")
    head = _HEAD.pack(call.sent, call.timeout or 0.0, call.stream, len(path), len(action))
    return frames.pack(frames.CALL, [list(args), kwargs], b"".join((head, path, action)))


def result_of(frame: Optional[frames.Frame], call: Call) -> Any:
    """Return the one result of a call; raises what the other side raised, and DirtyWorkerError when it has gone."""
    if frame is not None and frame.kind == frames.RESULT:
        return frame.value()
    if frame is not None and frame.kind in (frames.CHUNK, frames.END):
        raise DirtyProtocolError(f"{call.app_path}.{call.action}: expected one result, got a stream; use stream()")
    raise _failure(frame, call)


def chunk_of(frame: Optional[frames.Frame], call: Call) -> Any:
    """Return the next value of a stream, or ``END_OF_STREAM``. The worker sends a plain result as a stream of one.
    Errors as ``result_of``."""
    if frame is not None and frame.kind == frames.CHUNK:
        return frame.value()
    if frame is not None and frame.kind == frames.END:
        return END_OF_STREAM
    raise _failure(frame, call)


def _failure(frame: Optional[frames.Frame], call: Call) -> DirtyError:
    """The error for what came instead of an answer."""
    if frame is None:
        return worker_gone(call, "it closed the connection")
    if frame.kind == frames.ERROR:
        return DirtyError.from_dict(frame.value())
    return DirtyProtocolError(f"{call.app_path}.{call.action}: expected an answer, got frame type {frame.kind}")


def worker_gone(call: Call, why: str) -> DirtyWorkerError:
    """Return the error of a call whose worker has ended."""
    return DirtyWorkerError(
        f"{call.app_path}.{call.action}: the worker ended before it answered ({why})", {"app_path": call.app_path}
    )


# --- the worker's side ---


def arrival(frame: frames.Frame) -> Arrival:
    """Return the call that ``frame`` is. Raises DirtyProtocolError."""
    if frame.kind != frames.CALL:
        raise DirtyProtocolError(f"expected a call, got frame type {frame.kind}")
    payload = frame.payload
    try:
        sent, timeout, stream, path_size, action_size = _HEAD.unpack_from(payload)
        middle = _HEAD.size + path_size
        start = middle + action_size
        app_path, action = payload[_HEAD.size : middle].decode(), payload[middle:start].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise DirtyProtocolError(f"call: expected two times and two names, got {error}") from error
    return Arrival(app_path, action, sent, timeout or None, stream, frame, start)


def pack_error(error: BaseException, app_path: str, action: str) -> frames.Outgoing:
    """Return the frame that tells a caller what an application raised, with its traceback."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    described = describe(error, app_path, action, text)
    try:
        return frames.pack(frames.ERROR, described)
    except DirtyProtocolError:  # details that cannot travel: the message still does
        return frames.pack(frames.ERROR, {**described, "details": {}})
