"""Calls of dirty workers: this server's beside gunicorn's, in one run, in turns.

Owns: the application, the two servers at the same time, the figures and the verdict.
Must not know: how either makes its calls.

    python benchmarks/dirty.py --gunicorn DIR/bin/gunicorn

Both serve the same file with four HTTP workers and two dirty workers. The calls are made within HTTP workers: by one of
them for the round trips, by all four at once for the rate. An array of 8 MiB goes there and back as a NumPy array where
that can travel, as bytes elsewhere.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List

ROUNDS = 5
CALLERS = 4
READY_SECONDS = 30.0
# What is promised.
RATE = 4.0  # times gunicorn's calls a second
SMALL = 150e-6  # seconds, median
LARGE = 10e-3  # seconds, median

APP = """
import json, statistics, time

try:
    from server_dirty import DirtyApp, get_dirty_client
    import numpy
    LARGE = numpy.arange(1 << 20, dtype="f8")
except ImportError:
    from gunicorn.dirty import DirtyApp, get_dirty_client
    LARGE = bytes(8 << 20)


class Echo(DirtyApp):
    def init(self):
        pass

    def __call__(self, action, *args, **kwargs):
        return args[0]

    def close(self):
        pass


def times(value, count):
    client = get_dirty_client()
    client.execute("bench_app:Echo", "value", value)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        client.execute("bench_app:Echo", "value", value)
        taken.append(time.perf_counter() - began)
    return taken


def app(environ, start_response):
    if environ["PATH_INFO"] == "/rate":
        answer = {"calls": len(times(1, 1500))}
    else:
        answer = {"small": statistics.median(times(1, 400)), "large": statistics.median(times(LARGE, 9))}
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

OPTIONS = ["-w", "4", "--timeout", "120", "--dirty-app", "bench_app:Echo",
           "--dirty-workers", "2", "--dirty-threads", "1", "--log-level", "error"]  # fmt: skip


def start(command: List[str], directory: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server at a port."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": directory}
    return subprocess.Popen(
        [*command, "bench_app:app", *OPTIONS, "-b", f"127.0.0.1:{port}"], cwd=directory, env=environ
    )


def ask(port: int, path: str) -> Dict[str, float]:
    """Have one HTTP worker measure; waits until the server serves."""
    until = time.monotonic() + READY_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                found: Dict[str, float] = json.loads(body)
                return found
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > until:
            raise SystemExit(f"bench: expected an answer at port {port} within {READY_SECONDS:g} s, got none")
        time.sleep(0.2)


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process and its descendants, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return used + sum(cpu_of(int(child)) for child in children)


def measure(port: int, pid: int) -> Dict[str, float]:
    """Measure a server once: round trips, then the rate of all callers at once and the CPU time of a call."""
    found = ask(port, "/")
    with ThreadPoolExecutor(CALLERS) as pool:
        cpu, began = cpu_of(pid), time.perf_counter()
        calls = sum(answer["calls"] for answer in pool.map(lambda _: ask(port, "/rate"), range(CALLERS)))
        return {**found, "rate": calls / (time.perf_counter() - began), "cpu": (cpu_of(pid) - cpu) / calls}


def best(rounds: List[Dict[str, float]]) -> Dict[str, float]:
    """The round least disturbed by other load, for each figure."""
    return {
        "small": min(found["small"] for found in rounds),
        "large": min(found["large"] for found in rounds),
        "rate": max(found["rate"] for found in rounds),
        "cpu": min(found["cpu"] for found in rounds),
    }


def verdict(ours: Dict[str, float], theirs: Dict[str, float]) -> int:
    """Print the figures beside what is promised; 1 when something is not kept."""
    rows: List[Any] = [
        ("call, median", "small", 1e6, "µs", ours["small"] <= SMALL, f"at most {SMALL * 1e6:.0f} µs"),
        ("8 MiB there and back, median", "large", 1e3, "ms", ours["large"] <= LARGE, f"at most {LARGE * 1e3:.0f} ms"),
        ("calls a second, four callers", "rate", 1, "", ours["rate"] >= RATE * theirs["rate"], f"{RATE:g} times"),
        ("CPU time of a call, everywhere", "cpu", 1e6, "µs", True, "nothing, for machines that are busy"),
    ]
    for name, key, scale, unit, kept, promised in rows:
        ratio = ours[key] / theirs[key] if key == "rate" else theirs[key] / ours[key]
        print(
            f"{name:<30} server {ours[key] * scale:8.1f} {unit:<2}  gunicorn {theirs[key] * scale:8.1f} {unit:<2}  "
            f"{ratio:5.1f} times; promised {promised}: {'kept' if kept else 'NOT KEPT'}"
        )
    return 0 if all(kept for *_, kept, _ in rows) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gunicorn", required=True, help="the command gunicorn")
    parser.add_argument("--port", type=int, default=18740, help="this and the next port are used")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "bench_app.py").write_text(APP)
        servers = [
            start([sys.executable, "-m", "server_cli"], directory, arguments.port),
            start([arguments.gunicorn], directory, arguments.port + 1),
        ]
        try:
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(measure(arguments.port, servers[0].pid))
                theirs.append(measure(arguments.port + 1, servers[1].pid))
        finally:
            for server in servers:
                server.terminate()
                server.wait(30)
    return verdict(best(ours), best(theirs))


if __name__ == "__main__":
    sys.exit(main())
