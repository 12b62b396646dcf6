"""HTTP/2 without TLS on the server's side: by prior knowledge, by upgrade, behind HAProxy."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from protocols.fronts import HOST, WITH_HTTP2, Certificates, ask, facts, haproxy, serve
from support import RawClient, ServerProcess
from support.client import encode_request

STRANGER = "127.0.0.2"  # an address of this machine that is not trusted
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture(scope="module", params=WITH_HTTP2)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with serve(request.param, "--http-protocols", "h2,h1", "--http2-cleartext", "both") as process:
        yield process


def curl(*arguments: str) -> str:
    """The version of HTTP and the status that curl saw."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.mark.parametrize(
    ("flag", "told"), [("--http2-prior-knowledge", "2 200"), ("--http2", "2 200"), ("--http1.1", "1.1 200")]
)
def test_each_way_to_begin_is_understood(server: ServerProcess, flag: str, told: str) -> None:
    assert curl(flag, f"http://{HOST}:{server.port}/facts") == told


def test_a_body_rules_an_upgrade_out(server: ServerProcess) -> None:
    assert curl("--http2", "-d", "body", f"http://{HOST}:{server.port}/echo") == "1.1 200"


def test_an_upload_beyond_the_window_goes_on_as_it_is_read(server: ServerProcess, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 1_000_000)
    arguments = ["--http2-prior-knowledge", "-m", "10", "--data-binary", f"@{body}"]
    assert curl(*arguments, f"http://{HOST}:{server.port}/echo") == "2 200"


def test_who_is_not_trusted_gets_http1(server: ServerProcess) -> None:
    url = f"http://{HOST}:{server.port}/facts"
    assert curl("--interface", STRANGER, "--http2", url) == "1.1 200"
    client = RawClient.__new__(RawClient)
    client.sock, client.buffer = socket.create_connection((server.host, server.port), 10.0, (STRANGER, 0)), b""
    with client:
        _assert_the_preface_is_refused(client)


@pytest.mark.parametrize(("mode", "by_upgrade"), [("off", "1.1 200"), ("upgrade", "2 200")])
@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_each_way_is_taken_only_where_it_is_allowed(worker: str, mode: str, by_upgrade: str) -> None:
    with serve(worker, "--http-protocols", "h2,h1", "--http2-cleartext", mode) as server:
        url = f"http://{HOST}:{server.port}/facts"
        assert curl("--http2", url) == by_upgrade
        assert curl("--http1.1", url) == "1.1 200"
        with server.client() as client:
            _assert_the_preface_is_refused(client)


def _assert_the_preface_is_refused(client: RawClient) -> None:
    client.send(PREFACE)
    assert client.read_answer().status in (400, 505)
    assert client.closed_by_peer()


def test_haproxy_speaks_http2_to_the_server(server: ServerProcess, tmp_path: Path) -> None:
    sections = """
    frontend front
        mode http
        bind 127.0.0.1:{port}
        default_backend app
    backend app
        mode http
        server one 127.0.0.1:%d proto h2
    """
    with haproxy(sections % server.port, tmp_path) as proxy:
        for _ in range(5):
            assert facts(ask(proxy.port))["SERVER_PROTOCOL"].startswith("HTTP/2")
        assert ask(proxy.port, "/echo", method="POST", body=b"x" * 100_000).body == b"x" * 100_000
        assert ask(proxy.port, "/stream").body == b"one,two,three"


@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_alpn_in_the_proxy_header_chooses(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    sections = f"""
    frontend front
        mode tcp
        bind 127.0.0.1:{{port}} ssl crt {certificates.server} alpn h2,http/1.1
        default_backend app
    backend app
        mode tcp
        server one 127.0.0.1:%d send-proxy-v2 proxy-v2-options ssl
    """
    arguments = ["--http-protocols", "h2,h1", "--proxy-protocol", "v2"]
    with serve(worker, *arguments) as server, haproxy(sections % server.port, tmp_path) as proxy:
        resolve = ["--resolve", f"localhost:{proxy.port}:{HOST}", "--cacert", certificates.ca]
        url = f"https://localhost:{proxy.port}/facts"
        assert curl("--http2", *resolve, url) == "2 200"
        assert curl("--http1.1", *resolve, url) == "1.1 200"


def test_a_listener_of_http2_alone_refuses_the_rest() -> None:
    with serve("gthread", "--http-protocols", "h2", "--http2-cleartext", "prior-knowledge") as server:
        with RawClient((server.host, server.port)) as client:
            client.send(encode_request("GET", "/facts"))
            assert client.read_answer().status == 400
        assert curl("--http2-prior-knowledge", f"http://{HOST}:{server.port}/facts") == "2 200"
