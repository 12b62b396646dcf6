"""Slow clients hold nothing: neither threads, nor memory, nor the answers of others."""

from __future__ import annotations

import resource
import socket
import statistics
import time
from typing import Iterator, List

import pytest

from support import ServerProcess
from support.client import RawClient
from workers.wsgi_apps import APPS

SLOW_CLIENTS = 500
SAMPLES = 200
RESPONSE_PARTS = 32  # of 64 KiB, of which a client that does not read takes a few

HEAD = b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Filler: " + b"x" * 200
UPLOAD = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1000
DOWNLOAD = b"GET /large?%d HTTP/1.1\r\nHost: a\r\n\r\n" % RESPONSE_PARTS


@pytest.fixture(scope="module", autouse=True)
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_of_a_request(client: RawClient) -> float:
    """How long one small request takes."""
    began = time.perf_counter()
    assert client.request("GET", "/hello").body == b"hello"
    return time.perf_counter() - began


def slowdown(burdened: RawClient, free: RawClient) -> float:
    """The ratio of the medians, the requests taken in turns so that the machine's noise meets both."""
    pairs = [(seconds_of_a_request(burdened), seconds_of_a_request(free)) for _ in range(SAMPLES)]
    return statistics.median(pair[0] for pair in pairs) / statistics.median(pair[1] for pair in pairs)


def slow_client(server: ServerProcess, behaviour: bytes) -> socket.socket:
    """A client that sends ``behaviour`` and then does next to nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.settimeout(60)
    sock.connect((server.host, server.port))
    sock.sendall(behaviour)
    return sock


def trickle(clients: List[socket.socket], octets: bytes) -> None:
    """Each client sends a bit more."""
    for client in clients:
        client.sendall(octets)


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("behaviour", [HEAD, UPLOAD, DOWNLOAD], ids=["head", "upload", "download"])
def test_requests_are_as_fast_beside_500_slow_clients(worker: str, behaviour: bytes) -> None:
    threads = ["--threads", "4"] if worker == "gthread" else []
    arguments = ["app:app", "-k", worker, *threads, "--keep-alive", "60", "--worker-connections", "2000"]
    with ServerProcess(arguments, app=APPS, clean=False) as server, ServerProcess(arguments, app=APPS) as other:  # noqa: SIM117
        with server.client(60) as client, other.client(60) as free:
            memory = int(client.request("GET", "/rss").body)
            slow: List[socket.socket] = []
            try:
                for _ in range(SLOW_CLIENTS):
                    slow.append(slow_client(server, behaviour))
                # The last of them was served up to where it blocks once a request behind it was answered.
                client.request("GET", "/hello")
                ratio = min(slowdown(client, free) for _ in range(3))
                if behaviour is not DOWNLOAD:
                    trickle(slow, b"x")
                    client.request("GET", "/hello")
                grown = int(client.request("GET", "/rss").body) - memory
            finally:
                for one in slow:
                    one.close()
            assert ratio <= 1.5
            # Far below what the bodies themselves hold (500 x 2 MiB): a bounded part of each is in memory.
            assert grown / SLOW_CLIENTS < 200 * 1024


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_an_upload_above_the_spool_is_refused_before_it_is_sent(worker: str) -> None:
    with (
        ServerProcess(["app:app", "-k", worker, "--body-spool", "100000"], app=APPS) as server,
        server.client() as client,
    ):
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
        assert client.read_answer().status == 413
        assert server.get("/hello").status == 200


def test_an_upload_of_unknown_length_is_refused_when_it_passes_the_spool() -> None:
    with ServerProcess(["app:app", "--body-spool", "100000"], app=APPS) as server, server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
        client.send(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
        assert client.read_answer().status == 413


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
