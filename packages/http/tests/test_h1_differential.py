"""What h11 and httptools (llhttp) make of the same octets. Each difference that is accepted is listed with its reason.

Where this engine takes a request, the others take it too and see the same, but for ``TAKEN_HERE_ONLY``. Where it
refuses one that another takes, the error is one of ``REFUSED_HERE_ONLY``.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Tuple

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.http1 import corpus, talk

Message = Tuple[bytes, bytes, List[Tuple[bytes, bytes]], bytes, bool]  # method, target, fields, body, complete

#: (error text, reason, an example): refused here and taken by h11 or llhttp.
REFUSED_HERE_ONLY: List[Tuple[str, str, bytes]] = [
    (
        "no control characters, got b'\\\\n'",
        "bare LF as a line end: RFC 9112 2.2 permits it, smuggling uses it",
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    (
        "no control characters",
        "RFC 9110 5.5 calls CR, LF and NUL dangerous and the other controls invalid",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    ),
    (
        "field name: expected",
        "obs-fold: RFC 9112 5.2 says to refuse it",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
    ),
    ("after at most 1 empty lines", "RFC 9112 2.2 asks for one", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "request target: expected visible ASCII",
        "no fragments and nothing above ASCII in a target: RFC 9112 3.2",
        b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("request target: expected origin-form", "a target of no form: RFC 9112 3.2", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "request target: expected asterisk-form",
        "it belongs to OPTIONS: RFC 9112 3.2.4",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "authority: expected",
        "Host and authorities by their grammar: RFC 9112 3.2",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    ),
    ("Host: expected one", "a request of 1.1 without Host: RFC 9112 3.2", b"GET / HTTP/1.1\r\n\r\n"),
    (
        "header fields: expected one",
        "a second Content-Length, Content-Type or Host, equal ones too",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n",
    ),
    (
        "Content-Length: expected",
        "more than any file can have",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n",
    ),
    (
        "framing: expected Content-Length or",
        "both: RFC 9112 6.1 lets a server refuse them",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "Transfer-Encoding: expected",
        "one chunked, last, not with 1.0, and no other coding: RFC 9112 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "CONNECT: expected no body",
        "RFC 9110 9.3.6: its content has no meaning",
        b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 1\r\n\r\n",
    ),
    (
        "method: expected",
        "conventional methods; permit_unconventional_http_method takes any token",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("HTTP version: expected", "1.x only; others take any digit, or 2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("request line: expected", "exactly one space, twice, and a version", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "Expect: expected",
        "an expectation that cannot be met is 417: RFC 9110 10.1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
    ),
    (
        "chunk size: expected",
        "extensions by their grammar, no white space behind a size: RFC 9112 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    ),
    (
        "trailer: expected none",
        "fields that frame or route do not come as trailers: RFC 9110 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
    ),
]

#: who -> (its words, reason, an example): taken here and refused by the other.
TAKEN_HERE_ONLY: Dict[str, List[Tuple[str, str, bytes]]] = {
    "h11": [
        ("no request line received", "one empty line is passed over, as RFC 9112 2.2 asks",
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("Only Transfer-Encoding: chunked", "the application gets the coded body, and the connection closes",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ],
    "httptools": [
        ("Invalid method", "llhttp has a list of methods; any conventional token is one: RFC 9110 9.1",
            b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("Invalid HTTP version", "a minor version that is not known is the highest that is: RFC 9110 2.5",
            b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ],
}  # fmt: skip


def ours(octets: bytes) -> Tuple[Optional[Message], str]:
    it = talk([octets])
    error = it.ended.error if it.ended is not None else None
    if not it.seen or it.seen[0].error is not None:
        return None, str((it.seen[0].error if it.seen else error) or "")
    seen = it.seen[0]
    return (seen.request.method.encode(), seen.request.target, seen.request.headers, seen.body, seen.complete), ""


def h11s(octets: bytes) -> Tuple[Optional[Message], str]:
    connection = h11.Connection(h11.SERVER)
    method = target = body = b""
    fields: Optional[List[Tuple[bytes, bytes]]] = None
    complete = False
    try:
        connection.receive_data(octets)
        while not complete:
            event: Any = connection.next_event()
            if isinstance(event, h11.Request):
                method, target, fields = event.method, event.target, list(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                complete = True
            else:
                break
    except h11.RemoteProtocolError as error:
        return None, str(error)
    return (None if fields is None else (method, target, fields, body, complete)), ""


class _Callbacks:
    def __init__(self) -> None:
        self.target = b""
        self.fields: List[Tuple[bytes, bytes]] = []
        self.body = b""
        self.method = b""
        self.head = False
        self.complete = False
        self.parser: Any = None

    def on_url(self, url: bytes) -> None:
        if not self.complete:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head:
            self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if not self.head:
            self.method = self.parser.get_method()
        self.head = True

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def httptoolss(octets: bytes) -> Tuple[Optional[Message], str]:
    seen = _Callbacks()
    seen.parser = httptools.HttpRequestParser(seen)
    try:
        seen.parser.feed_data(octets)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if not seen.complete:
            return None, str(error)
    if not seen.head:
        return None, ""
    return (seen.method, seen.target, seen.fields, seen.body, seen.complete), ""


PARSERS: Dict[str, Callable[[bytes], Tuple[Optional[Message], str]]] = {"h11": h11s, "httptools": httptoolss}


def comparable(message: Message) -> Message:
    """Leave out what a policy changes (the Host of an absolute-form target, fields with ``_``), and spelling."""
    method, target, fields, body, complete = message
    kept = [(bytes(n), bytes(v).strip(b" \t")) for n, v in fields if b"_" not in n]
    kept = [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in kept]  # h11 gives it in lower case
    if b"://" in target:
        kept = [field for field in kept if field[0] != b"host"]
    if method == b"CONNECT":
        body, complete = b"", True  # what follows belongs to the tunnel
    return bytes(method), bytes(target), kept, body, complete


def compare(octets: bytes) -> None:
    mine, why = ours(octets)
    for name, parser in PARSERS.items():
        theirs, complaint = parser(octets)
        if mine is not None and theirs is not None:
            a, b = comparable(mine), comparable(theirs)
            if a[4] == b[4]:
                assert a == b, name
            else:
                assert a[:3] == b[:3], name
        elif mine is not None:
            known = TAKEN_HERE_ONLY[name]
            assert any(re.search(text, complaint) for text, _, _ in known), (name, complaint, mine)
        elif theirs is not None and why:
            assert any(re.search(text, why) for text, _, _ in REFUSED_HERE_ONLY), (name, why, theirs)


@pytest.mark.parametrize("octets", corpus(), ids=repr)
def test_the_corpus(octets: bytes) -> None:
    compare(octets)


LINES = st.sampled_from(
    [
        b"Host: a", b"host: b:80", b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: +3", b"X: 1", b"X : 1",
        b" X: 1", b"X:", b"X:\t1 ", b"X: a\x00b", b"X: a\nb", b"X: a\rb", b"X: \xff", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"transfer-encoding:  CHUNKED ",
        b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"Expect: x", b"[: 1", b": 1", b"X",
        b"Content-Type: a", b"Upgrade: x",
    ]
)  # fmt: skip
FIRST = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"GET / HTTP/1.0", b"HEAD /%20 HTTP/1.1", b"OPTIONS * HTTP/1.1",
        b"CONNECT h:1 HTTP/1.1", b"GET http://h/x HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ",
        b"GET /#a HTTP/1.1",
        b"GET / HTTP/2.0", b"GET / HTTP/1.2", b"get / HTTP/1.1", b"GET * HTTP/1.1", b"GET a HTTP/1.1", b"GET /",
        b"\r\nGET / HTTP/1.1", b"M-SEARCH /|{}^ HTTP/1.1", b"GET /\xe9 HTTP/1.1",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
BODIES = st.sampled_from(
    [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n",
     b"+3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"3\r\nabc\r\n0\r\nT: 1\r\n\r\n", b"0\r\nHost: b\r\n\r\n", b"-1\r\n"]
)  # fmt: skip


@st.composite
def requests(draw: Any) -> bytes:
    """A request of plausible lines, now and then with something wrong."""
    lines = [draw(FIRST), *draw(st.lists(LINES, max_size=5))]
    if draw(st.booleans()):
        lines.insert(1, b"Host: a")
    return b"".join(line + draw(ENDS) for line in lines) + draw(ENDS) + draw(BODIES)


@settings(max_examples=600)
@given(requests())
def test_made_up_requests(octets: bytes) -> None:
    compare(octets)


@pytest.mark.parametrize(("text", "reason", "octets"), REFUSED_HERE_ONLY)
def test_what_is_refused_here_only(text: str, reason: str, octets: bytes) -> None:
    mine, why = ours(octets)
    assert mine is None
    assert re.search(text, why)
    assert h11s(octets)[0] is not None or httptoolss(octets)[0] is not None, "no longer a difference"


@pytest.mark.parametrize(("who", "row"), [(who, row) for who, rows in TAKEN_HERE_ONLY.items() for row in rows])
def test_what_is_taken_here_only(who: str, row: Tuple[str, str, bytes]) -> None:
    text, _, octets = row
    theirs, complaint = PARSERS[who](octets)
    assert ours(octets)[0] is not None
    assert theirs is None, "no longer a difference"
    assert re.search(text, complaint)
