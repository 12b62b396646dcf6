"""Which methods are taken: the same of every protocol."""

from __future__ import annotations

import pytest

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.h1.request import read_head
from server_http.h1.rules import Grammar
from server_http.h2.request import Malformed
from server_http.h2.request import build_request as read_h2
from server_http.uwsgi_request import build_request as read_uwsgi
from server_http.uwsgi_request import read_variables


def by_h1(method, grammar):
    """The method of an HTTP/1.1 request."""
    head = method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
    return read_head(1, head, 0, len(head) - 4, HttpConfig(grammar=grammar).rules).method


def by_h2(method, grammar):
    """The method of an HTTP/2 request."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
    return read_h2(1, fields, True, HttpConfig(grammar=grammar).rules).method


def by_uwsgi(method, grammar):
    """The method of a uwsgi packet."""
    variables = {b"REQUEST_METHOD": method, b"PATH_INFO": b"/", b"HTTP_HOST": b"a", b"SERVER_PROTOCOL": b"HTTP/1.1"}
    block = b"".join(
        len(part).to_bytes(2, "little") + part for name, value in variables.items() for part in (name, value)
    )
    info = ConnectionInfo(None, ("/run/server.sock", None))
    return read_uwsgi(read_variables(block, 0, len(block), 100), info, grammar).method


pytestmark = pytest.mark.parametrize("read", [by_h1, by_h2, by_uwsgi])

ODD = [b"get", b"Get", b"G", b"GE", b"X" * 21, b"GET#", b"m-search"]


@pytest.mark.parametrize("method", [b"GET", b"CUSTOM", b"M-SEARCH", b"X" * 20, b"PRI"])
def test_a_conventional_one_is_taken(read, method):
    assert read(method, Grammar()) == method.decode()


@pytest.mark.parametrize("method", ODD)
def test_another_is_refused_with_an_answer(read, method):
    with pytest.raises(BadRequest, match="method: expected 3 to 20 octets") as caught:
        read(method, Grammar())
    assert not isinstance(caught.value, Malformed), "a stream that is reset would not say why"


@pytest.mark.parametrize("method", ODD)
def test_an_operator_may_take_any_token(read, method):
    assert read(method, Grammar(permit_unconventional_http_method=True)) == method.decode()


@pytest.mark.parametrize("method", [b"G(T", b"G\xc9T", b"G@T"])
def test_what_is_no_token_is_never_taken(read, method):
    with pytest.raises(BadRequest, match="expected a token"):
        read(method, Grammar(permit_unconventional_http_method=True, casefold_http_method=True))


def test_lower_case_may_be_read_as_upper_case(read):
    assert read(b"get", Grammar(casefold_http_method=True)) == "GET"
    assert read(b"m-search", Grammar(casefold_http_method=True)) == "M-SEARCH"
