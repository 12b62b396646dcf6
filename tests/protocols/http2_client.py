"""An HTTP/2 client of plain frames on a real socket.

Owns: streams with their answers, both flow-control windows, and what the server says of the connection. It is made of
frames because the ``h2`` library fails at frames that follow a GOAWAY, which the two-step shutdown of RFC 9113
section 6.8 sends, and so that a test may break rules.
Must not know: what a test asserts.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Type

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_OCTETS = 16384
DEFAULT_WINDOW = 65535
PIECE = b"x" * FRAME_OCTETS

Fields = Sequence[Tuple[str, str]]


@dataclass
class StreamAnswer:
    """What came on one stream."""

    status: int = 0
    headers: Dict[str, str] = field(default_factory=dict)
    early: List[int] = field(default_factory=list)  # status codes of informational heads
    trailers: Dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    received: int = 0  # octets, also of what ``discard`` drops
    tail: bytes = b""  # the last content
    ended: bool = False
    reset: Optional[int] = None


class Http2Client:
    """One connection, with prior knowledge or by TLS and ALPN.

    Args:
        address: host and port.
        tls: the context for TLS, or None.
        settings: of SETTINGS, by identifier (``SettingsFrame.INITIAL_WINDOW_SIZE``...).
        credits: give back the credit of whatever is received.
        discard: count what is received instead of keeping it.
    """

    def __init__(
        self,
        address: Tuple[str, int],
        *,
        tls: Optional[ssl.SSLContext] = None,
        settings: Optional[Dict[int, int]] = None,
        credits: bool = True,  # noqa: A002 - the field's term
        discard: bool = False,
        timeout: float = 20.0,
    ) -> None:
        self.sock = socket.create_connection(address, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.credits = credits
        self.discard = discard
        self.streams: Dict[int, StreamAnswer] = defaultdict(StreamAnswer)
        self.settings: Dict[int, int] = {}
        self.goaways: List[Tuple[int, int]] = []
        self.order: List[int] = []  # streams as they ended
        self.turns: List[int] = []  # streams as content came
        self.window = DEFAULT_WINDOW
        self.windows: Dict[int, int] = defaultdict(int)
        self._next = 1
        self._buffer = bytearray()
        self._encoder, self._decoder = Encoder(), Decoder()
        self.sock.sendall(PREFACE + SettingsFrame(0, settings or {}).serialize())

    # -- what is sent

    def ask(self, path: str, method: str = "GET", headers: Fields = (), *, end: bool = True, protocol: str = "") -> int:
        """Send a request head; the number of its stream."""
        stream, self._next = self._next, self._next + 2
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        if protocol:
            fields.append((":protocol", protocol))
        self._open(stream, [*fields, *headers], end)
        return stream

    def ask_tunnel(self, authority: str) -> int:
        """Send a CONNECT (RFC 9113 section 8.5); the number of its stream."""
        stream, self._next = self._next, self._next + 2
        self._open(stream, [(":method", "CONNECT"), (":authority", authority)], False)
        return stream

    def _open(self, stream: int, fields: Fields, end: bool) -> None:
        self.streams[stream] = StreamAnswer()
        self.windows[stream] = self.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)
        flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
        self.sock.sendall(HeadersFrame(stream, self._encoder.encode(fields), flags=flags).serialize())

    def data(self, stream: int, data: bytes, end: bool = False) -> None:
        """Send content as one frame, whatever the windows say."""
        self.sock.sendall(DataFrame(stream, data, flags=["END_STREAM"] if end else []).serialize())
        self.window -= len(data)
        self.windows[stream] -= len(data)

    def room(self, stream: int) -> int:
        """Octets of content the server takes now."""
        return min(self.window, self.windows[stream], FRAME_OCTETS)

    def upload(self, stream: int, size: int) -> None:
        """Send ``size`` octets and the end of the request, as the windows allow."""
        while size:
            size -= self.send_some(stream, size)
        self.data(stream, b"", end=True)

    def send_some(self, stream: int, most: int) -> int:
        """Send one frame of at most so many octets, or receive one while a window is closed; the octets sent."""
        room = min(self.room(stream), most)
        if room <= 0:
            self.pump()
            return 0
        self.data(stream, PIECE[:room])
        return room

    def fill(self, stream: int) -> int:
        """Send until a window is closed and the server has had its chance to open it; the octets sent."""
        sent = 0
        while True:
            while self.room(stream) > 0:
                sent += self.send_some(stream, FRAME_OCTETS)
            self.settle()
            if self.room(stream) <= 0:
                return sent

    def credit(self, octets: int, stream: int = 0) -> None:
        """Open the window of a stream, or of the connection."""
        self.sock.sendall(WindowUpdateFrame(stream, octets).serialize())

    def prioritize(self, stream: int, value: str) -> None:
        """Send PRIORITY_UPDATE (RFC 9218 section 7.1)."""
        payload = stream.to_bytes(4, "big") + value.encode()
        self.sock.sendall(len(payload).to_bytes(3, "big") + b"\x10\0\0\0\0\0" + payload)

    def reset(self, stream: int, code: int = 8) -> None:
        """Send RST_STREAM."""
        self.sock.sendall(RstStreamFrame(stream, code).serialize())

    # -- what is received

    def settle(self) -> None:
        """A PING there and back: whatever was sent before it has been seen, and answered where it could be."""
        mark = b"settle!!"
        self.sock.sendall(PingFrame(0, mark).serialize())
        while True:
            frame = self.pump()
            if isinstance(frame, PingFrame) and "ACK" in frame.flags and frame.opaque_data == mark:
                return

    def wait(self, *streams: int) -> None:
        """Receive until these streams ended or were reset."""
        self.until(lambda: all(self.streams[one].ended or self.streams[one].reset is not None for one in streams))

    def until(self, condition: Callable[[], bool]) -> None:
        """Receive until something is true."""
        while not condition():
            self.pump()

    def closed(self) -> bool:
        """Receive to the end of the connection."""
        try:
            while True:
                self.pump()
        except ConnectionError:
            return True

    def pump(self) -> Frame:
        """Receive one frame and act on it."""
        head = bytes(self._take(9))
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(bytes(self._take(length))))
        self._see(frame)
        return frame

    def _take(self, size: int) -> bytearray:
        while len(self._buffer) < size:
            data = self.sock.recv(262144)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._buffer += data
        taken = self._buffer[:size]
        del self._buffer[:size]
        return taken

    def _see(self, frame: Frame) -> None:
        if isinstance(frame, DataFrame):
            self._content(frame)
        elif isinstance(frame, HeadersFrame):
            self._head(frame)
        elif isinstance(frame, RstStreamFrame):
            self.streams[frame.stream_id].reset = frame.error_code
        elif isinstance(frame, WindowUpdateFrame):
            if frame.stream_id:
                self.windows[frame.stream_id] += frame.window_increment
            else:
                self.window += frame.window_increment
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append((frame.last_stream_id, frame.error_code))
        elif "ACK" not in frame.flags:
            self._acknowledge(frame)
        if "END_STREAM" in frame.flags:
            self.streams[frame.stream_id].ended = True
            self.order.append(frame.stream_id)

    def _content(self, frame: DataFrame) -> None:
        answer = self.streams[frame.stream_id]
        answer.received += len(frame.data)
        if frame.data:
            self.turns.append(frame.stream_id)
        answer.tail = frame.data or answer.tail
        if not self.discard:
            answer.body += frame.data
        if self.credits and frame.flow_controlled_length:
            octets = frame.flow_controlled_length
            credit = [WindowUpdateFrame(stream, octets).serialize() for stream in (0, frame.stream_id)]
            self.sock.sendall(b"".join(credit))

    def _head(self, frame: HeadersFrame) -> None:
        answer = self.streams[frame.stream_id]
        fields = dict(self._decoder.decode(frame.data))
        status = int(fields.pop(":status", 0))
        if not status:
            answer.trailers = fields
        elif status < 200:
            answer.early.append(status)
        else:
            answer.status, answer.headers = status, fields

    def _acknowledge(self, frame: Frame) -> None:
        if isinstance(frame, PingFrame):
            self.sock.sendall(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, SettingsFrame):
            before = self.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)
            self.settings.update(frame.settings)
            grown = self.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW) - before
            for stream in self.windows:
                self.windows[stream] += grown
            self.sock.sendall(SettingsFrame(0, flags=["ACK"]).serialize())

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.sock.close()
