"""A WebSocket client that sends a message, waits for it to come back, and sends the next, on many connections.

``python websocket_load.py http://127.0.0.1:PORT/ CONNECTIONS SECONDS`` prints a JSON report.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from typing import Tuple
from urllib.parse import urlsplit

PAYLOAD = b"0123456789abcdef0123456789abcdef"
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


def main(url: str, connections: int, seconds: float) -> None:
    """Run, and print the report."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    selector = selectors.DefaultSelector()
    sent_at = {}
    waits = []
    errors = 0
    for _ in range(connections):
        sock = connect(address)
        selector.register(sock, selectors.EVENT_READ)
    began = time.monotonic()
    for key in list(selector.get_map().values()):
        sent_at[key.fd] = time.monotonic()
        key.fileobj.send(MASKED)  # type: ignore[union-attr]
    while time.monotonic() < began + seconds:
        for key, _ in selector.select(0.1):
            sock = key.fileobj  # type: ignore[assignment]
            data = sock.recv(4096)
            if data != ECHOED:
                errors += 1
                selector.unregister(sock)
                continue
            now = time.monotonic()
            waits.append(now - sent_at[key.fd])
            sent_at[key.fd] = now
            sock.send(MASKED)
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
