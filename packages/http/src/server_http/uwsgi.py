"""The uwsgi protocol (nginx ``uwsgi_pass``) as an engine of the contract: variables in, an HTTP response out.

Owns: what of the input is the packet and what the body, and by when the peer has to send them.
Must not know: what variables say (``uwsgi_request``), how the request is answered (``serial``), sockets.

A packet is ``modifier1`` (0: a request), its size (little-endian), ``modifier2``, then names and values, each behind
its own size. The body follows, CONTENT_LENGTH octets. The answer is never chunked: it ends by its length or
with the connection, which carries one request.
"""

from __future__ import annotations

from typing import List, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine
from server_http.errors import BadRequest, Forbidden, ProtocolError, RequestTimeout
from server_http.events import BodyReceived, Event, InputEnded, RequestReceived, end_body
from server_http.exchange import Exchange
from server_http.serial import CLOSED, SerialEngine
from server_http.states import HTTP_1_0
from server_http.uwsgi_request import STREAM, Variables, build_request, read_variables

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

_HEADER_OCTETS = 4

# -- the input, as data ------------------------------------------------------------------------------------------------

PACKET = 0  # the variables are on their way
BODY = 1  # CONTENT_LENGTH octets are
ANSWER = 2  # nothing more is expected of the peer; nor taken: CLOSED

INPUT = {PACKET: "packet", BODY: "body", ANSWER: "answer", CLOSED: "closed"}

TRANSITIONS = {PACKET: (BODY, ANSWER, CLOSED), BODY: (ANSWER, CLOSED), ANSWER: (CLOSED,), CLOSED: ()}


def open_uwsgi(info: ConnectionInfo, config: HttpConfig, now: float) -> Engine:
    """Open the engine of a connection: the protocol ``uwsgi``."""
    return UwsgiEngine(info, config, now)


@cython.cclass
class UwsgiEngine(SerialEngine):
    """One uwsgi connection; see ``server_http.engine.Engine`` for the methods of the contract.

    Args:
        info: the connection.
        config: what the connections of the listener share.
        now: monotonic seconds.
    """

    __slots__ = ("_allowed",)

    def __init__(self, info: ConnectionInfo, config: HttpConfig, now: float) -> None:
        self._set_up(info, config, PACKET, now)
        self._allowed = self._rules.uwsgi_peers.has(self._info.peer)

    # -- input -----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """Take octets from the peer. See ``Engine.receive_data``."""
        events: List[Event] = []
        if type(data) is not bytes:
            data = bytes(data)
        try:
            if self._state == PACKET:
                data = self._take_packet(data, now, events)
            if self._state == BODY and data:
                self._take_body(data, now, events)
        except ProtocolError as error:
            self._fail(error, now, events)
        self._settle(now, events)
        return events

    def receive_eof(self, now: float) -> Sequence[Event]:
        """The peer closed its sending side. See ``Engine.receive_eof``."""
        events: List[Event] = []
        if self._state == PACKET:
            self._close(events, None, False)
        elif self._state == BODY and self._reading():
            self._fail(
                BadRequest(f"body: expected {self._remaining} more octets, got the end of the input"), now, events
            )
        elif self._state == ANSWER:
            events.append(InputEnded(STREAM))
        self._settle(now, events)
        return events

    def want_read(self) -> bool:
        """Whether the driver may read. See ``Engine.want_read``."""
        return self._state != CLOSED and self._unread < self._rules.receive_high_water

    # -- deadlines -------------------------------------------------------------------------------------------------

    def _give_up_waiting(self, timeout: float, now: float, events: List[Event]) -> None:
        if self._state == PACKET and not self._held:
            self._close(events, None, False)
        else:
            self._fail(RequestTimeout(f"uwsgi {INPUT[self._state]}: expected more within {timeout} s"), now, events)

    def _input_timeout(self) -> float:
        rules = self._rules
        if self._state == PACKET:
            if self._held:
                return rules.head_timeout
            return rules.drain_idle if self._draining else rules.first_request
        if self._state == BODY and self.want_read() and self._reading():
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
        held: bytes = self._held
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
        self._stream = STREAM
        self._remaining = length
        self._since = now
        self._state = BODY if length else ANSWER
        events.append(RequestReceived(STREAM, request, length == 0))

    def _take_body(self, data: bytes, now: float, events: List[Event]) -> None:
        """Take octets of the body; what follows it belongs to nothing."""
        data = data[: self._remaining]
        self._remaining -= len(data)
        self._since = now
        alive = self._reading()
        if alive:
            self._unread += len(data)
            events.append(BodyReceived(STREAM, data, len(data)))
        if not self._remaining:
            self._state = ANSWER
            if alive and end_body(events, STREAM, []):
                self._unread = 0

    def _finish(self, exchange: Exchange, now: float, events: List[Event]) -> None:
        self._close(events, None, self._state == BODY, exchange.cut_unmarked())
