"""What the tests of this package share: an application behind real sessions on loopback, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
import time
from typing import Any

import pytest

from server_core.drive.config import http_config
from server_core.drive.connection import Opener
from server_core.drive.timers import GRANULARITY
from server_core.scoreboard import detached_slot
from server_core.settings import Settings
from server_http.negotiate import open_http
from server_workers_async import session as session_module
from server_workers_async.accept import Entrance
from server_workers_async.hangup import find_hung_up
from server_workers_async.loops import new_loop
from server_workers_async.service import Service

TIMEOUT = 10.0
LOOPS = ["asyncio", "uvloop"]


class AccessLog:
    """Keeps what would be logged."""

    def __init__(self) -> None:
        self.enabled = True
        self.lines: list[Any] = []

    def write(self, request: Any, response: Any, _environ: Any, _seconds: float) -> None:
        self.lines.append((request.method, request.target.decode(), response.status, response.sent))

    def deadline(self) -> None:
        return None


class Log:
    """Keeps records instead of writing them."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str]] = []
        self.access_log_writer = AccessLog()

    def __getattr__(self, level: str) -> Any:
        def record(message: str, *args: Any, exc_info: Any = None, extra: Any = None) -> None:
            text = message % args if args else message
            if exc_info is not None and exc_info is not False:
                text += f": {exc_info!r}"
            self.records.append((level, text))

        return record

    def at(self, level: str) -> list[str]:
        return [text for kind, text in self.records if kind == level]


class Worker:
    """What a service asks of its worker."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.log = Log()
        self.board = detached_slot()
        self.counter: Any = None
        self.max_requests = sys.maxsize
        self.retired = 0
        self.alive = True
        self.leaving = False

    def retire_for_requests(self) -> None:
        self.retired += 1

    def connection_closed(self) -> None:
        pass


class Served:
    """One application, served on a loopback port by the loop that runs now."""

    def __init__(self, app: Any, **settings: Any) -> None:
        self.cfg = Settings.make(**settings)
        self.worker = Worker(self.cfg)
        self.log = self.worker.log
        self.loop = asyncio.get_running_loop()
        self.service = Service(self.worker, app, self.loop)
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(64)
        self.sock.setblocking(False)
        self.address = self.sock.getsockname()
        self.opener = Opener(http_config(self.cfg), open_http)
        self.entrance = Entrance(self.service, self, self.opener, self.cfg.worker_connections, False)
        self.clients: list[Client] = []
        self.ticking: Any = None
        self._tick()

    def fileno(self) -> int:
        """As a listener."""
        return self.sock.fileno()

    def _tick(self) -> None:
        """The duties of the worker's tick that the tests wait for, more often."""
        now = time.monotonic()
        self.service.expire(now)
        for session, reset in find_hung_up(self.service.watched):
            session.on_hung_up(reset, now)
        self.ticking = self.loop.call_later(GRANULARITY / 5, self._tick)

    async def connect(self, **options: Any) -> Client:
        client = Client(self.loop, options)
        await self.loop.sock_connect(client.sock, self.address)
        self.clients.append(client)
        return client

    async def until(self, condition: Any) -> Any:
        """Wait until ``condition()`` is true and return it."""
        ends = time.monotonic() + TIMEOUT
        while time.monotonic() < ends:
            found = condition()
            if found:
                return found
            await asyncio.sleep(0.005)
        raise AssertionError("the condition did not become true")

    async def close(self) -> None:
        self.ticking.cancel()
        self.entrance.stop()
        for client in self.clients:
            client.sock.close()
        for task in list(self.service.tasks):
            task.cancel()
        if self.service.tasks:
            await asyncio.wait(list(self.service.tasks), timeout=1)
        for one in list(self.service.connections):
            one.close()
        self.sock.close()


class Client:
    """A client that says octets and reads octets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: dict[str, Any]) -> None:
        self.loop = loop
        self.sock = socket.socket()
        if "rcvbuf" in options:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["rcvbuf"])
        self.sock.setblocking(False)
        self.buffer = bytearray()

    async def say(self, data: bytes) -> None:
        await asyncio.wait_for(self.loop.sock_sendall(self.sock, data), TIMEOUT)

    async def _more(self) -> bool:
        data = await asyncio.wait_for(self.loop.sock_recv(self.sock, 65536), TIMEOUT)
        self.buffer += data
        return bool(data)

    async def until(self, marker: bytes) -> bytes:
        """Return what comes up to and with ``marker``."""
        while marker not in self.buffer:
            if not await self._more():
                raise AssertionError(f"closed before {marker!r}: {bytes(self.buffer)!r}")
        return self._take(self.buffer.index(marker) + len(marker))

    def _take(self, count: int) -> bytes:
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not await self._more():
                raise AssertionError(f"closed before {count} octets: {self.buffer[:200]!r}")
        return self._take(count)

    async def rest(self) -> bytes:
        """Return all that comes until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            while await self._more():
                pass
        return self._take(len(self.buffer))

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """Read one response with a Content-Length, or chunked."""
        head = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {}
        for line in head[1:]:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        status = int(head[0].split(" ")[1])
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, await self._chunks()
        return status, fields, await self.exactly(int(fields.get("content-length", 0)))

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self.until(b"\r\n"), 16)
            if not size:
                await self.until(b"\r\n")
                return body
            body += (await self.exactly(size + 2))[:-2]

    def end(self) -> None:
        """Close the sending side."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Runner:
    """Runs coroutines that are given a ``serve`` function, on one kind of loop."""

    def __init__(self, loop_name: str) -> None:
        self.loop_name = loop_name

    def __call__(self, test: Any) -> None:
        loop = new_loop(self.loop_name)
        problems: list[Any] = []
        loop.set_exception_handler(lambda _loop, context: problems.append(context))
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._main(test))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
        assert problems == []

    async def _main(self, test: Any) -> None:
        served: list[Served] = []

        def serve(app: Any, **settings: Any) -> Served:
            served.append(Served(app, **settings))
            return served[-1]

        try:
            await asyncio.wait_for(test(serve), 3 * TIMEOUT)
        finally:
            for one in served:
                await one.close()


@pytest.fixture(params=LOOPS)
def run(request: Any) -> Runner:
    return Runner(request.param)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The octets of every write to a socket."""
    seen: list[int] = []
    transmit = session_module.transmit

    def counting(sock: Any, fd: int, segments: Any, use_sendfile: bool) -> int:
        count = transmit(sock, fd, segments, use_sendfile)
        seen.append(count)
        return count

    monkeypatch.setattr(session_module, "transmit", counting)
    return seen


@pytest.fixture(autouse=True)
def quiet_asyncio() -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
