"""``request_timeout`` ends one request and leaves the worker and its other requests alone."""

from __future__ import annotations

import pytest

from support import ServerProcess, request, until

THREADED = """
import os, threading, time
release = threading.Event()
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stuck":
        release.wait(20)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/begun":
        def parts():
            yield b"begun"
            release.wait(20)
            yield b"late"
        return parts()
    if path == "/release":
        release.set()
    return [b"%d" % os.getpid()]
"""

ASYNCHRONOUS = """
import asyncio, os
cancelled = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    async def body(data, more=False):
        await send({"type": "http.response.body", "body": data, "more_body": more})
    try:
        if scope["path"] == "/stuck":
            await asyncio.sleep(20)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/begun":
            await body(b"begun", True)
            await asyncio.sleep(20)
    except asyncio.CancelledError:
        cancelled.append(scope["path"])
        raise
    await body(b"%d %s" % (os.getpid(), " ".join(sorted(cancelled)).encode()))
"""

GREEN = """
import os, time
ended = []
def app(environ, start_response):
    path = environ["PATH_INFO"]
    try:
        if path == "/stuck":
            time.sleep(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/begun":
            return begun(path)
        return [b"%d %s" % (os.getpid(), " ".join(ended).encode())]
    except Exception:
        return [b"an application that catches everything"]
    finally:
        if path == "/stuck":
            ended.append(path)
def begun(path):
    yield b"begun"
    time.sleep(20)
    yield b"late"
"""

KINDS = {
    "gthread": (THREADED, ["--threads", "4"]),
    "asgi": (ASYNCHRONOUS, []),
    "gevent": (GREEN, []),
    "eventlet": (GREEN, []),
}
ENDS = ("asgi", "gevent", "eventlet")  # the others cannot end what runs, and answer in its place


def serve(kind: str) -> ServerProcess:
    app, arguments = KINDS[kind]
    return ServerProcess(["app:app", "-k", kind, "--request-timeout", "1", "--timeout", "60", *arguments], app=app)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_request_that_takes_too_long_is_answered_503_and_its_worker_serves_on(kind: str) -> None:
    with serve(kind) as server:
        worker = server.get().body.split()[0]
        assert request((server.host, server.port), "GET", "/stuck", timeout=15).status == 503
        server.wait_for_log("Request timeout (1 s): GET /stuck")
        if kind in ENDS:
            until(lambda: server.get().body.split() == [worker, b"/stuck"], what="the end of what runs")
        assert server.get("/release").body.split()[0] == worker
        assert server.get("/quick").status == 200
        assert "Traceback" not in server.log, "what the application says too late is no error"
        assert "cancelled:" not in server.log


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_a_connection_of_a_green_worker_outlives_its_request(kind: str) -> None:
    with serve(kind) as server, server.client(timeout=15) as client:
        client.send(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        client.send(b"GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        first, second = client.read_to_end().split(b"HTTP/1.1 ")[1:]
        assert (first[:3], second[:3]) == (b"503", b"200")
        server.wait_for_log("Request timeout (1 s): GET /stuck")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_answer_that_has_begun_is_cut_and_does_not_look_complete(kind: str) -> None:
    with serve(kind) as server:
        with server.client(timeout=15) as client:
            client.send(b"GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
            received = client.read_to_end()
        assert b"begun" in received
        assert not received.endswith(b"0\r\n\r\n")
        server.wait_for_log("Request timeout (1 s): GET /begun")
        assert server.get("/release").status == 200


def test_a_worker_that_cannot_end_a_request_says_so_at_the_start() -> None:
    with ServerProcess(["app:app", "--request-timeout", "1"], app=THREADED) as server:
        assert "request_timeout: has no effect with the worker 'sync'; all others have it" in server.log
