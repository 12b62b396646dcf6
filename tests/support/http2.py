"""The other end of an HTTP/2 connection in unit tests: a client made of the h2 library, and one made of frames.

Neither touches a socket or a clock: ``now`` is an attribute the test moves.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import h2.config
import h2.connection
import h2.events
from hpack import Decoder, Encoder
from hyperframe.frame import Frame, HeadersFrame, SettingsFrame

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.h2.engine import Http2Engine
from server_http.limits import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"example.com"), (b":path", b"/")]
POST = [(b":method", b"POST"), *GET[1:]]


def connect(limits: Optional[Limits] = None, now: float = 0.0, **config: Any) -> Http2Engine:
    """Return an engine as a listener would open it."""
    config.setdefault("connect_protocols", (b"websocket",))
    info = ConnectionInfo(("192.0.2.1", 40000), ("192.0.2.9", 80))
    return Http2Engine(info, HttpConfig(limits=limits or Limits(), **config), now)


def octets(segments: Sequence[Any]) -> bytes:
    """Return what a driver would write, parts of files read."""
    parts = []
    for segment in segments:
        if isinstance(segment, FileRegion):
            parts.append(os.pread(segment.fd, segment.count, segment.offset))
        else:
            parts.append(bytes(segment))
    return b"".join(parts)


class _Peer:
    """What both clients share: an engine, its events, and the time."""

    def __init__(self, engine: Http2Engine, piece: int) -> None:
        self.engine = engine
        self.piece = piece  # octets given to the engine at once; 0 = everything
        self.now = 0.0
        self.events: List[Any] = []

    def give(self, data: bytes) -> List[Any]:
        """Let the engine receive ``data``; return (and keep) its events."""
        size = self.piece or len(data) or 1
        events: List[Any] = []
        for at in range(0, len(data), size):
            events += self.engine.receive_data(data[at : at + size], self.now)
        self.events += events
        return events

    def tick(self, seconds: float) -> List[Any]:
        """Let time pass, with a timer call wherever the engine wants one."""
        end = self.now + seconds
        events: List[Any] = []
        for _ in range(10000):
            at = self.engine.deadline()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            events += self.engine.handle_timer(self.now)
        self.now = end
        self.events += events
        return events

    def named(self, kind: type, stream: Optional[int] = None) -> List[Any]:
        """Return the events of a kind so far."""
        return [e for e in self.events if type(e) is kind and (stream is None or e.stream == stream)]

    @property
    def ended(self) -> bool:
        """Whether the engine has said that the connection is over."""
        return any(type(e).__name__ == "ConnectionEnded" for e in self.events)


class Client(_Peer):
    """A client that keeps the rules: the h2 library's own client side."""

    def __init__(self, limits: Optional[Limits] = None, piece: int = 0, **config: Any) -> None:
        super().__init__(connect(limits, **config), piece)
        # validate_outbound_headers: h2 4.1 refuses to send a well-formed CONNECT
        config_h2 = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config_h2)
        self.got: List[Any] = []
        self.h2.initiate_connection()

    def run(self, receive: bool = True) -> List[Any]:
        """Carry octets both ways until both sides are quiet; return the engine's events."""
        before = len(self.events)
        while True:
            moved = False
            data = self.h2.data_to_send()
            if data:
                self.give(data)
                moved = True
            if receive:
                out = octets(self.engine.segments())
                if out:
                    self.engine.sent(len(out))
                    self.got += self.h2.receive_data(out)
                    moved = True
            events = list(self.engine.advance(self.now))
            self.events += events
            if not moved and not events:
                return self.events[before:]

    def request(self, stream: int, fields: Sequence[Tuple[bytes, bytes]] = GET, body: Optional[bytes] = None) -> None:
        """Send a request, complete unless ``body`` is given; then without its end."""
        self.h2.send_headers(stream, list(fields), end_stream=body is None)
        if body:
            self.h2.send_data(stream, body)

    def content(self, stream: int) -> bytes:
        """Return the content received on a stream so far."""
        return b"".join(e.data for e in self.got if type(e) is h2.events.DataReceived and e.stream_id == stream)

    def head(self, stream: int) -> Dict[bytes, bytes]:
        """Return the fields of the final response head."""
        return next(
            dict(e.headers) for e in self.got if type(e) is h2.events.ResponseReceived and e.stream_id == stream
        )

    def finished(self, stream: int) -> bool:
        """Whether the response is complete."""
        return any(type(e) is h2.events.StreamEnded and e.stream_id == stream for e in self.got)

    def reset_code(self, stream: int) -> Optional[int]:
        """Return the code of the RST_STREAM received, or None."""
        return next(
            (int(e.error_code) for e in self.got if type(e) is h2.events.StreamReset and e.stream_id == stream), None
        )

    def credit(self, n: int, *streams: int) -> None:
        """Open the connection's window, and those of ``streams``, by ``n`` octets."""
        self.h2.increment_flow_control_window(n)
        for stream in streams:
            self.h2.increment_flow_control_window(n, stream)


class RawClient(_Peer):
    """A client that keeps no rules: frames as the test writes them, and what comes back, parsed."""

    def __init__(self, limits: Optional[Limits] = None, piece: int = 0, preface: bool = True, **config: Any) -> None:
        super().__init__(connect(limits, **config), piece)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self._rest = b""
        self.frames: List[Frame] = []
        if preface:
            self.give(PREFACE + SettingsFrame(0).serialize())
            self.collect()
            self.frames.clear()

    def frame(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> List[Any]:
        """Send one frame, whatever it is."""
        return self.give(raw(kind, flags, stream, payload))

    def headers(self, stream: int, fields: Sequence[Tuple[bytes, bytes]] = GET, end: bool = True) -> List[Any]:
        """Send HEADERS with everything in one frame."""
        return self.frame(1, 4 | int(end), stream, self.encoder.encode(list(fields)))

    def collect(self) -> List[Frame]:
        """Take what the engine has written; return its frames, HEADERS with ``fields``."""
        out = octets(self.engine.segments())
        self.engine.sent(len(out))
        self.events += self.engine.advance(self.now)
        data = self._rest + out
        new: List[Frame] = []
        while len(data) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            if len(data) < 9 + length:
                break
            frame.parse_body(memoryview(data[9 : 9 + length]))
            if isinstance(frame, HeadersFrame):
                frame.fields = self.decoder.decode(frame.data, raw=True)  # type: ignore[attr-defined]
            new.append(frame)
            data = data[9 + length :]
        self._rest = data
        self.frames += new
        return new


def raw(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the octets of any frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
