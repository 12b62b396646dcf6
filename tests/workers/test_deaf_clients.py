"""Clients by TLS that read nothing are given up, whatever of their answers the kernel has taken."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from pathlib import Path
from typing import Dict

import pytest

from protocols.fronts import WORKERS, Certificates
from support import ServerProcess, until

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x" * int(environ["QUERY_STRING"])]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * int(scope["query_string"])})
"""
# Somewhere on the way from what the kernel takes whole to what it does not: there the last octets of TLS wait alone.
SIZES = range(100_000, 420_000, 4000)
TIMEOUTS = ["--keep-alive", "1", "--send-timeout", "1"]


def connections_of(pid: int) -> int:
    """How many sockets a process has."""
    links: Dict[str, str] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            links[entry.name] = os.readlink(entry)
    return sum(link.startswith("socket:") for link in links.values())


@pytest.mark.parametrize("worker", sorted(WORKERS))
def test_a_client_by_tls_that_reads_nothing_is_given_up(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    context = certificates.context()
    path = str(tmp_path / "s")
    options = [*WORKERS[worker], *TIMEOUTS, "--bind", f"unix:{path}", "--certfile", certificates.server]
    with ServerProcess(options, app=APP, bind=None) as server, contextlib.ExitStack() as held:
        server.wait_for_log("Booting worker")
        (pid,) = server.booted_pids()
        for size in SIZES:
            raw = held.enter_context(socket.socket(socket.AF_UNIX))
            raw.connect(path)
            client = held.enter_context(context.wrap_socket(raw, server_hostname="localhost"))
            assert isinstance(client, ssl.SSLSocket)
            client.sendall(b"GET /?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        until(lambda: connections_of(pid) < 10, what="all clients are given up")
