"""Reloads, scaling, recycling, an upgrade and kills under load: nobody else notices.

``SOAK`` gives the seconds of each scenario; what happens in 60 seconds is scaled down to it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import random
import re
import signal
import ssl
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import pytest
import trustme

from lifecycle.strict_load import Kill, StrictLoad
from support import ServerProcess, soak_seconds, until

FULL = 60.0  # seconds of the full scenario
FULL_RELOADS = 20
KEEPALIVE = 1.0
WORKERS = 4
PATIENCE = 120.0  # seconds until all workers are replaced, where importing a worker's library takes seconds

WSGI = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2"), ("X-Pid", str(os.getpid()))])
    return [b"ok"]
"""
ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    headers = [(b"content-length", b"2"), (b"x-pid", b"%d" % os.getpid())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
"""

CLASSES = ["sync", "gthread", "asgi", "gevent", "eventlet"]
PROTOCOLS = ["http1", "tls", "http2"]
NO_HTTP2 = ("sync",)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, ssl.SSLContext]:
    """A certificate for localhost in one file, and a client context that trusts it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return path, context


class Scenario:
    """What is done to a server under load."""

    def __init__(self, server: ServerProcess, load: StrictLoad, seconds: float) -> None:
        self.server = server
        self.load = load
        self.seconds = seconds
        self.arbiter = server.pid
        self.kills: List[Kill] = []
        self.reloads = 0  # that were completed
        self.wanted_reloads = max(2, math.ceil(FULL_RELOADS * seconds / FULL))
        self.random = random.Random(7)  # noqa: S311 - fixed, so that a run can be repeated

    def steps(self) -> Iterator[Callable[[], None]]:
        """The steps of a run in random order: 20 reloads in a full one, the others in proportion."""
        share = self.seconds / FULL
        others: Dict[Callable[[], None], int] = {
            self.more: max(1, round(4 * share)),
            self.fewer: max(1, round(4 * share)),
            self.kill: max(1, round(4 * share)),
        }
        steps = [self.reload] * self.wanted_reloads + [step for step, times in others.items() for _ in range(times)]
        self.random.shuffle(steps)
        steps.insert(len(steps) // 2, self.upgrade)
        return iter(steps)

    def run(self) -> None:
        """All steps, spread over the time."""
        steps = list(self.steps())
        for step in steps:
            began = time.monotonic()
            step()
            rest = self.seconds / len(steps) - (time.monotonic() - began)
            time.sleep(max(0.0, rest))  # load, not an event, is what the rest of the step is for

    def send(self, number: int) -> None:
        os.kill(self.arbiter, number)

    def reload(self) -> None:
        self.send(signal.SIGHUP)
        self.server.wait_for_log("Reload complete.", count=self.reloads + 1, timeout=PATIENCE)
        self.reloads += 1

    def more(self) -> None:
        booted = len(self.server.booted_pids())
        self.send(signal.SIGTTIN)
        until(lambda: len(self.server.booted_pids()) > booted)

    def fewer(self) -> None:
        self.send(signal.SIGTTOU)

    def kill(self) -> None:
        serving = [pid for pid in self.server.booted_pids() if pid in self.load.tally.by_process and alive(pid)]
        if serving:
            victim = self.random.choice(serving)
            began = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            self.kills.append(Kill(began, time.monotonic(), victim))

    def upgrade(self) -> None:
        """A second arbiter, and the first one stopped when the second serves."""
        booted = len(self.server.booted_pids())
        self.send(signal.SIGUSR2)
        started = re.compile(r"A second arbiter was started \(pid:(\d+)\)")
        found = started.search(self.server.wait_for_log(started)[0])
        assert found
        until(lambda: self.answered_by(self.server.booted_pids()[booted:]) >= WORKERS, PATIENCE, "the second serves")
        self.send(signal.SIGTERM)
        self.arbiter = int(found.group(1))
        self.server.wait_for_log("Master has been promoted.", timeout=PATIENCE)

    def answered_by(self, pids: List[int]) -> int:
        """How many of these processes have answered a request."""
        return len(set(pids) & set(self.load.tally.by_process))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.soak
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("worker", CLASSES)
def test_nothing_is_lost(worker: str, protocol: str, certificate: Tuple[Path, ssl.SSLContext]) -> None:
    if protocol == "http2" and worker in NO_HTTP2:
        pytest.skip("this worker serves HTTP/1")
    if worker in ("gevent", "eventlet") and importlib.util.find_spec(worker) is None:
        pytest.skip(f"{worker} is not installed")
    path, context = certificate
    arguments = ["app:app", "-k", worker, "-w", str(WORKERS), "--keep-alive", str(KEEPALIVE)]
    arguments += ["--max-requests", "300", "--max-requests-jitter", "100"]
    if protocol != "http1":
        arguments += ["--certfile", str(path), "--keyfile", str(path)]
    if protocol == "http2":
        arguments += ["--http-protocols", "h2,h1"]
        context.set_alpn_protocols(["h2"])
    else:
        context.set_alpn_protocols(["http/1.1"])
    app = ASGI if worker == "asgi" else WSGI
    seconds = soak_seconds()
    with ServerProcess(arguments, app=app, workers=WORKERS, clean=False, timeout=60) as server:
        tls = None if protocol == "http1" else context
        with StrictLoad(server.port, KEEPALIVE, tls, http2=protocol == "http2") as load:
            until(lambda: load.tally.answered > 50)
            calm = load.rate_over(max(1.0, seconds / 6))
            scenario = Scenario(server, load, seconds)
            answered, began = load.tally.answered, time.monotonic()
            scenario.run()
            rate = (load.tally.answered - answered) / (time.monotonic() - began)
            if rate <= calm / 2:  # or the machine has become slower since
                calm = min(calm, load.rate_over(max(1.0, seconds / 6)))
        os.kill(scenario.arbiter, signal.SIGTERM)
        until(lambda: not alive(scenario.arbiter), timeout=PATIENCE)
        lost = load.tally.account(scenario.kills)
        print(f"{worker} {protocol}: {load.tally.answered} answered on {load.tally.connections} connections, "
              f"{scenario.reloads} reloads, {len(scenario.kills)} kills that cost {len(load.tally.failures)}, "
              f"rate {rate:.0f}/s, undisturbed {calm:.0f}/s")  # fmt: skip
        assert not lost, f"{len(lost)} lost: {lost[:5]}"
        assert scenario.reloads >= scenario.wanted_reloads
        assert rate > calm / 2
        server.assert_nothing_left()
