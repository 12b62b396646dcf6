"""The HTTP/2 engine: many exchanges on one connection, behind the contract of ``server_http.engine``.

Owns: what a frame means for the exchanges (RFC 9113), who is told what, the shut-down in two steps, every deadline.
Must not know: sockets, clocks, applications; how h2 is used (``session``), in which order streams send (``sender``).

Memory of one connection is bounded by ``h2_max_streams`` x ``h2_initial_window`` octets of content that the
application has not taken, plus ``send_high_water`` framed octets, plus one frame and one header block
(``h2_max_frame``, ``h2_header_list``). The connection's window is credited on receipt, a stream's on consumption: with
connection credit on consumption, uploads nobody reads would stop those that are read.

What answers what: a peer that breaks the protocol gets GOAWAY and the end of the connection; a malformed request
RST_STREAM; a request that is well-formed but refused the page of its status. The codes are attributes of the errors.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from h2 import events as h2_events

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion, Segment
from server_http.errors import (
    ContentTooLarge,
    ProtocolError,
    RequestTimeout,
    TooMuchAbuse,
)
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Event,
    Headers,
    InputEnded,
    Request,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
)
from server_http.exchange import AWAITING, CUT, LENGTH, NO_BODY, RAW, Exchange, error_page
from server_http.h2 import frames
from server_http.h2.guard import FloodGuard
from server_http.h2.output import Output
from server_http.h2.priority import MAX_FIELD, parse_priority
from server_http.h2.request import Malformed, build_request, check_trailers
from server_http.h2.sender import NO_ERROR, Sender
from server_http.h2.session import Session, error_name
from server_http.h2.stream import Stream

INTERNAL_ERROR = 0x2
REFUSED_STREAM = 0x7

EVERY_STREAM = 2**31 - 1
DRAIN_PING = b"draining"
DRAIN_WAIT = 1.0
"""Seconds for the PING of the first GOAWAY to come back, after which the second follows anyway."""

WINDOW_UPDATES_PER_FRAME = 4
"""Control frames that each frame of a response explains: its octets come back as window updates."""

BACKLOG_FACTOR = 4
"""Reading pauses above this many times ``send_high_water`` of unwritten output: answers to a peer that reads none."""

_STATUS = {status: (b":status", b"%d" % status) for status in range(100, 1000)}
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_NO_INCREMENT = (b"\0\0\0\0", b"\x80\0\0\0")
_UPGRADE_FIELDS = frozenset((b"connection", b"upgrade", b"http2-settings"))


class PeerResetError(ProtocolError):
    """The peer gave a stream up; ``h2_code`` is its reason."""

    closes = False
    log_level = "debug"

    def __init__(self, code: int) -> None:
        super().__init__(f"stream: reset by the peer with {error_name(code)}")
        self.h2_code = code


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
        "_check_at", "_check_every", "_config", "_drain_at", "_ended", "_events", "_guard", "_idle_at", "_info",
        "_limits", "_output", "_partial_at", "_peer_going", "_reader", "_refusing", "_sender", "_session",
        "_settings_seen", "_signals", "_streams", "_trusted", "_written", "_written_since",
    )  # fmt: skip

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float, preamble: bytes = b"") -> None:
        limits = config.limits
        self._info = info
        self._config = config
        self._limits = limits
        self._trusted = config.policy.trusts(info)
        self._session = Session(limits)
        self._output = Output()
        self._sender = Sender(self._session, self._output, limits.send_high_water)
        self._guard = FloodGuard(limits)
        self._reader = frames.FrameReader(limits.h2_max_frame, limits.h2_header_list, limits.h2_continuations)
        self._streams: Dict[int, Stream] = {}
        self._signals: Dict[int, bytes] = {}  # PRIORITY_UPDATE of streams that are not open yet
        self._events: List[Event] = []
        self._settings_seen = False
        self._peer_going = False  # the peer takes no more part than the open streams need
        self._refusing = False  # the last GOAWAY is out: later streams are refused
        self._ended = False
        self._idle_at: Optional[float] = now + limits.first_request if limits.first_request else None
        self._partial_at: Optional[float] = None
        self._drain_at: Optional[float] = None
        self._check_at: Optional[float] = None
        self._check_every = min([t for t in (limits.send_timeout, limits.body_timeout) if t], default=0.0) / 4
        self._written = 0
        self._written_since = now
        self._output.write(preamble + self._session.open(limits))
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
        request.version = "2"
        request.headers = [item for item in request.headers if item[0] not in _UPGRADE_FIELDS]
        request.upgrade = b""
        engine._begin(request, True, now)
        return engine

    # -- octets and time ----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """See ``Engine.receive_data``."""
        if self._ended:
            return self._take_events()
        reader = self._reader
        reader.feed(data)
        try:
            while reader.next():
                self._on_frame(now)
                if self._ended:
                    break
        except ProtocolError as error:
            self._fail(error)
        self._settle(now)
        return self._take_events()

    def receive_eof(self, now: float) -> Sequence[Event]:
        """See ``Engine.receive_eof``. What is still uploaded is lost; what is complete may be answered."""
        if not self._ended:
            self._peer_going = True
            for stream in list(self._streams.values()):
                if stream.receiving:
                    self._lose(stream, ConnectionLostError("connection: closed by the peer within a request"))
                else:
                    self._events.append(InputEnded(stream.number))
            if not self._streams:
                self._end(None, linger=False)
        return self.advance(now)

    def advance(self, now: float) -> Sequence[Event]:
        """See ``Engine.advance``."""
        self._settle(now)
        return self._take_events()

    def want_read(self) -> bool:
        """See ``Engine.want_read``."""
        return not self._ended and self._output.waiting < self._limits.send_high_water * BACKLOG_FACTOR

    def segments(self) -> List[Segment]:
        """See ``Engine.segments``."""
        octets = self._session.take()
        if octets:
            self._output.write(octets)
        framed = self._sender.pump()
        if framed:
            self._guard.worked(framed * WINDOW_UPDATES_PER_FRAME)
        return self._output.segments()

    def sent(self, n: int) -> None:
        """See ``Engine.sent``."""
        for _, stream, size, last in self._output.sent(n):
            stream.unwritten -= size
            stream.written += size
            if stream.closed:
                self._report_closed(stream)
            elif last:
                self._close(stream)
            elif stream.swollen and stream.pending <= self._limits.send_low_water:
                stream.swollen = False
                self._events.append(Writable(stream.number))

    # -- commands -----------------------------------------------------------------------------------------------

    def respond(self, stream: int, status: int, headers: Headers, now: float, reason: bytes = b"") -> None:
        """See ``Engine.respond``. HTTP/2 has no reason phrase."""
        target = self._live(stream)
        if target is not None:
            self._respond(target, status, headers, reason)
            self._watch(now)

    def inform(self, stream: int, status: int, headers: Headers, now: float) -> None:
        """See ``Engine.inform``."""
        target = self._live(stream)
        if target is not None:
            fields = target.exchange.inform(status, headers)
            if fields is not None:
                self._session.headers(stream, [_STATUS[status], *fields], False)
                self._watch(now)

    def send(self, stream: int, data: bytes, now: float) -> None:
        """See ``Engine.send``."""
        target = self._live(stream)
        if target is None:
            return
        content = data if type(data) is bytes else bytes(data)
        size = target.exchange.send(len(content))
        if size:
            self._push(target, content if size == len(content) else content[:size], now)
        if target.exchange.warning:
            self._warn(target)

    def send_file(self, stream: int, fd: int, offset: int, count: int, now: float) -> None:
        """See ``Engine.send_file``."""
        target = self._live(stream)
        if target is None:
            return
        size = target.exchange.send(count)
        if size:
            self._push(target, FileRegion(fd, offset, size), now)
        if target.exchange.warning:
            self._warn(target)

    def end(self, stream: int, now: float, trailers: Headers = ()) -> None:  # type: ignore[assignment]
        """See ``Engine.end``."""
        target = self._live(stream)
        if target is None:
            return
        exchange = target.exchange
        target.trailers = exchange.end(trailers)
        if exchange.warning:
            self._warn(target)
        if exchange.state == CUT:
            self._session.reset(stream, INTERNAL_ERROR)
            self._close(target)
        elif target.finished:  # the head was everything
            self._output.write(self._session.take())
            if self._output.waiting:
                self._output.mark(target, 0, True)
            else:
                self._close(target)
        else:
            target.ending = True
            self._sender.ready(target)
        self._watch(now)

    def reset(self, stream: int, code: int, now: float) -> None:
        """See ``Engine.reset``."""
        target = self._live(stream)
        if target is not None:
            self._session.reset(stream, code)
            target.exchange.abandon()
            self._close(target)
            self._watch(now)

    def consumed(self, stream: int, n: int) -> None:
        """See ``Engine.consumed``."""
        target = self._streams.get(stream)
        if target is not None:
            target.held -= n
            self._credit(target, n)

    def pending(self, stream: int) -> int:
        """See ``Engine.pending``."""
        target = self._streams.get(stream)
        return 0 if target is None else target.queued + target.unwritten

    def drain(self, now: float) -> None:
        """See ``Engine.drain``: GOAWAY that refuses nothing yet, and the last one a round trip later, so that no
        request that is on its way is lost (RFC 9113 section 6.8)."""
        if not self._ended and self._drain_at is None and not self._refusing:
            self._output.write(self._session.take())
            self._output.write(frames.goaway(EVERY_STREAM, NO_ERROR))
            self._session.ping(DRAIN_PING)
            self._drain_at = now + DRAIN_WAIT

    # -- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> Optional[float]:
        """See ``Engine.deadline``."""
        first = self._check_at
        for at in (self._idle_at, self._partial_at, self._drain_at):
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
        self._settle(now)
        return self._take_events()

    def _settle(self, now: float) -> None:
        """Bring the deadlines in line with what has just happened."""
        if self._ended:
            self._idle_at = self._partial_at = self._drain_at = None
            if self._output.waiting:
                self._watch(now)
            return
        reader = self._reader
        if not reader.partial or reader.awaits_preface:
            self._partial_at = None
        elif reader.in_content:
            self._partial_at = _after(now, self._limits.body_timeout)  # any octet is progress
        elif self._partial_at is None:
            self._partial_at = _after(now, self._limits.head_timeout)
        if self._streams:
            self._idle_at = None
            self._watch(now)
        elif self._idle_at is None and self._settings_seen:
            if self._limits.keepalive:
                self._idle_at = now + self._limits.keepalive
            else:
                self._refuse_more()

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
            for _, stream, size, _ in output.clear():  # it would not read this either
                stream.unwritten -= size
                self._report_closed(stream)
            self._check_at = None
            return
        for stream in list(self._streams.values()):
            if not stream.stalled(now, timeout):
                self._check_body(stream, now)
            elif self._session.window <= 0:
                raise TooMuchAbuse(f"connection window: expected more within {timeout:g} s, got none")
            else:
                self._abort(stream, TooMuchAbuse(f"stream window: expected more within {timeout:g} s, got none"))
        waits = bool(self._streams) or output.waiting
        self._check_at = now + self._check_every if waits else None

    def _check_body(self, stream: Stream, now: float) -> None:
        """Time out a body that is wanted: everything that came was taken, and no more comes."""
        timeout = self._limits.body_timeout
        if not timeout or not stream.receiving or stream.given_up or stream.exchange.method == "CONNECT":
            return
        if stream.held > 0:
            stream.body_since = now
        elif now - stream.body_since >= timeout:
            self._abort(stream, RequestTimeout(f"body: expected more within {timeout:g} s, got nothing"))

    # -- frames -------------------------------------------------------------------------------------------------

    def _on_frame(self, now: float) -> None:
        reader = self._reader
        kind = reader.kind
        if not self._settings_seen:
            if kind != frames.SETTINGS or reader.flags & frames.ACK:
                raise ProtocolError(f"preface: expected SETTINGS as the first frame, got type {kind:#x}")
            self._settings_seen = True
        handler = _ON_FRAME.get(kind)
        if handler is None:
            self._guard.control(now, "frame of an unknown type")  # ignored (section 5.5)
        else:
            handler(self, now)

    def _pass_on(self, now: float) -> None:
        """Let h2 take the frame and act on what it says."""
        for event in self._session.receive(self._reader.frame):
            handler = _ON_EVENT.get(type(event))
            if handler is not None:
                handler(self, event, now)

    def _on_control(self, now: float) -> None:
        self._guard.control(now, _CONTROL[self._reader.kind])
        self._pass_on(now)

    def _on_data(self, now: float) -> None:
        reader = self._reader
        if len(reader.frame) == frames.HEADER_OCTETS and not reader.flags & frames.END_STREAM:
            self._guard.control(now, "DATA without content")
        elif reader.stream not in self._streams:
            self._guard.control(now, "DATA of a closed stream")
        else:
            self._guard.worked(1)
        self._pass_on(now)

    def _on_rst_stream(self, now: float) -> None:
        number = self._reader.stream
        if number > self._session.highest:
            raise ProtocolError(f"RST_STREAM: expected a stream that is not idle, got {number}")
        self._guard.reset(now)
        self._pass_on(now)

    def _on_window_update(self, now: float) -> None:
        reader = self._reader
        self._guard.control(now, "WINDOW_UPDATE")
        stream = self._streams.get(reader.stream)
        if stream is not None and reader.frame[frames.HEADER_OCTETS :] in _NO_INCREMENT:
            # A stream error (section 6.9), which hyperframe would make one of the connection.
            self._abort(stream, ProtocolError("WINDOW_UPDATE: expected an increment, got 0"))
            self._guard.reset(now)
            return
        self._pass_on(now)

    def _on_goaway(self, _now: float) -> None:
        """The peer opens no more streams. h2 would forget the answers to those that are open."""
        reader = self._reader
        if reader.stream:
            raise ProtocolError(f"GOAWAY: expected on stream 0, got {reader.stream}")
        if len(reader.frame) < frames.HEADER_OCTETS + 8:
            raise frames.FrameSizeError("GOAWAY: expected at least 8 octets, got fewer")
        self._peer_going = True
        self._leave_when_done()

    def _on_push_promise(self, _now: float) -> None:
        raise ProtocolError("PUSH_PROMISE: expected from servers only, got one from a client")

    def _on_priority_update(self, now: float) -> None:
        """RFC 9218 section 7.1."""
        reader = self._reader
        self._guard.control(now, "PRIORITY_UPDATE")
        payload = reader.frame[frames.HEADER_OCTETS :]
        if reader.stream:
            raise ProtocolError(f"PRIORITY_UPDATE: expected on stream 0, got {reader.stream}")
        if len(payload) < 4:
            raise frames.FrameSizeError(f"PRIORITY_UPDATE: expected at least 4 octets, got {len(payload)}")
        number = int.from_bytes(payload[:4], "big") & frames.STREAM_MASK
        if not number & 1:
            raise ProtocolError(f"PRIORITY_UPDATE: expected a client's stream, got {number}")
        stream = self._streams.get(number)
        if stream is not None:
            self._sender.prioritize(stream, *parse_priority(payload[4:]))
        elif number > self._session.highest and len(self._signals) < self._limits.h2_max_streams:
            self._signals[number] = payload[4 : 4 + MAX_FIELD]

    # -- what h2 says -------------------------------------------------------------------------------------------

    def _on_request(self, event: Any, now: float) -> None:
        number = event.stream_id
        signal = self._signals.pop(number, None) if self._signals else None
        if self._refusing or self._peer_going or len(self._streams) >= self._limits.h2_max_streams:
            self._guard.control(now, "HEADERS of a stream that is refused")
            self._session.reset(number, REFUSED_STREAM)
            return
        complete = event.stream_ended is not None
        fields = self._session.decoder.fields
        try:
            request = build_request(number, fields, complete, self._limits)
            self._admit(request)
        except Malformed as error:
            self._events.append(Warned(str(error), error.log_level))
            self._session.reset(number, error.h2_code)
            self._guard.reset(now)
            return
        except ProtocolError as error:
            self._events.append(Warned(str(error), error.log_level))
            self._refuse(number, fields, complete, error, now)
            return
        if signal is not None:
            request.priority = parse_priority(signal)  # newer than the field, or sent instead (section 7 of RFC 9218)
        self._begin(request, complete, now)

    def _on_content(self, event: Any, now: float) -> None:
        octets = event.flow_controlled_length
        if octets:
            self._session.return_connection_credit(octets)
        stream = self._live(event.stream_id)
        if stream is None:
            return
        data = event.data
        size = len(data)
        stream.received += size
        stream.body_since = now
        ended = event.stream_ended is not None
        if stream.remaining >= 0:
            stream.remaining -= size
            if stream.remaining < 0 or (ended and stream.remaining):
                self._spoil(stream, Malformed("content: expected as many octets as content-length says"), now)
                return
        elif 0 < self._limits.body < stream.received and stream.exchange.framing != RAW:
            self._abort(
                stream, ContentTooLarge(f"body: expected at most {self._limits.body} octets, got {stream.received}")
            )
            return
        stream.exchange.expects_continue = False
        if size:
            stream.held += size
            self._events.append(BodyReceived(stream.number, data, size))
        if ended:
            stream.receiving = False
            self._events.append(BodyEnded(stream.number, []))
        elif octets > size:
            self._credit(stream, octets - size)  # padding: nobody else will

    def _on_trailers(self, _event: Any, now: float) -> None:
        stream = self._live(self._reader.stream)
        if stream is None:
            return
        try:
            trailers = check_trailers(self._session.decoder.fields, stream.remaining)
        except Malformed as error:
            self._spoil(stream, error, now)
            return
        stream.receiving = False
        self._events.append(BodyEnded(stream.number, trailers))

    def _on_reset(self, event: Any, now: float) -> None:
        stream = self._streams.get(event.stream_id)
        if not event.remote_reset:
            self._guard.reset(now)  # h2 had to, because of what the peer sent
        if stream is not None:
            self._lose(stream, PeerResetError(int(event.error_code)))

    def _on_windows(self, event: Any, _now: float) -> None:
        """A window opened, or all of them changed with the settings: whoever waited may try."""
        number = getattr(event, "stream_id", 0)
        if number:
            stream = self._streams.get(number)
            if stream is not None and stream.queue:
                self._sender.ready(stream)
            return
        for stream in self._streams.values():
            if stream.queue:
                self._sender.ready(stream)

    def _on_ping_ack(self, event: Any, _now: float) -> None:
        if self._drain_at is not None and event.ping_data == DRAIN_PING:
            self._refuse_more()

    # -- streams ------------------------------------------------------------------------------------------------

    def _live(self, number: int) -> Optional[Stream]:
        """Return the stream unless what is said about it counts no more."""
        stream = self._streams.get(number)
        return None if stream is None or stream.given_up else stream

    def _admit(self, request: Request) -> None:
        """Apply policy and limits to a request that is well-formed."""
        request.scheme = self._info.scheme
        request.client = self._info.client
        self._config.policy.apply(request, self._trusted, True)
        length = request.content_length
        if length is not None and 0 < self._limits.body < length:
            raise ContentTooLarge(f"content-length: expected at most {self._limits.body}, got {length}")

    def _open(self, number: int, method: str, expects: bool, complete: bool, now: float) -> Stream:
        stream = Stream(number, Exchange(method, "2", True, b"", expects), self._session.streams[number], now)
        stream.receiving = not complete
        self._streams[number] = stream
        return stream

    def _begin(self, request: Request, complete: bool, now: float) -> None:
        """Give a request to the driver."""
        stream = self._open(request.stream, request.method, request.expects_continue, complete, now)
        stream.known = True
        if request.priority is not None:
            stream.urgency, stream.incremental = request.priority
        if request.content_length is not None:
            stream.remaining = request.content_length
        self._guard.worked()
        self._events.append(RequestReceived(request.stream, request, complete))

    def _refuse(self, number: int, fields: Headers, complete: bool, error: ProtocolError, now: float) -> None:
        """Answer a request that the driver never sees with the page of its status."""
        method = next((value for name, value in fields if name == b":method"), b"GET")
        stream = self._open(number, method.decode("latin-1"), False, complete, now)
        self._answer(stream, error)

    def _answer(self, stream: Stream, error: ProtocolError) -> None:
        """Let the constant page be the response, and the driver's word count no more."""
        headers, body = error_page(error.status)
        self._respond(stream, error.status, headers, b"")
        size = stream.exchange.send(len(body))
        if size:
            stream.push(body[:size])
        stream.exchange.end()
        stream.given_up = True
        stream.ending = True
        if stream.finished:
            self._output.write(self._session.take())
            self._output.mark(stream, 0, True)
        else:
            self._sender.ready(stream)

    def _respond(self, stream: Stream, status: int, headers: Headers, reason: bytes) -> None:
        exchange = stream.exchange
        fields = exchange.respond(status, headers, reason)
        defaults = self._config.defaults
        head = [_STATUS[status]]
        if defaults.server and not exchange.own_server:
            head.append((b"server", defaults.server))
        if defaults.date and not exchange.own_date:
            head.append((b"date", defaults.date))
        head += fields
        framing = exchange.framing
        bodiless = framing == NO_BODY or (framing == LENGTH and exchange.length == 0)
        self._session.headers(stream.number, head, bodiless)
        if bodiless:
            stream.finished = True
            if stream.receiving:
                self._session.reset(stream.number, NO_ERROR)

    def _push(self, stream: Stream, content: Segment, now: float) -> None:
        stream.push(content)
        self._sender.ready(stream)
        if stream.pending > self._limits.send_high_water:
            stream.swollen = True
        self._watch(now)

    def _credit(self, stream: Stream, n: int) -> None:
        """Give octets back to the stream's window, in steps worth a frame."""
        stream.credit += n
        if stream.receiving and not stream.given_up and stream.credit >= self._limits.h2_initial_window >> 1:
            self._session.return_stream_credit(stream.number, stream.credit)
            stream.credit = 0

    def _spoil(self, stream: Stream, error: ProtocolError, now: float) -> None:
        """The peer broke a rule on one stream."""
        self._abort(stream, error)
        self._guard.reset(now)

    def _abort(self, stream: Stream, error: ProtocolError) -> None:
        """End a stream early: with the page of the error while there is no response, else with RST_STREAM."""
        if stream.exchange.state == AWAITING and error.status != Malformed.status:
            if stream.known and not stream.given_up:
                self._events.append(StreamReset(stream.number, error))
            self._answer(stream, error)
            return
        self._session.reset(stream.number, error.h2_code)
        self._lose(stream, error)

    def _lose(self, stream: Stream, error: ProtocolError) -> None:
        """The stream is gone; no answer can arrive."""
        if stream.known and not stream.given_up:
            self._events.append(StreamReset(stream.number, error))
        stream.exchange.abandon()
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        """Forget a stream; its end is reported when its framed octets, which may be parts of a file, are out."""
        if stream.closed:
            return
        stream.closed = True
        stream.receiving = False
        self._sender.forget(stream)
        self._streams.pop(stream.number, None)
        self._report_closed(stream)
        self._leave_when_done()

    def _report_closed(self, stream: Stream) -> None:
        if stream.known and not stream.unwritten:
            stream.known = False
            self._events.append(StreamClosed(stream.number, stream.exchange.status, stream.written))

    def _warn(self, stream: Stream) -> None:
        warning = stream.exchange.take_warning()
        if warning:
            self._events.append(Warned(warning))

    # -- the end ------------------------------------------------------------------------------------------------

    def _refuse_more(self) -> None:
        """Send the last GOAWAY: what was opened so far is served, nothing after it."""
        self._drain_at = self._idle_at = None
        if not self._refusing and not self._ended:
            self._refusing = True
            self._output.write(self._session.take())
            if not self._reader.awaits_preface:
                self._output.write(frames.goaway(self._session.highest, NO_ERROR))
            self._leave_when_done()

    def _leave_when_done(self) -> None:
        if (self._refusing or self._peer_going) and not self._streams:
            self._end(None, linger=True)

    def _fail(self, error: ProtocolError) -> None:
        """A connection error (section 5.4.1)."""
        if self._ended:
            return
        self._ended = True  # so that closing the streams does not end the connection a second time
        self._output.write(self._session.take())
        self._output.write(frames.goaway(self._session.highest, error.h2_code))
        for stream in list(self._streams.values()):
            self._lose(stream, ConnectionLostError(f"connection: ended by an error ({error})"))
        self._events.append(ConnectionEnded(error, True))

    def _end(self, error: Optional[ProtocolError], linger: bool) -> None:
        if not self._ended:
            self._ended = True
            self._events.append(ConnectionEnded(error, linger))

    def _take_events(self) -> Sequence[Event]:
        events = self._events
        if events:
            self._events = []
        return events


def _after(now: float, seconds: float) -> Optional[float]:
    return now + seconds if seconds else None


_CONTROL = {frames.SETTINGS: "SETTINGS", frames.PING: "PING", frames.PRIORITY: "PRIORITY"}

_ON_FRAME: Dict[int, Callable[[Http2Engine, float], None]] = {
    frames.DATA: Http2Engine._on_data,
    frames.HEADERS: Http2Engine._pass_on,
    frames.CONTINUATION: Http2Engine._pass_on,
    frames.PRIORITY: Http2Engine._on_control,
    frames.RST_STREAM: Http2Engine._on_rst_stream,
    frames.SETTINGS: Http2Engine._on_control,
    frames.PUSH_PROMISE: Http2Engine._on_push_promise,
    frames.PING: Http2Engine._on_control,
    frames.GOAWAY: Http2Engine._on_goaway,
    frames.WINDOW_UPDATE: Http2Engine._on_window_update,
    frames.PRIORITY_UPDATE: Http2Engine._on_priority_update,
}

_ON_EVENT: Dict[type, Callable[[Http2Engine, Any, float], None]] = {
    h2_events.RequestReceived: Http2Engine._on_request,
    h2_events.DataReceived: Http2Engine._on_content,
    h2_events.TrailersReceived: Http2Engine._on_trailers,
    h2_events.StreamReset: Http2Engine._on_reset,
    h2_events.WindowUpdated: Http2Engine._on_windows,
    h2_events.RemoteSettingsChanged: Http2Engine._on_windows,
    h2_events.PingAckReceived: Http2Engine._on_ping_ack,
}
