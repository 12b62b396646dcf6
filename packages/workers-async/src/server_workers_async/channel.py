"""The application's side of an HTTP stream, for asyncio.

Owns: ``HttpChannel``: ``receive`` and ``send`` of one request, back-pressure in both directions, what a disconnect
means, and what becomes of an application that ends too early, too late or with an exception.
Must not know: sockets, WebSocket, which engine speaks.

**Disconnects.** The end of the client's stream may be a client that left or one that only closed its sending side; the
two cannot be told apart (RFC 9112 section 9.6). The application then receives ``http.disconnect`` and has a grace
period in which what it sends is still written. After a reset or a failed write ``send`` raises OSError. At the end of
the grace period the task is cancelled, unless the response is complete: background work goes on.
"""

from __future__ import annotations

import os
import stat
from time import monotonic
from typing import Any, Dict, List, Optional

from server_core.drive.streams import JOIN_MAX, ClientGoneError
from server_http.asgi import (
    COMPLETE,
    EXPECTING,
    FILE,
    HEAD,
    HTTP_ORDER,
    INFORM,
    LAST_BODY,
    LAST_TRAILERS,
    Message,
    informational,
    message_body,
    message_headers,
    message_path,
    message_status,
    take,
)
from server_http.errors import H2_INTERNAL_ERROR, ApplicationFault
from server_http.events import Request
from server_http.statuses import error_page
from server_workers_async.stream import Stream

#: How far the causes of an exception are followed.
CAUSES_MAX = 10

DISCONNECT: Dict[str, Any] = {"type": "http.disconnect"}


class HttpChannel(Stream):
    """One HTTP exchange; made by ``http_channel``.

    Attributes:
        responded: the head was passed on.
        body_ended: the request's body is complete.
        handed_over: the application has received its end.
    """

    __slots__ = (
        "_chunks", "_file", "_head", "_state", "_trailers", "body_ended", "handed_over", "responded",
    )  # fmt: skip

    body_ended: bool
    responded: bool
    handed_over: bool
    _state: int
    _head: Optional[Message]
    _trailers: Optional[List[Any]]
    _chunks: Optional[List[bytes]]
    _file: int

    # What the application calls -------------------------------------------------------------------------------------

    async def receive(self) -> Dict[str, Any]:
        """Return the next message: a part of the body, or ``http.disconnect``. Any number of tasks may wait."""
        while True:
            if self._chunks:
                return self._body_message()
            if self.body_ended and not self.handed_over:
                self.handed_over = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self.gone or self.finished:
                return DISCONNECT.copy()
            if self.request.expects_continue and not self.body_ended:
                self._invite()
            await self.wait_readable()

    async def send(self, message: Message) -> None:
        """Take a message of the response; return when the client keeps up with it.

        Raises:
            ApplicationFault: the message may not come now, or is malformed.
            OSError: no client is left.
        """
        if self.lost:
            raise self.gone_error()
        action, following = take(HTTP_ORDER, self._state, message)
        if action == HEAD:
            self._head = message
            self._state = following
            return
        now = monotonic()
        if action <= LAST_BODY:
            self._send_body(message, following == COMPLETE, now)
        elif action == FILE:
            self._send_file(message, following == COMPLETE, now)
        elif action == INFORM:
            status, headers = informational(message)
            self.engine.inform(self.stream, status, headers, now)
        else:
            self._send_trailers(message, action == LAST_TRAILERS, now)
        self._state = following  # not before: a message that was refused has brought nothing about
        session = self.session
        session.flush_soon()
        if not self.finished and self.engine.pending(self.stream) > session.high_water:
            await self.wait_writable()

    # Towards the client ---------------------------------------------------------------------------------------------

    def _send_head(self, now: float, body: Optional[bytes] = None) -> None:
        """Pass the head on, which waited for the first part of the body, as ASGI wants it.

        Args:
            now: monotonic seconds.
            body: all of the body, where its first part is its last; None when it follows.
        """
        message = self._head
        assert message is not None  # noqa: S101 - for the type checker: the order saw to it
        status = message_status(message)
        headers = message_headers(message)
        if self.service.ids is not None:
            headers = self.service.ids.answer(self.request, headers)
        if body is None:
            self.engine.respond(self.stream, status, headers, now)
        else:
            self.engine.answer(self.stream, status, headers, body, now)
        self._head = None
        self.responded = True
        self.status = status
        self.headers = headers

    def _send_body(self, message: Message, complete: bool, now: float) -> None:
        body = message_body(message)
        if complete and not self.responded:
            self._send_head(now, body)
            self.sent = len(body)
            self.finished = True
            if self._chunks or self._readers is not None:
                self._leave_request()
            return
        if not self.responded:
            self._send_head(now)
        if body:
            self.sent += len(body)
            self.engine.send(self.stream, body, now)
        if complete:
            self._end(now, ())

    def _send_file(self, message: Message, complete: bool, now: float) -> None:
        path = message_path(message)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = _file_size(fd, path)
            self._send_head(now)
        except BaseException:
            os.close(fd)
            raise
        self._file = fd
        self.sent += size
        if size:
            self.engine.send_file(self.stream, fd, 0, size, now)
        if complete:
            self._end(now, ())

    def _send_trailers(self, message: Message, last: bool, now: float) -> None:
        if self._trailers is None:
            self._trailers = []
        self._trailers += message_headers(message)
        if last:
            self._end(now, self._trailers)

    def _end(self, now: float, trailers: Any) -> None:
        """The response is complete."""
        self.engine.end(self.stream, now, trailers)  # which refuses malformed trailers: then nothing is complete
        self.finished = True
        self._leave_request()

    def _leave_request(self) -> None:
        """What is left of the request's body is the engine's to discard."""
        if self._chunks:
            self._discard()
        if self._readers is not None:
            self.wake_readers()

    def _discard(self) -> None:
        if self._chunks:
            self._chunks = None
            self._give_credit()

    # From the client ------------------------------------------------------------------------------------------------

    def on_body(self, data: bytes, credit: int) -> None:
        """A part of the body arrived. It is credited when the application takes it."""
        if self.finished or self.lost:
            self.engine.consumed(self.stream, credit)
            return
        self.service.received(len(data))
        self._credit += credit
        chunks = self._chunks
        if chunks is None:
            self._chunks = [data]
        elif chunks and len(chunks[-1]) + len(data) <= JOIN_MAX:
            chunks[-1] = b"".join((chunks[-1], data))
        else:
            chunks.append(data)
        self.wake_readers()

    def on_body_end(self) -> None:
        """The body is complete."""
        self.body_ended = True
        self.wake_readers()

    def on_disconnect(self, now: float) -> None:
        """The client ended its stream: it is gone, or reads on."""
        if self.gone:
            return
        self.gone = True
        self.doom(now)
        self.wake_readers()

    def on_lost(self, now: float) -> None:
        """No answer can arrive any more: the stream was reset or the connection broke."""
        self.lost = True
        self._chunks = None
        self.handed_over = True  # what arrived is no complete body
        self.on_disconnect(now)
        self.wake_writers()

    def on_writable(self) -> None:
        """The client read what waited for it."""
        self.wake_writers()

    def on_closed(self) -> None:
        """The engine is through with the stream, perhaps before the application is (a body that is too large)."""
        if not self.finished and not self.lost:
            self.on_lost(monotonic())
        self.finished = True
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._readers is not None:
            self.wake_readers()
        if self._writers is not None:
            self.wake_writers()

    def doom(self, now: float) -> None:
        """The client is gone, or seems to be."""
        if not self.finished:
            self.begin_grace(now)

    def on_timer(self, now: float) -> None:
        """The grace period is over."""
        if now < self.doomed_at:
            self.service.wheel.arm(self, self.doomed_at)
        elif not self.finished or self.lost:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the application, unless it only works on in the background."""
        if self._state != COMPLETE:
            Stream.cancel(self)

    # How the application ended --------------------------------------------------------------------------------------

    def on_returned(self) -> None:
        """The application returned."""
        if self.finished or self.lost:
            return
        if self.gone:  # it was told so, and nobody waits for what it did not send
            self._cut(monotonic())
            self.session.flush_soon()
        elif self._state == EXPECTING:
            self.fail("ASGI application: expected a response, got none before it returned:")
        else:
            self.fail("ASGI application: expected the rest of its response, but it returned:")

    def on_raised(self, error: BaseException) -> None:
        """The application raised: logged once, told to nobody else."""
        if self.lost and stems_from_disconnect(error):
            return
        self.service.failed("Error handling request", self, error)
        self.fail("")

    def on_cancelled(self) -> None:
        """The application's task was cancelled, by its grace period, the end of the worker, or itself."""
        if not self.gone and not self.service.ending:
            self.fail("ASGI application: expected an answer, but its task was cancelled:")
        else:
            self.fail("")

    def fail(self, complaint: str) -> None:
        """End the stream of an application that did not: 500 before the head, after it the stream is cut.

        A stream of unknown length that was cut by the end of the worker is ended cleanly.
        """
        if complaint:
            self.service.failed(complaint, self)
        if not self.finished and not self.lost:
            self._give_up(503 if self.service.ending else 500, monotonic())

    def time_out(self, now: float) -> None:
        """The request has run for too long: 503 before the head, after it the stream is cut; the task is cancelled."""
        if self.finished or self.lost:
            return
        self.service.report(f"Request timeout ({self.service.request_timeout:g} s): {self.request.method}", self)
        self._give_up(503, now)
        self.on_lost(now)
        self.cancel()

    def _give_up(self, status: int, now: float) -> None:
        if not self.responded:
            headers, page = error_page(status)
            self.status = status
            self.responded = True
            self.engine.answer(self.stream, status, headers, page, now)
            self.sent = len(page)
            self.finished = True
            self._leave_request()
        elif self.service.ending:
            self._end(now, ())
        else:
            self._cut(now)
        self.session.flush_soon()

    def _cut(self, now: float) -> None:
        self.finished = True
        self._discard()
        self.engine.reset(self.stream, H2_INTERNAL_ERROR, now)

    # Waiting --------------------------------------------------------------------------------------------------------

    def _body_message(self) -> Dict[str, Any]:
        """Hand over all that has arrived, in one message."""
        chunks = self._chunks
        assert chunks is not None  # noqa: S101 - for the type checker: the caller looked
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = None
        self._give_credit()
        self.handed_over = self.body_ended
        return {"type": "http.request", "body": body, "more_body": not self.body_ended}

    def _give_credit(self) -> None:
        credit, self._credit = self._credit, 0
        if credit and not self.lost:
            self.engine.consumed(self.stream, credit)
            self.session.settle_soon()

    def _invite(self) -> None:
        """The application waits for the body: tell a client that waits to be told (RFC 9110 section 10.1.1)."""
        self.request.expects_continue = False
        if not self.responded:
            self.engine.inform(self.stream, 100, [], monotonic())
            self.session.flush_soon()


def http_channel(
    session: Any, engine: Any, request: Request, complete: bool, body: Optional[bytes], now: float, waited: float
) -> HttpChannel:
    """Return a channel: without the reading of arguments that a class does when it is called.

    Args:
        session: the connection of the stream.
        engine: takes the commands.
        request: the head.
        complete: nothing follows.
        body: that came whole with the head, or None.
        now: monotonic seconds.
        waited: the queue time, in seconds.
    """
    channel = HttpChannel.__new__(HttpChannel)
    channel.set_up(session, engine, request, now, waited)
    channel.body_ended = complete
    channel.responded = False
    channel.handed_over = False
    channel._state = EXPECTING
    channel._head = None
    channel._trailers = None
    channel._chunks = [body] if body else None
    channel._file = -1
    return channel


def _file_size(fd: int, path: str) -> int:
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise ApplicationFault(f"path: expected a regular file, got {path!r} (from http.response.pathsend)")
    return facts.st_size


def stems_from_disconnect(error: Optional[BaseException]) -> bool:
    """Whether ``error`` is what ``send`` raises for a lost client, or was raised because of it."""
    seen = 0
    while error is not None and seen < CAUSES_MAX:
        if isinstance(error, ClientGoneError):
            return True
        for member in getattr(error, "exceptions", ()):  # an ExceptionGroup (Python 3.11, or anyio's backport)
            if stems_from_disconnect(member):
                return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False
