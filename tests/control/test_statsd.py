"""What a statsd server receives from a running server."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections import Counter
from typing import Callable, List

from support import ServerProcess, request

APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("wanted")
    start_response("404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Receiver:
    """A statsd server: collects lines."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.lines: List[str] = []

    def collect(self, enough: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not enough():
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            with contextlib.suppress(socket.timeout):
                self.lines += self.socket.recv(65536).decode().split("\n")
            assert time.monotonic() < deadline, self.lines

    def sums(self) -> Counter:
        totals: Counter = Counter()
        for line in self.lines:
            found = re.fullmatch(r"([^:]+):([0-9.]+)\|c(?:\|#.*)?", line)
            if found:
                totals[found.group(1)] += int(found.group(2))
        return totals


def test_gunicorns_names_are_sent_with_prefix_and_tags():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        receiver = Receiver(sock)
        host = f"127.0.0.1:{sock.getsockname()[1]}"
        arguments = ["app:app", "-w", "2", "--statsd-host", host, "--statsd-prefix", "shop", "--enable-backlog-metric"]
        with ServerProcess([*arguments, "--dogstatsd-tags", "a:b,c"], app=APP, workers=2) as server:
            for path in ("/", "/", "/", "/missing", "/fail"):
                request((server.host, server.port), "GET", path)
            receiver.collect(lambda: receiver.sums()["shop.gunicorn.requests"] == 5)
            receiver.collect(lambda: receiver.sums()["shop.gunicorn.log.exception"] == 1)
        assert receiver.sums()["shop.gunicorn.request.status.200"] == 3
        assert receiver.sums()["shop.gunicorn.request.status.404"] == 1
        assert all(line.endswith("|#a:b,c") for line in receiver.lines)
        durations = [line for line in receiver.lines if line.startswith("shop.gunicorn.request.duration:")]
        weights = [re.search(r"\|ms(?:\|@([0-9.]+))?\|", line).group(1) for line in durations]
        assert round(sum(1 / float(weight or 1) for weight in weights)) == 5
        assert any(line.startswith("shop.gunicorn.workers:2|g") for line in receiver.lines)
        assert any(line.startswith("shop.gunicorn.backlog:0|h") for line in receiver.lines)


def test_a_unix_datagram_socket_receives_too(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "statsd.sock"))
        receiver = Receiver(sock)
        with ServerProcess(["app:app", "--statsd-host", f"unix://{tmp_path}/statsd.sock"], app=APP) as server:
            request((server.host, server.port), "GET", "/")
            receiver.collect(lambda: receiver.sums()["gunicorn.requests"] == 1)


def test_a_statsd_server_that_is_not_there_disturbs_nobody():
    with ServerProcess(["app:app", "--statsd-host", "unix:///nowhere/statsd.sock"], app=APP) as server:
        assert request((server.host, server.port), "GET", "/").status == 200


def test_an_unknown_host_is_told_of_and_disturbs_nobody():
    with ServerProcess(["app:app", "--statsd-host", "no.such.host.invalid"], app=APP) as server:
        server.wait_for_log("no.such.host.invalid cannot be found")
        assert request((server.host, server.port), "GET", "/").status == 200
