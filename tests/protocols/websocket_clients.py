"""A WebSocket client of plain frames, by HTTP/1.1 and by HTTP/2: it keeps no rules that a test does not keep.

Owns: opening handshakes and frames. Must not know: what a test asserts.
"""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Tuple, Type, Union

from hyperframe.frame import SettingsFrame

from protocols.http2_client import Http2Client
from support import ServerProcess

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1 = 0x80, 0x40
NO_MASK = b"\0\0\0\0"
STANDS = 1.0  # seconds without room after which the peer has stopped taking octets

Fields = Sequence[Tuple[str, str]]


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, 0x80 | size) + NO_MASK + payload
    if size < 65536:
        return struct.pack("!BBH", first, 0xFE, size) + NO_MASK + payload
    return struct.pack("!BBQ", first, 0xFF, size) + NO_MASK + payload


def close_payload(code: int, reason: str = "") -> bytes:
    """The content of a Close frame."""
    return struct.pack("!H", code) + reason.encode()


class Socket:
    """One WebSocket, or what became of its handshake.

    Attributes:
        status, headers: of the response. accepted: whether the WebSocket is open.
    """

    status = 0
    accepted = False

    def __init__(self) -> None:
        self.headers: Dict[str, str] = {}

    def send(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> None:
        """Send one frame."""
        self.write(masked((FIN if fin else 0) | rsv | opcode, payload))

    def receive(self) -> Tuple[int, bytes]:
        """The next frame: opcode with its reserved bits, and content."""
        first, size = struct.unpack("!BB", self.read(2))
        assert first & FIN
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
        return first & 0x7F, self.read(size)

    def write(self, octets: bytes) -> None:
        """Send octets, right or wrong."""
        raise NotImplementedError

    def offer(self, opcode: int, payload: bytes, times: int = 1) -> bool:
        """Send frames where the server takes them now; False when it has stopped."""
        raise NotImplementedError

    def read(self, size: int) -> bytes:
        """Receive so many octets."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The content of a response that is no acceptance."""
        raise NotImplementedError

    def wait_for_end(self) -> None:
        """Receive to the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave."""
        raise NotImplementedError

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


class Http1Socket(Socket):
    """By HTTP/1.1. ``fields`` replace those of the handshake."""

    def __init__(
        self,
        server: ServerProcess,
        path: str,
        fields: Fields = (),
        *,
        credits: bool = True,  # noqa: A002 - of HTTP/2
        beside: Optional[Socket] = None,
    ) -> None:
        super().__init__()
        self._sock = socket.create_connection((server.host, server.port), 20.0)
        self._buffer = b""
        head = {"host": "h", "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        head.update({"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", **dict(fields)})
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        self._sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        start, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = start.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        self.accepted = self.status == 101

    def write(self, octets: bytes) -> None:
        self._sock.sendall(octets)

    def offer(self, opcode: int, payload: bytes, times: int = 1) -> bool:
        data = masked(FIN | opcode, payload) * times
        while data:
            _, ready, _ = select.select([], [self._sock], [], STANDS)
            if not ready:
                return False
            data = data[self._sock.send(data[:65536]) :]
        return True

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def body(self) -> bytes:
        if "content-length" in self.headers:
            return self.read(int(self.headers["content-length"]))
        parts: List[bytes] = []
        while not parts or parts[-1]:
            while b"\r\n" not in self._buffer:
                self._fill()
            size, _, self._buffer = self._buffer.partition(b"\r\n")
            parts.append(self.read(int(size, 16)))
            assert self.read(2) == b"\r\n"
        return b"".join(parts)

    def wait_for_end(self) -> None:
        while self._sock.recv(65536):
            continue

    def close(self) -> None:
        self._sock.close()

    def _fill(self) -> None:
        data = self._sock.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += data


class Http2Socket(Socket):
    """On a stream of an HTTP/2 connection, which may be that of ``beside``."""

    def __init__(
        self,
        server: ServerProcess,
        path: str,
        fields: Fields = (),
        *,
        credits: bool = True,  # noqa: A002 - the field's term
        beside: Optional[Socket] = None,
    ) -> None:
        super().__init__()
        self._own = not isinstance(beside, Http2Socket)
        self.client = client = (
            beside.client
            if isinstance(beside, Http2Socket)
            else Http2Client((server.host, server.port), credits=credits)
        )
        client.until(lambda: client.settings.get(SettingsFrame.ENABLE_CONNECT_PROTOCOL) == 1)
        head = {"sec-websocket-version": "13", **dict(fields)}
        self._stream = client.ask(path, "CONNECT", list(head.items()), end=False, protocol="websocket")
        self._answer = client.streams[self._stream]
        client.until(lambda: bool(self._answer.status))
        self.status, self.headers = self._answer.status, self._answer.headers
        self.accepted = self.status == 200

    def write(self, octets: bytes) -> None:
        while octets:
            room = self.client.room(self._stream)
            if room <= 0:
                self.client.pump()
                continue
            self.client.data(self._stream, octets[:room])
            octets = octets[room:]

    def offer(self, opcode: int, payload: bytes, times: int = 1) -> bool:
        octets = masked(FIN | opcode, payload) * times
        self.client.settle()
        if self.client.room(self._stream) < len(octets) and self.client.windows[self._stream] < len(octets):
            return False
        self.write(octets)
        return True

    def read(self, size: int) -> bytes:
        body = self._answer.body
        self.client.until(lambda: len(body) >= size or self._answer.ended)
        taken = bytes(body[:size])
        del body[:size]
        return taken

    def body(self) -> bytes:
        self.client.wait(self._stream)
        return bytes(self._answer.body)

    def wait_for_end(self) -> None:
        self.client.wait(self._stream)

    def close(self) -> None:
        if self._own:
            self.client.sock.close()
        else:
            self.client.reset(self._stream)


Dial = Union[Type[Http1Socket], Type[Http2Socket]]
