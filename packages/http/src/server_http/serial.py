"""What the engines have in common that carry one exchange at a time: HTTP/1 and uwsgi.

Owns: the answer to the live request, from the commands of the contract (``server_http.engine``) to the octets that
wait; how long the peer may take over them; and how the stream ends, well or not.
Must not know: what input is made of, and what comes behind an exchange (the engines), what a response may say
(``exchange``) and how it is spelled (``h1.output``).
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Segment
from server_http.errors import ProtocolError, StateError
from server_http.events import (
    ConnectionEnded,
    Event,
    Headers,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
    stream_closed,
)
from server_http.exchange import Exchange
from server_http.h1.output import JOINED, Output, informational_head, response_head, trailer_section
from server_http.states import AWAITING, CHUNKED, ENDED, HTTP_1_1, RAW

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: The state in which no input is taken any more; the others are the engine's own.
CLOSED = -1


@cython.cclass
class SerialEngine:
    """The half of an engine that answers; see ``server_http.engine.Engine`` for the methods of the contract.

    An engine begins with ``_set_up``, reads the input and sets ``_stream`` and ``_exchange`` for each request. What it
    does behind an exchange and when the peer is late it says by the methods at the end.
    """

    __slots__ = (
        "_draining", "_exchange", "_facts", "_held", "_info", "_out", "_progress", "_remaining", "_resumed", "_rules",
        "_since", "_state", "_stream", "_trusted", "_unread", "queue",
    )  # fmt: skip

    def _set_up(self, info: ConnectionInfo, config: HttpConfig, state: int, now: float) -> None:
        """Begin with a connection whose input is in ``state``: a call in C, as that of an initialiser would not be."""
        self._info = info
        self._rules = config.rules
        self._trusted = self._rules.trusted_peers.has(self._info.peer)
        self._draining = info.draining
        self._state = state
        self._stream = 0  # number of the last request
        self._exchange: Optional[Exchange] = None  # of the live stream
        self._remaining = 0  # octets of a body of known length that have not come
        self._unread = 0  # octets of a body: given out and not consumed, or discarded once the stream is over
        self._held: Any = b""  # input that nothing can be made of yet
        self._out = Output()
        self.queue = self._out.segments()
        self._facts: Optional[List[Event]] = None  # what commands caused and nobody was told yet
        self._since = now  # when the input last made the progress its deadline is about
        self._progress = False  # output was written, at a time that is not known
        self._resumed = False  # a peer that was held up may send again, since a time that is not known

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
        self._write_head(exchange, self._decide(exchange, status, headers, reason), reason, now)

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
        fields = self._decide(exchange, status, headers, reason)
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
        if stream == self._stream and self._reading():
            if self._unread >= self._rules.receive_high_water:
                self._resumed = True  # the peer was held up: its deadline begins anew
            self._unread = max(0, self._unread - n)

    def drain(self, now: float) -> None:
        """Take no further request. See ``Engine.drain``.

        A connection without one stays open until its deadline: it may be on its way, and is answered.
        """
        self._draining = True

    # -- what commands and time bring about ------------------------------------------------------------------------

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

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called. See ``Engine.deadline``."""
        return self._out.deadline(self._rules.send_timeout, self._since, self._input_timeout())

    def handle_timer(self, now: float) -> Sequence[Event]:
        """Act on deadlines that have passed. See ``Engine.handle_timer``."""
        events = list(self.advance(now))
        unread = self._out.overdue(self._rules.send_timeout, now)
        timeout = self._input_timeout()
        if unread is not None:
            # The peer does not read: nothing can be answered, and what it may still read has no end of its own.
            self._forget(unread, self._out.give_up(self._exchange), events)
            self._close(events, unread, False, True)
        elif timeout and now >= self._since + timeout:
            self._give_up_waiting(timeout, now, events)
        self._settle(now, events)
        return events

    def _live(self, stream: int) -> Optional[Exchange]:
        """The exchange a command is about; None when it is over already."""
        if stream == self._stream:
            return self._exchange
        if stream > self._stream:
            raise StateError(f"stream: expected at most {self._stream}, got {stream}")
        return None

    def _reading(self) -> bool:
        """Whether somebody takes the body that is coming."""
        return self._exchange is not None and self._exchange.state < ENDED

    def _note(self, facts: List[Event]) -> None:
        """Keep facts for the next call that returns events."""
        self._facts = facts if self._facts is None else self._facts + facts

    def _settle(self, now: float, events: List[Event]) -> None:
        """Report what commands and written output brought about; go on to the next request when this one is over."""
        if self._facts is not None:
            events.extend(self._facts)
            self._facts = None
        while True:
            exchange = self._exchange
            if exchange is None:
                if self._go_on(now, events):
                    continue
                return
            if exchange.warning:
                events.append(Warned(exchange.take_warning()))
            if self._out.relieved(self._rules.send_low_water) and exchange.state < ENDED:
                events.append(Writable(self._stream))
            if exchange.state < ENDED or self._out.pending:
                return
            events.append(stream_closed(self._stream, exchange.status, exchange.sent))
            self._exchange = None
            self._finish(exchange, now, events)

    # -- the end of things -----------------------------------------------------------------------------------------

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
            self._held = b""
            events.append(ConnectionEnded(error, linger and not abort, abort))
        return events

    # -- what each engine says -------------------------------------------------------------------------------------

    def _decide(self, exchange: Exchange, status: int, headers: Headers, reason: bytes) -> Headers:
        """Have the rules decide about a final head; returns the fields that are sent."""
        return exchange.respond(status, headers, reason)

    def _open_tunnel(self) -> None:
        """The head opened a tunnel: what follows is not HTTP."""

    def _input_timeout(self) -> float:
        """The time the peer has for what it is to send now, in seconds; 0 when nothing is expected of it."""
        raise NotImplementedError

    def _give_up_waiting(self, timeout: float, now: float, events: List[Event]) -> None:
        """That time, ``timeout``, has passed."""
        raise NotImplementedError

    def _finish(self, exchange: Exchange, now: float, events: List[Event]) -> None:
        """The response of ``exchange`` is written, and its stream is over."""
        raise NotImplementedError

    def _go_on(self, now: float, events: List[Event]) -> bool:
        """No stream is live: turn to what input there is; returns whether one may be live now."""
        return False
