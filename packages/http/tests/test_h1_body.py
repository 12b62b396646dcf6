"""The chunked coding: every rule a row, fed whole, at every cut and octet by octet."""

from __future__ import annotations

import time
from typing import Any, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http.errors import BadRequest, ContentTooLarge, HeaderFieldsTooLarge, ProtocolError
from server_http.h1.body import DONE, ChunkedBody
from server_http.limits import Limits
from support.http1 import every_cut, octet_by_octet

LIMITS = Limits()
Outcome = Tuple[Any, bytes, Any, bytes]


def decode(pieces: Any, limits: Limits = LIMITS) -> Outcome:
    """Return the error class or whether the body is complete, the content, the trailers, and what is left over."""
    body = ChunkedBody(limits)
    parts: List[bytes] = []
    rest = b""
    try:
        for piece in pieces:
            at = body.feed(piece, 0, parts)
            rest += piece[at:]
    except ProtocolError as error:
        return type(error), b"".join(parts), None, b""
    return body.state == DONE, b"".join(parts), body.trailers, rest


GOOD = [
    ("9112-7.1", b"0\r\n\r\n", b"", []),
    ("9112-7.1", b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    ("9112-7.1", b"00005\r\nhello\r\n000\r\n\r\n", b"hello", []),
    ("9112-7.1", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    ("9112-7.1", b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
    ("9112-7.1.1", b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello", []),
    ("9112-7.1.1", b'5 ; a = "b \\" ; c" ; d\r\nhello\r\n0\r\n\r\n', b"hello", []),
    ("9112-7.1.2", b"0\r\nX: 1\r\ny:2\r\n\r\n", b"", [(b"x", b"1"), (b"y", b"2")]),
]

BAD = [
    ("9112-7.1", b"\r\n", BadRequest),
    ("9112-7.1", b"g\r\n", BadRequest),
    ("9112-7.1", b"0x5\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"+5\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"-5\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5_0\r\nhello\r\n", BadRequest),
    ("9112-7.1", b" 5\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5 \r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5\thello\r\n", BadRequest),
    ("9112-7.1", b"10000000000000005\r\nhello\r\n", BadRequest),  # 2**64 + 5
    ("9112-7.1", b"0" * 16 + b"5\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5\nhello\r\n", BadRequest),
    ("9112-7.1", b"5\rhello\r\n", BadRequest),
    ("9112-7.1", b"5\r\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5\0\r\nhello\r\n", BadRequest),
    ("9112-7.1", b"5\r\nhelloX\r\n", BadRequest),
    ("9112-7.1", b"5\r\nhello\n0\r\n\r\n", BadRequest),
    ("9112-7.1", b"5\r\nhello\r0\r\n\r\n", BadRequest),
    ("9112-7.1", b"5\r\nhello0\r\n\r\n", BadRequest),
    ("9112-7.1.1", b"5;\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b"5;a=\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b"5;=b\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b"5;a b\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b'5;a="b\r\nhello\r\n', BadRequest),
    ("9112-7.1.1", b"5;a\nb\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b"5;a\0\r\nhello\r\n", BadRequest),
    ("9112-7.1.1", b"5;" + b"a" * 2000 + b"\r\nhello\r\n", BadRequest),
    ("9112-7.1.2", b"0\r\nX\r\n\r\n", BadRequest),
    ("9112-7.1.2", b"0\r\nX : 1\r\n\r\n", BadRequest),
    ("9112-7.1.2", b"0\r\n X: 1\r\n\r\n", BadRequest),
    ("9112-7.1.2", b"0\r\nX: 1\nY: 2\r\n\r\n", BadRequest),
    ("9112-7.1.2", b"0\r\nX: \0\r\n\r\n", BadRequest),
    *(
        ("9110-6.5.1", b"0\r\n" + name + b": 1\r\n\r\n", BadRequest)
        for name in (b"Host", b"Content-Length", b"Transfer-Encoding", b"TE", b"Trailer", b"Authorization", b"Cookie")
    ),
    ("limit", b"0\r\n" + b"X: 1\r\n" * 33 + b"\r\n", HeaderFieldsTooLarge),
    ("limit", b"0\r\nX: " + b"a" * 9000 + b"\r\n\r\n", HeaderFieldsTooLarge),
    ("limit", b"0\r\n" + b"a" * 9000, HeaderFieldsTooLarge),
]


@pytest.mark.parametrize(("section", "octets", "content", "trailers"), GOOD)
def test_a_body_is_decoded_and_what_follows_it_is_left(
    section: str, octets: bytes, content: bytes, trailers: Any
) -> None:
    assert decode([octets + b"GET"]) == (True, content, trailers, b"GET")
    for pieces in every_cut(octets):
        assert decode(pieces) == (True, content, trailers, b"")


@pytest.mark.parametrize(("section", "octets", "error"), BAD)
def test_malformed_framing_is_refused(section: str, octets: bytes, error: Any) -> None:
    whole = decode([octets])
    assert whole[0] is error
    cuts = every_cut(octets) if len(octets) < 200 else [list(octet_by_octet(octets))]
    for pieces in cuts:
        assert decode(pieces)[:2] == whole[:2], pieces


@pytest.mark.parametrize("at", range(1, len(b"5;a=b\r\nhello\r\n0\r\nX: 1\r\n\r\n")))
def test_an_unfinished_body_is_not_complete(at: int) -> None:
    assert decode([b"5;a=b\r\nhello\r\n0\r\nX: 1\r\n\r\n"[:at]])[0] is False


def test_the_limit_of_a_body_is_exact_and_known_from_the_size_line() -> None:
    limits = LIMITS.replace(body=8)
    assert decode([b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n"], limits)[0] is True
    assert decode([b"5\r\nhello\r\n4\r\n"], limits)[:2] == (ContentTooLarge, b"hello")
    assert decode([b"fffffffffffffff\r\n"], limits)[0] is ContentTooLarge


def test_what_frames_a_body_is_bounded() -> None:
    limits = LIMITS.replace(chunk_overhead=100)
    assert decode([b"1\r\nx\r\n" * 19 + b"0\r\n\r\n"], limits)[0] is True
    assert decode([b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"], limits)[0] is True
    extended = b"1;" + b"e" * 40 + b"\r\nx\r\n"
    assert decode([extended * 2 + b"0\r\n\r\n"], limits)[0] is True
    assert decode([extended * 4], limits)[0] is BadRequest


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
def test_what_was_encoded_is_decoded(chunks: List[bytes], data: Any) -> None:
    octets = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(octets)), max_size=6)) | {0, len(octets)})
    pieces = [octets[a:b] for a, b in zip(cuts, cuts[1:])]
    assert decode(pieces) == (True, b"".join(chunks), [], b"")


@given(st.binary(max_size=200), st.integers(1, 50))
def test_arbitrary_octets_give_an_answer_that_does_not_depend_on_the_cuts(octets: bytes, size: int) -> None:
    pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
    assert decode(pieces)[:2] == decode([octets])[:2]


def test_a_body_in_one_octet_chunks_costs_linear_time() -> None:
    def seconds(count: int, size: int) -> float:
        octets = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
        pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
        began = time.process_time()
        assert decode(pieces)[0] is True
        return time.process_time() - began

    for size in (1, 16384):
        small = min(seconds(4000, size) for _ in range(3))
        large = min(seconds(32000, size) for _ in range(3))
        assert large < small * 8 * 3  # eight times the work; quadratic would be sixty-four times
