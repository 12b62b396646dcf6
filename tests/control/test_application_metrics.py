"""What an application counts with prometheus_client, read from the server's own endpoint."""

from __future__ import annotations

import os
import signal
from typing import Set

import pytest

from control.scraping import scrape_all, value
from support import KeepAliveLoad, ServerProcess, request, until
from support.process import children_of

WSGI = """
import os
from prometheus_client import Counter, Gauge, Histogram

HITS = Counter("shop_hits", "Hits.", ["path"])
WORKERS = Gauge("shop_worker", "Which there are.", multiprocess_mode="liveall")
WAIT = Histogram("shop_wait_seconds", "Wait.", buckets=(0.1, 1.0))

def app(environ, start_response):
    WORKERS.set(1)
    HITS.labels(environ["PATH_INFO"]).inc()
    WAIT.observe(0.5)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

ASGI = """
from prometheus_client import Counter, Gauge, Histogram

HITS = Counter("shop_hits", "Hits.", ["path"])
WORKERS = Gauge("shop_worker", "Which there are.", multiprocess_mode="liveall")
WAIT = Histogram("shop_wait_seconds", "Wait.", buckets=(0.1, 1.0))

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    WORKERS.set(1)
    HITS.labels(scope["path"]).inc()
    WAIT.observe(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def serve(*arguments: str, app: str = WSGI) -> ServerProcess:
    own = ["app:app", "-w", "2", "--no-control-socket", "--metrics-bind", "127.0.0.1:0", "--application-metrics"]
    return ServerProcess([*own, *arguments], app=app, workers=2)


def hits(server: ServerProcess, path: str) -> float:
    return value(scrape_all(server), "shop_hits_total", path=path)


def ready(server: ServerProcess) -> float:
    return value(scrape_all(server), "server_workers", group="http", state="ready")


@pytest.mark.parametrize(
    ("worker", "more"),
    [
        ("sync", ["--preload"]),
        ("gthread", ["--threads", "4"]),
        ("gevent", ["--preload"]),
        ("eventlet", []),
        ("asgi", []),
    ],
)
def test_every_kind_of_worker_counts_for_all(worker, more):
    with serve("-k", worker, *more, app=ASGI if worker == "asgi" else WSGI) as server:
        with KeepAliveLoad((server.host, server.port), connections=4, target="/load") as load:
            load.wait_for_answers(100)
        for _ in range(10):
            request((server.host, server.port), "GET", "/one")
        found = scrape_all(server)
        assert value(found, "shop_hits_total", path="/one") == 10
        total = value(found, "shop_wait_seconds_count")
        assert total == 10 + value(found, "shop_hits_total", path="/load") >= 110
        assert value(found, "shop_wait_seconds_bucket", le="1.0") == total
        assert value(found, "shop_wait_seconds_bucket", le="0.1") == 0


def test_counters_go_on_and_gauges_go_when_workers_are_killed_and_replaced():
    with serve("-k", "gthread") as server:
        for _ in range(20):
            request((server.host, server.port), "GET", "/a")
        before = server.worker_pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: pid not in children_of(server.pid), what="the worker is reaped")
            assert hits(server, "/a") == 20
        until(lambda: ready(server) == 2, what="successors are ready")
        for _ in range(20):
            request((server.host, server.port), "GET", "/a")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        found = scrape_all(server)
        assert value(found, "shop_hits_total", path="/a") == 40
        assert value(found, "shop_wait_seconds_sum") == 20
        request((server.host, server.port), "GET", "/a")
        until(lambda: shown(server) <= set(server.worker_pids()), what="the gauges of the dead are gone")


def shown(server: ServerProcess) -> Set[int]:
    return {int(dict(labels)["pid"]) for name, labels in scrape_all(server) if name == "shop_worker"}


def test_it_is_turned_on_by_a_reload_and_off_without_it(tmp_path):
    config = 'workers = 1\nmetrics_bind = "127.0.0.1:0"\ncontrol_socket_disable = True\napplication_metrics = {}\n'
    with ServerProcess(["app:app"], app=WSGI, config=config.format(False)) as server:
        request((server.host, server.port), "GET", "/a")
        assert hits(server, "/a") == 0
        (server.cwd / "server.conf.py").write_text(config.format(True))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        # The old worker may answer what it finds while it leaves.
        until(lambda: request((server.host, server.port), "GET", "/a") and hits(server, "/a") >= 1, what="it counts")


def test_without_the_library_the_start_says_what_to_install(tmp_path):
    hide = "import importlib.util as u\nfind = u.find_spec\n"
    hide += "u.find_spec = lambda name, *more: None if name == 'prometheus_client' else find(name, *more)\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    app = "def app(environ, start_response): pass"
    with ServerProcess(
        ["app:app", "--application-metrics"], app=app, env={"PYTHONPATH": str(tmp_path)}, wait=False, clean=False
    ) as server:
        assert server.wait() == 1
        assert "pip install 'server-cli[metrics]'" in server.log
        assert "Traceback" not in server.log
