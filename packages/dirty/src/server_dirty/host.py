"""Where an application runs: the contract of backends, and the one for this process.

Owns: ``Backend`` and ``Host``, which backends subclass, and ``LocalBackend``: from a call to the frames of its answer.
Must not know: sockets, supervision: a worker relays the frames, and a backend may run ``LocalHost`` on another machine.

A dirty worker serves the queues of its applications; its backend, chosen by ``dirty_backend`` and found by the entry
point group ``server.dirty_backends``, says where their code runs. So clients, queues, deadlines, cancellation,
supervision and health are the same wherever that is.
"""

from __future__ import annotations

import sys
import traceback
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Callable, Dict, Generator, Iterator, List, NamedTuple, Optional

from server_dirty import calls, frames
from server_dirty.app import Declaration, load_class
from server_dirty.asyncloop import AsyncLoop
from server_dirty.context import CallContext, begin_call
from server_dirty.errors import DirtyProtocolError

Answers = Generator[frames.Outgoing, None, None]
Devices = Dict[str, List[int]]
_STREAMS = (GeneratorType, AsyncGeneratorType)


class Seat(NamedTuple):
    """One application in one worker.

    Attributes:
        path: the application, ``"module:Class"``.
        declaration: what its class declares.
        devices: the numbers of its devices by name, as they are on this machine.
        threads: how many calls run at the same time.
    """

    path: str
    declaration: Declaration
    devices: Devices
    threads: int


class Host:
    """One application of one worker, loaded. Threads of the worker call it at the same time."""

    def answers(self, arrival: calls.Arrival, context: CallContext) -> Answers:
        """Run a call: yield the frames of its answer, of which the last is a RESULT, END or ERROR.

        Closing the generator ends the call. ``context`` is cancelled when the caller has gone.
        """
        raise NotImplementedError

    def stack(self, context: CallContext) -> str:
        """Return the Python stack of a running call, as text for a log."""
        raise NotImplementedError

    def memory(self) -> int:
        """Return the resident octets of the application where it is not in this process, else 0."""
        return 0

    def close(self) -> None:
        """Close the application."""
        raise NotImplementedError


class Backend:
    """Where a worker's applications run. Third parties subclass it and declare ``server_api = 1``.

    Made in the worker's process, before it loads anything.

    Args:
        cfg: the settings.
        log: the logger.
        lost: to be called with a reason, from any thread, when a host can answer no more; the worker is replaced then.
    """

    # Whether hosts hold what there may be none of for their successors: a worker with a stuck call then leaves first.
    scarce = False

    def __init__(self, cfg: Any, log: Any, lost: Callable[[str], None]) -> None:
        self.cfg = cfg
        self.log = log
        self.lost = lost

    def open(self, seat: Seat) -> Host:
        """Load an application and return its host; whatever the application raises passes through."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what all hosts share; they are closed already."""


class LocalBackend(Backend):
    """The applications run in the worker itself."""

    server_api = 1  # the plugin contract this class is written for

    def __init__(self, cfg: Any, log: Any, lost: Callable[[str], None]) -> None:
        super().__init__(cfg, log, lost)
        self._loop = AsyncLoop()

    def open(self, seat: Seat) -> LocalHost:
        """Load an application in this process."""
        return LocalHost(load_app(seat.path, seat.devices), self._loop)

    def close(self) -> None:
        """End the loop."""
        self._loop.close()


def load_app(path: str, devices: Devices) -> Any:
    """Import ``module:Class``, make an object of it and initialise it."""
    app = load_class(path)()
    if hasattr(type(app), "resources"):
        app.devices = dict(devices)
    init = getattr(app, "init", None)
    if init is not None:
        init()
    return app


class LocalHost(Host):
    """An application object in this process.

    Args:
        app: the object, initialised.
        loop: where its coroutines run.
    """

    def __init__(self, app: Any, loop: AsyncLoop) -> None:
        self.app = app
        self._loop = loop

    def answers(self, arrival: calls.Arrival, context: CallContext) -> Answers:
        """Call the action in this thread, a coroutine on the loop."""
        begin_call(context)
        try:
            args, kwargs = arrival.arguments()
            result = self.app(arrival.action, *args, **kwargs)
            if isinstance(result, CoroutineType):
                result = self._loop.run(result, context)
            if isinstance(result, _STREAMS):
                yield from self._stream(result, arrival, context)
            elif arrival.stream:
                yield frames.pack(frames.CHUNK, result)
                yield frames.pack(frames.END, None)
            else:
                yield frames.pack(frames.RESULT, result)
        except GeneratorExit:
            raise
        except BaseException as error:  # SystemExit too: an action ends its call, never the worker
            yield calls.pack_error(error, arrival.app_path, arrival.action)

    def _stream(self, values: Any, arrival: calls.Arrival, context: CallContext) -> Answers:
        is_async = isinstance(values, AsyncGeneratorType)
        iterator: Iterator[Any] = self._loop.iterate(values, context) if is_async else values
        try:
            if not arrival.stream:
                raise DirtyProtocolError(
                    f"{arrival.app_path}.{arrival.action}: expected one result, got a stream; use stream()"
                )
            for value in iterator:
                yield frames.pack(frames.CHUNK, value)
                context.raise_if_cancelled()
            yield frames.pack(frames.END, None)
        finally:
            iterator.close()  # type: ignore[attr-defined]  # both kinds of generator have it

    def stack(self, context: CallContext) -> str:
        """The stack of the thread that runs the call, and of its coroutine."""
        frame = sys._current_frames().get(context.thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (no Python stack)\n"
        return stack + self._loop.stack(context)

    def close(self) -> None:
        """Call the application's ``close``."""
        close: Optional[Callable[[], Any]] = getattr(self.app, "close", None)
        if close is not None:
            close()
