"""Applications that talk on the socket of their environ, as libraries for WebSocket do that know gunicorn."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.fronts import WORKERS, Certificates, tls_client
from support import ServerProcess

APP = """
def app(environ, start_response):
    sock = environ["gunicorn.socket"]
    if environ["PATH_INFO"] == "/take":
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: shout\\r\\nConnection: Upgrade\\r\\n\\r\\n")
        while True:
            data = sock.recv(1000)
            if not data:
                break
            sock.sendall(data.upper())
        sock.close()
        raise StopIteration
    if environ["PATH_INFO"] == "/close":
        sock.close()
        return []
    start_response("200 OK", [])
    return [repr(sock.getsockname()[1]).encode()]
"""
TAKE = b"GET /take HTTP/1.1\r\nHost: a\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n"
ROUNDS = 20  # numbers of descriptors come again

WSGI = sorted(set(WORKERS) - {"asgi"})


def serve(worker: str, *options: str) -> ServerProcess:
    return ServerProcess([*WORKERS[worker], *options], app=APP)


@pytest.mark.parametrize("worker", WSGI)
def test_an_application_talks_to_its_client_and_nobody_else_notices(worker: str) -> None:
    with serve(worker) as server:
        with server.client() as kept:
            for _ in range(ROUNDS):
                with server.client() as client:
                    client.send(TAKE)
                    assert client.read_answer(head_only=True).status == 101
                    for number in range(5):
                        client.send(b"hello %d" % number)
                        assert client.read_exactly(7) == b"HELLO %d" % number
                    client.half_close()
                    assert client.read_to_end() == b""
                with server.client() as client:
                    client.send(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert client.read_to_end() == b""
                if worker != "sync":  # whose connections wait while an application talks
                    assert kept.request("GET", "/").body == str(server.port).encode()
        assert server.get("/").body == str(server.port).encode()
        assert server.stop() == 0
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_a_socket_that_speaks_tls_is_not_lent(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with serve(worker, "--certfile", certificates.server) as server:
        with tls_client(server, certificates.context()) as client:
            assert client.request("GET", "/take").status == 500
        server.wait_for_log("expected HTTP/1 without TLS, where it can be taken over")
