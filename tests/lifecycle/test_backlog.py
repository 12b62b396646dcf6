"""What waits in the backlog when a worker stops: it is accepted, and answered."""

from __future__ import annotations

import importlib.util
import os
import signal
from contextlib import ExitStack

import pytest

from support import ServerProcess

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""
CONNECTIONS = 12


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent", "eventlet", "asgi"])
def test_what_waits_at_a_stop_is_served_also_where_the_request_comes_later(worker: str) -> None:
    if worker in ("gevent", "eventlet") and importlib.util.find_spec(worker) is None:
        pytest.skip(f"{worker} is not installed")
    arguments = ["app:app", "-k", worker, "--keep-alive", "5"]
    with ServerProcess(arguments, app=ASGI if worker == "asgi" else WSGI) as server, ExitStack() as open_ones:
        assert server.get().body == b"ok"
        process = server.worker_pids()[0]
        os.kill(process, signal.SIGSTOP)
        clients = [open_ones.enter_context(server.client()) for _ in range(CONNECTIONS)]
        for client in clients[::2]:  # these come and go, so that for a moment there may be no connection at all
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        os.kill(process, signal.SIGTERM)
        server.send_signal(signal.SIGTERM)
        os.kill(process, signal.SIGCONT)
        for client in clients[::2]:
            assert client.read_answer().body == b"ok"
        for client in clients[1::2]:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read_answer().body == b"ok"
        open_ones.close()
        assert server.wait() == 0
