"""Slow clients hold nothing: neither threads, nor memory, nor the answers of others."""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import time
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from support import RawClient, ServerProcess, best_of, request, soak_seconds, until
from support.crowd import BODY_OCTETS, RESPONSE_OCTETS, crowd
from workers.wsgi_apps import APPS

CROWD = {"head": 200, "upload": 100, "late_upload": 100, "stream": 50, "blob": 50}
MEMORY_PER_CLIENT = 512 * 1024  # of up to 10 MiB that each is about
# Of the threads of gthread all but one take large uploads as they arrive.
MOST_SLOWDOWN = {"sync": 1.5, "gthread": 3.0}
ROUNDS = 7

SLOW_APP = """
import contextlib
import os
import tempfile


def app(environ, start_response):
    path, count = environ["PATH_INFO"], int(environ["QUERY_STRING"] or 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return (bytes(65536) for _ in range(count // 65536))
    if path == "/blob":
        return [os.urandom(1024) * (count // 1024)]
    if path == "/file":
        stream = tempfile.TemporaryFile()
        stream.truncate(count)
        return environ["wsgi.file_wrapper"](stream)
    if path == "/length":
        return [b"%d" % len(environ["wsgi.input"].read())]
    return [b"hello"]
"""


@pytest.fixture(scope="module", autouse=True)
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_of_a_request(client: RawClient) -> float:
    """How long one small request takes."""
    began = time.perf_counter()
    assert client.request("GET", "/hello").body == b"hello"
    return time.perf_counter() - began


class Compared:
    """How long requests of two servers took, asked in turns and in rounds so that the machine's noise meets both."""

    def __init__(self, burdened: ServerProcess, free: ServerProcess, seconds: float) -> None:
        self.rounds: List[Tuple[List[float], List[float]]] = []
        with burdened.client(60) as one, free.client(60) as other:
            for _ in range(ROUNDS):
                ends = time.monotonic() + seconds / ROUNDS
                pairs = []
                while time.monotonic() < ends:
                    pairs.append((seconds_of_a_request(one), seconds_of_a_request(other)))
                self.rounds.append((sorted(pair[0] for pair in pairs), sorted(pair[1] for pair in pairs)))

    def ratio(self, quantile: float) -> float:
        """The quantile with the burden to the one without: the median of the rounds."""
        return statistics.median(at(one, quantile) / at(other, quantile) for one, other in self.rounds)

    def __repr__(self) -> str:
        texts = []
        for quantile in (0.5, 0.99):
            one, other = (statistics.median(at(side[index], quantile) for side in self.rounds) for index in (0, 1))
            texts.append(f"p{quantile * 100:g} {one * 1e6:.0f} us, without {other * 1e6:.0f} us")
        return f"{', '.join(texts)} ({sum(len(one) for one, _ in self.rounds)} samples of each)"


def at(values: List[float], quantile: float) -> float:
    """The quantile of sorted values."""
    return values[int(len(values) * quantile)]


def resident(pid: int) -> int:
    """Octets of memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def spooled(pid: int, folder: Path) -> List[int]:
    """Sizes of the files without a name that a process has in a folder."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(entry).startswith(str(folder)):
                found.append(entry.stat().st_size)
        except OSError:  # closed meanwhile
            continue
    return found


@pytest.mark.soak
@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_requests_are_as_fast_beside_a_crowd_of_slow_clients(worker: str, tmp_path: Path) -> None:
    arguments = ["app:app", "-k", worker, "--threads", "4" if worker == "gthread" else "1"]
    config = f"tmp_upload_dir = {str(tmp_path)!r}\nworker_connections = 4000\n"
    config += "keepalive = header_timeout = body_timeout = send_timeout = 3600\n"
    options = {"app": SLOW_APP, "config": config}
    with ServerProcess(arguments, **options) as server, ServerProcess(arguments, **options) as other:
        server.get("/hello")
        pid = server.booted_pids()[0]
        before = resident(pid)
        with crowd(server.host, server.port, 120, **CROWD) as clients:
            server.get("/hello", timeout=120)  # every response of the crowd is under way once one behind it is answered
            compared = best_of(
                lambda: Compared(server, other, soak_seconds()),
                lambda found: max(found.ratio(0.5), found.ratio(0.99)) <= MOST_SLOWDOWN[worker],
            )
            grown = resident(pid) - before
            files = spooled(pid, tmp_path)
        print(f"{worker}: {compared}; {grown >> 20} MiB more, {sum(files) >> 20} MiB in {len(files)} files")
        assert clients.lost == 0
        assert grown < sum(CROWD.values()) * MEMORY_PER_CLIENT
        assert max(files) <= RESPONSE_OCTETS
        assert sum(files) <= CROWD["late_upload"] * BODY_OCTETS + (CROWD["stream"] + CROWD["blob"]) * RESPONSE_OCTETS
        until(lambda: not spooled(pid, tmp_path), 30, what="what was spooled for clients that left is given back")


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_an_upload_above_the_spool_is_refused_before_it_is_sent(worker: str) -> None:
    with (
        ServerProcess(["app:app", "-k", worker, "--body-spool", "100000", "--access-logfile", "-"], app=APPS) as server,
        server.client() as client,
    ):
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
        assert client.read_answer().status == 413
        server.wait_for_log('"POST /echo HTTP/1.1" 413')
        assert server.get("/hello").status == 200


def test_an_upload_of_unknown_length_is_refused_when_it_passes_the_spool() -> None:
    with ServerProcess(["app:app", "--body-spool", "100000"], app=APPS) as server, server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
        client.send(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
        assert client.read_answer().status == 413


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_an_upload_that_comes_in_one_piece_keeps_to_the_same_bounds(worker: str) -> None:
    arguments = ["app:app", "-k", worker, "--threads", "1", "--body-buffer", "10", "--body-spool", "100"]
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with ServerProcess(arguments, app=APPS) as server, server.client() as client:
        for size in (5, 50):
            client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))
            assert client.read_answer().body == b"x" * size
        client.send(head + b"96\r\n%b\r\n0\r\n\r\n" % (b"x" * 150))
        assert client.read_answer().status == 413


def test_an_upload_is_refused_when_the_disk_stays_full_and_later_ones_are_not() -> None:
    # A limit of the process on the size of a file is a full disk to whoever writes.
    config = """
import resource


def post_worker_init(worker):
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
"""
    arguments = ["app:app", "--body-buffer", "1000", "--body-timeout", "1"]
    with ServerProcess(arguments, app=APPS, config=config) as server, server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + b"x" * 350_000)
        assert server.get("/hello").status == 200
        assert client.read_answer().status == 503
        server.wait_for_log("Refused POST /echo with 503: no room for its body: cannot spool to ")
        assert len(request((server.host, server.port), "POST", "/echo", {}, b"x" * 200_000).body) == 200_000


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("sendfile", ["true", "false"])
def test_a_file_for_a_slow_reader_holds_nobody(worker: str, sendfile: str) -> None:
    arguments = ["app:app", "-k", worker, "--threads", "2" if worker == "gthread" else "1"]
    config = f"sendfile = {sendfile.title()}\n"
    with ServerProcess(arguments, app=SLOW_APP, config=config) as server, server.client() as reader:
        reader.send(b"GET /file?20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        reader.read_until(b"\r\n\r\n")
        for _ in range(3):
            assert server.get("/hello").body == b"hello"
        reader.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(reader.read_exactly(20_000_000)) == 20_000_000
        assert reader.read_answer().body == b"hello"


def test_reading_pauses_while_the_spool_files_are_full_and_goes_on_afterwards() -> None:
    # The body of each fits alone; both together do not.
    arguments = ["app:app", "--spool-total", "300000", "--body-buffer", "1000", "--body-timeout", "20"]
    body = b"x" * 200_000
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
    with ServerProcess(arguments, app=APPS) as server, server.client() as first, server.client() as second:
        first.send(head + body[:-1])
        assert server.get("/hello").status == 200
        second.send(head + body)
        assert server.get("/hello").status == 200
        first.send(body[-1:])
        assert len(first.read_answer().body) == 200_000
        assert len(second.read_answer().body) == 200_000


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_a_streaming_application_waits_for_its_reader_while_nobody_else_waits(worker: str) -> None:
    arguments = ["app:app", "-k", worker, "--threads", "2" if worker == "gthread" else "1"]
    with ServerProcess(arguments, app=APPS) as server, server.client() as reader:
        before = int(server.get("/rss").body)
        reader.send(b"GET /large?1600 HTTP/1.1\r\nHost: a\r\n\r\n")
        received = len(reader.read_until(b"\r\n\r\n"))
        grown = int(server.get("/rss").body) - before
        assert grown < 20 * 1024 * 1024
        assert received
        assert len(reader.sock.recv(1024)) > 0


def test_a_response_beyond_its_spool_waits_for_the_reader_and_arrives_whole() -> None:
    with ServerProcess(["app:app", "--response-spool", "1000000"], app=APPS) as server, server.client(60) as reader:
        reader.send(b"GET /large?200 HTTP/1.1\r\nHost: a\r\n\r\n")
        with server.client() as other:
            other.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            assert len(reader.read_answer().body) == 200 * 65536
            assert other.read_answer().body == b"hello"


@pytest.mark.parametrize("path", ["/stream", "/sleep"])
def test_connections_accepted_together_with_a_slow_one_are_all_served(path: str) -> None:
    # While a request runs, connections queue up in the kernel; then the worker takes several at a time.
    app = "import time\n" + SLOW_APP.replace(
        '    if path == "/stream"', '    if path == "/sleep":\n        time.sleep(1)\n    if path == "/stream"'
    )
    with ServerProcess(["app:app", "-k", "sync"], app=app) as server, contextlib.ExitStack() as stack:
        busy = stack.enter_context(server.client())
        busy.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        reader = stack.enter_context(server.client())
        reader.send(b"GET %b?%d HTTP/1.1\r\nHost: a\r\n\r\n" % (path.encode(), RESPONSE_OCTETS))
        others = [stack.enter_context(server.client()) for _ in range(6)]
        for other in others:
            other.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        for other in others:
            assert other.read_answer().body == b"hello"
            assert other.request("GET", "/hello").body == b"hello"
        assert reader.read_answer().status == 200
