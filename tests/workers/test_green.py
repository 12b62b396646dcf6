"""The green workers: what they make cooperative, and early enough; their names; many idle connections."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from protocols.fronts import Certificates
from support import RawClient, ServerProcess
from support.databases import postgres, redis

pytest.importorskip("redis")
pytest.importorskip("pg8000")
pytest.importorskip("psycopg2")

AT_ONCE = 8
WAIT = 0.5

APP = """
import os
import socket
import ssl
import urllib.request

import pg8000.dbapi
import psycopg2
import redis

# Taken when the application is imported: whoever patches later comes too late for them.
from socket import create_connection, getaddrinfo
from time import sleep

WAIT = os.environ["WAIT"]


def use_pg8000():
    connection = pg8000.dbapi.connect("test", host="127.0.0.1", port=int(os.environ["PG"]), database="postgres")
    connection.cursor().execute("select pg_sleep(" + WAIT + ")")
    connection.close()


def use_psycopg2():
    connection = psycopg2.connect(user="test", host="127.0.0.1", port=os.environ["PG"], dbname="postgres")
    connection.cursor().execute("select pg_sleep(" + WAIT + ")")
    connection.close()


def use_redis():
    client = redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS"]))
    client.blpop("nothing", float(WAIT))
    client.close()


def use_https():
    context = ssl.create_default_context(cafile=os.environ["CA"])
    port = os.environ["TLS_PORT"]
    assert urllib.request.urlopen("https://localhost:" + port + "/wait?" + WAIT, context=context).read() == b"waited"


def use_sleep():
    sleep(float(WAIT))


def use_subprocess():
    import subprocess

    subprocess.run(["sleep", WAIT], check=True)


def modules():
    return ",".join(found.__module__ for found in (getaddrinfo, create_connection, socket.socket))


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    name = environ["PATH_INFO"][1:]
    if name == "modules":
        return [modules().encode()]
    globals()["use_" + name]()
    return [b"used"]
"""

SLOW_APP = """
import time


def app(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"waited"]
"""

# psycopg2 is C and waits in C; it asks whoever is registered, which is the application's choice.
HOOK = {
    "gevent": """
def post_worker_init(worker):
    import psycopg2.extensions
    from gevent.socket import wait_read, wait_write

    def wait(connection):
        while True:
            state = connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            (wait_read if state == psycopg2.extensions.POLL_READ else wait_write)(connection.fileno())

    psycopg2.extensions.set_wait_callback(wait)
""",
    "eventlet": """
def post_worker_init(worker):
    import psycopg2.extensions
    from eventlet.hubs import trampoline

    def wait(connection):
        while True:
            state = connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            reads = state == psycopg2.extensions.POLL_READ
            trampoline(connection.fileno(), read=reads, write=not reads)

    psycopg2.extensions.set_wait_callback(wait)
""",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, str]]:
    """Databases and a TLS server that take their time, as variables of the environment."""
    folder = tmp_path_factory.mktemp("places")
    certificates = Certificates(folder)
    slow = ["app:app", "-k", "gthread", "--threads", str(AT_ONCE), "--certfile", certificates.server]
    with postgres(folder) as pg, redis(folder) as port, ServerProcess(slow, app=SLOW_APP) as tls:
        yield {"PG": str(pg), "REDIS": str(port), "TLS_PORT": str(tls.port), "CA": certificates.ca, "WAIT": str(WAIT)}


def ask(server: ServerProcess, kind: str, used: List[bytes]) -> None:
    """Have the application use something."""
    used.append(server.get(f"/{kind}", timeout=30).body)


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_what_waits_in_a_greenlet_holds_no_other(worker: str, places: Dict[str, str]) -> None:
    with ServerProcess(["app:app", "-k", worker], app=APP, config=HOOK[worker], env=places) as server:
        names = server.get("/modules").text.split(",")
        assert all(worker in name for name in names), names
        for kind in ("sleep", "redis", "pg8000", "psycopg2", "https", "subprocess"):
            used: List[bytes] = []
            asking = [threading.Thread(target=ask, args=(server, kind, used)) for _ in range(AT_ONCE)]
            began = time.monotonic()
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            seconds = time.monotonic() - began
            assert used == [b"used"] * AT_ONCE, kind
            # One after another they would take AT_ONCE x WAIT at least.
            assert seconds < AT_ONCE * WAIT, f"{kind}: {seconds}"
        assert server.stop() == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize("name", ["gevent_wsgi", "gevent_pywsgi"])
def test_the_older_names_of_the_gevent_worker(name: str, tmp_path: Path) -> None:
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n"
    with ServerProcess(["app:app", "-k", name], app=app) as server:
        assert server.get("/").body == b"hello"
        assert server.stop() == 0


BUSY_APP = """
import time


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    ends = time.monotonic() + float(environ["QUERY_STRING"] or 0)
    while time.monotonic() < ends:
        pass
    return [b"hello"]
"""


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_a_connection_ends_with_its_answer_although_others_are_ready(worker: str) -> None:
    def times(client: RawClient, told: List[Tuple[float, float]]) -> None:
        assert client.read_answer().body == b"hello"
        answered = time.monotonic()
        assert client.closed_by_peer()
        told.append((answered, time.monotonic()))

    with ServerProcess(["app:app", "-k", worker], app=BUSY_APP) as server:
        clients = [server.client() for _ in range(5)]
        busy = [server.client() for _ in range(5)]
        for client in (*clients, *busy):
            client.request("GET", "/")
        with server.client() as first:
            first.send(b"GET /?0.3 HTTP/1.1\r\nHost: a\r\n\r\n")  # while it runs the others become ready
            time.sleep(0.1)
            for one, other in zip(clients, busy):
                one.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                other.send(b"GET /?0.2 HTTP/1.1\r\nHost: a\r\n\r\n")
            told: List[Tuple[float, float]] = []
            waiting = [threading.Thread(target=times, args=(client, told)) for client in clients]
            for thread in waiting:
                thread.start()
            for thread in waiting:
                thread.join()
        assert len(told) == len(clients)
        answered, ended = min(told)
        assert ended - answered < 0.4
        for client in (*clients, *busy):
            client.close()


# What is said on standard output is read by nobody, or stays in a pipe without a reader.
UNREAD = """
import os, sys
read, write = os.pipe()
os.set_inheritable(read, sys.argv[1] == "stuck")
os.dup2(write, 1)
os.execv(sys.executable, [sys.executable, "-m", "server_cli", *sys.argv[2:]])
"""


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
@pytest.mark.parametrize("reader", ["stuck", "gone"])
def test_a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end(worker: str, reader: str) -> None:
    program = [sys.executable, "-c", UNREAD, reader]
    log = ["--access-logfile", "-", "--graceful-timeout", "5"]
    with ServerProcess(["app:app", "-k", worker, *log], app=BUSY_APP, program=program) as server:
        for _ in range(40):
            assert server.get("/", headers=[("User-Agent", "u" * 3000)]).status == 200
        time.sleep(0.2)  # lines wait for 50 ms
        assert server.get("/").status == 200
        server.stop()
        assert "did not leave in time" not in server.log


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_requests_that_end_together_ask_for_one_successor(worker: str) -> None:
    def get(server: ServerProcess) -> None:
        assert server.get("/?0.3").status == 200

    with ServerProcess(["app:app", "-k", worker, "--max-requests", "2"], app=BUSY_APP) as server:
        threads = [threading.Thread(target=get, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.wait_for_log("Booting worker", count=2)
        asked = re.findall(r"\[(\d+)\].*Autorestarting worker", server.log)  # late clients may use the successor up too
        assert len(asked) == len(set(asked)) >= 1
        assert "[ERROR]" not in server.log
