"""A storm of clients that leave in the middle, against a connection pool that must not lose anything by it."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from typing import List

import pytest

from support import ServerProcess, soak_seconds, until

APP = """
import asyncio
import random

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine("sqlite+aiosqlite:///storm.db", pool_size=5, max_overflow=0, pool_timeout=30)
COUNTS = {"cancelled": 0, "completed": 0}


async def query():
    async with engine.connect() as connection:
        for _ in range(3):
            await connection.execute(text("select 1"))
            await asyncio.sleep(random.random() / 200)


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    if scope["path"] == "/pool":
        body = f"{engine.pool.checkedout()} {COUNTS['cancelled']} {COUNTS['completed']}".encode()
    else:
        try:
            await query()
        except asyncio.CancelledError:
            COUNTS["cancelled"] += 1
            raise
        COUNTS["completed"] += 1
        body = b"x" * 100_000
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
"""


def leave_again_and_again(port: int, ends: float, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - spreads the moments of leaving, no secret
    while time.monotonic() < ends:
        sock = socket.create_connection(("127.0.0.1", port), 10)
        with sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            time.sleep(chance.random() / 15)
            if chance.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.soak
def test_aborted_requests_leak_no_database_connection(loop: str) -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("aiosqlite")
    with ServerProcess(["app:app", "-k", "asgi", "--asgi-loop", loop], app=APP) as server:
        server.get("/")
        ends = time.monotonic() + soak_seconds()
        threads: List[threading.Thread] = [
            threading.Thread(target=leave_again_and_again, args=(server.port, ends, seed)) for seed in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = until(lambda: (found := server.get("/pool").text.split())[0] == "0" and found)
        assert counts
        # Within the grace period nothing is cancelled inside a database call.
        assert counts[1] == "0"
        assert int(counts[2]) > 20
        assert server.stop() == 0
        for word in ("Traceback", "destroyed", "non-checked-in", "CancelledError"):
            assert word not in server.log


LEFT = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    if scope["path"] == "/begun":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    if scope["path"] != "/":
        while (await receive())["type"] != "http.disconnect":
            pass
        print("told", scope["path"], flush=True)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
"""


def test_an_application_that_returns_because_its_client_left_did_nothing_wrong() -> None:
    with ServerProcess(["app:app", "-k", "asgi", "--access-logfile", "-"], app=LEFT) as server:
        for path in ("/waits", "/begun"):
            with server.client() as client:
                client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                client.half_close()  # which is how most clients leave
                server.wait_for_log(f"told {path}")
                client.read_to_end()
            server.wait_for_log(f'"GET {path} HTTP/1.1"')
        assert server.get("/").body == b"here"
        assert "ERROR" not in server.log
        assert '" 500 ' not in server.log
