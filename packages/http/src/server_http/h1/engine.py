"""HTTP/1.0 and HTTP/1.1 as an engine of the contract in ``server_http.engine`` (RFC 9112).

Owns: one connection: which octets belong to which request, when it persists, its deadlines, and how it ends.
Must not know: the grammar of a head (``request``, ``scan``), of a body (``body``), what a response may say
(``exchange``) and how it is spelled (``output``).

Longer than other modules, because it is one class: every octet, command and deadline moves the same few facts (whom
input belongs to, the exchange, the output). What can be told apart from them has a module of its own.

One exchange is live at a time. The next request is taken when the response before it was written, so that pipelined
requests are answered in order and what waits stays bounded.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Tuple

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine, Segment
from server_http.errors import BadRequest, ProtocolError, RequestTimeout, StateError
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Event,
    Handover,
    Headers,
    InputEnded,
    Request,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
    body_received,
    end_body,
    request_received,
    stream_closed,
)  # fmt: skip
from server_http.exchange import Exchange
from server_http.h1.body import DONE, ChunkedBody
from server_http.h1.output import JOINED, Output, informational_head, response_head, trailer_section
from server_http.h1.partial import PartialHead, examine
from server_http.h1.request import read_head
from server_http.h1.rules import RequestRules
from server_http.h1.scan import end_of_head
from server_http.states import AWAITING, CHUNKED, ENDED, HTTP_1_1, RAW

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: Called for a request without body that offers ``Upgrade: h2c``: (request, octets behind it, now) to the engine that
#: takes over, whose output begins with the 101 head, and its first events; None to ignore the offer.
Upgrade = Callable[[Request, bytes, float], Optional[Tuple[Engine, Sequence[Event]]]]

# -- what the next octet from the peer belongs to ---------------------------------------------------------------------

IDLE = 0  # the next request, of which nothing came
HEAD = 1  # a head of which a part came
LENGTH = 2  # a body with Content-Length
CHUNKS = 3  # a chunked body
WAITING = 4  # a later request: kept until the response to this one is written
TUNNEL = 5  # whatever was agreed on
CLOSED = 6  # nobody

INPUT = {
    IDLE: "idle", HEAD: "head", LENGTH: "length", CHUNKS: "chunks", WAITING: "waiting", TUNNEL: "tunnel",
    CLOSED: "closed",
}  # fmt: skip

#: state -> the states that may follow. ``CLOSED`` may follow all.
TRANSITIONS = {
    IDLE: (HEAD, LENGTH, CHUNKS, WAITING),
    HEAD: (IDLE, LENGTH, CHUNKS, WAITING),
    LENGTH: (WAITING, IDLE, HEAD, CHUNKS),
    CHUNKS: (WAITING, IDLE, HEAD, LENGTH),
    WAITING: (IDLE, HEAD, LENGTH, CHUNKS, TUNNEL),
    TUNNEL: (),
    CLOSED: (),
}

_NOTHING: Tuple[Event, ...] = ()
_NO_OCTETS = b""


@cython.freelist(8)
@cython.cclass
class Http1Engine:
    """One HTTP/1 connection; see ``server_http.engine.Engine`` for the methods of the contract.

    Args:
        info: the connection.
        config: what the connections of the listener share.
        now: monotonic seconds.
        upgrade: who takes ``Upgrade: h2c``, or None.
    """

    __slots__ = (
        "_body", "_draining", "_eof", "_exchange", "_facts", "_held", "_info", "_last", "_out", "_progress",
        "_remaining", "_resumed", "_rules", "_scheme", "_since", "_spare", "_state", "_stream", "_trusted", "_unread",
        "_upgrade", "queue",
    )  # fmt: skip

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float, upgrade: Optional[Upgrade] = None) -> None:
        self._info = info
        self._scheme = self._info.scheme()
        self._rules = config.rules
        self._upgrade = upgrade
        self._trusted = self._rules.trusted_peers.has(self._info.peer)
        self._state = IDLE
        self._stream = 0  # number of the last request
        self._exchange: Optional[Exchange] = None  # of the live stream
        self._spare: Exchange = Exchange.__new__(Exchange)  # of all streams, one after another: each begins it
        self._body: Optional[ChunkedBody] = None
        self._remaining = 0  # octets of a body with Content-Length that have not come
        self._unread = 0  # octets of a body: given out and not consumed, or discarded once the stream is over
        self._held: Any = _NO_OCTETS  # a PartialHead in HEAD, octets of later requests in WAITING
        self._out = Output()
        self.queue = self._out.segments()
        self._facts: Optional[List[Event]] = None  # what commands caused and nobody was told yet
        self._since = now  # when the input last made the progress its deadline is about
        self._progress = False  # output was written, at a time that is not known
        self._resumed = False  # a peer that was held up may send again, since a time that is not known
        self._eof = False
        self._draining = self._info.draining
        self._last = False  # the peer said that no further request comes

    # -- input -----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """Take octets from the peer. See ``Engine.receive_data``."""
        events: List[Event] = []
        if type(data) is not bytes:
            data = bytes(data)
        if data:
            if self._state == IDLE:
                self._take_head(data, now, events)
                return events  # of a request that has just begun nothing is settled
            self._take(data, now, events)
        self._settle(now, events)
        return events

    def receive_eof(self, now: float) -> Sequence[Event]:
        """The peer closed its sending side. See ``Engine.receive_eof``.

        Between requests that is the end. A request that is complete is still answered: closed and half-closed cannot be
        told apart (RFC 9112 section 9.6). A request that is not complete never will be.
        """
        if self._state == CLOSED or self._eof:
            return _NOTHING
        self._eof = True
        events: List[Event] = []
        self._apply_eof(now, events)
        self._settle(now, events)
        return events

    def _apply_eof(self, now: float, events: List[Event]) -> None:
        """What the end of the input means for the request that is under way."""
        state = self._state
        if state in (IDLE, HEAD):
            self._close(events, None, False)
        elif state in (LENGTH, CHUNKS):
            if self._reading():
                self._fail(BadRequest("body: expected the rest of it, got the end of the input"), now, events)
        elif state != CLOSED:
            if state == TUNNEL:
                events.append(BodyEnded(self._stream, []))
            events.append(InputEnded(self._stream))

    def advance(self, now: float) -> Sequence[Event]:
        """Return what commands and ``sent`` caused. See ``Engine.advance``."""
        events: List[Event] = []
        if self._progress:
            self._progress = False
            self._out.since = now
        if self._resumed:
            self._resumed = False
            self._since = now
        self._settle(now, events)
        return events

    def want_read(self) -> bool:
        """Whether the driver may read. See ``Engine.want_read``."""
        state = self._state
        if state == CLOSED or self._eof:
            return False
        if state == IDLE:
            return True
        if state == WAITING:
            return len(self._held) < self._rules.receive_high_water
        if state != TUNNEL and not self._reading():
            return self._unread <= self._rules.unread_body_drain
        return self._unread < self._rules.receive_high_water

    def idle(self) -> bool:
        """Whether nothing is under way: an engine made afresh would know as much."""
        return self._state == IDLE and self._exchange is None and not self._out.pending and not self._draining

    # -- output ----------------------------------------------------------------------------------------------------

    def segments(self) -> List[Segment]:
        """The output that waits. See ``Engine.segments``."""
        return self._out.segments()

    def sent(self, n: int) -> bool:
        """Octets were written. See ``Engine.sent``."""
        self._out.sent(n)
        self._progress = True
        exchange = self._exchange
        if exchange is None or exchange.state >= ENDED or exchange.warning or self._facts is not None:
            return True
        out = self._out
        self._progress = out.blocked or out.pending > 0  # with nothing left to write there is none to measure
        return self._progress

    def pending(self, stream: int) -> int:
        """Octets of the stream that wait to be written. See ``Engine.pending``."""
        return self._out.pending if stream == self._stream else 0

    # -- commands --------------------------------------------------------------------------------------------------

    def respond(self, stream: int, status: int, headers: Headers, now: float, reason: bytes = b"") -> None:
        """Send the final response head. See ``Engine.respond``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        self._write_head(exchange, self._respond(exchange, status, headers, reason), reason, now)

    def _respond(self, exchange: Exchange, status: int, headers: Headers, reason: bytes) -> Headers:
        """Have the rules decide about a final head; returns the fields that are sent."""
        if self._draining or (self._state == LENGTH and self._remaining > self._rules.unread_body_drain):
            exchange.keep_alive = False
        return exchange.respond(status, headers, reason)

    def _write_head(self, exchange: Exchange, fields: Headers, reason: bytes, now: float) -> None:
        self._out.add(response_head(exchange, fields, self._rules.defaults, reason), now)
        if exchange.framing == RAW:
            self._open_tunnel()

    def answer(self, stream: int, status: int, headers: Headers, body: bytes, now: float, reason: bytes = b"") -> None:
        """Send a whole response, in one piece while it is short. See ``Engine.answer``."""
        exchange = self._exchange if stream == self._stream else self._live(stream)
        if exchange is None:
            return
        if type(body) is not bytes:
            body = bytes(body)
        fields = self._respond(exchange, status, headers, reason)
        if len(body) > JOINED or exchange.framing == CHUNKED or exchange.framing == RAW:
            self._write_head(exchange, fields, reason, now)
            if body:
                self.send(stream, body, now)
            self.end(stream, now)
        else:
            size = exchange.complete(len(body))
            if size < len(body):
                body = body[:size]
            self._out.add(response_head(exchange, fields, self._rules.defaults, reason, body), now)
            self._unread = 0

    def inform(self, stream: int, status: int, headers: Headers, now: float) -> None:
        """Send a 1xx response. See ``Engine.inform``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        fields = exchange.inform(status, headers)
        if fields is not None:
            if status == 100:
                self._since = now  # the body is wanted from now on
            self._out.add(informational_head(status, fields), now)

    def send(self, stream: int, data: bytes, now: float) -> None:
        """Send a part of the response body. See ``Engine.send``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        if not isinstance(data, bytes):
            data = bytes(data)
        size = exchange.send(len(data))
        if size == 0:
            return
        if size < len(data):
            data = data[:size]
        if exchange.framing == CHUNKED:
            self._out.add_chunk(data, now)
        else:
            self._out.add(data, now)
        self._out.fill(self._rules.send_high_water)

    def send_file(self, stream: int, fd: int, offset: int, count: int, now: float) -> None:
        """Send a part of a file. See ``Engine.send_file``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        size = exchange.send(count)
        if size == 0:
            return
        if exchange.framing == CHUNKED:
            self._out.add(b"%x\r\n" % size, now)
        self._out.add_file(fd, offset, size, now)
        if exchange.framing == CHUNKED:
            self._out.add(b"\r\n", now)
        self._out.fill(self._rules.send_high_water)

    def end(self, stream: int, now: float, trailers: Headers = ()) -> None:  # type: ignore[assignment]
        """The response is complete. See ``Engine.end``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        fields = exchange.end(trailers)
        if exchange.state == ENDED and exchange.framing == CHUNKED:
            self._out.add(trailer_section(fields), now)
        self._unread = 0

    def reset(self, stream: int, code: int, now: float) -> None:
        """Give the stream up: what was said stays said, its framing shows that the rest is missing."""
        exchange = self._live(stream)
        if exchange is not None:
            exchange.abandon()
            self._unread = 0

    def consumed(self, stream: int, n: int) -> None:
        """The body's owner took ``n`` octets. See ``Engine.consumed``."""
        if stream == self._stream and self._exchange is not None and self._exchange.state < ENDED:
            if self._unread >= self._rules.receive_high_water:
                self._resumed = True  # the peer was held up: its deadline begins anew
            self._unread = max(0, self._unread - n)

    def drain(self, now: float) -> None:
        """Take no further request. See ``Engine.drain``.

        An idle connection stays open until its deadline: a request may be on its way, and is answered with
        ``Connection: close``.
        """
        self._draining = True
        if self._state == IDLE and not self._rules.keepalive:
            self._note(self._close([], None, False))

    # -- deadlines -------------------------------------------------------------------------------------------------

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called. See ``Engine.deadline``."""
        return self._out.deadline(self._rules.send_timeout, self._since, self._input_timeout())

    def handle_timer(self, now: float) -> Sequence[Event]:
        """Act on deadlines that have passed. See ``Engine.handle_timer``."""
        events = list(self.advance(now))
        unread = self._out.overdue(self._rules.send_timeout, now)
        timeout = self._input_timeout()
        if unread is not None:
            self._break(unread, events)
        elif timeout and now >= self._since + timeout:
            if self._state == HEAD and not self._held.empty:
                self._fail(RequestTimeout(f"request head: expected within {timeout} s, got a part of it"), now, events)
            elif self._reading():
                self._fail(RequestTimeout(f"request body: expected more within {timeout} s"), now, events)
            else:
                self._close(events, None, False)
        self._settle(now, events)
        return events

    def _input_timeout(self) -> float:
        """The time the peer has for what it is to send now, in seconds; 0 when nothing is expected of it."""
        rules = self._rules
        state = self._state
        if state == IDLE:
            return rules.keepalive if self._stream or self._draining else rules.first_request
        if state == HEAD:
            return rules.head_timeout
        if state in (LENGTH, CHUNKS):
            exchange = self._exchange
            if exchange is None:
                return rules.body_timeout
            if exchange.state < ENDED and not exchange.expects_continue and self.want_read():
                return rules.body_timeout
        return 0.0

    # -- taking input ----------------------------------------------------------------------------------------------

    def _take(self, data: bytes, now: float, events: List[Event]) -> None:
        """Hand octets to whatever they belong to, other than a new head."""
        state = self._state
        if state == HEAD:
            self._take_more_head(data, now, events)
        elif state in (LENGTH, CHUNKS):
            self._take_body(data, 0, now, events)
        elif state == TUNNEL:
            self._unread += len(data)
            events.append(BodyReceived(self._stream, data, len(data)))
        elif state == WAITING:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        """Keep octets of later requests; ``want_read`` bounds them."""
        if not self._held:
            self._held = data
        else:
            if type(self._held) is bytes:
                self._held = bytearray(self._held)
            self._held += data

    def _take_head(self, data: bytes, now: float, events: List[Event]) -> None:
        """Take a head that begins with ``data``, and is usually complete."""
        end = end_of_head(data)
        if end <= 0 or data[0] == 0x0D:
            self._begin_head(data, now, events)
            return
        try:
            if end > self._rules.head > 0:
                examine(data, self._rules)
            request = read_head(self._stream + 1, data, 0, end, self._rules)
        except ProtocolError as error:
            self._fail(_exact(error, data, self._rules), now, events)
            return
        self._accept(request, data, end + 4, now, events)

    def _begin_head(self, data: bytes, now: float, events: List[Event]) -> None:
        """Keep the first part of a head."""
        self._state = HEAD
        self._since = now
        self._held = PartialHead(self._rules)
        self._take_more_head(data, now, events)

    def _take_more_head(self, data: bytes, now: float, events: List[Event]) -> None:
        partial = self._held
        try:
            end = partial.feed(data)
            if end < 0:
                return
            octets = bytes(partial.octets)
            request = read_head(self._stream + 1, octets, partial.start, end, self._rules)
        except ProtocolError as error:
            self._fail(error, now, events)
            return
        self._held = _NO_OCTETS
        self._accept(request, octets, end + 4, now, events)

    def _accept(self, request: Request, data: bytes, at: int, now: float, events: List[Event]) -> None:
        """Begin the exchange of a request whose head passed the grammar."""
        rules = self._rules
        request.client = self._info.client
        request.scheme = self._scheme
        length = request.content_length
        try:
            if self._trusted or request.underscored or rules.policy.always:
                rules.policy.apply(request, self._trusted, request.underscored)
            if length:
                rules.check_length(length)
        except ProtocolError as error:
            self._fail(error, now, events)
            return
        self._stream = request.stream
        self._last = not request.keep_alive
        if self._draining or not rules.persistent:
            request.keep_alive = False
        exchange = self._exchange = self._spare  # that of the request before is over
        exchange.begin(request.method, request.version, request.keep_alive, request.upgrade, request.expects_continue)
        self._unread = 0
        self._since = now
        complete = length == 0
        if (
            complete
            and self._upgrade is not None
            and request.upgrade == b"h2c"
            and self._hand_over(request, data, at, now, events)
        ):
            return
        events.append(request_received(self._stream, request, complete))
        if complete:
            self._state = WAITING
            if at < len(data):
                self._held = data[at:]
        else:
            self._expect_body(length, data, at, now, events)

    def _hand_over(self, request: Request, data: bytes, at: int, now: float, events: List[Event]) -> bool:
        """Offer a request to the engine that speaks h2c; returns whether it took the connection."""
        taken = self._upgrade(request, data[at:], now)  # type: ignore[misc]  # asked before
        if taken is None:
            return False
        self._state = CLOSED
        self._exchange = None
        engine, first = taken
        events.append(Handover(engine))
        events.extend(first)
        return True

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _expect_body(self, length: Optional[int], data: bytes, at: int, now: float, events: List[Event]) -> None:
        """A head is followed by ``length`` octets of a body, or by chunks; some may be here already."""
        if length is None:
            self._state = CHUNKS
            self._body = ChunkedBody(self._rules.limits)
        else:
            self._state = LENGTH
            self._remaining = length
        if at < len(data):
            self._take_body(data, at, now, events)

    def _reading(self) -> bool:
        """Whether somebody takes the body that is coming."""
        return self._exchange is not None and self._exchange.state < ENDED

    def _take_body(self, data: bytes, at: int, now: float, events: List[Event]) -> None:
        """Take octets of a body; what is behind it belongs to the next request."""
        self._since = now
        if self._exchange is not None:
            self._exchange.expects_continue = False  # the peer did not wait
        if self._state == LENGTH:
            self._take_length(data, at, events)
        else:
            self._take_chunks(data, at, now, events)

    def _take_length(self, data: bytes, at: int, events: List[Event]) -> None:
        size = len(data)
        end = size if size - at <= self._remaining else at + self._remaining
        self._remaining -= end - at
        octets = data
        self._give(data if at == 0 and end == size else octets[at:end], events)
        if self._remaining == 0:
            self._complete_body(data, end, [], events)

    def _take_chunks(self, data: bytes, at: int, now: float, events: List[Event]) -> None:
        parts: List[bytes] = []
        error: Optional[ProtocolError] = None
        body: ChunkedBody = self._body  # type: ignore[assignment]  # there in CHUNKS
        try:
            at = body.feed(data, at, parts)
        except ProtocolError as caught:
            error = caught
        if parts:
            self._give(parts[0] if len(parts) == 1 else b"".join(parts), events)
        if error is not None:
            self._fail_body(error, now, events)
        elif body.state == DONE:
            self._body = None
            self._complete_body(data, at, body.trailers, events)

    def _fail_body(self, error: ProtocolError, now: float, events: List[Event]) -> None:
        """A body is malformed. Where nobody reads it the request was answered before, and once is enough."""
        if self._reading():
            self._fail(error, now, events)
        elif self._exchange is None:
            self._close(events, error, True)
        else:
            self._exchange.keep_alive = False
            self._state = WAITING  # for the end of the output; what still comes is never looked at

    def _give(self, content: bytes, events: List[Event]) -> None:
        """Report content, or discard and count it when nobody takes it any more."""
        self._unread += len(content)
        if self._reading():
            events.append(body_received(self._stream, content, len(content)))

    def _complete_body(self, data: bytes, at: int, trailers: Headers, events: List[Event]) -> None:
        self._state = WAITING
        self._held = data[at:] if at < len(data) else _NO_OCTETS
        if self._reading() and end_body(events, self._stream, trailers):
            self._unread = 0

    def _open_tunnel(self) -> None:
        """The octets that follow are not HTTP: also those that are here already."""
        self._state = TUNNEL
        self._unread = 0
        held = bytes(self._held)
        self._held = _NO_OCTETS
        if held:
            self._unread = len(held)
            self._note([BodyReceived(self._stream, held, len(held))])
        if self._eof:
            self._note([BodyEnded(self._stream, [])])

    # -- the end of things -----------------------------------------------------------------------------------------

    def _live(self, stream: int) -> Optional[Exchange]:
        """The exchange a command is about; None when it is over already."""
        if stream == self._stream:
            return self._exchange
        if stream > self._stream:
            raise StateError(f"stream: expected at most {self._stream}, got {stream}")
        return None

    def _note(self, facts: List[Event]) -> None:
        """Keep facts for the next call that returns events."""
        self._facts = facts if self._facts is None else self._facts + facts

    def _settle(self, now: float, events: List[Event]) -> None:
        """Report what commands and written output brought about; take the next request when this one is over."""
        if self._facts is not None:
            events.extend(self._facts)
            self._facts = None
        while True:
            exchange = self._exchange
            if exchange is None:
                if self._state == WAITING:
                    self._next(now, events)
                    if self._state != IDLE:
                        continue
                elif self._state == LENGTH or self._state == CHUNKS:
                    self._discard(events)
                return
            if exchange.warning:
                events.append(Warned(exchange.take_warning()))
            if self._out.relieved(self._rules.send_low_water) and exchange.state < ENDED:
                events.append(Writable(self._stream))
            if exchange.state < ENDED or self._out.pending:
                return
            self._finish(exchange, now, events)

    def _finish(self, exchange: Exchange, now: float, events: List[Event]) -> None:
        """The response is written: forget the stream, and the connection unless it persists."""
        events.append(stream_closed(self._stream, exchange.status, exchange.sent))
        self._exchange = None
        self._since = now
        if not exchange.keep_alive:
            linger = not self._eof and not (self._last and self._state == WAITING)
            self._close(events, None, linger, exchange.cut_unmarked())

    def _next(self, now: float, events: List[Event]) -> None:
        """Turn to the next request, which may be here already."""
        held = self._held
        self._state = IDLE
        self._unread = 0  # was of a body that is over
        self._since = now
        if held:
            self._held = _NO_OCTETS
            self._take_head(bytes(held), now, events)
        if self._eof:
            self._apply_eof(now, events)

    def _discard(self, events: List[Event]) -> None:
        """A body that nobody read is passed over while it is short; else the connection ends (RFC 9112 section 9.3)."""
        limit = self._rules.unread_body_drain
        if self._unread > limit or (self._state == LENGTH and self._unread + self._remaining > limit):
            self._close(events, None, not self._eof)
        elif self._eof:
            self._close(events, None, False)

    def _fail(self, error: ProtocolError, now: float, events: List[Event]) -> None:
        """Answer an error of the peer if that is still possible, and end the connection."""
        exchange = self._exchange
        abort = False
        if exchange is None:
            self._out.add_page(Exchange("GET", HTTP_1_1, False), error.status, self._rules.defaults, now)
        else:
            if exchange.state == AWAITING:
                self._out.add_page(exchange, error.status, self._rules.defaults, now)
            else:
                exchange.abandon()
                abort = exchange.cut_unmarked()
            self._forget(error, exchange.sent, events)
        self._close(events, error, True, abort)

    def _break(self, error: ProtocolError, events: List[Event]) -> None:
        """The peer does not read: nothing can be answered."""
        self._forget(error, self._out.give_up(self._exchange), events)
        self._close(events, error, False, True)  # what it may still read has no end that can be told from a whole one

    def _forget(self, error: ProtocolError, sent: int, events: List[Event]) -> None:
        """Report that the stream, if one is live, is over for ``error`` after ``sent`` octets."""
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            events.append(StreamReset(self._stream, error))
            events.append(StreamClosed(self._stream, exchange.status, sent))

    def _close(
        self, events: List[Event], error: Optional[BaseException], linger: bool, abort: bool = False
    ) -> List[Event]:
        """No more input is taken."""
        if self._state != CLOSED:
            self._state = CLOSED
            self._held = _NO_OCTETS
            self._body = None
            events.append(ConnectionEnded(error, linger and not abort, abort))
        return events


def _exact(error: ProtocolError, head: bytes, rules: RequestRules) -> ProtocolError:
    """Return the error that a head is refused for, the same however it was cut."""
    try:
        examine(head, rules)
    except ProtocolError as exact:
        return exact
    return error
