"""The uwsgi protocol (nginx ``uwsgi_pass``) as an engine of the contract: variables in, an HTTP response out.

Owns: the one exchange of a connection, its deadlines and how it ends.
Must not know: what variables say (``uwsgi_request``), what a response may say (``exchange``) and how it is
spelled (``h1.output``), sockets.

A packet is ``modifier1`` (0: a request), its size (little-endian), ``modifier2``, then names and values, each behind
its own size. The body follows, CONTENT_LENGTH octets. The answer is never chunked: it ends by its length or
with the connection, which carries one request.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine, Segment
from server_http.errors import BadRequest, Forbidden, ProtocolError, RequestTimeout, StateError
from server_http.events import (
    BodyReceived,
    ConnectionEnded,
    Event,
    Headers,
    InputEnded,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
    end_body,
)
from server_http.exchange import Exchange
from server_http.h1.output import JOINED, Output, response_head
from server_http.states import AWAITING, ENDED, HTTP_1_0
from server_http.uwsgi_request import STREAM, Variables, build_request, read_variables

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

_HEADER_OCTETS = 4

# -- the input, as data ------------------------------------------------------------------------------------------------

PACKET = 0  # the variables are on their way
BODY = 1  # CONTENT_LENGTH octets are
ANSWER = 2  # nothing more is expected of the peer
CLOSED = 3

INPUT = {PACKET: "packet", BODY: "body", ANSWER: "answer", CLOSED: "closed"}

TRANSITIONS = {PACKET: (BODY, ANSWER, CLOSED), BODY: (ANSWER, CLOSED), ANSWER: (CLOSED,), CLOSED: ()}


def open_uwsgi(info: ConnectionInfo, config: HttpConfig, now: float) -> Engine:
    """Open the engine of a connection: the protocol ``uwsgi``."""
    return UwsgiEngine(info, config, now)


@cython.freelist(8)
@cython.cclass
class UwsgiEngine:
    """One uwsgi connection; see ``server_http.engine.Engine`` for the methods of the contract.

    Args:
        info: the connection.
        config: what the connections of the listener share.
        now: monotonic seconds.
    """

    __slots__ = (
        "_allowed", "_exchange", "_facts", "_held", "_info", "_out", "_progress", "_remaining", "_rules", "_since",
        "_state", "_trusted", "_unread", "queue",
    )  # fmt: skip

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float) -> None:
        self._info = info
        self._rules = config.rules
        self._allowed = self._rules.uwsgi_peers.has(self._info.peer)
        self._trusted = self._rules.trusted_peers.has(self._info.peer)
        self._state = PACKET
        self._held = b""
        self._remaining = 0  # octets of the body that have not come
        self._unread = 0  # octets of the body that were given out and not consumed
        self._exchange: Optional[Exchange] = None
        self._out = Output()
        self.queue = self._out.segments()
        self._facts: Optional[List[Event]] = None  # what commands caused and nobody was told yet
        self._since = now
        self._progress = False

    # -- input -----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """Take octets from the peer. See ``Engine.receive_data``."""
        events = self._told()
        if type(data) is not bytes:
            data = bytes(data)
        try:
            if self._state == PACKET:
                data = self._take_packet(data, now, events)
            if self._state == BODY and data:
                self._take_body(data, now, events)
        except ProtocolError as error:
            self._fail(error, now, events)
        self._settle(events)
        return events

    def receive_eof(self, now: float) -> Sequence[Event]:
        """The peer closed its sending side. See ``Engine.receive_eof``."""
        events = self._told()
        if self._state == PACKET:
            self._close(events, None, False)
        elif self._state == BODY and self._live(STREAM) is not None:
            self._fail(
                BadRequest(f"body: expected {self._remaining} more octets, got the end of the input"), now, events
            )
        elif self._state == ANSWER:
            events.append(InputEnded(STREAM))
        self._settle(events)
        return events

    def advance(self, now: float) -> Sequence[Event]:
        """Return what commands and ``sent`` caused. See ``Engine.advance``."""
        events = self._told()
        if self._progress:
            self._progress = False
            self._since = self._out.since = now
        self._settle(events)
        return events

    def want_read(self) -> bool:
        """Whether the driver may read. See ``Engine.want_read``."""
        return self._state != CLOSED and self._unread < self._rules.receive_high_water

    # -- output ----------------------------------------------------------------------------------------------------

    def segments(self) -> List[Segment]:
        """The output that waits. See ``Engine.segments``."""
        return self._out.segments()

    def sent(self, n: int) -> bool:
        """Octets were written. See ``Engine.sent``."""
        self._out.sent(n)
        self._progress = True
        return True

    def pending(self, stream: int) -> int:
        """Octets that wait to be written. See ``Engine.pending``."""
        return self._out.pending if stream == STREAM else 0

    # -- commands --------------------------------------------------------------------------------------------------

    def respond(self, stream: int, status: int, headers: Headers, now: float, reason: bytes = b"") -> None:
        """Send the final response head. See ``Engine.respond``."""
        exchange = self._live(stream)
        if exchange is not None:
            self._write_head(exchange, exchange.respond(status, headers, reason), reason, b"", now)

    def _write_head(self, exchange: Exchange, fields: Headers, reason: bytes, body: bytes, now: float) -> None:
        self._out.add(response_head(exchange, fields, self._rules.defaults, reason, body), now)

    def inform(self, stream: int, status: int, headers: Headers, now: float) -> None:
        """Check a 1xx response; uwsgi has no place for one. See ``Engine.inform``."""
        exchange = self._live(stream)
        if exchange is not None:
            exchange.inform(status, headers)

    def send(self, stream: int, data: bytes, now: float) -> None:
        """Send a part of the response body. See ``Engine.send``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        size = exchange.send(len(data))
        if size:
            if size < len(data):
                data = data[:size]
            self._out.add(data if type(data) is bytes else bytes(data), now)
            self._out.fill(self._rules.send_high_water)

    def answer(self, stream: int, status: int, headers: Headers, body: bytes, now: float, reason: bytes = b"") -> None:
        """Send a whole response, in one piece while it is short. See ``Engine.answer``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        fields = exchange.respond(status, headers, reason)
        joined = body if len(body) <= JOINED and type(body) is bytes else b""
        size = exchange.send(len(joined)) if joined else 0
        self._write_head(exchange, fields, reason, joined if size == len(joined) else joined[:size], now)
        if len(joined) < len(body):
            self.send(stream, body, now)
        self.end(stream, now)

    def send_file(self, stream: int, fd: int, offset: int, count: int, now: float) -> None:
        """Send a part of a file. See ``Engine.send_file``."""
        exchange = self._live(stream)
        if exchange is None:
            return
        size = exchange.send(count)
        if size:
            self._out.add_file(fd, offset, size, now)
            self._out.fill(self._rules.send_high_water)

    def end(self, stream: int, now: float, trailers: Headers = ()) -> None:  # type: ignore[assignment]
        """The response is complete; trailers have no place here. See ``Engine.end``."""
        exchange = self._live(stream)
        if exchange is not None:
            exchange.end(trailers)
            self._unread = 0

    def reset(self, stream: int, code: int, now: float) -> None:
        """Give the stream up. See ``Engine.reset``."""
        exchange = self._live(stream)
        if exchange is not None:
            exchange.abandon()
            self._unread = 0

    def consumed(self, stream: int, n: int) -> None:
        """The body's owner took ``n`` octets. See ``Engine.consumed``."""
        if stream == STREAM:
            if self._unread >= self._rules.receive_high_water:
                self._progress = True  # the peer was held up: its deadline begins anew
            self._unread = max(0, self._unread - n)

    def drain(self, now: float) -> None:
        """Take no further request; each connection has one anyway. See ``Engine.drain``."""
        if self._state == PACKET and not self._held:
            facts: List[Event] = []
            self._close(facts, None, False)
            self._facts = facts if self._facts is None else self._facts + facts

    # -- deadlines -------------------------------------------------------------------------------------------------

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called. See ``Engine.deadline``."""
        return self._out.deadline(self._rules.send_timeout, self._since, self._input_timeout())

    def handle_timer(self, now: float) -> Sequence[Event]:
        """Act on deadlines that have passed. See ``Engine.handle_timer``."""
        events = list(self.advance(now))
        unread = self._out.overdue(self._rules.send_timeout, now)
        if unread is not None:
            self._break(unread, events)
            return events
        timeout = self._input_timeout()
        if timeout and now >= self._since + timeout:
            if self._state == PACKET and not self._held:
                self._close(events, None, False)
            else:
                self._fail(RequestTimeout(f"uwsgi {INPUT[self._state]}: expected more within {timeout} s"), now, events)
        self._settle(events)
        return events

    def _input_timeout(self) -> float:
        """The time the peer has for what it is to send now, in seconds; 0 when nothing is expected of it."""
        rules = self._rules
        if self._state == PACKET:
            return rules.head_timeout if self._held else rules.first_request
        if self._state == BODY and self.want_read() and self._live(STREAM) is not None:
            return rules.body_timeout
        return 0.0

    # -- the request -----------------------------------------------------------------------------------------------

    def _take_packet(self, data: bytes, now: float, events: List[Event]) -> bytes:
        """Take octets of the packet; returns those behind it."""
        if not self._held:
            self._since = now
            self._held = data
        else:
            self._held += data
        if not self._allowed:
            raise Forbidden("uwsgi: expected a peer of uwsgi_allow_ips, got another")
        held = self._held
        if len(held) < _HEADER_OCTETS:
            return b""
        if held[0] != 0:
            raise BadRequest(f"uwsgi modifier1: expected 0, got {held[0]}")
        end = _HEADER_OCTETS + held[1] + 256 * held[2]
        if len(held) < end:
            return b""
        self._held = b""
        self._begin(read_variables(held, _HEADER_OCTETS, end, self._rules.uwsgi_vars), now, events)
        octets = held  # of which slices are made without a detour when compiled
        return octets[end : len(held)]

    def _begin(self, variables: Variables, now: float, events: List[Event]) -> None:
        request = build_request(variables, self._info, self._rules.grammar)
        rules = self._rules
        if self._trusted or rules.policy.always:
            # No name has a '_': it lost that when it became a variable
            rules.policy.apply(request, self._trusted, False)
        length = request.content_length or 0
        rules.check_length(length)
        # To the proxy every answer is one of HTTP/1.0: by length or until the end of the connection
        exchange: Exchange = Exchange.__new__(Exchange)  # without the reading of arguments when a class is called
        exchange.begin(request.method, HTTP_1_0, False, b"", False)
        self._exchange = exchange
        self._remaining = length
        self._since = now
        self._state = BODY if length else ANSWER
        events.append(RequestReceived(STREAM, request, length == 0))

    def _take_body(self, data: bytes, now: float, events: List[Event]) -> None:
        """Take octets of the body; what follows it belongs to nothing."""
        data = data[: self._remaining]
        self._remaining -= len(data)
        self._since = now
        alive = self._live(STREAM) is not None
        if alive:
            self._unread += len(data)
            events.append(BodyReceived(STREAM, data, len(data)))
        if not self._remaining:
            self._state = ANSWER
            if alive and end_body(events, STREAM, []):
                self._unread = 0

    # -- the end of things -----------------------------------------------------------------------------------------

    def _live(self, stream: int) -> Optional[Exchange]:
        """The exchange while it is not over."""
        if stream != STREAM or (self._exchange is None and self._state == PACKET):
            raise StateError(f"stream: expected {STREAM} after its request, got {stream}")
        exchange = self._exchange
        return exchange if exchange is not None and exchange.state < ENDED else None

    def _told(self) -> List[Event]:
        """Return the facts that wait to be told."""
        facts = self._facts
        if facts is None:
            return []
        self._facts = None
        return facts

    def _settle(self, events: List[Event]) -> None:
        """Report what commands and written output brought about."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.warning:
            events.append(Warned(exchange.take_warning()))
        if self._out.relieved(self._rules.send_low_water) and exchange.state < ENDED:
            events.append(Writable(STREAM))
        if exchange.state >= ENDED and not self._out.pending:
            self._exchange = None
            events.append(StreamClosed(STREAM, exchange.status, exchange.sent))
            self._close(events, None, self._state == BODY, exchange.cut_unmarked())

    def _fail(self, error: ProtocolError, now: float, events: List[Event]) -> None:
        """Answer an error of the peer while that is possible, and end the connection."""
        exchange = self._exchange
        answer = exchange or Exchange("GET", HTTP_1_0, False)
        if answer.state == AWAITING:
            self._out.add_page(answer, error.status, self._rules.defaults, now)
        else:
            answer.abandon()
        self._forget(error, answer.sent, events)
        self._close(events, error, True, answer.cut_unmarked())

    def _break(self, error: ProtocolError, events: List[Event]) -> None:
        """The peer does not read: nothing can be answered."""
        self._forget(error, self._out.give_up(self._exchange), events)
        self._close(events, error, False, True)

    def _forget(self, error: ProtocolError, sent: int, events: List[Event]) -> None:
        """Report that the stream, if there is one, is over for ``error`` after ``sent`` octets."""
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            events.append(StreamReset(STREAM, error))
            events.append(StreamClosed(STREAM, exchange.status, sent))

    def _close(self, events: List[Event], error: Optional[BaseException], linger: bool, abort: bool = False) -> None:
        if self._state != CLOSED:
            self._state = CLOSED
            self._held = b""
            events.append(ConnectionEnded(error, linger and not abort, abort))
