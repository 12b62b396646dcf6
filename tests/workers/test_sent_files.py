"""Files that change while they are sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocols.fronts import WORKERS, Certificates, serve, tls_client

SIZE = 64 * 1024 * 1024  # more than the buffers of the system hold
KEPT = 16 * 1024 * 1024


def test_each_worker_says_that_a_file_became_shorter_while_it_was_sent(worker: str, way: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.truncate(file, SIZE)
    certificates = Certificates(tmp_path)
    options = {"TLS": ["--certfile", certificates.server], "read": ["--no-sendfile"], "sendfile": []}[way]
    with serve(worker, *options) as server:
        connect = (lambda: tls_client(server, certificates.context())) if way == "TLS" else server.client
        with connect() as client:
            client.send(f"GET /file?{file} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            head = client.read_until(b"\r\n\r\n")
            os.truncate(file, KEPT)
            received = client.read_to_end()
        assert f"content-length: {SIZE}".encode() in head.lower()
        assert len(received) < SIZE
        (line,) = server.wait_for_log("it became shorter while it was sent")
        assert "[WARNING]" in line
        assert "127.0.0.1" in line
        with connect() as client:
            assert len(client.request("GET", f"/file?{file}").body) == KEPT


@pytest.fixture(params=sorted(WORKERS))
def worker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["sendfile", "read", "TLS"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
