"""The application's side of a stream, for threads and greenlets.

Owns: ``Channel``: commands under the connection's turn, waiting under back-pressure, the body on its way in,
the spool of a response whose reader is slow, and what is given back when the stream is over.
Must not know: WSGI, and how its driver waits (the driver's ``wait_*`` methods).
"""

from __future__ import annotations

import os
from typing import Any, List, Optional

from server_core.drive.body import CollectedBody, Spool, StreamedBody
from server_core.drive.clock import monotonic
from server_core.drive.streams import ClientGoneError
from server_http.errors import H2_INTERNAL_ERROR
from server_http.events import Headers, Request
from server_http.statuses import error_page

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: Octets given to the engine at a time. What it has been given stays in memory until the peer reads it; the rest of a
#: larger part can go to a spool.
SEND_OCTETS = 256 * 1024


@cython.freelist(8)
@cython.cclass
class Channel:
    """One exchange, as its application sees it. Made when the head of a request arrives.

    Args:
        session: the connection.
        stream: the engine's number of the stream.
        request: the head.

    Attributes:
        body: the octets of a small body that came with the head, ``CollectedBody``, ``StreamedBody``, or None without
            a body.
        collecting: the body is still being taken on the application's behalf.
        lost: the stream was reset or its connection broke; commands raise ``ClientGoneError``.
        finished: the response is complete, from the application's side.
        waiter: what the driver blocks on while the application waits, or None.
        method, target, keep_alive, queued_since: of the request, as in ``Request``.
        status, reason, headers: of the response; status is 0 before the head.
        sent: octets of the response body the application gave.
        arrived: when what the application is to see of the request had arrived, monotonic seconds.
        waited: its queue time, seconds.
        last: no request follows on its connection.
        environ, began: kept for the access log.
        owed: credit of body octets that found no room; they wait in ``unplaced``.
        behind: the next in the queue of those that are ready to be run.
    """

    __slots__ = (
        "_files", "_spool", "_spooled", "arrived", "began", "behind", "body", "collecting", "environ", "finished",
        "headers", "keep_alive", "last", "lost", "method", "owed", "queued_since", "reason", "request", "sent",
        "session", "status", "stream", "target", "unplaced", "waited", "waiter",
    )  # fmt: skip

    def __init__(self, session: Any, stream: int, request: Request) -> None:
        self.set_up(session, stream, request)

    def set_up(self, session: Any, stream: int, request: Request) -> None:
        """Be the channel of a request of which only the head is there."""
        self.session = session
        self.stream = stream
        self.request = request
        self.body: Any = None
        self.collecting = False
        self.lost = False
        self.finished = False
        self.last = False
        self.waiter: Any = None
        self.method = ""
        self.target = b""
        self.keep_alive = False
        self.queued_since = 0.0
        self.status = 0
        self.reason = b""
        self.headers: Headers = []
        self.sent = 0
        self.environ: Any = None
        self.arrived = 0.0
        self.waited = 0.0
        self.began = 0.0
        self.owed = 0
        self.unplaced: Any = None
        self.behind: Optional[Channel] = None
        self._files: Optional[List[int]] = None
        self._spool: Optional[Spool] = None
        self._spooled = 0  # octets of the spool that the engine has been given

    # Commands of the application -------------------------------------------------------------------------------

    def respond(self, status: int, headers: Headers, reason: bytes = b"") -> None:
        """Send the response head; it travels with what follows it.

        Raises ApplicationFault for a head that HTTP forbids, ClientGoneError when nobody is there.
        """
        session = self.session
        session.enter()
        try:
            self._check()
            session.engine.respond(self.stream, status, headers, monotonic(), reason)
            self.status = status
            self.reason = reason
            self.headers = headers
        finally:
            session.leave()

    def inform(self, status: int, headers: Headers) -> None:
        """Send a 1xx response at once."""
        session = self.session
        session.enter()
        try:
            self._check()
            now = monotonic()
            session.engine.inform(self.stream, status, headers, now)
            session.flush(now)
        finally:
            session.leave()

    def send(self, data: bytes) -> None:
        """Send a part of the body; wait, or spool, while too much of it is unsent."""
        if len(data) > SEND_OCTETS:
            for start in range(0, len(data), SEND_OCTETS):
                self.send(data[start : start + SEND_OCTETS])
            return
        session = self.session
        session.enter()
        try:
            self._check()
            self.sent += len(data)
            full = self._send(data, monotonic())
        finally:
            session.leave()
        if full:
            self._relieve()

    def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send ``count`` octets of a file as a part of the body. The descriptor may be closed afterwards."""
        session = self.session
        session.enter()
        try:
            self._check()
            now = monotonic()
            copy = os.dup(fd)
            if self._files is None:
                self._files = []
            self._files.append(copy)
            self.sent += count
            session.engine.send_file(self.stream, copy, offset, count, now)
            session.flush(now)
        finally:
            session.leave()

    def end(self, trailers: Headers = ()) -> None:  # type: ignore[assignment]  # any sequence of pairs
        """The response is complete; what is unsent goes out without the application."""
        session = self.session
        session.enter()
        try:
            self._check()
            now = monotonic()
            self._hand_over(now)
            self._finish(now, trailers)
        finally:
            session.leave()

    def answer(self, status: int, headers: Headers, reason: bytes, parts: List[bytes]) -> None:
        """Send a whole response that is known at once: one turn, and one write where the peer takes it."""
        session = self.session
        session.enter()
        try:
            self._check()
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            now = monotonic()
            self._answer(status, headers, reason, body, now)
            session.flush(now, True)
        finally:
            session.leave()

    def fail(self, status: int) -> None:
        """Give up: the constant page for ``status`` before the head, after it the stream is cut."""
        session = self.session
        session.enter()
        try:
            now = monotonic()
            if self.give_up(status, now):
                session.flush(now, True)
        finally:
            session.leave()

    def give_up(self, status: int, now: float) -> bool:
        """``fail``, for whoever holds the turn already; returns whether there is something to flush."""
        if self.lost or self.finished:
            return False
        if not self.status:
            headers, page = error_page(status)
            self.say(status, headers, page, now)
        else:
            self.finished = True
            self.session.engine.reset(self.stream, H2_INTERNAL_ERROR, now)
        return True

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Give the server's own answer, in the application's place and before it heard of the request."""
        session = self.session
        session.enter()
        try:
            if not self.lost and not self.finished:
                now = monotonic()
                self.say(status, headers, body, now)
                session.flush(now, True)
        finally:
            session.leave()
        self.done()

    def say(self, status: int, headers: Headers, body: bytes, now: float) -> None:
        """Give a whole answer of the server's own; for whoever holds the turn, and flushes behind it."""
        self._answer(status, headers, b"", body, now)

    def receive(self, limit: int) -> bytes:
        """Return 1 to ``limit`` octets of a streamed body, waiting for them; empty at its end.

        Raises ClientGoneError when the rest will not come.
        """
        session = self.session
        while True:
            session.enter()
            try:
                body: StreamedBody = self.body
                data, credit = body.take(limit)
                if not data and not body.ended:
                    self._check()
                    self._invite()
                if credit and not self.lost:
                    session.engine.consumed(self.stream, credit)
                    session.flush(monotonic())  # HTTP/2: a WINDOW_UPDATE, without which the peer sends nothing more
                    session.read_more()
                if data or body.ended:
                    return bytes(data)
                arrived = body.ready()
            finally:
                session.leave()
            if not arrived:
                session.driver.wait_readable(self)

    # What the driver does with it, holding the turn ----------------------------------------------------------------

    def lose(self) -> None:
        """The stream is over without an answer: the application hears of it when it says something."""
        self.lost = True
        if self.waiter is not None:
            self.session.driver.wake(self)

    def writable(self, now: float) -> None:
        """The engine has room again: feed it from the spool, and wake the application."""
        if self._spool is not None and self._spool.size > self._spooled:
            self._hand_over(now)
        if self.waiter is not None:
            self.session.driver.wake(self)

    def readable(self) -> None:
        """A part of the streamed body, or its end, arrived."""
        if self.waiter is not None:
            self.session.driver.wake(self)

    def full(self) -> bool:
        """Whether more than the low-water mark is unsent."""
        return not self.lost and self.session.engine.pending(self.stream) > self.session.low_water

    def release(self) -> None:
        """The stream is closed: give back what its response held."""
        if self._spool is not None:
            self._spool.close()
        if self._files is not None:
            for fd in self._files:
                os.close(fd)
            self._files = None

    def done(self) -> None:
        """The application is through with the request, or will never see it: give back what its body held."""
        body = self.body
        if type(body) is CollectedBody:
            body.close()

    # ---------------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.lost:
            raise ClientGoneError(f"stream {self.stream}: expected a client, got a closed connection")

    def _send(self, data: bytes, now: float) -> bool:
        """Pass ``data`` on, to the engine or the spool; return whether the application is to be relieved."""
        session = self.session
        engine = session.engine
        if self._spool is not None:
            return self._send_spooled(data, now)
        engine.send(self.stream, data, now)
        session.flush(now)
        if session.queue is not None and not session.queue:
            return False
        return bool(engine.pending(self.stream) > session.high_water)

    def _send_spooled(self, data: bytes, now: float) -> bool:
        session = self.session
        spool: Spool = self._spool  # type: ignore[assignment]  # the caller looked
        if spool.size == self._spooled and not session.engine.pending(self.stream):
            # The reader caught up: no detour any more.
            spool.close()
            self._spool = None
            self._spooled = 0
            return self._send(data, now)
        if spool.size >= session.driver.response_spool or not spool.write(data):
            # No more room: what is spooled is handed over and the application waits for its reader.
            self._hand_over(now)
            session.engine.send(self.stream, data, now)
            session.flush(now)
            return True
        if not self.full():
            self._hand_over(now)
            session.flush(now)
        return False

    def _hand_over(self, now: float) -> None:
        """Give the engine what is spooled and not yet given."""
        spool = self._spool
        if spool is not None and spool.size > self._spooled:
            count = spool.size - self._spooled
            self.session.engine.send_file(self.stream, spool.file.fileno(), self._spooled, count, now)
            self._spooled = spool.size

    def _relieve(self) -> None:
        """Too much is unsent: wait for the reader, or go on into a spool when others wait for this thread."""
        driver = self.session.driver
        spools = driver.response_spool > 0 and self._spool is None
        if driver.wait_writable(self, spools):
            if self._spool is not None and not self.lost:
                self._empty_spool()
        elif spools:
            self._spool = Spool(driver.budget)

    def _empty_spool(self) -> None:
        session = self.session
        session.enter()
        try:
            if not self.lost and session.engine.pending(self.stream) == 0:
                self._spool.clear()  # type: ignore[union-attr]  # the caller looked
                self._spooled = 0
        finally:
            session.leave()

    def _answer(self, status: int, headers: Headers, reason: bytes, body: bytes, now: float) -> None:
        session = self.session
        self._leave_body()
        session.engine.answer(self.stream, status, headers, body, now, reason)
        self.finished = True
        self.status = status
        self.reason = reason
        self.headers = headers
        self.sent = len(body)
        session.parting = self.last and session.joins

    def _finish(self, now: float, trailers: Any) -> None:
        session = self.session
        self._leave_body()
        session.engine.end(self.stream, now, trailers)  # which refuses malformed trailers: then nothing is complete
        self.finished = True
        session.flush(now, True)

    def _leave_body(self) -> None:
        """The response is complete: what the application left of the body is the engine's to discard."""
        if type(self.body) is StreamedBody:
            self.session.engine.consumed(self.stream, self.body.abandon())

    def _invite(self) -> None:
        """The application waits for the body: tell a client that waits to be told (RFC 9110 section 10.1.1)."""
        if self.request.expects_continue and not self.status:
            self.request.expects_continue = False
            now = monotonic()
            self.session.engine.inform(self.stream, 100, [], now)
            self.session.flush(now)
