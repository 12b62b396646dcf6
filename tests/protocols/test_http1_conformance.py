"""HTTP/1.1 as every worker speaks it, by raw octets on a socket: what is refused, what is taken, and that no octet of
a message is ever read as another request (RFC 9110, RFC 9112)."""

from __future__ import annotations

import json
import socket
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from protocols.http1_apps import APPS
from support import ServerProcess
from support.client import Answer

WORKERS: Dict[str, List[str]] = {
    "sync": ["app:app", "-k", "sync"],
    "gthread": ["app:app", "-k", "gthread", "--threads", "2"],
    "gevent": ["app:app", "-k", "gevent"],
    "asgi": ["app:asgi", "-k", "asgi"],
}
#: Drivers that take a body before the application is called, and so also answer after it.
COLLECTING = ("sync", "gthread")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
GET = b"GET /facts HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /facts HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=WORKERS)
def worker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(worker: str) -> Iterator[ServerProcess]:
    with ServerProcess([*WORKERS[worker], "--limit-request-body", "100000"], app=APPS) as process:
        yield process


def seen(server: ServerProcess) -> List[str]:
    """The paths that reached the application since the last look."""
    paths = json.loads(server.get("/was_seen").body)
    assert isinstance(paths, list)
    return paths


def facts(answer: Answer) -> Dict[str, Any]:
    """What the application was told."""
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    assert isinstance(told, dict)
    return told


# -- what is refused --------------------------------------------------------------------------------------------------

REFUSED: List[Tuple[str, bytes, int]] = [
    # RFC 9112 section 2.2: octets that end or hide lines
    ("bare LF after the request line", b"GET /facts HTTP/1.1\nHost: h\r\n\r\n", 400),
    ("bare LF between fields", GET + b"A: b\nC: d\r\n\r\n", 400),
    ("bare LF at the end of the head", b"GET /facts HTTP/1.1\r\nHost: h\n\n", 400),
    ("bare CR in the request line", b"GET /facts\rx HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("bare CR in a value", GET + b"A: b\rC: d\r\n\r\n", 400),
    ("bare CR in a name", GET + b"A\r: b\r\n\r\n", 400),
    ("NUL in the target", b"GET /fa\0cts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("NUL in a name", GET + b"A\0: b\r\n\r\n", 400),
    ("NUL in a value", GET + b"A: b\0\r\n\r\n", 400),
    ("DEL in a value", GET + b"A: b\x7f\r\n\r\n", 400),
    ("two empty lines first", b"\r\n\r\n" + GET + b"\r\n", 400),
    ("white space before the first field", b"GET /facts HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    # RFC 9112 section 3
    ("two spaces", b"GET  /facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("tab for a space", b"GET\t/facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a space before the request line", b" GET /facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /facts\r\n\r\n", 400),
    ("a method that is no token", b"GE(T /facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a lower-case method", b"get /facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a fragment", b"GET /facts#x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a raw octet above ASCII", b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a relative target", b"GET facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("asterisk-form with GET", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("authority-form with GET", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("origin-form with CONNECT", b"CONNECT /facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("CONNECT without a port", b"CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("absolute-form with userinfo", b"GET http://u@h/facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("absolute-form of another scheme", b"GET ftp://h/facts HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a long request line", b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    # RFC 9112 section 2.3
    ("HTTP/2.0", b"GET /facts HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ("HTTP/3.0", b"GET /facts HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    ("HTTP/0.9 by name", b"GET /facts HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    ("a lower-case version", b"GET /facts http/1.1\r\nHost: h\r\n\r\n", 400),
    ("two digits", b"GET /facts HTTP/1.10\r\nHost: h\r\n\r\n", 400),
    ("the client preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 505),
    # RFC 9112 section 5
    ("a space before the colon", GET + b"A : b\r\n\r\n", 400),
    ("a tab before the colon", GET + b"A\t: b\r\n\r\n", 400),
    ("obs-fold", GET + b"A: b\r\n c\r\n\r\n", 400),
    ("obs-fold by tab", GET + b"A: b\r\n\tc\r\n\r\n", 400),
    ("obs-fold of Transfer-Encoding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n", 400),
    ("an empty name", GET + b": b\r\n\r\n", 400),
    ("a name that is no token", GET + b"A(b): c\r\n\r\n", 400),
    ("a name above ASCII", GET + b"\xc3\xa4: c\r\n\r\n", 400),
    ("a line without a colon", GET + b"nothing\r\n\r\n", 400),
    ("a long field", GET + b"A: " + b"a" * 9000 + b"\r\n\r\n", 431),
    ("too many fields", GET + b"A: b\r\n" * 101 + b"\r\n", 431),
    # RFC 9112 section 3.2
    ("no Host", b"GET /facts HTTP/1.1\r\n\r\n", 400),
    ("no Host beside absolute-form", b"GET http://h/facts HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", GET + b"Host: h\r\n\r\n", 400),
    ("an empty Host", b"GET /facts HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("Host with userinfo", b"GET /facts HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("Host with a path", b"GET /facts HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("Host with a bad port", b"GET /facts HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
    ("Host with a port too large", b"GET /facts HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
    ("Host with a list", b"GET /facts HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("Host with a space", b"GET /facts HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a bad address", b"GET /facts HTTP/1.1\r\nHost: [::g]\r\n\r\n", 400),
    # RFC 9112 section 6: framing
    ("a sign", POST + b"Content-Length: +5\r\n\r\nhello", 400),
    ("a negative length", POST + b"Content-Length: -5\r\n\r\nhello", 400),
    ("a hexadecimal length", POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    ("a list of lengths", POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    ("an empty length", POST + b"Content-Length:\r\n\r\nhello", 400),
    ("an underscore in a length", POST + b"Content-Length: 1_0\r\n\r\nhello", 400),
    ("two equal lengths", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("two lengths", POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("2^64 + 5", POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    ("2^63", POST + b"Content-Length: 9223372036854775808\r\n\r\nhello", 400),
    ("both", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("both, the other way", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in two lines", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked not last", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("no chunked", POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("another coding", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked in quotes", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ("vertical tab before chunked", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("an empty coding", POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked with HTTP/1.0", b"POST /facts HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # RFC 9110 section 10.1.1
    ("another expectation", POST + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 417),
    ("two expectations", POST + b"Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello", 417),
    # RFC 9110 section 15.5.14
    ("a length above the limit", POST + b"Content-Length: 100001\r\n\r\n", 413),
    ("chunks above the limit", CHUNKED + b"186A1\r\n", 413),
    # RFC 9112 section 7.1
    ("a chunk size that wraps", CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk size of 64 bits", CHUNKED + b"ffffffffffffffff\r\n", 400),
    ("zeros without end", CHUNKED + b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n", 400),
    ("no size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n", 400),
    ("a signed size", CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    ("a prefixed size", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("a size with an underscore", CHUNKED + b"0_5\r\nhello\r\n0\r\n\r\n", 400),
    ("a space before a size", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400),
    ("bare LF behind a size", CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    ("bare CR behind a size", CHUNKED + b"5\rxhello\r\n0\r\n\r\n", 400),
    ("NUL in an extension", CHUNKED + b"5;a=\0\r\nhello\r\n0\r\n\r\n", 400),
    ("bare LF in an extension", CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    ("a malformed extension", CHUNKED + b"5;=a\r\nhello\r\n0\r\n\r\n", 400),
    ("a long extension", CHUNKED + b"5;a=" + b"b" * 2000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk that goes on", CHUNKED + b"5\r\nhelloworld\r\n0\r\n\r\n", 400),
    ("bare LF behind a chunk", CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    ("a forbidden trailer", CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    ("a trailer that authorises", CHUNKED + b"0\r\nAuthorization: x\r\n\r\n", 400),
    ("bare LF in trailers", CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n", 400),
    ("obs-fold in trailers", CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", 400),
    ("too many trailers", CHUNKED + b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n", 431),
    ("long trailers", CHUNKED + b"0\r\n" + b"A: " + b"b" * 9000 + b"\r\n\r\n", 431),
]


@pytest.mark.parametrize(("octets", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_with_one_answer_and_nothing_behind_it_is_a_request(
    server: ServerProcess, octets: bytes, status: int
) -> None:
    seen(server)
    with server.client() as client:
        client.send(octets + SMUGGLED)
        answer = client.read_answer()
        assert (answer.status, answer.header("connection")) == (status, "close")
        assert client.read_to_end() == b""  # and the end comes behind the whole answer
    assert "/smuggled" not in seen(server)


# -- what is taken ----------------------------------------------------------------------------------------------------

TAKEN: List[Tuple[str, bytes, Dict[str, Any]]] = [
    ("an empty line first", b"\r\n" + GET + b"\r\n", {"method": "GET", "path": "/facts", "host": "h"}),
    ("white space around a value", GET + b"X-A: \t b c \t\r\n\r\n", {"X_A": "b c"}),
    ("an empty value", GET + b"X-A:\r\n\r\n", {"X_A": ""}),
    ("a name with an underscore is dropped", GET + b"X_A: 1\r\n\r\n", {"X_A": None}),
    ("a repeated Connection", GET + b"Connection: a\r\nConnection: b\r\n\r\n", {"path": "/facts"}),
    ("a minor version above 1", b"GET /facts HTTP/1.2\r\nHost: h\r\n\r\n", {"version": "1.1"}),
    ("8000 octets of request line", b"GET /" + b"a" * 7986 + b" HTTP/1.1\r\nHost: h\r\n\r\n", {"host": "h"}),
    ("Host with a port", b"GET /facts HTTP/1.1\r\nHost: h:8000\r\n\r\n", {"host": "h:8000"}),
    ("Host of an IPv6 address", b"GET /facts HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", {"host": "[::1]:80"}),
    ("absolute-form overrides Host", b"GET http://a:1/facts?q HTTP/1.1\r\nHost: b\r\n\r\n",
     {"host": "a:1", "path": "/facts", "query": "q"}),
    ("absolute-form without a path", b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", {"host": "a", "path": "/"}),
    ("asterisk-form", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", {"method": "OPTIONS"}),
    ("a length", POST + b"Content-Length: 5\r\n\r\nhello", {"body": "hello"}),
    ("zeros before a length", POST + b"Content-Length: 0005\r\n\r\nhello", {"body": "hello"}),
    ("chunks", CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", {"body": "hello!"}),
    ("upper-case sizes and coding", POST + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
     {"body": "0123456789"}),
    ("extensions", CHUNKED + b'5;a=b;c="d e";f\r\nhello\r\n0;last\r\n\r\n', {"body": "hello"}),
    ("trailers, which never join the headers", CHUNKED + b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
     {"body": "hello", "X_T": None}),
    ("an expectation whose body is here", POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello",
     {"body": "hello"}),
    ("an expectation without body", GET + b"Expect: 100-continue\r\n\r\n", {"body": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_taken_whole_and_octet_by_octet_and_the_connection_persists(
    server: ServerProcess, octets: bytes, expected: Dict[str, Any]
) -> None:
    pieces = [octets] if len(octets) > 1000 else [octets[i : i + 1] for i in range(len(octets))]
    with server.client() as client:
        for way in ([octets], pieces):
            for piece in way:
                client.send(piece)
            told = facts(client.read_answer())
            for name, value in expected.items():
                assert (told[name] if name in told else told["fields"].get("HTTP_" + name)) == value
        assert facts(client.request("GET", "/facts"))["path"] == "/facts"


def test_repeated_fields_are_joined_in_an_environ(server: ServerProcess, worker: str) -> None:
    if worker == "asgi":
        pytest.skip("a scope lists every field by itself")
    with server.client() as client:
        client.send(GET + b"X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n")
        assert facts(client.read_answer())["fields"]["HTTP_X_A"] == "1,3"


# -- persistence and order --------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(
            b"GET /facts?1 HTTP/1.1\r\nHost: h\r\n\r\n"
            b"POST /facts?2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
            b"POST /facts?3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /facts?5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + SMUGGLED
        )
        assert [facts(client.read_answer())["query"] for _ in range(3)] == ["1", "2", "3"]
        assert client.read_answer().body == b"one,two"
        last = client.read_answer()
        assert (facts(last)["query"], last.header("connection")) == ("5", "close")
        assert client.read_to_end() == b""


def test_http_1_0_persists_only_where_both_say_so(server: ServerProcess) -> None:
    with server.client() as client:
        for _ in range(2):
            client.send(b"GET /facts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = client.read_answer()
            assert (facts(answer)["version"], answer.header("connection")) == ("1.0", "keep-alive")
        client.send(b"GET /facts HTTP/1.0\r\n\r\n" + SMUGGLED)
        assert client.read_answer().header("connection") == "close"
        assert client.read_to_end() == b""


def test_an_http_1_0_client_gets_no_chunks_and_no_1xx(server: ServerProcess) -> None:
    for target in ("/stream", "/hints"):
        with server.client() as client:
            client.send(b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % target.encode())
            seen_first: List[Answer] = []
            answer = client.read_answer(interim=seen_first)
            assert (answer.body, answer.header("transfer-encoding")) in [(b"one,two", None), (b"hinted", None)]
            assert not seen_first


def test_a_client_that_half_closes_is_answered(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(POST + b"Content-Length: 5\r\n\r\nhello")
        client.half_close()
        assert facts(client.read_answer())["body"] == "hello"
        assert client.read_to_end() == b""


def test_a_body_that_ends_too_early_is_refused(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(POST + b"Content-Length: 50\r\n\r\nhello")
        client.half_close()
        data = client.read_to_end()
        assert data.startswith(b"HTTP/1.1 400 ") or data == b""


# -- bodies that nobody reads -----------------------------------------------------------------------------------------


def unread(length: int) -> bytes:
    return b"POST /unread HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize("chunked", [False, True])
def test_an_unread_body_never_becomes_a_request(server: ServerProcess, worker: str, chunked: bool) -> None:
    seen(server)
    body = SMUGGLED * 20
    head = unread(len(body))
    if chunked:
        head = b"POST /unread HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with server.client() as client:
        client.send(head + body + GET + b"\r\n")
        assert client.read_answer().body == b"unread"
        assert facts(client.read_answer())["path"] == "/facts"
        client.send(head)
        if worker in COLLECTING:
            client.send(body)
            assert client.read_answer().body == b"unread"
        else:  # the body arrives behind the answer
            assert client.read_answer().body == b"unread"
            for at in range(0, len(body), 100):
                client.send(body[at : at + 100])
        assert facts(client.request("GET", "/facts"))["path"] == "/facts"
    assert seen(server) == ["/unread", "/facts", "/unread", "/facts"]


def test_an_unread_body_that_is_long_ends_the_connection(server: ServerProcess, worker: str) -> None:
    if worker in COLLECTING:
        pytest.skip("takes the body before it answers")
    seen(server)
    with server.client() as client:
        client.send(unread(99_000))
        answer = client.read_answer()
        assert (answer.body, answer.header("connection")) == (b"unread", "close")
        client.send(SMUGGLED * 10)
        assert client.read_to_end() == b""
    assert seen(server) == ["/unread"]


def test_the_answer_is_read_although_the_client_still_sends(server: ServerProcess) -> None:
    for _ in range(5):
        with server.client() as client:
            client.send(POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n")
            for _ in range(10):
                client.send(b"x" * 4000)
            assert client.read_answer().status == 400
            assert client.read_to_end() == b""


def test_what_comes_behind_the_last_answer_is_thrown_away_up_to_a_bound(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n")
        assert client.read_answer().status == 400
        assert client.read_to_end() == b""  # the server says nothing more
        for _ in range(16):
            client.send(b"x" * 4000)  # a reset would be seen by the second
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                client.send(b"x" * 4000)


# -- Expect -----------------------------------------------------------------------------------------------------------

EXPECTING = b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"


def test_continue_is_said_before_the_body_and_once(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(POST + EXPECTING)
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        interim: List[Answer] = []
        assert facts(client.read_answer(interim=interim))["body"] == "hello"
        assert not interim


def test_a_final_status_is_not_followed_by_continue(server: ServerProcess, worker: str) -> None:
    if worker in COLLECTING:
        pytest.skip("asks for the body on the application's behalf")
    seen(server)
    with server.client() as client:
        client.send(b"POST /unread HTTP/1.1\r\nHost: h\r\n" + EXPECTING)
        interim: List[Answer] = []
        answer = client.read_answer(interim=interim)
        assert (answer.body, answer.header("connection"), interim) == (b"unread", "close", [])
        client.send(SMUGGLED)
        assert client.read_to_end() == b""
    assert seen(server) == ["/unread"]


def test_an_http_1_0_client_is_not_told_to_continue(server: ServerProcess) -> None:
    with server.client() as client:
        client.send(b"POST /facts HTTP/1.0\r\n" + EXPECTING + b"hello")
        interim: List[Answer] = []
        assert facts(client.read_answer(interim=interim))["body"] == "hello"
        assert not interim


# -- cost -------------------------------------------------------------------------------------------------------------


def test_a_body_in_chunks_of_one_octet_arrives_whole(server: ServerProcess) -> None:
    with server.client(timeout=30.0) as client:
        client.send(CHUNKED + b"1\r\nx\r\n" * 65536 + b"0\r\n\r\n")
        assert facts(client.read_answer())["body"] == "x" * 65536


def test_more_framing_than_content_is_worth_is_refused(server: ServerProcess) -> None:
    """Extensions of a kilobyte for each octet: bounded for the whole body, not for each line only."""
    line = b"1;a=" + b"b" * 1000 + b"\r\nx\r\n"
    with server.client(timeout=30.0) as client:
        client.send(CHUNKED)
        answer = b""
        try:
            for _ in range(17 * 1024 // 16):
                client.send(line * 16)
        except OSError:  # answered, and closed after a bounded time
            pass
        answer = client.read_to_end()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


# -- deadlines --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(worker: str) -> Iterator[ServerProcess]:
    arguments = [*WORKERS[worker], "--header-timeout", "1", "--body-timeout", "1", "--keep-alive", "1"]
    with ServerProcess(arguments, app=APPS) as process:
        yield process


SLOW = [
    ("a head that stops", GET, 408),
    ("a request line that stops", b"GET /fac", 408),
    ("a body that stops", POST + b"Content-Length: 50\r\n\r\nhello", 408),
    ("a chunked body that stops", CHUNKED + b"5\r\nhel", 408),
    ("nothing", b"", None),
    ("an empty line only", b"\r\n", None),
]


def test_who_is_slow_is_answered_408_and_who_says_nothing_is_closed(impatient: ServerProcess) -> None:
    clients = []
    for _, octets, _ in SLOW:
        clients.append(impatient.client())
        clients[-1].send(octets)
    for (name, _, status), client in zip(SLOW, clients):
        with client:
            if status is None:
                assert client.read_to_end() == b"", name
            else:
                answer = client.read_answer()
                assert (answer.status, answer.header("connection")) == (status, "close"), name
                assert client.read_to_end() == b""


def test_an_idle_connection_is_closed_without_a_word(impatient: ServerProcess) -> None:
    with impatient.client() as client:
        assert facts(client.request("GET", "/facts"))["path"] == "/facts"
        assert client.read_to_end() == b""


def test_octets_that_trickle_do_not_prolong_the_time_of_a_head(impatient: ServerProcess) -> None:
    with impatient.client(timeout=0.2) as client:
        client.send(GET)
        data = b""
        for _ in range(50):
            try:
                client.send(b"X-A: 1\r\n")
                data = client.sock.recv(65536)
                break
            except socket.timeout:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")
