"""Metrics and health of a running server, read by the parsers that will read them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any, Dict, Tuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from control.scraping import metrics_address, scrape_all
from support import KeepAliveLoad, ServerProcess, request, until

APP = """
import time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("wanted")
    if path == "/slow":
        time.sleep(0.3)
    environ["wsgi.input"].read()
    status = "404 Not Found" if path == "/missing" else "200 OK"
    start_response(status, [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise RuntimeError("wanted")
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def serve(*arguments: str, workers: int = 2, app: str = "app:app") -> ServerProcess:
    return ServerProcess(
        [app, "-w", str(workers), "--no-control-socket", "--metrics-bind", "127.0.0.1:0", *arguments],
        app=APP,
        workers=workers,
    )


def scrape(server: ServerProcess) -> Dict[Tuple[str, str], float]:
    """Samples of the HTTP workers by name and last label."""
    found = {}
    for (name, labels), number in scrape_all(server).items():
        rest = dict(labels)
        if rest.pop("group", "http") == "http":
            found[name, ",".join(rest.values())] = number
    return found


def test_requests_are_counted_by_class_with_their_durations():
    with serve() as server:
        for path in ("/", "/", "/missing", "/fail", "/slow"):
            request((server.host, server.port), "GET", path)
        until(lambda: scrape(server)["server_requests_total", "2xx"] == 3, what="the requests are counted")
        until(lambda: scrape(server)["server_workers", "ready"] == 2, what="both workers are ready")
        found = scrape(server)
        assert found["server_requests_total", "4xx"] == 1
        assert found["server_requests_total", "5xx"] == 1
        assert found["server_request_errors_total", ""] == 1
        assert found["server_request_duration_seconds_count", ""] == 5
        assert found["server_request_duration_seconds_bucket", "+Inf"] == 5
        assert found["server_request_duration_seconds_bucket", "0.25"] == 4
        assert found["server_request_duration_seconds_sum", ""] >= 0.3
        assert found["server_workers_target", ""] == 2
        assert found["server_ready", ""] == 1
        assert found["server_worker_memory_bytes", "0"] > 1_000_000


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent", "eventlet", "asgi"])
def test_every_worker_counts_errors_refusals_and_octets(worker: str) -> None:
    with serve("-k", worker, workers=1, app="app:asgi" if worker == "asgi" else "app:app") as server:
        assert request((server.host, server.port), "GET", "/fail").status == 500
        with server.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 700\r\n\r\n" + b"x" * 700)
            assert client.read_answer().status == 200
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n")
            client.send(b"x" * 300)
            assert client.read_answer().status == 200
            client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
            assert client.read_answer().status == 400
        until(lambda: scrape(server)["server_requests_total", "2xx"] == 2, what="the requests are counted")
        found = scrape(server)
        assert found["server_request_errors_total", ""] == 1
        assert found["server_received_bytes_total", ""] == 1000
        assert found["server_requests_refused_total", ""] == 1


def test_the_openmetrics_format_is_served_when_it_is_asked_for():
    with serve() as server:
        answer = request(
            metrics_address(server), "GET", "/metrics", headers=[("Accept", "application/openmetrics-text")]
        )
        assert answer.header("content-type").startswith("application/openmetrics-text")
        names = {family.name for family in parse_openmetrics(answer.text)}
        assert {"server", "server_requests", "server_request_duration_seconds", "server_workers"} <= names


def test_no_counter_goes_back_when_workers_are_killed_and_reloaded():
    with serve("-k", "gthread") as server:
        highest: Dict[Any, float] = {}

        def look() -> None:
            found = counters(server)
            assert [key for key, before in highest.items() if found.get(key, 0) < before] == []
            highest.update(found)

        with KeepAliveLoad((server.host, server.port), connections=4) as load:
            load.wait_for_answers(50)
            for round_number in range(3):
                until(lambda: scrape(server)["server_workers", "ready"] == 2, what="both workers are ready")
                look()
                os.kill(server.worker_pids()[-1], signal.SIGKILL)
                load.wait_for_answers(50)
                look()
                server.send_signal(signal.SIGHUP)
                server.wait_for_log("Reload complete", count=round_number + 1, timeout=20)
                look()
        until(lambda: scrape(server)["server_worker_exits_total", "killed"] >= 3, what="the kills are counted")
        until(lambda: scrape(server)["server_worker_exits_total", "dismissed"] >= 3, what="the reloads are counted")
        look()
        assert highest["server_requests_total", frozenset({("group", "http"), ("status", "2xx")})] >= 150


def counters(server: ServerProcess) -> Dict[Any, float]:
    """All counters and the parts of histograms, by name and labels."""
    endings = ("_total", "_bucket", "_sum", "_count")
    return {key: number for key, number in scrape_all(server).items() if key[0].endswith(endings)}


def test_health_follows_the_workers():
    with serve() as server:
        address = metrics_address(server)
        assert request(address, "GET", "/livez").status == 200
        until(lambda: request(address, "GET", "/readyz").status == 200, what="the server is ready")
        assert request(address, "GET", "/nothing").status == 404
        assert request(address, "POST", "/metrics").status == 405


def test_connections_that_say_nothing_keep_no_probe_out():
    with serve(workers=1) as server:
        address = metrics_address(server)
        idle = [socket.create_connection(address) for _ in range(100)]
        try:
            assert request(address, "GET", "/livez").status == 200
        finally:
            for connection in idle:
                connection.close()


def test_a_stopping_server_is_alive_and_not_ready():
    with serve("--graceful-timeout", "5", workers=1) as server:
        address = metrics_address(server)
        until(lambda: request(address, "GET", "/readyz").status == 200, what="the server is ready")
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            server.send_signal(signal.SIGTERM)
            until(lambda: request(address, "GET", "/readyz").status == 503, what="it is not ready any more")
            assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_hostile_scrapers_delay_nobody():
    with serve() as server:
        address = metrics_address(server)
        stuck = [socket.create_connection(address) for _ in range(40)]
        for client in stuck[:20]:
            client.sendall(b"GET /metrics HTT")
        for client in stuck[20:]:
            client.close()
        until(lambda: _scrapes(server), what="scrapes are answered again")
        for client in stuck[:20]:
            client.close()


def test_a_flood_of_scrapes_is_answered_and_so_are_others():
    with serve() as server:
        address = metrics_address(server)
        flood_size = 100
        with socket.create_connection(address) as flood:
            answered = []

            def read() -> None:
                with flood.makefile("rb") as stream:
                    for line in stream:
                        if line.startswith(b"# TYPE server_ready "):
                            answered.append(line)
                            if len(answered) == flood_size:
                                return

            reader = threading.Thread(target=read)
            reader.start()
            flood.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * flood_size)
            until(lambda: answered, what="the flood is being answered")
            assert request(address, "GET", "/livez").status == 200
            reader.join()
            assert len(answered) == flood_size


def _scrapes(server: ServerProcess) -> bool:
    try:
        return ("server_ready", "") in scrape(server)
    except (OSError, AssertionError, EOFError):
        return False


def test_a_metrics_address_in_use_stops_the_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with ServerProcess(["app:app", "--metrics-bind", address], app=APP, wait=False, clean=False) as server:
            assert server.wait() == 1
            assert f"metrics_bind: {address}" in server.log or "metrics_bind" in server.log
            server.assert_nothing_left()


@pytest.mark.parametrize("part", [1, 7])
def test_a_request_in_small_pieces_is_answered(part):
    with serve() as server, socket.create_connection(metrics_address(server)) as client:
        text = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        for start in range(0, len(text), part):
            client.sendall(text[start : start + part])
        data = b""
        while chunk := client.recv(4096):
            data += chunk
        assert data.startswith(b"HTTP/1.1 200")
        assert data.endswith(b"ok\n")
