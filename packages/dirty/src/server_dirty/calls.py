"""One call on its way: what the caller does and what the worker does, as steps without waiting.

Owns: the order of frames of a call, on both sides; the meaning of their values.
Must not know: threads, event loops, how anybody waits; ``wire`` has the two ways.
"""

from __future__ import annotations

import traceback
from typing import Any, Dict, List, NamedTuple, Optional

from server_dirty import frames
from server_dirty.errors import (
    DirtyBusyError,
    DirtyConnectionError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyProtocolError,
    DirtyWorkerError,
    describe,
)
from server_dirty.wire import Steps, Wire, connect, unreachable

END_OF_STREAM = object()


class Call(NamedTuple):
    """A call as it arrives: what to run, until when (seconds that are left, or None)."""

    app_path: str
    action: str
    args: List[Any]
    kwargs: Dict[str, Any]
    remaining: Optional[float]
    stream: bool


# --- the caller's side ---


def open_call(path: str, app_path: str) -> Wire:
    """Connect to the queue of an application at ``path``.

    Raises:
        DirtyBusyError: the queue is full; nothing was sent.
        DirtyConnectionError: nobody listens there.
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
    """Send the call. Raises DirtyConnectionError when the other side has gone."""
    outgoing = frames.pack(frames.CALL, list(call))
    try:
        yield from wire.send(outgoing)
    except OSError as error:
        raise DirtyConnectionError(f"{call.app_path}: the call could not be sent: {error}") from error


def receive_result(wire: Wire, call: Call) -> Steps[Any]:
    """Return the one result of a call; raises what the other side raised."""
    frame = yield from _receive(wire, call)
    if frame.kind == frames.RESULT:
        return frame.value
    if frame.kind in (frames.CHUNK, frames.END):
        raise DirtyProtocolError(f"{call.app_path}.{call.action}: expected one result, got a stream; use stream()")
    raise _unexpected(frame, call)


def receive_chunk(wire: Wire, call: Call) -> Steps[Any]:
    """Return the next value of a stream, or ``END_OF_STREAM``. The worker sends a plain result as a stream of one."""
    frame = yield from _receive(wire, call)
    if frame.kind == frames.CHUNK:
        return frame.value
    if frame.kind == frames.END:
        return END_OF_STREAM
    raise _unexpected(frame, call)


def _receive(wire: Wire, call: Call) -> Steps[frames.Frame]:
    try:
        frame = yield from wire.receive()
    except OSError as error:
        raise _worker_gone(call, str(error)) from error
    if frame is None:
        raise _worker_gone(call, "it closed the connection")
    if frame.kind == frames.ERROR:
        raise DirtyError.from_dict(frame.value)
    return frame


def _worker_gone(call: Call, why: str) -> DirtyWorkerError:
    return DirtyWorkerError(
        f"{call.app_path}.{call.action}: the worker ended before it answered ({why})", {"app_path": call.app_path}
    )


def _unexpected(frame: frames.Frame, call: Call) -> DirtyProtocolError:
    return DirtyProtocolError(f"{call.app_path}.{call.action}: expected an answer, got frame type {frame.kind}")


# --- the worker's side ---


def receive_call(wire: Wire) -> Steps[Optional[Call]]:
    """Return the call a caller sends, or None when it has gone without one.

    Raises:
        DirtyProtocolError: something else arrived.
    """
    frame = yield from wire.receive()
    if frame is None:
        return None
    if frame.kind != frames.CALL or type(frame.value) is not list or len(frame.value) != len(Call._fields):
        raise DirtyProtocolError(f"expected a call, got frame type {frame.kind}")
    return Call(*frame.value)


def send_result(wire: Wire, value: Any) -> Steps[None]:
    """Send the one result."""
    yield from wire.send(frames.pack(frames.RESULT, value))


def send_chunk(wire: Wire, value: Any) -> Steps[None]:
    """Send one value of a stream; waits while the consumer is behind."""
    yield from wire.send(frames.pack(frames.CHUNK, value))


def send_end(wire: Wire) -> Steps[None]:
    """Say that the stream is complete."""
    yield from wire.send(frames.pack(frames.END, None))


def send_error(wire: Wire, error: BaseException, call: Optional[Call]) -> Steps[None]:
    """Send what an application raised, with its traceback."""
    path, action = (call.app_path, call.action) if call else ("", "")
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    described = describe(error, path, action, text)
    try:
        outgoing = frames.pack(frames.ERROR, described)
    except DirtyProtocolError:  # details that cannot travel: the message still does
        outgoing = frames.pack(frames.ERROR, {**described, "details": {}})
    yield from wire.send(outgoing)
