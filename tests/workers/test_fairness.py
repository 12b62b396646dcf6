"""Nobody waits for a worker or a thread while another is free."""

from __future__ import annotations

import collections
import functools
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from support import SOAK_SECONDS, RawClient, ServerProcess, best_of, until
from support.client import Address
from support.net import free_port

APP = """
import os
import threading
import time


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/wait":
        time.sleep(float(query))
    elif path == "/bare":  # how often as many threads could wait without a server
        threads, wait = query.split("&")
        return [b"%f" % bare(int(threads), float(wait))]
    return [b"%d" % os.getpid()]


def bare(threads, wait):
    counts = [0] * threads
    ends = time.monotonic() + 0.4

    def run(number):
        while time.monotonic() < ends:
            time.sleep(wait)
            counts[number] += 1

    pool = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sum(counts) / 0.4
"""

WORKERS = 4
CLIENTS = 24
SLOW_SECONDS = 1.0
PAUSE = 0.05
#: On a machine whose cores are shared with the load generator; docs/performance-table.md has figures without it.
LEAST_OF_BARE = 0.7


class MixedLoad:
    """Keep-alive clients of which every 50th request is slow, while one worker at least stays free of slow ones.

    Attributes:
        fast: seconds that each fast request took.
        slow: how many slow ones there were.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self.fast: List[float] = []
        self.slow = 0
        self._address = address
        self._ends = time.monotonic() + seconds
        self._sent = 0
        self._may_be_slow = threading.Semaphore(WORKERS - 1)
        threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.fast.sort()

    def _run(self) -> None:
        with RawClient(self._address, timeout=30) as client:
            while time.monotonic() < self._ends:
                self._sent += 1
                if self._sent % 50 == 0 and self._may_be_slow.acquire(blocking=False):
                    client.request("GET", f"/wait?{SLOW_SECONDS}")
                    self._may_be_slow.release()
                    self.slow += 1
                else:
                    began = time.perf_counter()
                    client.request("GET", "/")
                    self.fast.append(time.perf_counter() - began)
                time.sleep(PAUSE)

    def at(self, quantile: float) -> float:
        """The quantile of the fast requests, in seconds."""
        return self.fast[min(int(len(self.fast) * quantile), len(self.fast) - 1)]

    def __repr__(self) -> str:
        quantiles = ", ".join(f"p{q * 100:g} {self.at(q) * 1000:.1f} ms" for q in (0.5, 0.9, 0.99, 1))
        return f"{quantiles} of {len(self.fast)} fast ones beside {self.slow} slow ones"


def gunicorn() -> str:
    """The program, where one is installed: in BENCH_PEERS (see benchmarks/peers.py) or on the path."""
    peers = Path(os.environ.get("BENCH_PEERS", "-")) / "bin" / "gunicorn"
    return str(peers) if peers.exists() else shutil.which("gunicorn") or ""


@pytest.mark.soak
def test_a_fast_request_never_waits_for_a_slow_one_while_a_worker_is_idle(tmp_path: Path) -> None:
    seconds = max(3.0, SOAK_SECONDS / 2)
    with ServerProcess(["app:app", "-k", "sync", "-w", str(WORKERS)], app=APP, workers=WORKERS) as server:
        until(lambda: len({server.get("/").body for _ in range(20)}) == WORKERS, what="all workers serve")
        ours = best_of(
            lambda: MixedLoad((server.host, server.port), seconds),
            lambda load: load.slow >= WORKERS - 1 and load.at(1) < SLOW_SECONDS / 2,
        )
        print(f"server sync: {ours}")
    if not gunicorn():
        return
    (tmp_path / "app.py").write_text(APP)
    for threads in ("1", "4"):
        address: Address = ("127.0.0.1", free_port())
        command = [
            gunicorn(),
            "app:app",
            "-k",
            "gthread",
            "--threads",
            threads,
            "-w",
            str(WORKERS),
            "-b",
            f"127.0.0.1:{address[1]}",
        ]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            try:
                until(functools.partial(answers, address), 20)
                print(f"gunicorn gthread, {threads} thread(s): {MixedLoad(address, seconds)}")
            finally:
                process.terminate()


def answers(address: Address) -> bool:
    """Whether somebody serves there."""
    try:
        with RawClient(address) as client:
            return client.request("GET", "/").status == 200
    except OSError:
        return False


def owners(clients: List[RawClient]) -> Dict[bytes, List[RawClient]]:
    """The connections of each worker."""
    found: Dict[bytes, List[RawClient]] = collections.defaultdict(list)
    for client in clients:
        found[client.request("GET", "/").body].append(client)
    return found


def test_a_connection_is_passed_to_a_worker_with_room_and_never_to_one_without() -> None:
    room = 4
    config = f"worker_connections = {room}\nkeepalive = 60\n"
    with ServerProcess(["app:app", "-k", "sync", "-w", "3"], app=APP, config=config, workers=3) as server:
        clients: List[RawClient] = []
        try:
            for _ in range(3 * room):
                clients.append(server.client())
            full, busy, free = owners(clients).values()
            assert [len(full), len(busy), len(free)] == [room] * 3
            idle = free[0].request("GET", "/").body
            for client in free[2:]:
                client.close()
            busy[0].send(b"GET /wait?2 HTTP/1.1\r\nHost: a\r\n\r\n")
            began = time.monotonic()
            assert [client.request("GET", "/").body for client in busy[1:3]] == [idle] * 2
            assert time.monotonic() - began < 1.8
            # Now nobody has room but the busy one, whose connection is passed on all the same, and is not lost.
            assert busy[3].request("GET", "/").body not in (b"", idle)
            assert busy[0].read_answer().status == 200
            assert {client.request("GET", "/").status for client in (*full, *busy, *free[:2])} == {200}
        finally:
            for client in clients:
                client.close()


def shares(server: ServerProcess, threads: int, wait: float) -> Tuple[float, float]:
    """The rate with the server as a share of that of bare threads, and of threads / wait."""
    bare = float(server.get(f"/bare?{threads}&{wait}").body)
    command = ["h2load", "--h1", "-t1", "-c16", "-D1", f"http://{server.host}:{server.port}/wait?{wait}"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", report)
    assert found, report
    return int(found.group(1)) / bare, int(found.group(1)) / (threads / wait)


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("h2load"), reason="needs h2load")
def test_threads_that_wait_are_hardly_slower_than_without_a_server() -> None:
    threads = 4
    with ServerProcess(["app:app", "-k", "gthread", "--threads", str(threads)], app=APP) as server:
        for wait in (0.001, 0.002, 0.005):
            of_bare, of_ideal = best_of(
                functools.partial(shares, server, threads, wait),
                lambda found: found[0] >= LEAST_OF_BARE,
                max(5, round(SOAK_SECONDS / 8)),
            )
            print(f"{threads} threads, waits of {wait:g} s: {of_ideal:.3f} of the ideal, {of_bare:.3f} of bare threads")
