"""What no case shows: memory of idle workers, the time to the first answer, ten thousand idle connections, several
workers, and whether memory stays flat.

Owns: these measurements.
Must not know: how a server is started (it is given).
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, Iterator, List, Optional

import endurance
import measure
from cases import CASES, Case
from servers import SERVERS

Start = Callable[..., measure.Running]
Environments = Dict[str, Path]

GATEWAYS = {
    "wsgi-hello": ("server sync", "server gthread", "gunicorn sync", "granian wsgi"),
    "asgi-hello": ("server asgi", "gunicorn asgi", "granian asgi", "uvicorn"),
}
WORKERS = 4
#: Ours at most this share of the best other's; of idle connections, of what it is without them.
MEMORY_TARGET, START_TARGET, BESIDE_TARGET = 0.9, 1.0, 1.2
#: Octets of an upload and of a download, requests of the long run, and by how many MiB a worker may grow meanwhile.
TRANSFER, REQUESTS, GROWTH_TARGET = 2 * endurance.GIB, 1_000_000, 16.0
IDLE_CONNECTIONS = 10_000
# Only for the ten thousand: as shipped a worker keeps fewer connections, and closes idle ones after seconds.
MANY = "--worker-connections 12000 --keep-alive 300"
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def measure_all(environments: Environments, start: Start, rounds: int) -> List[Dict[str, Any]]:
    """All figures, as rows of ``what``, ``server``, ``value`` and ``unit``."""
    rows = []
    for name, servers in GATEWAYS.items():
        for server in servers:
            try:
                rows += start_and_memory(CASES[name], server, environments, start, rounds)
            except RuntimeError as error:
                print(f"bench: {error}")
    for name, server in (("wsgi-hello", "server sync"), ("asgi-hello", "server asgi")):
        rows += many_idle(CASES[name], server, environments, start)
        rows += several_workers(CASES[name], server, environments, start)
        rows += endure(CASES[name], server, environments, start)
    return sorted(rows, key=lambda row: str(row["what"]))


def start_and_memory(
    case: Case, server: str, environments: Environments, start: Start, rounds: int
) -> List[Dict[str, Any]]:
    """Milliseconds to the first answer, and the memory of idle workers; medians."""
    waits, sizes = [], []
    for _ in range(rounds):
        began = time.monotonic()
        running = start(SERVERS[server], case, environments, workers=WORKERS)
        try:
            first_answer(running)
            waits.append((time.monotonic() - began) * 1000)
            time.sleep(1.0)  # the other workers finish their start
            sizes.append(running.pss())
        finally:
            running.stop()
    return [
        row(f"start to first answer, {WORKERS} workers, {case.name[:4]}", server, median(waits), "ms", START_TARGET),
        row(f"PSS of {WORKERS} idle workers, {case.name[:4]}", server, median(sizes), "MiB", MEMORY_TARGET),
    ]


def first_answer(running: measure.Running) -> None:
    """Wait for the first complete answer."""
    running.wait_until_answering()
    with socket.create_connection(("127.0.0.1", running.port), measure.START_SECONDS) as sock:
        sock.sendall(REQUEST)
        if not sock.recv(4096):
            raise RuntimeError(f"{running.name}: expected an answer, got the end of the connection")


def many_idle(case: Case, server: str, environments: Environments, start: Start) -> List[Dict[str, Any]]:
    """What ten thousand idle connections cost: memory each, CPU while idle, CPU of a request beside them."""
    running = start(SERVERS[server], case, environments, options=MANY)
    with measure.started(running):
        load = measure.wrk(f"http://127.0.0.1:{running.port}/", 64, "", "")
        alone = measure.sample(running, load, 3)
        with idle_connections(running.port, IDLE_CONNECTIONS) as opened:
            time.sleep(0.5)
            size = running.pss()
            before = running.cpu_seconds()
            time.sleep(3.0)
            idle = (running.cpu_seconds() - before) / 3.0
            beside = measure.sample(running, load, 3)
    return [
        row(f"memory of an idle connection ({opened} open)", server, (size - alone.pss) * 2**20 / opened, "octets"),
        row(f"CPU with {opened} idle connections", server, idle * 100, "% of a core"),
        row(
            f"CPU per request beside {opened} idle connections, to without",
            server,
            beside.cpu / alone.cpu,
            "times",
            BESIDE_TARGET,
        ),
    ]


def several_workers(case: Case, server: str, environments: Environments, start: Start) -> List[Dict[str, Any]]:
    """CPU time per request of one, two and four workers, with one socket for all and with one for each."""
    rows = []
    for workers in (1, 2, 4):
        for options in ("", "--reuse-port"):
            running = start(SERVERS[server], case, environments, workers=workers, options=options)
            with measure.started(running):
                found = measure.sample(running, measure.wrk(f"http://127.0.0.1:{running.port}/", 64, "", ""), 2)
            what = f"CPU per request, {workers} workers{' ' if options else ''}{options}"
            rows.append(row(what, server, found.cpu, "µs"))
    return rows


def endure(case: Case, server: str, environments: Environments, start: Start) -> List[Dict[str, Any]]:
    """By how much a worker grows in a large upload, a large download, and a million requests."""
    bulk = case._replace(app=case.app.replace(":hello", ":bulk"))
    rows = []
    running = start(SERVERS[server], bulk, environments, options="--limit-request-body 0 --timeout 300")
    with measure.started(running):
        endurance.many_requests(running.port, REQUESTS // 100)  # what a worker keeps is there then
        for what, work in (
            ("upload of 2 GiB", lambda: endurance.upload(running.port, TRANSFER)),
            ("download of 2 GiB", lambda: endurance.download(running.port, TRANSFER)),
            (
                f"{REQUESTS:,} requests over {REQUESTS // endurance.PER_CONNECTION:,} connections",
                lambda: endurance.many_requests(running.port, REQUESTS),
            ),
        ):
            rows.append(row(f"growth in {what}", server, endurance.growth(running, work), "MiB", GROWTH_TARGET))
    return rows


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[int]:
    """Connections that have had one answer and wait; how many there are."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            sock.sendall(REQUEST)
            if not sock.recv(4096):
                raise RuntimeError("idle connections: expected an answer, got the end of the connection")
        yield count


def row(what: str, server: str, value: float, unit: str, target: Optional[float] = None) -> Dict[str, Any]:
    """One figure."""
    return {"what": what, "server": server, "value": value, "unit": unit, "target": target}
