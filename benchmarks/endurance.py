"""Whether memory stays flat: a large upload and download, and a million requests over a hundred thousand connections.

Owns: the clients, and how much the server grew.
Must not know: how a server is started (it is given), targets.
"""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Callable, Dict, Iterator

import measure

GIB = 2**30
BLOCK = b"x" * 2**20
SECONDS = 120.0
PER_CONNECTION = 10
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def growth(server: measure.Running, work: Callable[[], None]) -> float:
    """MiB by which the resident memory of the process that grew most exceeds, at its peak, what it was before."""
    before = resident(server, "VmRSS")
    work()
    after = resident(server, "VmHWM")
    return max(after.get(pid, 0.0) - size for pid, size in before.items())


def resident(server: measure.Running, field: str) -> Dict[int, float]:
    """A ``field`` of ``/proc/PID/status`` for each of the server's processes, MiB."""
    sizes = {}
    for pid in server.pids():
        with contextlib.suppress(OSError):
            found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            if found:
                sizes[pid] = int(found.group(1)) / 1024
    return sizes


def upload(port: int, octets: int) -> None:
    """Post ``octets``, and read the answer."""
    with connection(port) as sock:
        sock.sendall(b"POST /sink HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % octets)
        for _ in range(octets // len(BLOCK)):
            sock.sendall(BLOCK)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    if b"\r\n%d" % octets not in answer:
        raise RuntimeError(f"upload: expected an answer with {octets}, got {answer[-200:]!r}")


def download(port: int, octets: int) -> None:
    """Ask for ``octets``, and count what comes."""
    buffer = bytearray(len(BLOCK))
    received = 0
    with connection(port) as sock:
        sock.sendall(b"GET /source?%d HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % octets)
        while True:
            count = sock.recv_into(buffer)
            if not count:
                break
            received += count
    if received < octets:
        raise RuntimeError(f"download: expected {octets} octets, got {received}")


def many_requests(port: int, requests: int) -> None:
    """Ask ``PER_CONNECTION`` times on each of many connections, one after another."""
    burst = REQUEST * (PER_CONNECTION - 1) + LAST
    for _ in range(requests // PER_CONNECTION):
        with connection(port) as sock:
            sock.sendall(burst)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        if answer.count(b"HTTP/1.1 200") != PER_CONNECTION:
            raise RuntimeError(f"requests: expected {PER_CONNECTION} answers, got {answer[:200]!r}")


@contextlib.contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        yield sock
