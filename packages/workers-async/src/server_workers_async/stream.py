"""What the application's side of every stream is, HTTP and WebSocket alike.

Owns: ``Stream``: the facts of a request that logs, hooks and counters read, waiting in both directions, and the grace
period of an application whose client is gone.
Must not know: messages of an application, sockets, engines.
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List, Optional

from server_core.drive.streams import ClientGoneError
from server_http.events import Headers, Request
from server_http.statuses import reason as usual_reason

_NONE: Headers = []  # never changed


class Stream:
    """One stream of one connection. Subclasses call ``set_up`` first: a call through ``super`` costs more than it does.

    Attributes:
        task: the application's task, once it has been started.
        began: when the request was read, monotonic seconds.
        waited: its queue time, seconds.
        entry: the place in the scoreboard's table of running requests.
        status, headers, sent: of the response, for the access log; ``status`` is 0 before the head.
        finished: the response is complete, or was given up: nothing more will be sent.
        lost: no answer can arrive any more.
        gone: the client ended its stream or is lost.
        armed: the tick at which the wheel calls (timer wheel).
        doomed_at: when the grace period ends, monotonic seconds; 0.0 while the client is there.
        view: what hooks see of the request, or None.
    """

    __slots__ = (
        "_credit", "_readers", "_writers", "armed", "began", "doomed_at", "engine", "entry", "finished", "gone",
        "headers", "lost", "request", "scope", "sent", "service", "session", "status", "stream", "task", "view",
        "waited",
    )  # fmt: skip

    is_websocket = False

    scope: Dict[str, Any]

    def set_up(self, session: Any, engine: Any, request: Request, now: float, waited: float) -> None:
        """Begin.

        Args:
            session: the connection of the stream.
            engine: takes the commands.
            request: the head.
            now: monotonic seconds.
            waited: the queue time, in seconds.
        """
        self.session = session
        self.service = session.service
        self.engine = engine
        self.request = request
        self.stream = request.stream
        self.began = now
        self.waited = waited
        self.task: Optional[asyncio.Task[None]] = None
        self.entry = -1
        self.status = 0
        self.headers: Headers = _NONE
        self.sent = 0
        self.finished = False
        self.lost = False
        self.gone = False
        self.armed = 0
        self.doomed_at = 0.0
        self.view: Any = None
        self._credit = 0
        self._readers: Optional[List[asyncio.Future[None]]] = None
        self._writers: Optional[List[asyncio.Future[None]]] = None

    @property
    def environ(self) -> Dict[str, Any]:
        """The scope, under the name that hooks and the access log have for it in all workers."""
        return self.scope

    @property
    def reason(self) -> bytes:
        """The usual reason phrase; ASGI knows no other."""
        return usual_reason(self.status)

    def on_closed(self) -> None:
        """The engine is through with the stream."""
        raise NotImplementedError

    # A client that is gone -------------------------------------------------------------------------------------------

    def begin_grace(self, now: float) -> None:
        """The client is gone: the application has the grace period from now on, once."""
        if self.doomed_at:
            return
        grace = self.service.grace_period
        self.doomed_at = now + grace
        if grace > 0:
            self.service.wheel.arm(self, self.doomed_at)
        else:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the application."""
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def gone_error(self) -> ClientGoneError:
        """What ``send`` raises when nobody is left to hear it."""
        return ClientGoneError(f"stream {self.stream}: expected a client, got a closed connection")

    # Waiting ---------------------------------------------------------------------------------------------------------

    async def wait_readable(self) -> None:
        """Wait until ``wake_readers`` is called. Any number of tasks may wait."""
        waiter = self.service.loop.create_future()
        if self._readers is None:
            self._readers = []
        self._readers.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # A stream that polls with a timeout for hours must not leave a future behind each time.
            if self._readers is not None and waiter in self._readers:
                self._readers.remove(waiter)
            raise

    async def wait_writable(self) -> None:
        """Wait until ``wake_writers`` is called; raises OSError when nobody is left to write to."""
        waiter = self.service.loop.create_future()
        if self._writers is None:
            self._writers = []
        self._writers.append(waiter)
        await waiter
        if self.lost:
            raise self.gone_error()

    def wake_readers(self) -> None:
        """Something to receive is there, or will never be."""
        if self._readers is not None:
            readers, self._readers = self._readers, None
            _wake(readers)

    def wake_writers(self) -> None:
        """There is room again, or nobody is left."""
        if self._writers is not None:
            writers, self._writers = self._writers, None
            _wake(writers)


def _wake(waiters: List[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():  # an application may have cancelled its receive()
            waiter.set_result(None)
