"""Clients that take their time, in a process of their own: one octet a second from or to each of them.

Owns: the connections of the crowd and their pace. ``python crowd.py HOST PORT SECONDS KIND=COUNT ...`` prints ``ready``
when everybody has begun, and how many were cut off when its standard input ends.
Must not know: what the server makes of them.

Kinds: ``head`` sends a request head; ``upload`` a body of 1 MiB of which nothing is there at first, ``late_upload`` one
of which nearly all is there; ``stream`` and ``blob`` read a response of 10 MiB that came in parts and as a whole.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

BODY_OCTETS = 1024 * 1024
RESPONSE_OCTETS = 10 * 1024 * 1024
STEP_SECONDS = 0.001

_UPLOAD = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BODY_OCTETS
KINDS: Dict[str, Tuple[bytes, bool]] = {  # what is sent at once, and whether the rest is sent or read
    "head": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: ", True),
    "upload": (_UPLOAD, True),
    "late_upload": (_UPLOAD + b"x" * (BODY_OCTETS - 20_000), True),
    "stream": (b"GET /stream?%d HTTP/1.1\r\nHost: a\r\n\r\n" % RESPONSE_OCTETS, False),
    "blob": (b"GET /blob?%d HTTP/1.1\r\nHost: a\r\n\r\n" % RESPONSE_OCTETS, False),
}


@contextlib.contextmanager
def crowd(host: str, port: int, timeout: float = 60.0, **counts: int) -> Iterator[Any]:
    """Run a crowd beside the block, which begins when it has begun; ``lost`` of the process: how many were cut off."""
    words = [f"{kind}={count}" for kind, count in counts.items()]
    command = [sys.executable, str(Path(__file__)), host, str(port), str(timeout), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
            process.stdin.close()
            process.lost = int(process.stdout.readline())  # type: ignore[attr-defined]
        finally:
            process.kill()


class Slow:
    """One slow client."""

    def __init__(self, address: Tuple[str, int], kind: str, timeout: float) -> None:
        first, self.sends = KINDS[kind]
        self.lost = False
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.sock.connect(address)
        self.sock.sendall(first)
        if self.sends:
            self.sock.settimeout(None)  # else MSG_DONTWAIT waits

    def step(self) -> None:
        """One octet."""
        try:
            if self.sends:
                self.sock.send(b"x", socket.MSG_DONTWAIT)
                self.sock.recv(1, socket.MSG_DONTWAIT)
                self.lost = True  # it was answered before it was through, or cut off
            else:
                self.lost = self.lost or not self.sock.recv(1)
        except BlockingIOError:
            return
        except OSError:
            self.lost = True


def main(host: str, port: str, timeout: str, *counts: str) -> None:
    """Connect everybody, in no order, and go on until standard input ends."""
    kinds = [kind for word in counts for kind in [word.partition("=")[0]] * int(word.partition("=")[2])]
    random.shuffle(kinds)
    clients = [Slow((host, int(port)), kind, float(timeout)) for kind in kinds]
    for client in clients:
        if not client.sends:
            client.step()  # its response has begun
    print("ready", flush=True)
    began = time.monotonic()
    steps = 0
    while not select.select([sys.stdin], [], [], STEP_SECONDS)[0]:
        due = int((time.monotonic() - began) * len(clients))  # one octet a second from each, evenly spread
        for number in range(steps, due):
            clients[number % len(clients)].step()
        steps = due
    print(sum(client.lost for client in clients), flush=True)
    os._exit(0)  # leave no time to say good-bye


if __name__ == "__main__":
    arguments: List[str] = sys.argv[1:]
    main(*arguments)
