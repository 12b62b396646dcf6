"""The queue of octets that wait."""

from __future__ import annotations

from typing import List

from hypothesis import given
from hypothesis import strategies as st

from server_http.defaults import ResponseDefaults
from server_http.engine import FileRegion
from server_http.exchange import Exchange
from server_http.h1.output import Output, informational_head, response_head, trailer_section
from server_http.states import CUT, ENDED
from support.http1 import written


@given(st.lists(st.binary(max_size=50), max_size=10), st.lists(st.integers(0, 100), max_size=20))
def test_what_was_added_is_written_once_and_in_order(parts: List[bytes], sizes: List[int]) -> None:
    out = Output()
    for part in parts:
        out.add(part, 0.0)
    wire = b""
    for size in [*sizes, 1000]:
        piece = written(out)[:size]
        wire += piece
        out.sent(len(piece))
        assert out.pending == len(written(out))
        assert out.written == len(wire)
    assert wire == b"".join(parts)
    assert out.segments() == []


def test_a_small_part_joins_the_one_before_it_and_a_large_one_stays_itself() -> None:
    out = Output()
    large = b"x" * 20000
    for part in (b"head", b"body", large, b"tail"):
        out.add(part, 0.0)
    assert out.segments() == [b"headbody", large, b"tail"]
    assert out.segments()[1] is large


def test_nothing_joins_a_part_that_is_partly_written() -> None:
    out = Output()
    out.add(b"abcdef", 0.0)
    out.sent(2)
    out.add(b"gh", 0.0)
    assert [bytes(part) for part in out.segments()] == [b"cdef", b"gh"]  # type: ignore[arg-type]
    out.sent(5)
    assert [bytes(part) for part in out.segments()] == [b"h"]  # type: ignore[arg-type]


def test_a_file_is_counted_and_cut_like_octets() -> None:
    out = Output()
    out.add(b"ab", 0.0)
    out.add_file(3, 100, 50, 0.0)
    out.add(b"cd", 0.0)
    out.sent(12)
    region, rest = out.segments()
    assert isinstance(region, FileRegion)
    assert (region.offset, region.count, rest) == (110, 40, b"cd")
    out.sent(41)
    assert [bytes(part) for part in out.segments()] == [b"d"]  # type: ignore[arg-type]


def test_the_page_of_an_error_is_a_whole_response() -> None:
    out = Output()
    exchange = Exchange("GET", "1.1", True)
    out.add_page(exchange, 413, ResponseDefaults(b""), 0.0)
    head, _, body = written(out).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert (exchange.state, exchange.sent) == (ENDED, len(body))


def test_an_application_waits_above_one_mark_until_the_other_is_reached() -> None:
    out = Output()
    out.add(b"x" * 10, 0.0)
    out.fill(10)
    assert not out.blocked
    out.add(b"y", 0.0)
    out.fill(10)
    assert out.blocked
    assert not out.relieved(5)
    out.sent(6)
    assert out.relieved(5)
    assert not out.relieved(5)


def test_a_peer_has_its_time_to_read_and_to_send() -> None:
    out = Output()
    assert out.deadline(4.0, 1.0, 0.0) is None
    assert out.deadline(4.0, 1.0, 9.0) == 10.0
    assert out.overdue(4.0, 99.0) is None
    out.add(b"x", 2.0)
    assert out.deadline(4.0, 1.0, 0.0) == 6.0
    assert out.deadline(4.0, 1.0, 9.0) == 6.0
    assert out.deadline(4.0, 1.0, 3.0) == 4.0
    assert out.deadline(0.0, 1.0, 0.0) is None
    assert out.overdue(0.0, 99.0) is None
    assert out.overdue(4.0, 5.9) is None
    assert str(out.overdue(4.0, 6.0)) == "output: expected the peer to read within 4.0 s"


def test_what_is_given_up_was_not_sent() -> None:
    out = Output()
    assert out.give_up(None) == 0
    exchange = Exchange("GET", "1.1", True)
    exchange.respond(200, [])
    for wrote, sent in ((4, 6), (9, 1), (12, 0)):  # of ten octets of body; the head counts as waiting too
        exchange.sent = 10
        out.add(b"x" * wrote, 0.0)
        assert out.give_up(exchange) == sent
        assert (out.pending, out.segments(), exchange.state) == (0, [], CUT)


def test_heads_are_spelled() -> None:
    exchange = Exchange("GET", "1.1", False)
    fields = exchange.respond(200, [(b"Server", b"mine"), (b"X", b"1")], b"Fine")
    defaults = ResponseDefaults(b"it")
    defaults.set_date(0)
    assert response_head(exchange, fields, defaults, b"Fine") == (
        b"HTTP/1.1 200 Fine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\nServer: mine\r\nX: 1\r\n\r\n"
    )
    assert informational_head(199, [(b"A", b"b")]) == b"HTTP/1.1 199 Unknown\r\nA: b\r\n\r\n"
    assert trailer_section([]) == b"0\r\n\r\n"
    assert trailer_section([(b"A", b"b")]) == b"0\r\nA: b\r\n\r\n"
