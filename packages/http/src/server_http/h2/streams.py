"""The open streams of a connection: their beginning, their responses and their ends, and what the driver is told.

Owns: the table of streams and the list of events; what ends a stream, and with which frame or page.
Must not know: frames that arrive (``incoming``), deadlines and the connection's end (``engine``).
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Segment
from server_http.errors import H2_INTERNAL_ERROR, H2_NO_ERROR, ContentTooLarge, ProtocolError
from server_http.events import (
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
from server_http.exchange import Exchange
from server_http.h2.output import Mark, Output
from server_http.h2.request import Malformed
from server_http.h2.sender import Sender
from server_http.h2.session import Session
from server_http.h2.stream import Stream
from server_http.states import AWAITING, CUT, HTTP_2, LENGTH, NO_BODY
from server_http.statuses import error_page

UNREAD_WAIT = 1.0

_STATUS = {status: (b":status", b"%d" % status) for status in range(100, 1000)}


class Streams:
    """The streams of one connection.

    Args:
        info: facts of the connection.
        config: what the listener's connections share.
        session: the h2 connection.
        output: where frames go.

    Attributes:
        table: the open streams by number.
        events: what the driver has not been told yet.
        sender: moves their content to the output.
        unread: streams that are answered while the peer still sends, and when it is asked to stop; 0.0 = not yet timed.
    """

    __slots__ = ("_config", "_info", "_limits", "_output", "_session", "_trusted", "events", "sender", "table",
                 "unread")  # fmt: skip

    def __init__(self, info: ConnectionInfo, config: HttpConfig, session: Session, output: Output) -> None:
        self._info = info
        self._config = config
        self._limits = config.limits
        self._trusted = config.policy.trusts(info)
        self._session = session
        self._output = output
        self.sender = Sender(session, output, config.limits.send_high_water)
        self.table: Dict[int, Stream] = {}
        self.events: List[Event] = []
        self.unread: Dict[int, float] = {}

    def live(self, number: int) -> Optional[Stream]:
        """Return the stream unless what is said about it counts no more."""
        stream = self.table.get(number)
        return None if stream is None or stream.given_up else stream

    def count(self) -> int:
        """Return how many streams the peer has open."""
        return len(self.table) + len(self.unread)

    def take_events(self) -> Sequence[Event]:
        """Return the events so far, and forget them."""
        events = self.events
        if events:
            self.events = []
        return events

    def stop_uploads(self, now: float) -> Optional[float]:
        """Ask clients to stop sending what nobody reads: RST_STREAM with NO_ERROR (RFC 9113 section 8.1).

        They get ``UNREAD_WAIT`` seconds to see the response first: curl 7 forgets one that comes with the reset.

        Returns:
            When this wants to be called again.
        """
        for number, at in list(self.unread.items()):
            if not at:
                self.unread[number] = now + UNREAD_WAIT
            elif now >= at:
                del self.unread[number]
                self._session.reset(number, H2_NO_ERROR)
        return min(self.unread.values(), default=None)

    # -- requests -----------------------------------------------------------------------------------------------

    def admit(self, request: Request) -> None:
        """Apply policy and limits to a request that is well-formed; raises the error that answers it."""
        request.scheme = self._info.scheme()
        request.client = self._info.client
        self._config.policy.apply(request, self._trusted, True)
        length = request.content_length
        if length is not None and 0 < self._limits.body < length:
            raise ContentTooLarge(f"content-length: expected at most {self._limits.body}, got {length}")

    def begin(self, request: Request, complete: bool, now: float) -> None:
        """Give a request to the driver."""
        stream = self._open(request.stream, request.method, request.expects_continue, complete, now)
        stream.known = True
        stream.exchange.upgrade = request.protocol
        if request.priority is not None:
            stream.urgency, stream.incremental = request.priority
        if request.content_length is not None:
            stream.remaining = request.content_length
        self.events.append(RequestReceived(request.stream, request, complete))
        if complete and request.protocol:
            self.events.append(InputEnded(request.stream))  # the tunnel that is asked for has ended on that side

    def refuse(self, number: int, fields: Headers, complete: bool, error: ProtocolError, now: float) -> None:
        """Answer a request that the driver never sees with the page of its status."""
        method = next((value for name, value in fields if name == b":method"), b"GET")
        self._answer(self._open(number, method.decode("latin-1"), False, complete, now), error)

    def _open(self, number: int, method: str, expects: bool, complete: bool, now: float) -> Stream:
        stream = Stream(number, Exchange(method, HTTP_2, True, b"", expects), self._session.streams[number], now)
        stream.receiving = not complete
        self.table[number] = stream
        return stream

    def credit(self, stream: Stream, n: int) -> None:
        """Give octets back to the stream's window, in steps worth a frame."""
        stream.credit += n
        if stream.receiving and not stream.given_up and stream.credit >= self._limits.h2_initial_window >> 1:
            self._session.return_stream_credit(stream.number, stream.credit)
            stream.credit = 0

    # -- responses ----------------------------------------------------------------------------------------------

    def inform(self, stream: Stream, status: int, headers: Headers) -> None:
        """Send a 1xx response, where it is of use."""
        fields = stream.exchange.inform(status, headers)
        if fields is not None:
            self._session.headers(stream.number, [_STATUS[status], *fields], False)

    def respond(self, stream: Stream, status: int, headers: Headers, reason: bytes = b"") -> None:
        """Send the final response head, with END_STREAM when nothing can follow."""
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

    def push(self, stream: Stream, content: Segment) -> None:
        """Queue content of a response."""
        stream.push(content)
        self.sender.ready(stream)
        if stream.pending > self._limits.send_high_water:
            stream.swollen = True

    def end(self, stream: Stream, trailers: Headers) -> None:
        """The application has ended the response; one that is too short is cut with INTERNAL_ERROR."""
        exchange = stream.exchange
        stream.trailers = exchange.end(trailers)
        if exchange.state == CUT:
            self._session.reset(stream.number, H2_INTERNAL_ERROR)
            self.close(stream)
            return
        stream.ending = True
        if not stream.finished:
            self.sender.ready(stream)
            return
        self._output.write(self._session.take())  # the head was everything
        if self._output.waiting:
            self._output.mark(stream, 0, True)
        else:
            self.close(stream)

    def warn(self, stream: Stream) -> None:
        """Report what the application did wrong, once."""
        warning = stream.exchange.take_warning()
        if warning:
            self.events.append(Warned(warning))

    def _answer(self, stream: Stream, error: ProtocolError) -> None:
        """Let the constant page be the response, and the driver's word count no more."""
        headers, body = error_page(error.status)
        self.respond(stream, error.status, headers)
        size = stream.exchange.send(len(body))
        if size:
            stream.push(body[:size])
        stream.given_up = True
        self.end(stream, [])

    # -- ends ---------------------------------------------------------------------------------------------------

    def written(self, marks: List[Mark]) -> None:
        """Frames left for the peer: count their content, and tell who has room or is complete."""
        for _, stream, size, last in marks:
            stream.unwritten -= size
            stream.written += size
            if stream.closed:
                self._report_closed(stream)
            elif last:
                self.close(stream)
            elif stream.swollen and stream.pending <= self._limits.send_low_water:
                stream.swollen = False
                self.events.append(Writable(stream.number))

    def dropped(self, marks: List[Mark]) -> None:
        """Frames that will never leave: their streams are closed, and this is their end."""
        for _, stream, size, _ in marks:
            stream.unwritten -= size
            self._report_closed(stream)

    def abort(self, stream: Stream, error: ProtocolError) -> None:
        """End a stream early: with the page of the error while there is no response, else with RST_STREAM."""
        if stream.exchange.state == AWAITING and error.status != Malformed.status:
            self._report_reset(stream, error)
            self._answer(stream, error)
            return
        self._session.reset(stream.number, error.h2_code)
        self.lose(stream, error)

    def lose(self, stream: Stream, error: ProtocolError) -> None:
        """The stream is gone; no answer can arrive."""
        self._report_reset(stream, error)
        stream.exchange.abandon()
        self.close(stream)

    def close(self, stream: Stream) -> None:
        """Forget a stream; its end is reported when its framed octets, which may be parts of a file, are out."""
        if stream.closed:
            return
        stream.closed = True
        if stream.receiving and stream.finished:
            self.unread[stream.number] = 0.0
        stream.receiving = False
        self.sender.forget(stream)
        self.table.pop(stream.number, None)
        self._report_closed(stream)

    def _report_reset(self, stream: Stream, error: ProtocolError) -> None:
        if stream.known and not stream.given_up:
            self.events.append(StreamReset(stream.number, error))

    def _report_closed(self, stream: Stream) -> None:
        if stream.known and not stream.unwritten:
            stream.known = False
            self.events.append(StreamClosed(stream.number, stream.exchange.status, stream.written))
