"""The HTTP/2 engine: many exchanges on one connection, behind the contract of ``server_http.engine``.

Owns: the contract, the shut-down in two steps, every deadline.
Must not know: sockets, clocks, applications; what a frame means (``incoming``), how a stream begins and ends
(``streams``), how h2 is used (``session``), in which order streams send (``sender``, ``priority``).

Memory of one connection is bounded by ``h2_max_streams`` x ``h2_initial_window`` octets of content that the
application has not taken, plus ``send_high_water`` framed octets, plus one frame and one header block
(``h2_max_frame``, ``h2_header_list``). The connection's window is credited on receipt, a stream's on consumption: with
connection credit on consumption, uploads nobody reads would stop those that are read.

What answers what: a peer that breaks the protocol gets GOAWAY and the end of the connection; a malformed request
RST_STREAM; a request that is well-formed but refused the page of its status. The codes are attributes of the errors.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion, Segment
from server_http.errors import H2_NO_ERROR, ProtocolError, RequestTimeout, TooMuchAbuse
from server_http.events import ConnectionEnded, Event, Headers, InputEnded, Request
from server_http.h2 import frames
from server_http.h2.incoming import DRAIN_PING, Incoming
from server_http.h2.output import Output
from server_http.h2.session import Session
from server_http.h2.stream import Stream
from server_http.h2.streams import Streams
from server_http.states import HTTP_2, RAW

EVERY_STREAM = 2**31 - 1
DRAIN_WAIT = 1.0
"""Seconds for the PING behind the first GOAWAY to come back, after which the second follows anyway."""

WINDOW_UPDATES_PER_FRAME = 4
"""Control frames that each frame of a response explains: its octets come back as window updates."""

BACKLOG_FACTOR = 4
"""Reading pauses above this many times ``send_high_water`` of unwritten output: answers to a peer that reads none."""

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_UPGRADE_FIELDS = frozenset((b"connection", b"upgrade", b"http2-settings"))


class ConnectionLostError(ProtocolError):
    """The connection ended under its streams."""

    log_level = "debug"


class Http2Engine:
    """One HTTP/2 connection, server side, from the client preface on. See ``server_http.engine.Engine``.

    Args:
        info: facts of the connection.
        config: what the listener's connections share.
        now: monotonic seconds.
        preamble: octets that go out before the server's settings.
    """

    __slots__ = (
        "_check_at", "_check_every", "_drain_at", "_ended", "_idle_at", "_incoming", "_limits", "_output",
        "_partial_at", "_partial_of", "_session", "_streams", "_unread_at", "_written", "_written_since",
    )  # fmt: skip

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float, preamble: bytes = b"") -> None:
        limits = config.limits
        self._limits = limits
        self._session = Session(limits)
        self._output = Output()
        self._streams = Streams(info, config, self._session, self._output)
        self._incoming = Incoming(self._session, self._streams, config)
        self._ended = False
        self._idle_at: Optional[float] = now + limits.first_request if limits.first_request else None
        self._partial_at: Optional[float] = None
        self._partial_of = 0  # what was whole when it began
        self._drain_at: Optional[float] = None
        self._unread_at: Optional[float] = None
        self._check_at: Optional[float] = None
        self._check_every = min([t for t in (limits.send_timeout, limits.body_timeout) if t], default=0.0) / 4
        self._written = 0
        self._written_since = now
        self._output.write(preamble + self._session.open(limits, bool(config.connect_protocols)))
        if info.draining:
            self.drain(now)

    @classmethod
    def from_upgrade(
        cls, info: ConnectionInfo, config: HttpConfig, now: float, request: Request, settings: bytes
    ) -> Http2Engine:
        """Open an engine whose stream 1 is an HTTP/1.1 request without content (RFC 7540 section 3.2).

        The output begins with the 101 response. The first call that returns events reports the request.

        Args:
            info, config, now: as for the class.
            request: passed the header policy already.
            settings: the value of its HTTP2-Settings field, base64url.

        Raises:
            BadRequest: ``settings`` cannot be read.
        """
        engine = cls(info, config, now, _SWITCHING)
        engine._session.upgrade(settings)
        request.stream = 1
        request.version = HTTP_2
        request.headers = [item for item in request.headers if item[0] not in _UPGRADE_FIELDS]
        request.upgrade = b""
        engine._streams.begin(request, True, now)
        return engine

    # -- octets and time ----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """See ``Engine.receive_data``."""
        if not self._ended:
            try:
                self._incoming.feed(data, now)
            except ProtocolError as error:
                self._fail(error)
            if self._incoming.drain_read and self._drain_at is not None:
                self._refuse_more()
        return self.advance(now)

    def receive_eof(self, now: float) -> Sequence[Event]:
        """See ``Engine.receive_eof``. What is still uploaded is lost; what is complete may be answered."""
        if not self._ended:
            self._incoming.peer_going = True
            for stream in list(self._streams.table.values()):
                if stream.receiving:
                    self._streams.lose(stream, ConnectionLostError("connection: closed by the peer within a request"))
                else:
                    self._streams.events.append(InputEnded(stream.number))
            if not self._streams.table:
                self._end(None, linger=False)
        return self.advance(now)

    def advance(self, now: float) -> Sequence[Event]:
        """See ``Engine.advance``."""
        self._settle(now)
        return self._streams.take_events()

    def want_read(self) -> bool:
        """See ``Engine.want_read``."""
        return not self._ended and self._output.waiting < self._limits.send_high_water * BACKLOG_FACTOR

    @property
    def queue(self) -> None:
        """See ``Engine.queue``: frames are made when they are asked for."""

    def segments(self) -> List[Segment]:
        """See ``Engine.segments``."""
        octets = self._session.take()
        if octets:
            self._output.write(octets)
        framed = self._streams.sender.pump()
        if framed:
            self._incoming.guard.worked(framed * WINDOW_UPDATES_PER_FRAME)
        return self._output.segments()

    def sent(self, n: int) -> bool:
        """See ``Engine.sent``."""
        marks = self._output.sent(n)
        if marks:
            self._streams.written(marks)
        return True

    # -- commands -----------------------------------------------------------------------------------------------

    def respond(self, stream: int, status: int, headers: Headers, now: float, reason: bytes = b"") -> None:
        """See ``Engine.respond``. HTTP/2 has no reason phrase."""
        target = self._streams.live(stream)
        if target is not None:
            self._streams.respond(target, status, headers, reason)
            self._watch(now)

    def inform(self, stream: int, status: int, headers: Headers, now: float) -> None:
        """See ``Engine.inform``."""
        target = self._streams.live(stream)
        if target is not None:
            self._streams.inform(target, status, headers)
            self._watch(now)

    def send(self, stream: int, data: bytes, now: float) -> None:
        """See ``Engine.send``."""
        target = self._streams.live(stream)
        if target is not None:
            content = data if type(data) is bytes else bytes(data)
            size = target.exchange.send(len(content))
            self._push(target, content if size == len(content) else content[:size], now)

    def answer(self, stream: int, status: int, headers: Headers, body: bytes, now: float, reason: bytes = b"") -> None:
        """See ``Engine.answer``."""
        self.respond(stream, status, headers, now, reason)
        if body:
            self.send(stream, body, now)
        self.end(stream, now)

    def send_file(self, stream: int, fd: int, offset: int, count: int, now: float) -> None:
        """See ``Engine.send_file``."""
        target = self._streams.live(stream)
        if target is not None:
            self._push(target, FileRegion(fd, offset, target.exchange.send(count)), now)

    def end(self, stream: int, now: float, trailers: Headers = ()) -> None:  # type: ignore[assignment]
        """See ``Engine.end``."""
        target = self._streams.live(stream)
        if target is not None:
            self._streams.end(target, trailers)
            if target.exchange.warning:
                self._streams.warn(target)
            self._watch(now)

    def reset(self, stream: int, code: int, now: float) -> None:
        """See ``Engine.reset``."""
        target = self._streams.live(stream)
        if target is not None:
            self._session.reset(stream, code)
            target.exchange.abandon()
            self._streams.close(target)
            self._watch(now)

    def consumed(self, stream: int, n: int) -> None:
        """See ``Engine.consumed``."""
        target = self._streams.table.get(stream)
        if target is not None:
            target.held -= n
            self._streams.credit(target, n)

    def pending(self, stream: int) -> int:
        """See ``Engine.pending``."""
        target = self._streams.table.get(stream)
        return 0 if target is None else target.pending

    def _push(self, target: Stream, content: Segment, now: float) -> None:
        if len(content):
            self._streams.push(target, content)
            self._watch(now)
        if target.exchange.warning:
            self._streams.warn(target)

    def drain(self, now: float) -> None:
        """See ``Engine.drain``: GOAWAY that refuses nothing yet, and the last one a round trip later, so that no
        request that is on its way is lost (RFC 9113 section 6.8)."""
        if not self._ended and self._drain_at is None and not self._incoming.refusing:
            self._output.write(self._session.take())
            self._output.write(frames.goaway(EVERY_STREAM, H2_NO_ERROR))
            self._session.ping(DRAIN_PING)
            self._drain_at = now + DRAIN_WAIT

    # -- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> Optional[float]:
        """See ``Engine.deadline``."""
        first = self._check_at
        for at in (self._idle_at, self._partial_at, self._drain_at, self._unread_at):
            if at is not None and (first is None or at < first):
                first = at
        return first

    def handle_timer(self, now: float) -> Sequence[Event]:
        """See ``Engine.handle_timer``."""
        try:
            if self._partial_at is not None and now >= self._partial_at:
                raise RequestTimeout("frame: expected the rest of it in time, got nothing more")
            if self._check_at is not None and now >= self._check_at:
                self._check(now)
        except ProtocolError as error:
            self._fail(error)
        if self._drain_at is not None and now >= self._drain_at:
            self._refuse_more()
        if self._idle_at is not None and now >= self._idle_at:
            self._refuse_more()
        return self.advance(now)

    def _settle(self, now: float) -> None:
        """Bring the deadlines in line with what has just happened, and leave when there is nothing left to do."""
        if self._incoming.over():
            self._end(None, linger=True)
        if self._ended:
            self._idle_at = self._partial_at = self._drain_at = self._unread_at = None
            if self._output.waiting:
                self._watch(now)
            return
        if self._streams.unread or self._unread_at is not None:
            self._unread_at = self._streams.stop_uploads(now)
        reader = self._incoming.reader
        if not reader.partial or reader.awaits_preface:
            self._partial_at = None
        elif reader.in_content:
            self._partial_at = _after(now, self._limits.body_timeout)  # any octet is progress
        elif self._partial_at is None or self._partial_of != reader.completed:
            self._partial_of = reader.completed
            self._partial_at = _after(now, self._limits.head_timeout)
        if self._streams.table:
            self._idle_at = None
            self._watch(now)
        elif self._idle_at is None and self._session.highest:  # the last stream is over
            if self._limits.keepalive:
                self._idle_at = now + self._limits.keepalive
            else:
                self._refuse_more()
                self._end(None, linger=True)

    def _watch(self, now: float) -> None:
        """Look at streams and output from time to time, as long as there are any."""
        if self._check_at is None and self._check_every:
            self._check_at = now + self._check_every
            self._written = self._output.written
            self._written_since = now

    def _check(self, now: float) -> None:
        """End what makes no progress: output nobody reads, windows that stay closed, bodies that do not come."""
        output = self._output
        timeout = self._limits.send_timeout
        if not output.waiting or output.written != self._written:
            self._written, self._written_since = output.written, now
        elif timeout and now - self._written_since >= timeout:
            self._fail(TooMuchAbuse(f"output: expected the peer to read within {timeout:g} s, got no progress"))
            self._streams.dropped(output.clear())  # it would not read this either
            self._check_at = None
            return
        for stream in list(self._streams.table.values()):
            if stream.stalled(now, timeout, self._streams.sender.framed):
                self._end_stalled(stream, timeout)
            else:
                self._check_body(stream, now)
        waits = bool(self._streams.table) or output.waiting
        self._check_at = now + self._check_every if waits else None

    def _end_stalled(self, stream: Stream, timeout: float) -> None:
        """End the stream, or the connection, whose window is closed. With neither, the output is full: see above."""
        if stream.blocked:
            error = TooMuchAbuse(f"stream window: expected more within {timeout:g} s, got none")
            self._streams.abort(stream, error)
        elif self._session.window <= 0:
            raise TooMuchAbuse(f"connection window: expected more within {timeout:g} s, got none")

    def _check_body(self, stream: Stream, now: float) -> None:
        """Time out a body that is wanted: everything that came was taken, and no more comes.

        Nobody wants one whose response is complete, or which the peer waits to be told to send. A tunnel may be silent,
        and so may a peer whose handshake the application has not accepted yet.
        """
        timeout = self._limits.body_timeout
        exchange = stream.exchange
        if not timeout or not stream.receiving or stream.given_up or exchange.framing == RAW or exchange.upgrade:
            return
        if stream.held > 0 or stream.ending or exchange.expects_continue:
            stream.body_since = now
        elif now - stream.body_since >= timeout:
            self._streams.abort(stream, RequestTimeout(f"body: expected more within {timeout:g} s, got nothing"))

    # -- the end ------------------------------------------------------------------------------------------------

    def _refuse_more(self) -> None:
        """Send the last GOAWAY: what was opened so far is served, nothing after it."""
        self._drain_at = self._idle_at = None
        incoming = self._incoming
        if not incoming.refusing and not self._ended:
            incoming.refusing = True
            self._output.write(self._session.take())
            if not incoming.reader.awaits_preface:
                self._output.write(frames.goaway(self._session.highest, H2_NO_ERROR))

    def _fail(self, error: ProtocolError) -> None:
        """A connection error (section 5.4.1)."""
        if self._ended:
            return
        self._output.write(self._session.take())
        self._output.write(frames.goaway(self._session.highest, error.h2_code))
        for stream in list(self._streams.table.values()):
            self._streams.lose(stream, ConnectionLostError(f"connection: ended by an error ({error})"))
        self._end(error, linger=True)

    def _end(self, error: Optional[ProtocolError], linger: bool) -> None:
        if not self._ended:
            self._ended = True
            self._streams.events.append(ConnectionEnded(error, linger))


def _after(now: float, seconds: float) -> Optional[float]:
    return now + seconds if seconds else None
