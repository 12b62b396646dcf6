"""Every worker under full load, with clients that go away at random: no answer is wrong, nothing is lost or kept.

What a worker holds depends on the most connections and the largest bodies it has had at once so far, so its memory
grows until chance has brought those about. What it keeps of each connection, it keeps in every round of the same load.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Optional, Type

import pytest

from support import SOAK_SECONDS, ServerProcess

WORKERS = ("sync", "gthread", "gevent", "eventlet", "asgi")
CONNECTIONS = 32
#: Connections that are opened every second for one request each, beside the lasting ones.
STRANGERS = 1000
WARM_UP_SECONDS = 2
#: Rounds of load at most, of which two in a row have to leave the worker as large as it was.
ROUNDS = 8
#: How much larger it may become by two rounds: a third of what it does if it keeps 1 KiB of each stranger of 3 seconds.
FLAT_KIB = 2048

WSGI_APP = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return (b"x" * 20_000 for _ in range(10))
    return [body or b"hello"]
"""
ASGI_APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("http alone")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"x" * 20_000, "more_body": True})
    await send({"type": "http.response.body", "body": body or b"hello"})
"""
REQUESTS = (
    b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000,
    b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
)


class Deserters:
    """Clients that leave at any moment, as a context manager: in a head, a body, a response; in order or by a reset."""

    def __init__(self, server: ServerProcess) -> None:
        self.address = (server.host, server.port)
        self.left = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Deserters:
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        chance = random.Random(4)  # noqa: S311 - spreads the moments of leaving, no secret
        while not self._stop.wait(chance.random() / 100):
            self._desert(chance)
            self.left += 1

    def _desert(self, chance: random.Random) -> None:
        request = chance.choice(REQUESTS)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.settimeout(10)
            sock.connect(self.address)
            if chance.random() < 0.5:  # a reset instead of an end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.settimeout(0.05)
            sock.sendall(request[: chance.randrange(1, len(request) + 1)] if chance.random() < 0.5 else request)
            if chance.random() < 0.5:
                sock.recv(chance.randrange(1, 4096))


def pss(pid: int) -> int:
    """The proportional share of memory of a process, KiB."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found.group(1))


class Load:
    """What h2load reports of full load on two targets by lasting connections, and by others for one request each."""

    def __init__(self, server: ServerProcess, seconds: int) -> None:
        base = f"http://{server.host}:{server.port}"
        common = ["h2load", "--h1", "-t1"]
        strangers = [
            f"-c{STRANGERS * seconds}",
            f"-n{STRANGERS * seconds}",
            f"-r{STRANGERS // 20}",
            "--rate-period=50ms",
        ]
        reports = [
            subprocess.Popen([*common, *amount, f"{base}/hello", f"{base}/stream"], stdout=subprocess.PIPE, text=True)
            for amount in ([f"-c{CONNECTIONS}", f"-D{seconds}"], strangers)
        ]
        self.seconds = seconds
        self.report = "".join(process.communicate(timeout=seconds + 300)[0] for process in reports)
        answers = re.findall(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", self.report)
        failures = re.findall(r"(\d+) failed, (\d+) errored, (\d+) timeout", self.report)
        assert len(answers) == len(failures) == len(reports), self.report
        self.answers = [int(answer[0]) for answer in answers]
        self.wrong = sum(int(count) for found in (*(answer[1:] for answer in answers), *failures) for count in found)


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("h2load"), reason="needs h2load")
@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_under_load_and_deserting_clients_answers_all_and_keeps_nothing(worker: str) -> None:
    arguments = ["app:app", "-k", worker, "--threads", "4" if worker == "gthread" else "1", "--timeout", "300"]
    seconds = max(3, round(SOAK_SECONDS * 3 / 8))
    with ServerProcess(arguments, app=ASGI_APP if worker == "asgi" else WSGI_APP) as server:
        pid = server.booted_pids()[0]
        with Deserters(server) as deserters:
            loads = [Load(server, WARM_UP_SECONDS)]
            held = [pss(pid)]
            for _ in range(ROUNDS):
                loads.append(Load(server, seconds))
                held.append(pss(pid))
                if len(held) > 2 and held[-1] <= held[-3] + FLAT_KIB:
                    break
        rate = loads[-1].answers[0] / seconds
        print(f"{worker}: {rate:.0f}/s for {seconds} s, {deserters.left} deserted, PSS {held} KiB")
        assert sum(load.answers[0] for load in loads) > 0
        for load in loads:
            assert load.wrong == 0, load.report
            assert load.answers[1] == STRANGERS * load.seconds
        assert held[-1] <= held[-3] + FLAT_KIB, held
        assert server.get("/hello").body == b"hello"
        assert server.booted_pids() == [pid]
        assert server.stop() == 0
        for word in ("Traceback", "ERROR", "destroyed"):
            assert word not in server.log
