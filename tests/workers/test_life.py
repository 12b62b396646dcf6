"""How WSGI workers share connections, stop, retire and bound themselves; real processes."""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import signal
import threading
import time
from typing import Dict, Iterator, List

import pytest

from server_core.control.client import ControlClient
from support import SOAK_SECONDS, KeepAliveLoad, RawClient, ServerProcess, best_of, until
from workers.wsgi_apps import APPS

ALL = ("sync", "gthread", "gevent", "eventlet")
HELLO_BOTH = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""
IDLE_CONNECTIONS = 10_000 if SOAK_SECONDS >= 60 else 2000  # per worker class; a cost that grows shows in a few


@pytest.fixture(scope="module", autouse=True)
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def arguments(worker: str, *more: str) -> List[str]:
    return ["app:app", "-k", worker, "--threads", "4" if worker == "gthread" else "1", *more]


@pytest.mark.alone
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent", "eventlet"])
def test_connections_that_open_at_once_are_shared_evenly(worker: str) -> None:
    options = arguments(worker, "--workers", "4", "--keep-alive", "60")
    with ServerProcess(options, app=APPS, workers=4) as server:
        until(lambda: len({server.get("/pid").body for _ in range(20)}) == 4, what="all workers serve")
        best_of(
            lambda: sorted(owners_of(server, 200).values()),
            lambda counts: len(counts) == 4 and counts[0] >= 40 and counts[3] <= 60,
        )


def owners_of(server: ServerProcess, count: int) -> Dict[bytes, int]:
    """How many of the connections that open at once each worker takes."""
    clients = [server.client() for _ in range(count)]
    owners: Dict[bytes, int] = collections.Counter()
    try:
        for client in clients:
            client.send(b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            owners[client.read_answer().body] += 1
    finally:
        for client in clients:
            client.close()
    return owners


@pytest.mark.parametrize("worker", ALL)
def test_a_stop_answers_what_runs_and_what_comes_on_idle_connections(worker: str) -> None:
    with ServerProcess(arguments(worker, "--keep-alive", "3", "--control-socket", "ctl"), app=APPS) as server:
        with server.client() as running, server.client() as idle:
            assert idle.request("GET", "/hello").body == b"hello"
            running.send(b"GET /slow?0.8 HTTP/1.1\r\nHost: a\r\n\r\n")
            with ControlClient(str(server.cwd / "ctl")) as control:
                until(lambda: control.call("show requests")["count"] == 1, what="the request runs")
            server.send_signal(signal.SIGTERM)
            answer = running.read_answer()
            assert (answer.body, answer.header("connection")) == (b"slow", "close")
            idle.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = idle.read_answer()
            assert (answer.body, answer.header("connection")) == (b"hello", "close")
        assert server.wait() == 0


@pytest.mark.parametrize("worker", [*ALL, "asgi"])
def test_without_keepalive_a_stop_waits_for_the_first_request_of_a_connection(worker: str) -> None:
    options = ["app:asgi", "-k", worker] if worker == "asgi" else arguments(worker)
    with ServerProcess([*options, "--keep-alive", "0"], app=HELLO_BOTH) as server, server.client() as client:
        assert server.get("/").status == 200  # the connection before it is accepted as well
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        with contextlib.suppress(OSError):
            while True:  # as long as new connections are taken
                server.get("/")
        assert client.request("GET", "/").status == 200
        assert server.wait() == 0


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_a_stream_that_asks_learns_of_the_stop(worker: str) -> None:
    with ServerProcess(arguments(worker), app=APPS) as server, server.client() as client:
        client.send(b"GET /draining HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"begun")
        server.send_signal(signal.SIGTERM)
        assert b", ended" in client.read_until(b", ended")
        assert server.wait() == 0


@pytest.mark.parametrize("worker", ALL)
def test_workers_are_replaced_after_max_requests_without_losing_any(worker: str) -> None:
    with ServerProcess(arguments(worker, "--max-requests", "50"), app=APPS) as server:
        with KeepAliveLoad((server.host, server.port), connections=4) as load:
            until(lambda: len(server.booted_pids()) >= 3, 20)
        load.result.assert_no_error()


@pytest.mark.parametrize("worker", ALL)
def test_connections_above_worker_connections_wait_in_the_backlog(worker: str) -> None:
    with ServerProcess(arguments(worker, "--worker-connections", "3", "--keep-alive", "30"), app=APPS) as server:
        clients = [server.client() for _ in range(3)]
        try:
            for client in clients:
                assert client.request("GET", "/hello").status == 200
            with server.client() as waiting:
                waiting.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
                waiting.sock.settimeout(0.5)
                assert not waiting.closed_by_peer()
                assert not waiting.buffer
                clients.pop().close()
                waiting.sock.settimeout(10)
                assert waiting.read_answer().body == b"hello"
        finally:
            for client in clients:
                client.close()


def test_threads_run_requests_at_the_same_time() -> None:
    with ServerProcess(arguments("gthread"), app=APPS) as server:
        answers: List[bytes] = []
        asking = [threading.Thread(target=lambda: answers.append(server.get("/meet").body)) for _ in range(2)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert answers == [b"met", b"met"]


@pytest.mark.parametrize("worker", ["gthread", "gevent", "eventlet"])
def test_an_application_that_exits_ends_its_request_only(worker: str) -> None:
    with ServerProcess(arguments(worker), app=APPS) as server:
        assert server.get("/exits").status == 500
        assert server.get("/hello").body == b"hello"
        assert len(server.booted_pids()) == 1


@pytest.mark.parametrize("worker", ALL)
@pytest.mark.parametrize("octets", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: "], ids=["read", "overdue"])
def test_a_defect_of_the_server_closes_one_connection_only(worker: str, octets: bytes) -> None:
    """Here it is a logger that fails where the server tells of a bad request, and of one that does not end."""
    config = """
from server_core.log.setup import Logger

class Failing(Logger):
    def warning(self, message, *args, **kwargs):
        self._fail(message)

    def info(self, message, *args, **kwargs):
        if message.startswith("Invalid request"):
            self._fail(message)
        super().info(message, *args, **kwargs)

    def _fail(self, message):
        raise LookupError("the logger fails")

logger_class = Failing
"""
    options = arguments(worker, "--keep-alive", "60", "--header-timeout", "0.5")
    with ServerProcess(options, app=APPS, files={"server.conf.py": config}) as server:
        workers = server.worker_pids()
        with server.client() as other, server.client() as client:
            assert other.request("GET", "/pid").status == 200
            client.send(octets)
            assert client.sock.recv(100) == b"", "given up"
            assert other.request("GET", "/pid").status == 200
        server.wait_for_log("Error handling the connection of ip=127.0.0.1")
        assert server.log.count("Traceback") == 1
        assert server.worker_pids() == workers


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_greenlets_serve_beside_sleeping_ones(worker: str) -> None:
    with ServerProcess(arguments(worker), app=APPS) as server:
        slow = [server.client() for _ in range(50)]
        try:
            for client in slow:
                client.send(b"GET /slow?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            began = time.monotonic()
            assert [client.read_answer().body for client in slow] == [b"slow"] * 50
            # One after another they would take 50 seconds.
            assert time.monotonic() - began < 25
        finally:
            for client in slow:
                client.close()


@pytest.mark.parametrize("worker", ALL)
def test_thousands_of_idle_connections_are_kept_and_served(worker: str) -> None:
    options = arguments(worker, "--worker-connections", "20000", "--keep-alive", "120")
    with ServerProcess(options, app=APPS) as server:
        clients: List[RawClient] = []
        try:
            for _ in range(IDLE_CONNECTIONS):
                clients.append(server.client())
                clients[-1].send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            assert {client.read_answer().body for client in clients} == {b"hello"}
            assert {client.request("GET", "/hello").body for client in clients[::100]} == {b"hello"}
        finally:
            for client in clients:
                client.close()


def test_the_arbiter_is_not_patched_and_the_worker_is() -> None:
    app = "\n".join(
        (
            "import socket",
            "def app(environ, start_response):",
            "    start_response('200 OK', [])",
            "    return [socket.socket.__module__.encode()]",
        )
    )
    config = "import socket\ndef on_exit(server):\n    print('arbiter uses', socket.socket.__module__)\n"
    with ServerProcess(["app:app", "-k", "gevent"], app=app, config=config) as server:
        assert b"gevent" in server.get("/").body
        server.stop()
        server.wait_for_log("arbiter uses socket")


@pytest.mark.parametrize(
    ("worker", "patch"),
    [
        ("gevent", "from gevent import monkey\nmonkey.patch_all()\n"),
        ("eventlet", "import eventlet\neventlet.monkey_patch()\n"),
    ],
)
def test_a_config_file_that_patches_the_arbiter_does_no_harm(worker: str, patch: str) -> None:
    with ServerProcess(arguments(worker), app=APPS, config=patch) as server:
        os.kill(server.booted_pids()[0], signal.SIGKILL)
        server.wait_for_log("was sent SIGKILL")
        until(lambda: len(server.booted_pids()) == 2, what="a successor")
        assert server.get("/hello").body == b"hello"
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 20  # and not graceful_timeout, for a child whose end is not noticed


def test_an_idle_connection_of_a_busy_worker_is_served_by_an_idle_one() -> None:
    with ServerProcess(arguments("sync", "--workers", "2", "--keep-alive", "60"), app=APPS, workers=2) as server:
        until(lambda: len({server.get("/pid").body for _ in range(20)}) == 2, what="both workers serve")
        clients: List[RawClient] = [server.client() for _ in range(12)]
        try:
            owners = {client: client.request("GET", "/pid").body for client in clients}
            assert len(set(owners.values())) == 2
            busy = owners[clients[0]]
            neighbours = [client for client in clients[1:] if owners[client] == busy]
            clients[0].send(b"GET /slow?5 HTTP/1.1\r\nHost: a\r\n\r\n")
            began = time.monotonic()
            for client in neighbours:
                assert client.request("GET", "/pid").body != busy
                assert client.request("GET", "/hello").body == b"hello"
            assert time.monotonic() - began < 4
            assert clients[0].read_answer().body == b"slow"
            assert clients[0].request("GET", "/pid").body == busy
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("stop", [False, True])
def test_a_connection_passed_while_nobody_is_idle_is_served_by_whoever_is_first(stop: bool) -> None:
    with ServerProcess(arguments("sync", "--workers", "2", "--keep-alive", "5"), app=APPS, workers=2) as server:
        until(lambda: len({server.get("/pid").body for _ in range(20)}) == 2, what="both workers serve")
        clients: List[RawClient] = [server.client() for _ in range(12)]
        try:
            owners = {client: client.request("GET", "/pid").body for client in clients}
            first = clients[0]
            second = next(client for client in clients if owners[client] != owners[first])
            first.send(b"GET /slow?1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
            second.send(b"GET /slow?0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
            others = [client for client in clients if client not in (first, second)]
            for client in others:
                client.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            if stop:
                time.sleep(0.3)  # they are to be passed on when the signal comes; nothing tells from outside
                server.send_signal(signal.SIGTERM)
            assert {client.read_answer().body for client in others} == {b"hello"}
            assert [first.read_answer().body, second.read_answer().body] == [b"slow", b"slow"]
        finally:
            for client in clients:
                client.close()


def test_requests_behind_other_requests_do_not_make_a_worker_silent() -> None:
    with ServerProcess(arguments("sync", "--timeout", "2"), app=APPS) as server:
        clients = [server.client() for _ in range(8)]
        try:
            for client in clients:
                client.send(b"GET /slow?0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert [client.read_answer().body for client in clients] == [b"slow"] * 8
            assert "TIMEOUT" not in server.log
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_an_upload_that_never_ends_has_no_stopping_worker_killed(worker: str) -> None:
    with ServerProcess(arguments(worker, "--graceful-timeout", "2"), app=APPS) as server, server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        assert server.stop() == 0
        assert "Ending 1 requests that outlasted graceful_timeout: POST /echo" in server.log
