"""A WebSocket client with eight messages of 64 octets in flight on each of many connections: for each that comes back
it sends the next.

``python websocket_load.py http://127.0.0.1:PORT/ CONNECTIONS SECONDS`` prints a JSON report.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import deque
from typing import Deque, List, Tuple
from urllib.parse import urlsplit

IN_FLIGHT = 8
PAYLOAD = b"0123456789abcdef" * 4
MASKED = bytes([0x81, 0x80 | len(PAYLOAD), 0, 0, 0, 0]) + PAYLOAD  # a mask of zeros leaves the payload as it is
ECHOED = bytes([0x81, len(PAYLOAD)]) + PAYLOAD


def connect(address: Tuple[str, int]) -> socket.socket:
    """A connection after its opening handshake."""
    sock = socket.create_connection(address, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError(f"handshake: connection ended after {head!r}")
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"handshake: expected 101, got {head!r}")
    return sock


class Conversation:
    """One connection: what it has received of an echo, and when what is in flight was sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""
        self._sent: Deque[float] = deque()

    def begin(self) -> None:
        """Send the first messages."""
        self._sent.extend([time.monotonic()] * IN_FLIGHT)
        self.sock.sendall(MASKED * IN_FLIGHT)

    def go_on(self) -> List[float]:
        """Receive, and send as many messages as came back; seconds that each of them took."""
        data = self._rest + self.sock.recv(4096)
        count, rest = divmod(len(data), len(ECHOED))
        if not data or data != ECHOED * count + ECHOED[:rest]:
            raise ConnectionError(f"echo: expected {ECHOED!r} again and again, got {data[:100]!r}")
        self._rest = data[len(data) - rest :]
        now = time.monotonic()
        waits = [now - self._sent.popleft() for _ in range(count)]
        if count:
            self._sent.extend([now] * count)
            self.sock.sendall(MASKED * count)
        return waits


def main(url: str, connections: int, seconds: float) -> None:
    """Run, and print the report."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    selector = selectors.DefaultSelector()
    waits: List[float] = []
    errors = 0
    for _ in range(connections):
        conversation = Conversation(connect(address))
        selector.register(conversation.sock, selectors.EVENT_READ, conversation)
    began = time.monotonic()
    for key in selector.get_map().values():
        key.data.begin()
    while time.monotonic() < began + seconds:
        for key, _ in selector.select(0.1):
            try:
                waits += key.data.go_on()
            except ConnectionError:
                errors += 1
                selector.unregister(key.fileobj)
    taken = time.monotonic() - began
    waits.sort()
    report = {
        "requests": len(waits),
        "seconds": taken,
        "p50": waits[len(waits) // 2] * 1000 if waits else None,
        "p99": waits[len(waits) * 99 // 100] * 1000 if waits else None,
        "errors": errors,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
