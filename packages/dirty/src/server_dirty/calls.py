"""One call on its way: what the caller does and what the worker does, as steps without waiting.

Owns: the order of frames of a call, on both sides; the meaning of their values.
Must not know: threads, event loops, how anybody waits; ``wire`` has the two ways.
"""

from __future__ import annotations

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
from server_dirty.wire import Steps, Wire, connect, unreachable

END_OF_STREAM = object()


class Call(NamedTuple):
    """A call as it is sent: what to run, and for how long its caller waits from ``sent`` (monotonic seconds, of one
    machine) on: ``timeout`` seconds, or None."""

    app_path: str
    action: str
    sent: float
    timeout: Optional[float]
    stream: bool
    args: List[Any]
    kwargs: Dict[str, Any]


class Arrival(NamedTuple):
    """A call as it reaches a worker. Its arguments are decoded where it runs, which may be elsewhere."""

    app_path: str
    action: str
    sent: float
    timeout: Optional[float]
    stream: bool
    frame: frames.Frame

    def arguments(self) -> Tuple[List[Any], Dict[str, Any]]:
        """Return its positional and keyword arguments. Raises DirtyProtocolError."""
        value = self.frame.value()
        if type(value) is not list or len(value) != len(Call._fields):
            raise DirtyProtocolError(f"call: expected {len(Call._fields)} values, got {type(value).__name__}")
        return value[HEAD], value[HEAD + 1]


HEAD = 5  # values of a call before its arguments


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


def send_call(wire: Wire, call: Call) -> Steps[None]:
    """Send the call. Raises DirtyWorkerError when the worker that took it has gone."""
    outgoing = frames.pack(frames.CALL, list(call))
    try:
        yield from wire.send(outgoing)
    except OSError as error:
        raise _worker_gone(call, str(error)) from error


def receive_result(wire: Wire, call: Call) -> Steps[Any]:
    """Return the one result of a call; raises what the other side raised."""
    frame = yield from _receive(wire, call)
    if frame.kind == frames.RESULT:
        return frame.value()
    if frame.kind in (frames.CHUNK, frames.END):
        raise DirtyProtocolError(f"{call.app_path}.{call.action}: expected one result, got a stream; use stream()")
    raise _unexpected(frame, call)


def receive_chunk(wire: Wire, call: Call) -> Steps[Any]:
    """Return the next value of a stream, or ``END_OF_STREAM``. The worker sends a plain result as a stream of one."""
    frame = yield from _receive(wire, call)
    if frame.kind == frames.CHUNK:
        return frame.value()
    if frame.kind == frames.END:
        return END_OF_STREAM
    raise _unexpected(frame, call)


def _receive(wire: Wire, call: Call) -> Steps[frames.Frame]:
    try:
        frame = yield from wire.receive(wait=True)
    except OSError as error:
        raise _worker_gone(call, str(error)) from error
    if frame is None:
        raise _worker_gone(call, "it closed the connection")
    if frame.kind == frames.ERROR:
        raise DirtyError.from_dict(frame.value())
    return frame


def _worker_gone(call: Call, why: str) -> DirtyWorkerError:
    return DirtyWorkerError(
        f"{call.app_path}.{call.action}: the worker ended before it answered ({why})", {"app_path": call.app_path}
    )


def _unexpected(frame: frames.Frame, call: Call) -> DirtyProtocolError:
    return DirtyProtocolError(f"{call.app_path}.{call.action}: expected an answer, got frame type {frame.kind}")


# --- the worker's side ---


def receive_call(wire: Wire) -> Steps[Optional[Arrival]]:
    """Return the call a caller sends, or None when it has gone without one.

    Raises:
        DirtyProtocolError: something else arrived.
    """
    frame = yield from wire.receive()
    if frame is None:
        return None
    return arrival(frame)


def arrival(frame: frames.Frame) -> Arrival:
    """Return the call that ``frame`` is. Raises DirtyProtocolError."""
    if frame.kind != frames.CALL:
        raise DirtyProtocolError(f"expected a call, got frame type {frame.kind}")
    app_path, action, sent, timeout, stream = frame.head(HEAD)
    if type(sent) is not float or not (timeout is None or type(timeout) in (int, float)):
        raise DirtyProtocolError(f"call: expected times in seconds, got {sent!r} and {timeout!r}")
    return Arrival(str(app_path), str(action), sent, timeout, bool(stream), frame)


def pack_error(error: BaseException, app_path: str, action: str) -> frames.Outgoing:
    """Return the frame that tells a caller what an application raised, with its traceback."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    described = describe(error, app_path, action, text)
    try:
        return frames.pack(frames.ERROR, described)
    except DirtyProtocolError:  # details that cannot travel: the message still does
        return frames.pack(frames.ERROR, {**described, "details": {}})
