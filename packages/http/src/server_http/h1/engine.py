"""HTTP/1.0 and HTTP/1.1 as an engine of the contract in ``server_http.engine`` (RFC 9112).

Owns: which octets of a connection belong to which request, when it persists, and what the peer has to send by when.
Must not know: how the live request is answered (``server_http.serial``), the grammar of a head (``request``, ``scan``)
and of a body (``body``).

One exchange is live at a time. The next request is taken when the response before it was written, so that pipelined
requests are answered in order and what waits stays bounded.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine
from server_http.errors import BadRequest, ProtocolError, RequestTimeout
from server_http.events import (
    BodyEnded,
    BodyReceived,
    Event,
    Handover,
    Headers,
    InputEnded,
    Request,
    body_received,
    end_body,
    request_received,
)
from server_http.exchange import Exchange
from server_http.h1.body import DONE, ChunkedBody
from server_http.h1.partial import PartialHead, examine
from server_http.h1.request import read_head
from server_http.h1.rules import RequestRules
from server_http.h1.scan import end_of_head
from server_http.serial import CLOSED, SerialEngine
from server_http.states import ENDED

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
TUNNEL = 5  # whatever was agreed on; nobody's: CLOSED

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


@cython.cclass
class Http1Engine(SerialEngine):
    """One HTTP/1 connection; see ``server_http.engine.Engine`` for the methods of the contract.

    Args:
        info: the connection.
        config: what the connections of the listener share.
        now: monotonic seconds.
        upgrade: who takes ``Upgrade: h2c``, or None.
    """

    __slots__ = ("_body", "_eof", "_last", "_scheme", "_spare", "_upgrade")

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float, upgrade: Optional[Upgrade] = None) -> None:
        self._set_up(info, config, IDLE, now)
        self._scheme = self._info.scheme()
        self._upgrade = upgrade
        self._spare: Exchange = Exchange.__new__(Exchange)  # of all streams, one after another: each begins it
        self._body: Optional[ChunkedBody] = None
        self._eof = False
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

    # -- commands --------------------------------------------------------------------------------------------------

    def _decide(self, exchange: Exchange, status: int, headers: Headers, reason: bytes) -> Headers:
        if self._draining or (self._state == LENGTH and self._remaining > self._rules.unread_body_drain):
            exchange.keep_alive = False
        return exchange.respond(status, headers, reason)

    # -- deadlines -------------------------------------------------------------------------------------------------

    def _give_up_waiting(self, timeout: float, now: float, events: List[Event]) -> None:
        if self._state == HEAD and not self._held.empty:
            self._fail(RequestTimeout(f"request head: expected within {timeout} s, got a part of it"), now, events)
        elif self._reading():
            self._fail(RequestTimeout(f"request body: expected more within {timeout} s"), now, events)
        else:
            self._close(events, None, False)

    def _input_timeout(self) -> float:
        rules = self._rules
        state = self._state
        if state == IDLE:
            if self._draining:
                return rules.drain_idle
            return rules.keepalive if self._stream else rules.first_request
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
        self._state = TUNNEL  # also of what is here already
        self._unread = 0
        held = bytes(self._held)
        self._held = _NO_OCTETS
        if held:
            self._unread = len(held)
            self._note([BodyReceived(self._stream, held, len(held))])
        if self._eof:
            self._note([BodyEnded(self._stream, [])])

    # -- the end of things -----------------------------------------------------------------------------------------

    def _finish(self, exchange: Exchange, now: float, events: List[Event]) -> None:
        self._since = now
        if not exchange.keep_alive:
            linger = not self._eof and not (self._last and self._state == WAITING)
            self._close(events, None, linger, exchange.cut_unmarked())

    def _go_on(self, now: float, events: List[Event]) -> bool:
        if self._state == WAITING:
            self._next(now, events)
            return self._state != IDLE
        if self._state == LENGTH or self._state == CHUNKS:
            self._discard(events)
        return False

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


def _exact(error: ProtocolError, head: bytes, rules: RequestRules) -> ProtocolError:
    """Return the error that a head is refused for, the same however it was cut."""
    try:
        examine(head, rules)
    except ProtocolError as exact:
        return exact
    return error
