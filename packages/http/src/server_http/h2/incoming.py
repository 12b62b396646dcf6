"""What arrives: frames to facts.

Owns: what each frame of the peer means (RFC 9113 section 6, RFC 9218 section 7), and what h2's events mean.
Must not know: the commands of a driver, deadlines, how the connection ends (``engine``). Errors are raised.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

from h2 import events as h2_events

from server_http.config import HttpConfig
from server_http.errors import ContentTooLarge, ProtocolError
from server_http.events import BodyReceived, Warned, end_body
from server_http.h2 import frames
from server_http.h2.guard import FloodGuard
from server_http.h2.priority import MAX_FIELD, parse_priority
from server_http.h2.request import Malformed, build_request, check_trailers
from server_http.h2.session import Session, error_name
from server_http.h2.stream import Stream
from server_http.h2.streams import Streams
from server_http.states import RAW

REFUSED_STREAM = 0x7
DRAIN_PING = b"draining"
"""The content of the PING behind the first GOAWAY: when it comes back, the peer has read that."""

CONTENT_PER_FRAME = 1024
"""Octets of received content that explain one control frame. Frames explain none: they may hold one octet."""

_NO_INCREMENT = (b"\0\0\0\0", b"\x80\0\0\0")


class PeerResetError(ProtocolError):
    """The peer gave a stream up; ``h2_code`` is its reason."""

    closes = False
    log_level = "debug"

    def __init__(self, code: int) -> None:
        super().__init__(f"stream: reset by the peer with {error_name(code)}")
        self.h2_code = code


class Incoming:
    """The receiving half of a connection.

    Args:
        session: the h2 connection.
        streams: the open streams.
        config: ``limits`` (the ``h2_*`` bounds and ``body``) and ``connect_protocols``.

    Attributes:
        guard: counts floods.
        reader: cuts the octets into frames.
        settings_seen: the peer's side of the connection has begun.
        peer_going: the peer takes no more part than the open streams need.
        refusing: streams that open from now on are refused.
        drain_read: the peer has answered ``DRAIN_PING``.
    """

    __slots__ = (
        "_limits", "_protocols", "_rules", "_session", "_signals", "_streams", "drain_read", "guard", "peer_going",
        "reader", "refusing", "settings_seen",
    )  # fmt: skip

    def __init__(self, session: Session, streams: Streams, config: HttpConfig) -> None:
        limits = config.limits
        self._session = session
        self._streams = streams
        self._limits = limits
        self._rules = config.rules
        self._protocols = config.connect_protocols
        self._signals: Dict[int, bytes] = {}  # PRIORITY_UPDATE of streams that are not open yet
        self.guard = FloodGuard(limits)
        self.reader = frames.FrameReader(limits.h2_max_frame, limits.h2_header_list, limits.h2_continuations)
        self.settings_seen = False
        self.peer_going = False
        self.refusing = False
        self.drain_read = False

    def feed(self, data: bytes, now: float) -> None:
        """Take octets and act on every whole frame.

        Raises:
            ProtocolError: a connection error (RFC 9113 section 5.4.1).
        """
        reader = self.reader
        reader.feed(data)
        while not self.over() and reader.next():
            self._on_frame(now)

    def over(self) -> bool:
        """Whether no stream is open and none can follow: what comes then is not looked at, in however many reads."""
        return (self.peer_going or self.refusing) and not self._streams.table

    # -- frames -------------------------------------------------------------------------------------------------

    def _on_frame(self, now: float) -> None:
        reader = self.reader
        kind = reader.kind
        if not self.settings_seen:
            if kind != frames.SETTINGS or reader.flags & frames.ACK:
                raise ProtocolError(f"preface: expected SETTINGS as the first frame, got type {kind:#x}")
            self.settings_seen = True
        handler = _ON_FRAME.get(kind)
        if handler is None:
            self.guard.control(now, "frame of an unknown type")  # ignored (section 5.5)
        else:
            handler(self, now)

    def _pass_on(self, now: float) -> None:
        """Let h2 take the frame and act on what it says."""
        for event in self._session.receive(self.reader.frame):
            handler = _ON_EVENT.get(type(event))
            if handler is not None:
                handler(self, event, now)

    def _on_control(self, now: float) -> None:
        self.guard.control(now, _CONTROL[self.reader.kind])
        self._pass_on(now)

    def _on_settings(self, now: float) -> None:
        self.guard.control(now, "SETTINGS")
        self.reader.frame = frames.known_settings(self.reader.frame, self._limits.h2_settings)
        self._pass_on(now)

    def _on_data(self, now: float) -> None:
        reader = self.reader
        content = frames.content_octets(reader.frame, reader.flags)
        if content <= 0 and not reader.flags & frames.END_STREAM:
            self.guard.control(now, "DATA without content")
        elif reader.stream not in self._streams.table and reader.stream not in self._streams.unread:
            self.guard.control(now, "DATA of a closed stream")
        else:
            self.guard.worked(content // CONTENT_PER_FRAME)
        self._pass_on(now)

    def _on_rst_stream(self, now: float) -> None:
        number = self.reader.stream
        if number > self._session.highest:
            raise ProtocolError(f"RST_STREAM: expected a stream that is not idle, got {number}")
        self.guard.reset(now)
        self._pass_on(now)

    def _on_window_update(self, now: float) -> None:
        reader = self.reader
        self.guard.control(now, "WINDOW_UPDATE")
        stream = self._streams.table.get(reader.stream)
        if stream is not None and reader.frame[frames.HEADER_OCTETS :] in _NO_INCREMENT:
            # A stream error (section 6.9), which hyperframe would make one of the connection.
            self._streams.abort(stream, ProtocolError("WINDOW_UPDATE: expected an increment, got 0"))
            self.guard.reset(now)
            return
        self._pass_on(now)

    def _on_goaway(self, now: float) -> None:
        """The peer opens no more streams. h2 would forget the answers to those that are open."""
        reader = self.reader
        self.guard.control(now, "GOAWAY")
        if reader.stream:
            raise ProtocolError(f"GOAWAY: expected on stream 0, got {reader.stream}")
        if len(reader.frame) < frames.HEADER_OCTETS + 8:
            raise frames.FrameSizeError("GOAWAY: expected at least 8 octets, got fewer")
        self.peer_going = True

    def _on_push_promise(self, _now: float) -> None:
        raise ProtocolError("PUSH_PROMISE: expected from servers only, got one from a client")

    def _on_priority_update(self, now: float) -> None:
        """RFC 9218 section 7.1."""
        reader = self.reader
        self.guard.control(now, "PRIORITY_UPDATE")
        payload = reader.frame[frames.HEADER_OCTETS :]
        if reader.stream:
            raise ProtocolError(f"PRIORITY_UPDATE: expected on stream 0, got {reader.stream}")
        if len(payload) < 4:
            raise frames.FrameSizeError(f"PRIORITY_UPDATE: expected at least 4 octets, got {len(payload)}")
        number = int.from_bytes(payload[:4], "big") & frames.STREAM_MASK
        if not number & 1:
            raise ProtocolError(f"PRIORITY_UPDATE: expected a client's stream, got {number}")
        stream = self._streams.table.get(number)
        if stream is not None:
            self._streams.sender.prioritize(stream, *parse_priority(payload[4:]))
        elif number > self._session.highest and len(self._signals) < self._limits.h2_max_streams:
            self._signals[number] = payload[4 : 4 + MAX_FIELD]

    # -- what h2 says -------------------------------------------------------------------------------------------

    def _on_request(self, event: Any, now: float) -> None:
        number = event.stream_id
        signal = self._signals.pop(number, None) if self._signals else None
        if self.refusing or self.peer_going or self._streams.count() >= self._limits.h2_max_streams:
            self.guard.control(now, "HEADERS of a stream that is refused")
            self._session.reset(number, REFUSED_STREAM)
            return
        complete = event.stream_ended is not None
        fields = self._session.decoder.fields
        try:
            request = build_request(number, fields, complete, self._rules, self._protocols)
            self._streams.admit(request)
        except Malformed as error:
            self._streams.events.append(Warned(str(error), error.log_level))
            self._session.reset(number, error.h2_code)
            self.guard.reset(now)
            return
        except ProtocolError as error:
            self._streams.events.append(Warned(str(error), error.log_level))
            self._streams.refuse(number, fields, complete, error, now)
            return
        if signal is not None:
            request.priority = parse_priority(signal)  # newer than the field, or sent instead (section 7 of RFC 9218)
        self.guard.worked()
        self._streams.begin(request, complete, now)

    def _on_content(self, event: Any, now: float) -> None:
        octets = event.flow_controlled_length
        if octets:
            self._session.return_connection_credit(octets)
        ended = event.stream_ended is not None
        stream = self._streams.live(event.stream_id)
        if stream is None:
            self._end_unread(event.stream_id, ended)
            return
        data = event.data
        size = len(data)
        stream.received += size
        stream.body_since = now
        if stream.remaining >= 0:
            stream.remaining -= size
            if stream.remaining < 0 or (ended and stream.remaining):
                self._spoil(stream, Malformed("content: expected as many octets as content-length says"), now)
                return
        elif 0 < self._limits.body < stream.received and stream.exchange.framing != RAW:
            self._streams.abort(
                stream, ContentTooLarge(f"body: expected at most {self._limits.body} octets, got {stream.received}")
            )
            return
        stream.exchange.expects_continue = False
        if size:
            stream.held += size
            self._streams.events.append(BodyReceived(stream.number, data, size))
        if ended:
            stream.receiving = False
            if end_body(self._streams.events, stream.number, []):
                stream.held = 0
        elif octets > size:
            self._streams.credit(stream, octets - size)  # padding: nobody else will

    def _on_trailers(self, _event: Any, now: float) -> None:
        stream = self._streams.live(self.reader.stream)
        if stream is None:
            self._end_unread(self.reader.stream, True)
            return
        try:
            trailers = check_trailers(self._session.decoder.fields, stream.remaining)
        except Malformed as error:
            self._spoil(stream, error, now)
            return
        stream.receiving = False
        if end_body(self._streams.events, stream.number, trailers):
            stream.held = 0

    def _on_reset(self, event: Any, now: float) -> None:
        stream = self._streams.table.get(event.stream_id)
        if not event.remote_reset:
            self.guard.reset(now)  # h2 had to, because of what the peer sent
        if stream is not None:
            self._streams.lose(stream, PeerResetError(int(event.error_code)))
        else:
            self._end_unread(event.stream_id, True)

    def _end_unread(self, number: int, ended: bool) -> None:
        """A stream the driver has forgotten sent something; when that was its end it is gone, or on its way out."""
        if ended and self._streams.unread.pop(number, None) is None:
            stream = self._streams.table.get(number)
            if stream is not None:
                stream.receiving = False

    def _on_windows(self, event: Any, _now: float) -> None:
        """A window opened, or all of them changed with the settings: whoever waited may try."""
        number = getattr(event, "stream_id", 0)
        if number:
            stream = self._streams.table.get(number)
            if stream is not None and stream.queue:
                self._streams.sender.ready(stream)
            return
        for stream in self._streams.table.values():
            if stream.queue:
                self._streams.sender.ready(stream)

    def _on_ping_ack(self, event: Any, _now: float) -> None:
        if event.ping_data == DRAIN_PING:
            self.drain_read = True

    def _spoil(self, stream: Stream, error: ProtocolError, now: float) -> None:
        """The peer broke a rule on one stream."""
        self._streams.abort(stream, error)
        self.guard.reset(now)


_CONTROL = {frames.PING: "PING", frames.PRIORITY: "PRIORITY"}

_ON_FRAME: Dict[int, Callable[[Incoming, float], None]] = {
    frames.DATA: Incoming._on_data,
    frames.HEADERS: Incoming._pass_on,
    frames.CONTINUATION: Incoming._pass_on,
    frames.PRIORITY: Incoming._on_control,
    frames.RST_STREAM: Incoming._on_rst_stream,
    frames.SETTINGS: Incoming._on_settings,
    frames.PUSH_PROMISE: Incoming._on_push_promise,
    frames.PING: Incoming._on_control,
    frames.GOAWAY: Incoming._on_goaway,
    frames.WINDOW_UPDATE: Incoming._on_window_update,
    frames.PRIORITY_UPDATE: Incoming._on_priority_update,
}

_ON_EVENT: Dict[type, Callable[[Incoming, Any, float], None]] = {
    h2_events.RequestReceived: Incoming._on_request,
    h2_events.DataReceived: Incoming._on_content,
    h2_events.TrailersReceived: Incoming._on_trailers,
    h2_events.StreamReset: Incoming._on_reset,
    h2_events.WindowUpdated: Incoming._on_windows,
    h2_events.RemoteSettingsChanged: Incoming._on_windows,
    h2_events.PingAckReceived: Incoming._on_ping_ack,
}
