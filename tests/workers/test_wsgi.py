"""Every WSGI worker, as a real process: what PEP 3333 promises an application and its client."""

from __future__ import annotations

import ast
import threading
import time
from typing import Iterator

import pytest

from support import COLLECTING_WSGI, RawClient, ServerProcess, until
from support.client import BadAnswerError
from workers.wsgi_apps import APPS

WORKERS = ("sync", "gthread", "gevent", "eventlet")


@pytest.fixture(scope="module", params=WORKERS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    arguments = ["app:app", "-k", request.param, "--threads", "4" if request.param == "gthread" else "1"]
    with ServerProcess(arguments, app=APPS) as process:
        yield process


def test_a_response_of_one_part_gets_its_length_and_keeps_the_connection(server: ServerProcess) -> None:
    with server.client() as client:
        for _ in range(3):
            answer = client.request("GET", "/unchecked")
            assert (answer.status, answer.body, answer.header("content-length")) == (200, b"hello", "5")


def test_head_has_no_body_and_the_length_of_get(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.request("HEAD", "/unchecked").header("content-length") == "5"
        assert client.request("GET", "/hello").body == b"hello"


def test_parts_of_unknown_length_are_chunked_and_close_is_called(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/stream")
        assert (answer.body, answer.header("transfer-encoding")) == (b"one,two,three", "chunked")
        until(lambda: b"stream" in client.request("GET", "/was_closed").body)


def test_write_goes_before_the_iterable(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.request("GET", "/writes").body == b"by write, and by iterable"


def test_no_content_has_neither_body_nor_length(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/nothing")
        assert (answer.status, answer.header("content-length"), answer.header("transfer-encoding")) == (204, None, None)
        assert client.request("GET", "/hello").status == 200


def test_a_head_is_replaced_before_it_is_sent(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/replaced")
        assert (answer.status, answer.reason, answer.body) == (503, "Replaced", b"replaced")


@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, 300_000])
def test_a_body_comes_back_as_it_was_sent(server: ServerProcess, size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    with server.client() as client:
        answer = client.request("POST", "/echo", body=body)
        assert (answer.body, answer.header("x-length")) == (body, str(size))
        assert client.request("GET", "/hello").body == b"hello"


def test_a_chunked_body_comes_back_as_it_was_sent(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (b"one", b"two" * 1000, b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n")
        assert client.read_answer().body == b"one" + b"two" * 1000 + b"three"


def test_input_is_iterated_by_lines(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.request("POST", "/lines", body=b"a\nb\nc").body == b"a|b|c"


def test_a_client_that_waits_for_100_gets_it(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert client.read_answer().body == b"abc"


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"".join(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % n for n in range(40)))
        assert [client.read_answer().body for _ in range(40)] == [b"%02d" % n for n in range(40)]


def test_an_error_before_the_head_is_a_constant_500_and_the_text_stays_in_the_log(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/early_error")
        assert answer.status == 500
        assert b"secret" not in answer.body
    server.wait_for_log("RuntimeError: secret of the application")


def test_an_error_after_the_head_cuts_the_response(server: ServerProcess) -> None:
    with server.client() as client:
        with pytest.raises(BadAnswerError):
            client.request("GET", "/late_error")
        assert b"secret" not in client.buffer
    until(lambda: b"late_error" in server.get("/was_closed").body)


def test_early_hints_come_before_the_answer(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        interim: list = []
        assert client.read_answer(interim=interim).body == b"hinted"
        assert [(answer.status, answer.header("link")) for answer in interim] == [(103, "</a.css>; rel=preload")]


def test_a_file_is_sent_from_where_it_stands(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/file")
        assert answer.body == (b"0123456789" * 100_000)[10:]
        assert answer.header("content-length") == "999990"
        assert client.request("GET", "/hello").body == b"hello"


def test_a_large_stream_arrives_whole(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.request("GET", "/large?200").body == b"x" * 65536 * 200


def test_the_environ_is_that_of_the_surface(server: ServerProcess) -> None:
    with server.client() as client:
        answer = client.request("GET", "/environ/a%20b%E4?x=%31&y", [("X-One", "1"), ("X-One", "2"), ("Cookie", "a=b")])
        environ = ast.literal_eval(answer.body.decode())
        expected = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/environ/a b\xe4", "QUERY_STRING": "x=%31&y",
            "RAW_URI": "/environ/a%20b%E4?x=%31&y", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(server.port), "REMOTE_ADDR": "127.0.0.1", "HTTP_X_ONE": "1,2", "HTTP_COOKIE": "a=b",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.multiprocess": False, "wsgi.run_once": False,
            "wsgi.input_terminated": True, "REMOTE_PORT": str(client.sock.getsockname()[1]),
            "wsgi.multithread": "sync" not in server.args,
        }  # fmt: skip
        assert {key: environ.get(key) for key in expected} == expected
        assert environ["SERVER_SOFTWARE"].startswith("server/")


def test_context_variables_of_a_request_do_not_meet_the_next(server: ServerProcess) -> None:
    with server.client() as client:
        assert {client.request("GET", "/context").body for _ in range(10)} == {b"nothing"}


def test_a_half_closed_client_is_answered(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"GET /slow?0.1 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.half_close()
        assert client.read_answer().body == b"slow"


@pytest.mark.parametrize("early", [b"", b"early"])
def test_what_a_client_says_through_a_tunnel_does_no_harm(server: ServerProcess, early: bytes) -> None:
    """An environ has no place for it: ``wsgi.input`` is the body of the request, which has none."""
    with server.client() as client:
        client.send(b"GET /tunnel?0.2 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n" + early)
        client.read_until(b"one,")
        client.send(b"late")
        client.half_close()
        assert client.read_to_end() == b"two,end"
    assert server.get("/unchecked").status == 200


def test_the_last_answer_reaches_a_client_that_says_more(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"GET /slow?0.2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.05)  # the more is not to be read with the request; where it is, the test proves less
        client.send(b"\r\n")
        assert client.read_answer().body == b"slow"


def test_a_bad_request_is_refused_and_logged_without_reaching_the_application(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        assert client.read_answer().status == 400
        assert client.closed_by_peer()
    server.wait_for_log("Invalid request from ip=127.0.0.1")


def test_connections_that_break_at_any_moment_do_no_harm(server: ServerProcess) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    for length in range(0, len(request) + 1, 7):
        with server.client() as client:
            client.send(request[:length])
    for target in (b"/large", b"/stream", b"/slow?0.05"):
        with server.client() as client:
            client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    with server.client() as client:
        assert client.request("GET", "/hello").body == b"hello"
    assert len(server.booted_pids()) == 1


def test_concurrent_clients_get_their_own_answers(server: ServerProcess) -> None:
    failures: list = []

    def ask(number: int) -> None:
        with RawClient((server.host, server.port)) as client:
            for index in range(30):
                body = b"%d-%d" % (number, index)
                if client.request("POST", "/echo", body=body).body != body:
                    failures.append(body)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("requests", [1, 3])
def test_a_connection_that_is_over_leaves_nothing_to_the_garbage_collector(requests: int) -> None:
    connections = 20
    with ServerProcess(["-k", "sync", "app:app"], app=COLLECTING_WSGI) as server:
        server.get("/collect")
        server.get("/collect")
        for _ in range(connections):
            with server.client() as client:
                for _ in range(requests - 1):
                    assert client.request("GET", "/").body == b"hello"
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.read_answer().body == b"hello"
        assert int(server.get("/collect").body) < connections
