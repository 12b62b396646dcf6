"""Responses as every worker says them, whatever the application says: framing, fields, 1xx, trailers, files, and what
PEP 3333 promises (RFC 9110, RFC 9112 sections 6 and 9)."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Iterator, List, Set

import pytest

from protocols.http1_apps import APPS
from protocols.test_http1_conformance import WORKERS
from support import ServerProcess, until
from support.client import Answer, BadAnswerError

FILE = bytes(range(256)) * 1024


@pytest.fixture(scope="module", params=WORKERS)
def worker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(worker: str) -> Iterator[ServerProcess]:
    with ServerProcess(WORKERS[worker], app=APPS) as process:
        yield process


@pytest.fixture
def wsgi_only(worker: str) -> None:
    if worker == "asgi":
        pytest.skip("of WSGI")


def read_to_end(sock: socket.socket) -> None:
    """Read to the end of the stream; a reset is an error."""
    while sock.recv(65536):
        pass


def closed(server: ServerProcess, name: str) -> bool:
    """Wait until the iterable of a route was closed; forgets what was closed before."""
    found: Set[str] = set()

    def look() -> bool:
        found.update(json.loads(server.get("/was_closed").body))
        return name in found

    until(look, what=f"close() of {name}")
    return True


# -- bodies and their framing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304, 200])
@pytest.mark.parametrize("route", ["bodiless", "bodiless_with_body"])
def test_no_octet_follows_a_head_that_has_no_body(server: ServerProcess, route: str, status: int, method: str) -> None:
    if status == 200 and method == "GET":
        pytest.skip("has a body")
    with server.client() as client:
        for _ in range(2):  # what follows is read as an answer
            answer = client.request(method, f"/{route}?{status}")
            assert (answer.status, answer.header("transfer-encoding")) == (status, None)
            assert status != 204 or answer.header("content-length") is None
        assert client.request("GET", "/stream").body == b"one,two"


def test_unknown_length_is_chunked_and_empty_parts_end_nothing(server: ServerProcess) -> None:
    with server.client() as client:
        for target, body in (("/stream", b"one,two"), ("/empty", b""), ("/stream", b"one,two")):
            answer = client.request("GET", target)
            assert (answer.body, answer.header("transfer-encoding")) == (body, "chunked")


def test_too_few_octets_cut_the_connection_and_are_logged_once(server: ServerProcess) -> None:
    before = server.log.count("expected 10 octets as Content-Length says")
    with server.client() as client, pytest.raises(BadAnswerError):
        client.request("GET", "/too_few")
    until(lambda: server.log.count("expected 10 octets as Content-Length says") > before, 5.0, "the line")
    assert server.log.count("expected 10 octets as Content-Length says") == before + 1


def test_too_many_octets_are_cut_off_and_logged_once(server: ServerProcess) -> None:
    before = server.log.count("expected 5 octets as Content-Length says")
    with server.client() as client:
        assert client.request("GET", "/too_many").body == b"12345"
        assert client.request("GET", "/stream").body == b"one,two"
    assert server.log.count("expected 5 octets as Content-Length says") == before + 1


def test_fields_that_are_the_servers_are_not_the_applications(server: ServerProcess) -> None:
    with server.client() as client:
        for _ in range(2):
            answer = client.request("GET", "/hop_by_hop")
            assert answer.body == b"hop"  # the answer's one framing is the server's: the client checks it
            names = {name for name, _ in answer.headers}
            assert not names & {"keep-alive", "proxy-connection", "te", "upgrade", "connection"}
            assert {"date", "server"} <= names


BAD_HEADS = (
    "crlf", "lf", "nul", "name", "space", "reason", "status", "word", "length", "lengths", "informational",
)  # fmt: skip


@pytest.mark.parametrize("kind", BAD_HEADS)
def test_a_head_that_http_forbids_is_a_500_and_nothing_of_it_is_sent(
    server: ServerProcess, worker: str, kind: str
) -> None:
    if (worker, kind) == ("asgi", "reason"):
        pytest.skip("ASGI has no reason phrase")
    with server.client() as client:
        client.send(b"GET /bad_head?%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % kind.encode())
        data = client.read_to_end()
    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"Injected" not in data
    assert data.count(b"HTTP/1.1") == 1


def test_a_failure_before_the_head_is_a_500_without_its_text(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/fails")
    assert answer.status == 500
    assert b"secret" not in answer.body
    server.wait_for_log("secret of the application")


def test_a_failure_behind_the_head_cuts_the_message(server: ServerProcess) -> None:
    with server.client() as client, pytest.raises((BadAnswerError, ConnectionResetError)):
        client.request("GET", "/fails_late")


def test_a_failure_behind_the_head_is_no_whole_message_to_an_http_1_0_client(server: ServerProcess) -> None:
    """Its message ends with the connection, so a reset is all that tells of the cut."""
    with server.client() as client:
        client.send(b"GET /fails_late HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            read_to_end(client.sock)


# -- 1xx, trailers ----------------------------------------------------------------------------------------------------


def test_early_hints_come_before_the_final_head(server: ServerProcess, worker: str) -> None:
    with server.client() as client:
        interim: List[Answer] = []
        client.send(b"GET /hints HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.read_answer(interim=interim).body == b"hinted"
    assert [answer.status for answer in interim] == ([103, 103] if worker == "asgi" else [103])
    assert interim[0].header("link") == "</a.css>; rel=preload" or worker == "asgi"
    if worker == "asgi":
        assert [answer.header("link") for answer in interim] == ["</a.css>; rel=preload", "</b.css>"]


def test_trailers_follow_the_body_without_those_that_are_forbidden(server: ServerProcess, worker: str) -> None:
    if worker != "asgi":
        pytest.skip("WSGI has none")
    with server.client() as client:
        for _ in range(2):
            answer = client.request("GET", "/trailers", {"TE": "trailers"})
            assert (answer.body, answer.trailers) == (b"with trailers", [("x-digest", "abc")])
        client.send(b"GET /trailers HTTP/1.0\r\n\r\n")
        assert client.read_answer().body == b"with trailers"


# -- PEP 3333 ---------------------------------------------------------------------------------------------------------

OF_WSGI = [
    ("lazy", 200, b"lazy"),
    ("write", 200, b"by write, by iterable"),
    ("replaced", 503, b"replaced"),
    ("stream", 200, b"one,two"),
    ("empty", 200, b""),
]


@pytest.mark.usefixtures("wsgi_only")
@pytest.mark.parametrize(("route", "status", "body"), OF_WSGI)
def test_wsgi(server: ServerProcess, route: str, status: int, body: bytes) -> None:
    with server.client() as client:
        answer = client.request("GET", "/" + route)
        assert (answer.status, answer.body, answer.header("x-first")) == (status, body, None)
        assert client.request("HEAD", "/" + route).status == status
    assert closed(server, route)


@pytest.mark.usefixtures("wsgi_only")
@pytest.mark.parametrize("route", ["too_few", "too_many", "fails_late", "raised_again"])
def test_close_is_called_whatever_goes_wrong(server: ServerProcess, route: str) -> None:
    with server.client() as client:
        client.send(b"GET /%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % route.encode())
        data = client.read_to_end()
    assert b"Too Late" not in data
    assert closed(server, route)


@pytest.mark.usefixtures("wsgi_only")
@pytest.mark.parametrize("chunked", [False, True])
def test_input_is_read_in_every_way(server: ServerProcess, chunked: bool) -> None:
    body = b"abcd\nefgh\nij\nkl\nm"
    with server.client() as client:
        if chunked:
            client.send(b"POST /reading HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"".join(b"1\r\n%c\r\n" % octet for octet in body) + b"0\r\n\r\n")
            answer = client.read_answer()
        else:
            answer = client.request("POST", "/reading", body=body)
    parts = json.loads(answer.body)
    assert parts[:3] == ["abc", "d\n", "ef"]
    assert "".join(parts).encode() == body
    assert parts[-1] == ""


# -- files and writes, as the system sees them ------------------------------------------------------------------------


class Traced:
    """The calls by which a worker writes, while the block runs."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        program = shutil.which("strace")
        if program is None:
            pytest.skip("strace is not installed")
        self._out = folder / "calls"
        calls = "trace=write,writev,sendto,sendmsg,sendfile"
        command = [program, "-f", "-e", calls, "-s", "2000", "-o", str(self._out)]
        for pid in server.booted_pids():
            command += ["-p", str(pid)]
        self._command = command

    def __enter__(self) -> Traced:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        if "attached" not in line:
            self._process.wait(5.0)
            pytest.skip(f"strace may not attach: {line}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10.0)

    def calls(self) -> List[str]:
        """The calls so far, one a line, as strace spells them."""
        return self._out.read_text(errors="replace").splitlines()


@pytest.mark.parametrize(("target", "part"), [("/unread", "unread"), ("/stream", "4\\r\\none,")])
def test_head_and_first_part_of_the_body_leave_in_one_write(
    server: ServerProcess, tmp_path: Path, target: str, part: str
) -> None:
    with server.client() as client:
        client.request("GET", target)
        with Traced(server, tmp_path) as traced:
            client.request("GET", target)
    heads = [line for line in traced.calls() if "HTTP/1.1 200" in line]
    assert len(heads) == 1
    assert part in heads[0]


def test_a_file_is_sent_by_sendfile(server: ServerProcess, tmp_path: Path) -> None:
    with server.client() as client:
        assert client.request("GET", "/file").body == FILE
        with Traced(server, tmp_path) as traced:
            assert client.request("GET", "/file").body == FILE
        assert client.request("HEAD", "/file").header("content-length") == str(len(FILE))
        assert client.request("GET", "/stream").body == b"one,two"
    assert any(re.match(r"\d+ +sendfile\(", line) for line in traced.calls())
