"""Rules of HTTP/1 requests, each as a row with its section: taken or refused, however the octets are cut."""

from __future__ import annotations

import time
from typing import Any, Dict, NamedTuple, Optional

import pytest

from server_http.config import Grammar, HttpConfig
from server_http.headers import HeaderPolicy
from server_http.limits import Limits
from support.http1 import Talk, every_cut, octet_by_octet, talk

HOST = b"Host: a\r\n"


class Row(NamedTuple):
    section: str
    name: str
    octets: bytes
    expected: Any  # a status that refuses it, or the attributes of the request


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + b"".join(item + b"\r\n" for item in lines) + b"\r\n"


def ok(**attributes: Any) -> Dict[str, Any]:
    return attributes


REQUEST_LINES = [
    Row("9112-3", "origin-form", head(line=b"GET /a/b HTTP/1.1"), ok(method="GET", path=b"/a/b", query=b"")),
    Row("9112-3", "query", head(line=b"GET /a?b=c?d HTTP/1.1"), ok(path=b"/a", query=b"b=c?d", target=b"/a?b=c?d")),
    Row("9112-3", "double slash stays", head(line=b"GET //a HTTP/1.1"), ok(path=b"//a")),
    Row("9112-3", "percent stays", head(line=b"GET /%2f%00 HTTP/1.1"), ok(path=b"/%2f%00")),
    Row("9112-2.2", "one empty line before", b"\r\n" + head(), ok(path=b"/")),
    Row("9112-2.2", "two empty lines before", b"\r\n\r\n" + head(), 400),
    Row("9112-2.2", "bare LF before", b"\n" + head(), 400),
    Row("9112-3", "two spaces", head(line=b"GET  / HTTP/1.1"), 400),
    Row("9112-3", "space before", head(line=b" GET / HTTP/1.1"), 400),
    Row("9112-3", "space behind", head(line=b"GET / HTTP/1.1 "), 400),
    Row("9112-3", "tab", head(line=b"GET\t/ HTTP/1.1"), 400),
    Row("9112-3", "space in target", head(line=b"GET /a b HTTP/1.1"), 400),
    Row("9112-3", "no version", head(line=b"GET /"), 400),
    Row("9112-3", "no target", head(line=b"GET HTTP/1.1"), 400),
    Row("9112-3", "empty target", head(line=b"GET  HTTP/1.1"), 400),
    Row("9112-3", "only a word", head(line=b"GET"), 400),
    Row("9112-2.2", "bare LF at its end", b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    Row("9112-2.2", "bare CR in target", head(line=b"GET /a\rb HTTP/1.1"), 400),
    Row("9112-2.2", "CR CR LF", b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", 400),
    Row("9112-2.2", "NUL in target", head(line=b"GET /\0 HTTP/1.1"), 400),
    Row("9112-3.2", "control in target", head(line=b"GET /\x01 HTTP/1.1"), 400),
    Row("9112-3.2", "DEL in target", head(line=b"GET /\x7f HTTP/1.1"), 400),
    Row("9112-3.2", "raw octet above ASCII", head(line=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    Row("9112-3.2", "fragment", head(line=b"GET /a#b HTTP/1.1"), 400),
    Row("9112-3.2", "relative", head(line=b"GET a HTTP/1.1"), 400),
    Row("9112-3.2", "query without path", head(line=b"GET ?a HTTP/1.1"), 400),
    Row("9112-3.2.2", "absolute-form", head(line=b"GET http://h:80/a?b HTTP/1.1"),
        ok(authority=b"h:80", path=b"/a", query=b"b", headers=[(b"host", b"h:80")], scheme="http")),
    Row("9112-3.2.2", "absolute-form overrides Host", head(line=b"GET http://other/ HTTP/1.1"),
        ok(authority=b"other", headers=[(b"host", b"other")])),
    Row("9112-3.2.2", "its scheme does not make the connection safe", head(line=b"GET HTTPS://h/ HTTP/1.1"),
        ok(scheme="http", authority=b"h")),
    Row("9112-3.2.2", "absolute-form without path", head(line=b"GET http://h HTTP/1.1"), ok(path=b"/", query=b"")),
    Row("9112-3.2.2", "absolute-form, query only", head(line=b"GET http://h?a HTTP/1.1"), ok(path=b"/", query=b"a")),
    Row("9112-3.2.2", "still needs Host", head(line=b"GET http://h/ HTTP/1.1", host=b""), 400),
    Row("9112-3.2.2", "1.0 does not", head(line=b"GET http://h/ HTTP/1.0", host=b""), ok(authority=b"h")),
    Row("9110-4.2.4", "user information", head(line=b"GET http://u@h/ HTTP/1.1"), 400),
    Row("9110-4.2.1", "empty authority", head(line=b"GET http:///a HTTP/1.1"), 400),
    Row("9110-4.2", "another scheme", head(line=b"GET ftp://h/a HTTP/1.1"), 400),
    Row("9112-3.2.3", "CONNECT", head(line=b"CONNECT h:443 HTTP/1.1", host=b"Host: h:443\r\n"),
        ok(method="CONNECT", authority=b"h:443", path=b"", target=b"h:443")),
    Row("9112-3.2.3", "CONNECT without port", head(line=b"CONNECT h HTTP/1.1"), 400),
    Row("9112-3.2.3", "CONNECT, empty port", head(line=b"CONNECT h: HTTP/1.1"), 400),
    Row("9112-3.2.3", "CONNECT, a path", head(line=b"CONNECT /a HTTP/1.1"), 400),
    Row("9112-3.2.3", "CONNECT, a URI", head(line=b"CONNECT http://h/ HTTP/1.1"), 400),
    Row("9110-9.3.6", "CONNECT with a body", head(b"Content-Length: 1", line=b"CONNECT h:1 HTTP/1.1") + b"x", 400),
    Row("9112-3.2.3", "authority-form elsewhere", head(line=b"GET h:443 HTTP/1.1"), 400),
    Row("9112-3.2.4", "asterisk-form", head(line=b"OPTIONS * HTTP/1.1"), ok(path=b"*", method="OPTIONS")),
    Row("9112-3.2.4", "OPTIONS of a server", head(line=b"OPTIONS http://h HTTP/1.1"), ok(path=b"*", authority=b"h")),
    Row("9112-3.2.4", "asterisk-form elsewhere", head(line=b"GET * HTTP/1.1"), 400),
    Row("9110-9.1", "unusual method", head(line=b"M-SEARCH / HTTP/1.1"), ok(method="M-SEARCH")),
    Row("9110-9.1", "lower case", head(line=b"get / HTTP/1.1"), 400),
    Row("9110-9.1", "mixed case", head(line=b"Get / HTTP/1.1"), 400),
    Row("9110-9.1", "number sign", head(line=b"GE#T / HTTP/1.1"), 400),
    Row("9110-9.1", "too short", head(line=b"GO / HTTP/1.1"), 400),
    Row("9110-9.1", "20 octets", head(line=b"A" * 20 + b" / HTTP/1.1"), ok(method="A" * 20)),
    Row("9110-9.1", "21 octets", head(line=b"A" * 21 + b" / HTTP/1.1"), 400),
    Row("9110-5.6.2", "not a token", head(line=b"GE(T / HTTP/1.1"), 400),
    Row("9112-2.3", "1.0", head(line=b"GET / HTTP/1.0"), ok(version="1.0", keep_alive=False)),
    Row("9112-2.3", "1.0 without Host", head(line=b"GET / HTTP/1.0", host=b""), ok(authority=b"")),
    Row("9110-2.5", "1.2 is 1.1", head(line=b"GET / HTTP/1.2"), ok(version="1.1")),
    Row("9112-2.3", "2.0", head(line=b"GET / HTTP/2.0"), 505),
    Row("9112-2.3", "0.9", head(line=b"GET / HTTP/0.9"), 505),
    Row("9112-2.3", "lower case", head(line=b"GET / http/1.1"), 400),
    Row("9112-2.3", "two digits", head(line=b"GET / HTTP/1.10"), 400),
    Row("9112-2.3", "no minor", head(line=b"GET / HTTP/1"), 400),
    Row("9112-2.3", "sign", head(line=b"GET / HTTP/+.1"), 400),
    Row("9113-3.4", "preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
]  # fmt: skip

FIELDS = [
    Row("9110-5.5", "value is trimmed", head(b"X: \t a b \t "), ok(headers=[(b"host", b"a"), (b"x", b"a b")])),
    Row("9110-5.5", "empty value", head(b"X:"), ok(headers=[(b"host", b"a"), (b"x", b"")])),
    Row("9110-5.5", "white space only", head(b"X: \t "), ok(headers=[(b"host", b"a"), (b"x", b"")])),
    Row("9110-5.5", "colons", head(b"X: a:b: c"), ok(headers=[(b"host", b"a"), (b"x", b"a:b: c")])),
    Row("9110-5.5", "obs-text", head(b"X: \xff\x80"), ok(headers=[(b"host", b"a"), (b"x", b"\xff\x80")])),
    Row("9110-5.1", "every token octet", head(b"!#$%&'*+-.^`|~09azAZ: 1"),
        ok(headers=[(b"host", b"a"), (b"!#$%&'*+-.^`|~09azaz", b"1")])),
    Row("9110-5.3", "repeated", head(b"X: 1", b"X: 2"), ok(headers=[(b"host", b"a"), (b"x", b"1"), (b"x", b"2")])),
    Row("9112-5.1", "space before colon", head(b"X : 1"), 400),
    Row("9112-5.1", "tab before colon", head(b"X\t: 1"), 400),
    Row("9112-5.1", "space before name", head(b" X: 1"), 400),
    Row("9112-5.2", "obs-fold", head(b"X: 1", b" 2"), 400),
    Row("9112-5.2", "obs-fold of the request line", head(host=b" Host: a\r\n"), 400),
    Row("9112-5.2", "white space line", head(b"X: 1", b" "), 400),
    Row("9112-5", "no name", head(b": 1"), 400),
    Row("9112-5", "no colon", head(b"X"), 400),
    Row("9112-5", "no colon in the last line", head(b"X: 1", b"Y"), 400),
    Row("9110-5.1", "not a token", head(b"X[]: 1"), 400),
    Row("9110-5.1", "not ASCII", head(b"X\xe9: 1"), 400),
    Row("9110-5.1", "not ASCII, folds to ASCII in Unicode", head("\u212a: 1".encode()), 400),
    Row("9110-5.5", "NUL in value", head(b"X: a\0b"), 400),
    Row("9110-5.5", "control in value", head(b"X: a\x0bb"), 400),
    Row("9110-5.5", "DEL in value", head(b"X: a\x7fb"), 400),
    Row("9110-5.5", "bare CR in value", head(b"X: a\rb"), 400),
    Row("9110-5.5", "bare CR at its end", head(b"X: a\r"), 400),
    Row("9112-2.2", "bare LF in value", head(b"X: a\nY: b"), 400),
    Row("9112-2.2", "bare LF ends a line", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400),
    Row("9112-2.2", "bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    Row("9112-2.2", "LF LF", b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
    Row("9112-2.2", "LF CR LF", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    Row("9112-2.2", "NUL in name", head(b"X\0: 1"), 400),
    Row("policy", "underscore is dropped", head(b"X_A: 1", b"X-B: 2"), ok(headers=[(b"host", b"a"), (b"x-b", b"2")])),
]  # fmt: skip

HOSTS = [
    Row("9112-3.2", "none", head(host=b""), 400),
    Row("9112-3.2", "two", head(b"Host: a"), 400),
    Row("9112-3.2", "two, another case", head(b"hOST: b"), 400),
    Row("9110-4.2.1", "empty", head(host=b"Host:\r\n"), 400),
    Row("9110-4.2.4", "user information", head(host=b"Host: u@a\r\n"), 400),
    Row("9110-7.2", "a path", head(host=b"Host: a/b\r\n"), 400),
    Row("9110-7.2", "port is no number", head(host=b"Host: a:x\r\n"), 400),
    Row("9110-7.2", "port is negative", head(host=b"Host: a:-1\r\n"), 400),
    Row("9110-7.2", "port above 65535", head(host=b"Host: a:65536\r\n"), 400),
    Row("9110-7.2", "two ports", head(host=b"Host: a:1:2\r\n"), 400),
    Row("9110-7.2", "a list", head(host=b"Host: a, b\r\n"), 400),
    Row("9110-7.2", "a space", head(host=b"Host: a b\r\n"), 400),
    Row("9110-7.2", "a query", head(host=b"Host: a?b\r\n"), 400),
    Row("9110-7.2", "backslash", head(host=b"Host: a\\b\r\n"), 400),
    Row("9110-7.2", "not ASCII", head(host=b"Host: \xe9\r\n"), 400),
    Row("3986-2.1", "broken percent", head(host=b"Host: a%2\r\n"), 400),
    Row("3986-3.2.2", "open bracket", head(host=b"Host: [::1\r\n"), 400),
    Row("3986-3.2.2", "not an address", head(host=b"Host: [::1::2]\r\n"), 400),
    Row("3986-3.2.2", "IPv6", head(host=b"Host: [2001:db8::1]:80\r\n"), ok(authority=b"[2001:db8::1]:80")),
    Row("3986-3.2.2", "IPv4", head(host=b"Host: 192.0.2.1:8000\r\n"), ok(authority=b"192.0.2.1:8000")),
    Row("3986-3.2.3", "empty port", head(host=b"Host: a:\r\n"), ok(authority=b"a:")),
    Row("3986-3.2.2", "underscore", head(host=b"Host: a_b\r\n"), ok(authority=b"a_b")),
]  # fmt: skip

POST = b"POST / HTTP/1.1"
FRAMING = [
    Row("9112-6.3", "no body", head(line=POST), ok(content_length=0, body=b"")),
    Row("9112-6.3", "length", head(b"Content-Length: 5", line=POST) + b"hello", ok(content_length=5, body=b"hello")),
    Row("9112-6.3", "zero", head(b"Content-Length: 0", line=POST), ok(content_length=0, body=b"")),
    Row("9110-8.6", "leading zeros", head(b"Content-Length: 0005", line=POST) + b"hello", ok(body=b"hello")),
    Row("9112-6.3", "GET with a body", head(b"Content-Length: 2") + b"hi", ok(body=b"hi")),
    *(
        Row("9110-8.6", f"length {value!r}", head(b"Content-Length: " + value, line=POST) + b"x" * 20, 400)
        for value in (b"+5", b"-5", b"5 5", b"5,5", b"5;", b"0x5", b"5.0", b"5_0", b"", b"five", b"\xb2", b"1e1",
                      b"18446744073709551621", b"9223372036854775808", b"0" * 20 + b"5", b"9" * 5000)
    ),
    Row("9112-6.3", "two lengths", head(b"Content-Length: 5", b"Content-Length: 6", line=POST) + b"hello", 400),
    Row("9112-6.3", "two equal lengths", head(b"Content-Length: 5", b"Content-Length: 5", line=POST) + b"hello", 400),
    Row("9112-6.1", "length and coding",
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "coding and length",
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "chunked", head(b"Transfer-Encoding: chunked", line=POST) + b"5\r\nhello\r\n0\r\n\r\n",
        ok(content_length=None, body=b"hello")),
    Row("9110-10.1.4", "case", head(b"Transfer-Encoding: ChunKed", line=POST) + b"0\r\n\r\n", ok(body=b"")),
    Row("9112-6.1", "coding on 1.0",
        head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") + b"0\r\n\r\n", 400),
    Row("9112-6.1", "chunked twice", head(b"Transfer-Encoding: chunked, chunked", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "chunked in two lines",
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "chunked not last", head(b"Transfer-Encoding: chunked, gzip", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "not chunked", head(b"Transfer-Encoding: gzip", line=POST) + b"x", 400),
    Row("9112-6.1", "gzip before", head(b"Transfer-Encoding: gzip, chunked", line=POST) + b"1\r\nx\r\n0\r\n\r\n",
        ok(body=b"x", keep_alive=False)),
    Row("9112-6.1", "gzip before, in two lines",
        head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", line=POST) + b"1\r\nx\r\n0\r\n\r\n",
        ok(body=b"x", keep_alive=False)),
    Row("9112-6.1", "unknown coding", head(b"Transfer-Encoding: br, chunked", line=POST) + b"0\r\n\r\n", 501),
    Row("9112-6.1", "identity", head(b"Transfer-Encoding: identity", line=POST), 501),
    Row("9112-6.1", "a parameter", head(b"Transfer-Encoding: chunked;a=b", line=POST) + b"0\r\n\r\n", 501),
    Row("9112-6.1", "empty", head(b"Transfer-Encoding:", line=POST), 400),
    Row("9112-6.1", "empty member", head(b"Transfer-Encoding: ,chunked", line=POST) + b"0\r\n\r\n", 400),
    Row("9112-6.1", "in quotes", head(b'Transfer-Encoding: "chunked"', line=POST) + b"0\r\n\r\n", 501),
    Row("9112-6.1", "vertical tab", head(b"Transfer-Encoding: \x0bchunked", line=POST) + b"0\r\n\r\n", 400),
    Row("9110-8.3", "two types", head(b"Content-Type: a/b", b"content-type: a/b", line=POST), 400),
]  # fmt: skip

PERSISTENCE = [
    Row("9112-9.3", "1.1 persists", head(), ok(keep_alive=True)),
    Row("9112-9.3", "close", head(b"Connection: close"), ok(keep_alive=False)),
    Row("9112-9.3", "close in a list", head(b"Connection: X, CLOSE"), ok(keep_alive=False)),
    Row("9112-9.3", "close in a second line", head(b"Connection: X", b"Connection: close"), ok(keep_alive=False)),
    Row("9112-9.3", "1.0 closes", head(line=b"GET / HTTP/1.0"), ok(keep_alive=False)),
    Row("9112-9.3", "1.0 keep-alive", head(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), ok(keep_alive=True)),
    Row("9112-9.3", "1.0 both", head(b"Connection: keep-alive, close", line=b"GET / HTTP/1.0"), ok(keep_alive=False)),
    Row("9110-7.8", "upgrade", head(b"Connection: Upgrade", b"Upgrade: WebSocket"), ok(upgrade=b"websocket")),
    Row("9110-7.8", "not nominated", head(b"Upgrade: websocket"), ok(upgrade=b"")),
    Row("9110-7.8", "nothing offered", head(b"Connection: upgrade"), ok(upgrade=b"")),
    Row("9110-7.8", "on 1.0", head(b"Connection: upgrade", b"Upgrade: a", line=b"GET / HTTP/1.0"), ok(upgrade=b"")),
    Row("9110-7.8", "with a body",
        head(b"Connection: upgrade", b"Upgrade: a", b"Content-Length: 1") + b"x", ok(upgrade=b"")),
]  # fmt: skip

EXPECTATIONS = [
    Row("9110-10.1.1", "without a body", head(b"Expect: 100-continue"), ok(expects_continue=False)),
    Row("9110-10.1.1", "on 1.0",
        head(b"Expect: 100-continue", b"Content-Length: 1", line=b"POST / HTTP/1.0") + b"x",
        ok(expects_continue=False)),
    Row("9110-10.1.1", "case",
        head(b"Expect: 100-CONTINUE", b"Content-Length: 1", line=POST) + b"x", ok(expects_continue=True)),
    Row("9110-10.1.1", "another", head(b"Expect: magic", line=POST), 417),
    Row("9110-10.1.1", "and another", head(b"Expect: 100-continue, magic", line=POST), 417),
    Row("9110-10.1.1", "empty", head(b"Expect:", line=POST), 417),
]  # fmt: skip

ROWS = REQUEST_LINES + FIELDS + HOSTS + FRAMING + PERSISTENCE + EXPECTATIONS


def check(it: Talk, row: Row) -> None:
    if isinstance(row.expected, int):
        assert it.error_status == row.expected
        assert it.ended is not None
        assert it.ended.linger
        assert b"HTTP/1.1 %d " % row.expected in it.output
        assert b"\r\nConnection: close\r\n" in it.output
        assert not it.seen
        return
    assert it.error_status is None
    seen = it.seen[0]
    assert seen.complete
    for name, value in row.expected.items():
        assert getattr(seen if name in ("body", "trailers") else seen.request, name) == value, name


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.section} {row.name}"[:60] for row in ROWS])
def test_request(row: Row) -> None:
    whole = talk([row.octets])
    check(whole, row)
    expected = whole.facts()
    cuts = every_cut(row.octets) if len(row.octets) < 300 else [[row.octets], [bytes([o]) for o in row.octets]]
    for pieces in cuts:
        assert talk(pieces).facts() == expected, pieces


RELAXED = [
    ("permit_obsolete_folding", head(b"X: 1", b"  2", b"\t3"), ok(headers=[(b"host", b"a"), (b"x", b"1 2 3")])),
    ("permit_obsolete_folding", head(b"X:", b" 2"), ok(headers=[(b"host", b"a"), (b"x", b"2")])),
    ("permit_obsolete_folding", head(host=b" Host: a\r\n"), 400),
    ("permit_obsolete_folding", head(b"X : 1"), 400),
    ("strip_header_spaces", head(b"X \t: 1"), ok(headers=[(b"host", b"a"), (b"x", b"1")])),
    ("strip_header_spaces", head(b"Content-Length : 2") + b"hi", ok(body=b"hi")),
    ("strip_header_spaces", head(b"X: 1", b" 2"), 400),
    ("strip_header_spaces", head(b"X Y : 1"), 400),
    ("permit_unconventional_http_method", head(line=b"get# / HTTP/1.1"), ok(method="get#")),
    ("permit_unconventional_http_method", head(line=b"G / HTTP/1.1"), ok(method="G")),
    ("permit_unconventional_http_method", head(line=b"G( / HTTP/1.1"), 400),
    ("permit_unconventional_http_version", head(line=b"GET / HTTP/2.0"), ok(version="1.1")),
    ("permit_unconventional_http_version", head(line=b"GET / HTTP/0.9"), ok(version="1.0")),
    ("permit_unconventional_http_version", head(line=b"GET / HTTP/x.1"), 400),
    ("casefold_http_method", head(line=b"get / HTTP/1.1"), ok(method="GET")),
    ("casefold_http_method", head(line=b"m-search / HTTP/1.1"), ok(method="M-SEARCH")),
]


@pytest.mark.parametrize(("setting", "octets", "expected"), RELAXED)
def test_a_relaxation_permits_what_it_says_and_nothing_else(setting: str, octets: bytes, expected: Any) -> None:
    config = HttpConfig(grammar=Grammar().replace(**{setting: True}))
    row = Row("", setting, octets, expected)
    whole = talk([octets], config)
    check(whole, row)
    for pieces in every_cut(octets):
        assert talk(pieces, config).facts() == whole.facts(), pieces


LIMITED = [
    ("request_line", 20, head(line=b"GET /2345 HTTP/1.1"), ok(path=b"/2345")),
    ("request_line", 20, head(line=b"GET /234567 HTTP/1.1"), ok(path=b"/234567")),
    ("request_line", 20, head(line=b"GET /2345678 HTTP/1.1"), 414),
    ("request_line", 20, b"GET /" + b"a" * 100, 414),
    ("request_line", 20, b"GET /\x01" + b"a" * 100, 400),
    ("request_line", 0, head(line=b"GET /" + b"a" * 20000 + b" HTTP/1.1"), ok(query=b"")),
    ("header_field", 10, head(b"X: 4567890"), ok(version="1.1")),
    ("header_field", 10, head(b"X: 45678901"), 431),
    ("header_field", 10, head(b"X: 1") [:-2] + b"Y: " + b"b" * 100, 431),
    ("header_field", 10, head(b"X: 1", b"Y: \0" + b"b" * 100), 400),
    ("header_field", 0, head(b"X: " + b"a" * 20000), ok(version="1.1")),
    ("header_count", 2, head(b"X: 1"), ok(version="1.1")),
    ("header_count", 2, head(b"X: 1", b"Y: 1"), 431),
    ("header_count", 2, head(b"X: 1", b"Y: 1")[:-2], 431),
    ("head", 60, head(b"X: " + b"a" * 20), ok(version="1.1")),
    ("head", 60, head(b"X: " + b"a" * 50), 431),
    ("body", 5, head(b"Content-Length: 5", line=POST) + b"hello", ok(body=b"hello")),
    ("body", 5, head(b"Content-Length: 6", line=POST), 413),
    ("body", 0, head(b"Content-Length: 600", line=POST) + b"x" * 600, ok(body=b"x" * 600)),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "value", "octets", "expected"), LIMITED)
def test_a_limit_is_exact_and_answered_as_soon_as_it_is_exceeded(
    limit: str, value: int, octets: bytes, expected: Any
) -> None:
    config = HttpConfig(limits=Limits().replace(**{limit: value}))
    whole = talk([octets], config)
    check(whole, Row("", limit, octets, expected))
    for pieces in every_cut(octets) if len(octets) < 300 else [[octets], [bytes([o]) for o in octets]]:
        assert talk(pieces, config).facts() == whole.facts(), pieces


def test_the_default_request_line_takes_the_8000_octets_that_rfc_9112_recommends() -> None:
    longest = b"GET /" + b"a" * (8000 - 14) + b" HTTP/1.1"
    assert len(longest) == 8000
    assert talk([head(line=longest)]).error_status is None
    assert talk([head(line=b"GET /a" + longest[5:])]).error_status == 414


def test_a_hopeless_head_is_answered_before_it_is_complete() -> None:
    assert talk([b"\x16\x03\x01\x02"]).error_status == 400
    assert talk([b"GET / HTTP/1.1\r\nHost: a\n"]).error_status == 400
    assert talk([b"what is this\r\n"]).error_status == 400
    assert talk([b"GET / HTTP/9.9\r\n"]).error_status == 505


def test_a_peer_that_is_trusted_has_its_scheme_headers_applied() -> None:
    config = HttpConfig(policy=HeaderPolicy(forwarded_allow_ips=("*",)))
    assert talk([head(b"X-Forwarded-Proto: https")], config).seen[0].request.scheme == "https"
    assert talk([head(b"X-Forwarded-Proto: https")]).seen[0].request.scheme == "http"


def test_an_underscore_is_refused_where_the_policy_says_so() -> None:
    config = HttpConfig(policy=HeaderPolicy(header_map="refuse"))
    assert talk([head(b"X_A: 1")], config).error_status == 400


def test_names_are_one_object_in_every_request() -> None:
    first, second = (talk([head(b"Accept: a", b"ACCEPT: b")]).seen[0].request.headers for _ in range(2))
    assert first[1][0] is second[1][0] is first[2][0]


def test_an_error_text_quotes_a_bounded_part_of_what_was_sent() -> None:
    it = talk([head(b"X" * 5000 + b"[: 1")])
    error: Optional[BaseException] = it.ended.error if it.ended else None
    assert len(str(error)) < 300
    assert b"XXX" not in it.output


def test_a_head_octet_by_octet_costs_linear_time() -> None:
    def seconds(count: int) -> float:
        octets = head(*[b"X-%d: %b" % (i, b"v" * 100) for i in range(count)])
        config = HttpConfig(limits=Limits().replace(header_count=0x7FFF))
        began = time.process_time()
        assert talk(octet_by_octet(octets), config).error_status is None
        return time.process_time() - began

    small = min(seconds(40) for _ in range(3))
    large = min(seconds(320) for _ in range(3))
    assert large < small * 8 * 3  # eight times the work; quadratic would be sixty-four times
