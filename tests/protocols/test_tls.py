"""TLS with real clients, under every worker."""

from __future__ import annotations

import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import pytest
import trustme

from protocols.apps import SIZE
from protocols.fronts import HOST, WITH_HTTP2, WORKERS, Certificates, facts, serve, tls_client
from support import RawClient, ServerProcess, until

V2_START = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=WORKERS)
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[ServerProcess]:
    material = ["--certfile", certificates.server, "--ca-certs", certificates.ca, "--cert-reqs", "1"]
    other = f"other.example.org={certificates.issue('other', 'other.example.org')}"
    extra = [
        "--sni-certificate",
        other,
        "--tls-handshake-timeout",
        "2",
        "--proxy-protocol",
        "auto",
        "--proxy-protocol-timeout",
        "1",
    ]
    with serve(request.param, *material, *extra) as process:
        yield process


def test_a_connection_carries_several_requests(server: ServerProcess, certificates: Certificates) -> None:
    with tls_client(server, certificates.context()) as client:
        for _ in range(3):
            told = facts(client.request("GET", "/facts"))
            assert (told["wsgi.url_scheme"], told["HTTPS"], told["SSL_PROTOCOL"]) == ("https", "on", "TLSv1.3")
            assert told["SSL_CLIENT_VERIFY"] == "NONE"


def test_bodies_pass_both_ways(server: ServerProcess, certificates: Certificates) -> None:
    body = bytes(range(256)) * 8192
    with tls_client(server, certificates.context()) as client:
        assert client.request("POST", "/echo", body=body).body == body
        assert len(client.request("GET", "/big").body) == SIZE
        assert client.request("GET", "/stream").body == b"one,two,three"


def test_a_file_is_encrypted_too(server: ServerProcess, certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(251)) * 5000)
    with tls_client(server, certificates.context()) as client:
        assert client.request("GET", f"/file?{file}").body == file.read_bytes()
        assert client.request("GET", "/facts").status == 200


def test_the_certificate_of_a_client_is_shown(server: ServerProcess, certificates: Certificates) -> None:
    context = certificates.context()
    certificates.authority.issue_cert("someone@example.org", common_name="Someone").configure_cert(context)
    with tls_client(server, context) as client:
        told = facts(client.request("GET", "/facts"))
    assert told["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert "CN=Someone" in told["SSL_CLIENT_S_DN"]
    assert told["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----")


def test_the_certificate_follows_the_name(server: ServerProcess, certificates: Certificates) -> None:
    with tls_client(server, certificates.context(), "other.example.org") as client:
        assert client.request("GET", "/facts").status == 200


def test_http_in_clear_is_told_so(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/facts")
        assert (answer.status, answer.body) == (400, b"This port speaks HTTPS, the request was sent in clear.\n")
        assert client.closed_by_peer()


def test_handshakes_that_stall_hold_nobody_up_and_are_ended(server: ServerProcess, certificates: Certificates) -> None:
    stalled = [server.client() for _ in range(20)]
    try:
        for number, client in enumerate(stalled):
            client.send(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        with tls_client(server, certificates.context()) as client:
            assert client.request("GET", "/facts").status == 200
        assert not select.select([client.sock for client in stalled], [], [], 0)[0], "they were waited for"
        assert all(client.closed_by_peer() for client in stalled)
    finally:
        for client in stalled:
            client.close()


def test_proxy_protocol_comes_before_tls(server: ServerProcess, certificates: Certificates) -> None:
    block = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1000, 443)
    sock = socket.create_connection((server.host, server.port), 10.0)
    sock.sendall(V2_START + struct.pack("!BBH", 0x21, 0x11, len(block)) + block)
    client = RawClient.__new__(RawClient)
    client.sock, client.buffer = certificates.context().wrap_socket(sock, server_hostname="localhost"), b""
    with client:
        told = facts(client.request("GET", "/facts"))
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("192.0.2.1", "1000")


def test_the_connection_ends_with_close_notify(server: ServerProcess, certificates: Certificates) -> None:
    context = certificates.context()
    plain = socket.create_connection((server.host, server.port), 10.0)
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET /facts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        octets = b""
        while True:
            piece = sock.recv(65536)  # an end without close_notify raises SSLEOFError
            if not piece:
                break
            octets += piece
    assert octets.startswith(b"HTTP/1.1 200 ")


def test_rubbish_and_scanners_leave_the_worker_alone(server: ServerProcess, certificates: Certificates) -> None:
    for octets in (b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x03\x01", b"SSH-2.0-x\r\n"):
        with server.client() as client:
            client.send(octets)
            assert client.closed_by_peer() or client.closed_by_peer()
    with tls_client(server, certificates.context()) as client:
        assert client.request("GET", "/facts").status == 200
    assert len(server.booted_pids()) == 1


def _run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=True).stdout


def test_curl_is_served(server: ServerProcess, certificates: Certificates) -> None:
    resolve = f"localhost:{server.port}:{HOST}"
    url = f"https://localhost:{server.port}/stream"
    assert _run("curl", "-sS", "--cacert", certificates.ca, "--resolve", resolve, url) == "one,two,three"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_its_session(server: ServerProcess, certificates: Certificates, version: str) -> None:
    told = _run(
        "openssl", "s_client", "-connect", f"{HOST}:{server.port}", "-CAfile", certificates.ca, version, "-reconnect",
        "-servername", "localhost",
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in told
    if version == "-tls1_2":  # with TLS 1.3 s_client leaves before a ticket arrives
        assert told.count("Reused, TLSv1.2") == 5


@pytest.mark.parametrize("worker", WORKERS)
def test_alpn_promises_what_the_worker_speaks(worker: str, certificates: Certificates) -> None:
    with serve(worker, "--certfile", certificates.server, "--http-protocols", "h2,h1") as server:
        with tls_client(server, certificates.context("h2", "http/1.1")) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.selected_alpn_protocol() == ("h2" if worker in WITH_HTTP2 else "http/1.1")
        resolve = f"localhost:{server.port}:{HOST}"
        url = f"https://localhost:{server.port}/facts"
        written = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
        told = _run("curl", "-sS", "--http2", "--cacert", certificates.ca, "--resolve", resolve, *written, url)
        assert told == ("2 200" if worker in WITH_HTTP2 else "1.1 200")


def _await_a_second_worker(server: ServerProcess, context: ssl.SSLContext) -> None:
    """Hold connections open until more than one worker accepts: the first that booted would get all of few."""
    kept: List[RawClient] = []
    pids = set()

    def shared() -> bool:
        kept.append(tls_client(server, context))
        pids.add(facts(kept[-1].request("GET", "/facts"))["pid"])
        return len(pids) > 1

    try:
        until(shared, what="a second worker accepts")
    finally:
        for client in kept:
            client.close()


def _resumptions(server: ServerProcess, context: ssl.SSLContext) -> Tuple[List[bool], List[str]]:
    """Make 20 connections, each held open and offering the session of the one before."""
    session: Optional[ssl.SSLSession] = None
    reused, pids, kept = [], [], []
    try:
        for _ in range(20):
            plain = socket.create_connection((server.host, server.port), 10.0)
            client = RawClient.__new__(RawClient)
            client.sock, client.buffer = context.wrap_socket(plain, server_hostname="localhost", session=session), b""
            kept.append(client)
            pids.append(facts(client.request("GET", "/facts"))["pid"])
            assert isinstance(client.sock, ssl.SSLSocket)
            reused.append(bool(client.sock.session_reused))
            session = client.sock.session
    finally:
        for client in kept:
            client.close()
    return reused, pids


@pytest.mark.parametrize(
    ("worker", "maximum"),
    [*((worker, ssl.TLSVersion.TLSv1_3) for worker in WORKERS), ("gthread", ssl.TLSVersion.TLSv1_2)],
)
def test_a_session_made_with_one_worker_is_resumed_by_all(
    worker: str, maximum: ssl.TLSVersion, certificates: Certificates
) -> None:
    context = certificates.context()
    context.maximum_version = maximum
    with serve(worker, "--certfile", certificates.server, "-w", "4", "--keep-alive", "20", workers=4) as server:
        _await_a_second_worker(server, context)
        reused, pids = _resumptions(server, context)
    assert reused == [False] + [True] * 19
    assert len(set(pids)) > 1


def _names(client: RawClient) -> List[str]:
    assert isinstance(client.sock, ssl.SSLSocket)
    certificate = client.sock.getpeercert()
    assert certificate is not None
    return [str(value) for _, value in certificate["subjectAltName"]]


def _presented(server: ServerProcess, context: ssl.SSLContext) -> List[str]:
    with tls_client(server, context) as client:
        return _names(client)


@pytest.mark.parametrize("worker", WORKERS)
def test_changed_certificates_are_read_again_without_a_dropped_connection(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    context = certificates.context()
    arguments = ["--certfile", certificates.server, "--certificate-reload", "0.1", "--keep-alive", "20"]
    with serve(worker, *arguments) as server, tls_client(server, context) as client:
        assert client.request("GET", "/facts").status == 200
        certificates.issue("server", "localhost", "second.example.org")
        until(lambda: "second.example.org" in _presented(server, context), what="the new certificate")
        assert client.request("GET", "/facts").status == 200
        assert len(server.booted_pids()) == 1
        server.wait_for_log("Certificates changed and were read again")


@pytest.mark.parametrize("worker", WORKERS)
def test_other_authorities_of_clients_hold_at_once(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    authorities = tmp_path / "authorities.pem"
    certificates.authority.cert_pem.write_to_path(str(authorities))
    context = certificates.context()
    context.load_cert_chain(certificates.issue("client", "client.example.org"))
    arguments = ["--certfile", certificates.server, "--ca-certs", str(authorities), "--cert-reqs", "2"]
    with serve(worker, *arguments, "--certificate-reload", "0.1") as server:
        with tls_client(server, context) as client:
            assert facts(client.request("GET", "/facts"))["SSL_CLIENT_VERIFY"] == "SUCCESS"
        other = trustme.CA()
        other.cert_pem.write_to_path(str(authorities))
        newcomer = certificates.context()
        other.issue_cert("client.example.org").configure_cert(newcomer)
        until(lambda: _is_served(server, newcomer), what="the new authority")
        assert not _is_served(server, context)


def _is_served(server: ServerProcess, context: ssl.SSLContext) -> bool:
    try:
        with tls_client(server, context) as client:
            return client.request("GET", "/facts").status == 200
    except OSError:
        return False


HOOK = """
def ssl_context(config, default_ssl_context_factory):
    import ssl
    context = default_ssl_context_factory()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
"""


@pytest.mark.parametrize("worker", WORKERS)
def test_a_reload_reads_certificates_again_and_asks_the_hook(worker: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    context = certificates.context()
    with serve(worker, "--certfile", certificates.server, "--keep-alive", "20", config=HOOK) as server:
        with tls_client(server, context) as client:
            assert _names(client) == ["localhost"]
            assert facts(client.request("GET", "/facts"))["SSL_PROTOCOL"] == "TLSv1.2"
            client.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n")
            certificates.issue("server", "localhost", "second.example.org")
            server.send_signal(signal.SIGHUP)
            until(lambda: "second.example.org" in _presented(server, context), what="the new certificate")
            client.send(b"\r\n")  # a request that had begun when the reload came
            assert client.read_answer().status == 200
        with tls_client(server, context) as client:
            assert facts(client.request("GET", "/facts"))["SSL_PROTOCOL"] == "TLSv1.2"


def _handshake(server: ServerProcess, context: ssl.SSLContext) -> Optional[Tuple[str, str]]:
    """Cipher and version that were agreed upon, None without agreement."""
    try:
        with tls_client(server, context) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            cipher = client.sock.cipher()
            assert client.request("GET", "/facts").status == 200
    except (ssl.SSLError, ConnectionError):
        return None
    return cipher and (cipher[0], cipher[1])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("worker", ["gthread", "asgi"])
def test_minimum_version_and_ciphers_are_kept(worker: str, certificates: Certificates) -> None:
    strong, other = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    old = certificates.context()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with_strong, with_other = certificates.context(), certificates.context()
    for context, cipher in ((with_strong, strong), (with_other, other)):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(cipher)
    with serve(worker, "--certfile", certificates.server, "--ciphers", strong) as server:
        assert _handshake(server, with_strong) == (strong, "TLSv1.2")
        assert _handshake(server, with_other) is None
        assert _handshake(server, old) is None
    with serve(worker, "--certfile", certificates.server, "--tls-minimum-version", "TLSv1.3") as server:
        assert _handshake(server, with_strong) is None
        told = _handshake(server, certificates.context())
        assert told is not None
        assert told[1] == "TLSv1.3"


def test_a_certificate_that_cannot_be_used_is_one_line_and_the_exit_code(tmp_path: Path) -> None:
    server = serve("sync", "--certfile", str(tmp_path / "missing.pem"), wait=False)
    server.start()
    try:
        assert server.wait() == 1
        lines = [line for line in server.lines() if "certfile: expected a file that can be read" in line]
        assert len(lines) == 1
        assert "Traceback" not in server.log
    finally:
        server.destroy()
