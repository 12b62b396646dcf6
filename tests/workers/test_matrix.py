"""Every worker over every transport: plain, TLS, a unix socket, behind nginx; the same requests, the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from protocols.apps import SIZE
from protocols.fronts import WORKERS, Certificates, Proxy, facts, nginx, serve, tls_client
from support import RawClient, ServerProcess, until

BODY = bytes(range(251)) * 1200
FRONT = """
upstream server { server unix:%s; keepalive 4; }
server {
    listen 127.0.0.1:{port};
    location / {
        proxy_pass http://server;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
"""
TRANSPORTS = ("plain", "TLS", "unix socket", "nginx")
Connect = Callable[[], RawClient]


@pytest.fixture(scope="module", params=sorted(WORKERS))
def ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, Connect]]:
    """How a client connects to one worker class, by transport."""
    worker: str = request.param
    folder = tmp_path_factory.mktemp(worker)
    certificates = Certificates(folder)
    path = str(folder / "server.sock")
    clear = serve(worker, "--bind", "127.0.0.1:0", "--bind", f"unix:{path}", bind=None)
    encrypted = serve(worker, "--certfile", certificates.server)
    with clear, encrypted, nginx(FRONT % path, folder) as front:
        yield {
            "plain": lambda: clear.client(),
            "TLS": lambda: tls_client(encrypted, certificates.context()),
            "unix socket": lambda: RawClient(path),
            "nginx": lambda: through(front),
        }
        for server in (clear, encrypted):
            finish(server)


def through(front: Proxy) -> RawClient:
    """A connection to the proxy."""
    return RawClient(("127.0.0.1", front.port))


def finish(server: ServerProcess) -> None:
    """The server stops in order and has nothing to complain of."""
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_worker_serves_over_a_transport(ways: Dict[str, Connect], transport: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BODY)
    with ways[transport]() as client:
        told = facts(client.request("GET", "/facts"))
        assert told["wsgi.url_scheme"] == ("https" if transport == "TLS" else "http")
        assert told["REMOTE_ADDR"] == ("" if transport in ("unix socket", "nginx") else "127.0.0.1")
        assert client.request("POST", "/echo", body=BODY).body == BODY
        assert client.request("GET", "/stream").body == b"one,two,three"
        assert len(client.request("GET", "/big").body) == SIZE
        assert client.request("GET", f"/file?{file}").body == BODY
        assert client.request("HEAD", "/big").header("content-length") == str(SIZE)
        assert facts(client.request("GET", "/facts"))["pid"] == told["pid"]
    with ways[transport]() as client:  # one that leaves in the middle harms nobody
        client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    with ways[transport]() as client:
        until(lambda: client.request("GET", "/stream").body == b"one,two,three")
