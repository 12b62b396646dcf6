"""Start a server on one core, load it from the other, and read what it cost.

Owns: processes and their accounting (``/proc``), the load generators and the reading of their reports.
Must not know: which servers and cases exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
SERVER_CORE, LOAD_CORE = "0", "1"
START_SECONDS = 20.0
WARM_UP_SECONDS = 0.5
PATIENCE = 15.0  # seconds that a load generator may take beyond its load


class Sample(NamedTuple):
    """One measured run.

    Attributes:
        cpu: microseconds of the server's processes per request. rate: requests per second.
        p50, p99: milliseconds, None where the generator does not tell. errors: failed ones of ``requests``. pss: MiB.
        calls: system calls per request, counted in one run only, None in the others.
    """

    cpu: float
    rate: float
    p50: Optional[float]
    p99: Optional[float]
    errors: int
    requests: int
    pss: float
    calls: Optional[float] = None


class Load(NamedTuple):
    """What a load generator reported."""

    requests: int
    seconds: float
    p50: Optional[float]
    p99: Optional[float]
    errors: int


class Running:
    """A started server: all processes of its session count as its own."""

    def __init__(self, name: str, command: str, port: int, environment: Dict[str, str], log: Path) -> None:
        self.name = name
        self.port = port
        self.log = log
        words = ["taskset", "-c", SERVER_CORE, *shlex.split(command)]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                words,
                cwd=HERE / "apps",
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def wait_until_answering(self) -> float:
        """Seconds from now to the first connection that is accepted.

        Raises:
            RuntimeError: the server ended, or did not listen in time.
        """
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
                return time.monotonic() - began
            time.sleep(0.002)
        text = self.log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{self.name}: expected a server on port {self.port}, got\n{text}")

    def pids(self) -> List[int]:
        """Its processes."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            fields = _stat(int(entry.name))
            if fields and int(fields[3]) == self.process.pid:
                found.append(int(entry.name))
        return found

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, also of those that ended and were waited for."""
        ticks = 0
        for pid in self.pids():
            fields = _stat(pid)
            ticks += sum(map(int, fields[11:15])) if fields else 0
        return ticks / TICK

    def pss(self) -> float:
        """Proportional share of memory of all its processes, MiB."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
                total += int(match.group(1)) if match else 0
        return total / 1024

    def stop(self) -> None:
        """End it, at last by force."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _stat(pid: int) -> List[str]:
    """Fields of ``/proc/PID/stat`` from the state on; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def sample(server: Running, load: List[str], seconds: float, warm_up: bool = True) -> Sample:
    """Warm up if asked, load, and read the cost; what the idle server uses is subtracted."""
    if warm_up:
        run_load(load, WARM_UP_SECONDS)
    idle_began, idle_cpu = time.monotonic(), server.cpu_seconds()
    time.sleep(0.3)
    idle = (server.cpu_seconds() - idle_cpu) / (time.monotonic() - idle_began)
    before = server.cpu_seconds()
    report = run_load(load, seconds)
    used = server.cpu_seconds() - before - idle * report.seconds
    if not report.requests:
        raise RuntimeError(
            f"{server.name}: expected answers, got none\n{server.log.read_text(errors='replace')[-1500:]}"
        )
    return Sample(
        cpu=used * 1e6 / report.requests,
        rate=report.requests / report.seconds,
        p50=report.p50,
        p99=report.p99,
        errors=report.errors,
        requests=report.requests,
        pss=server.pss(),
    )


def system_calls(server: Running, load: List[str]) -> Optional[float]:
    """System calls of the server's processes per request, in a second of load; None without strace."""
    if shutil.which("strace") is None:
        return None
    report = server.log.with_suffix(".strace")
    attached = [word for pid in server.pids() for word in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", str(report), *attached], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        requests = run_load(load, 1.0).requests
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s.*total$", report.read_text(), re.MULTILINE)
    return int(total.group(1)) / requests if total and requests else None


def wrk(url: str, connections: int, script: str, options: str) -> List[str]:
    """Command of wrk; the duration is added by ``run_load``."""
    words = ["wrk", "-t1", f"-c{connections}", "--latency", *shlex.split(options)]
    if script:
        words += ["-s", str(HERE / "loads" / script)]
    return [*words, url]


def h2load(url: str, connections: int) -> List[str]:
    """Command of h2load: ten streams at once on each connection."""
    return ["h2load", "-t1", f"-c{connections}", "-m10", url]


def websocket(url: str, connections: int) -> List[str]:
    """Command of the WebSocket client beside this file."""
    return [sys.executable, str(HERE / "loads" / "websocket_load.py"), url, str(connections)]


def run_load(command: List[str], seconds: float) -> Load:
    """Run a load generator for some seconds, and read its report."""
    kind = Path(command[0]).name
    if kind == "wrk":
        words = [*command[:-1], f"-d{max(1, round(seconds))}s", command[-1]]
    elif kind == "h2load":
        words = [*command[:-1], f"-D{max(1, round(seconds))}", command[-1]]
    else:
        words = [*command, str(seconds)]
    try:
        done = subprocess.run(
            ["taskset", "-c", LOAD_CORE, *words],
            capture_output=True,
            text=True,
            timeout=seconds + PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(words)}: expected an end, the server stopped answering") from None
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return READERS.get(kind, read_json)(done.stdout)


def read_wrk(text: str) -> Load:
    """Read wrk's report."""
    match = re.search(r"(\d+) requests in ([\d.]+)(m?s)", text)
    if not match:
        raise RuntimeError(f"wrk: expected a report, got\n{text}")
    seconds = float(match.group(2)) / (1000 if match.group(3) == "ms" else 1)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = (int(bad.group(1)) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
    return Load(int(match.group(1)), seconds, _latency(text, "50%"), _latency(text, "99%"), errors)


def _latency(text: str, percent: str) -> Optional[float]:
    match = re.search(rf"^\s+{percent}\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    return float(match.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match.group(2)] if match else None


def read_h2load(text: str) -> Load:
    """Read h2load's report. It falls back to HTTP/1.1 without a word, which is another case."""
    if "Application protocol: h2\n" not in text:
        raise RuntimeError(f"h2load: expected a server that speaks HTTP/2, got\n{text}")
    time_match = re.search(r"finished in ([\d.]+)(m?s|us)", text)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not time_match or not counts or not codes:
        raise RuntimeError(f"h2load: expected a report, got\n{text}")
    seconds = float(time_match.group(1)) * {"s": 1.0, "ms": 0.001, "us": 1e-6}[time_match.group(2)]
    errors = int(counts.group(2)) + int(codes.group(3)) + int(codes.group(4))
    return Load(int(codes.group(1)), seconds, None, None, errors)


def read_json(text: str) -> Load:
    """Read the report of our own clients."""
    return Load(**json.loads(text))


READERS = {"wrk": read_wrk, "h2load": read_h2load}


@contextlib.contextmanager
def started(server: Running) -> Iterator[Running]:
    """A server that is ended with the block."""
    try:
        server.wait_until_answering()
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(directory: Path) -> Dict[str, str]:
    """Paths of a fresh key and self-signed certificate for 127.0.0.1."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    if not cert.exists():
        command = (
            "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 30 -subj /CN=127.0.0.1 "
            f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
        )
        subprocess.run(shlex.split(command), check=True, capture_output=True)
    return {"key": str(key), "cert": str(cert)}
