"""The two scanners are one: what the octet loop says of a section, the splitting one says too."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server_http.environ import request_environ
from server_http.errors import ProtocolError
from server_http.events import Request
from server_http.h1 import scan
from server_http.h1.rules import Grammar

FRAGMENTS = st.sampled_from(
    [b"Host", b"host", b"X-A", b"x_b", b"Content-Length", b":", b": ", b" ", b"\t", b"\r\n", b"\r", b"\n", b"\0", b"a",
     b"\x7f", b"\xff", b"value", b"Transfer-Encoding", b"chunked", b"[", b"(", b"1", b"A" * 70]
)  # fmt: skip
SECTIONS = st.one_of(
    st.lists(FRAGMENTS, max_size=12).map(b"".join),
    st.lists(st.tuples(FRAGMENTS, st.binary(max_size=10)), max_size=5).map(
        lambda items: b"\r\n".join(name + b":" + value for name, value in items)
    ),
    st.binary(max_size=60),
)


def outcome(scanner: Any, section: bytes, field_limit: int = 0, count: int = 100, behind: bytes = b"") -> Any:
    special: List[Tuple[int, bytes]] = []
    head = b"GET / HTTP/1.1\r\n" + section + b"\r\n\r\n"
    try:
        fields = scanner(head + behind, 16, len(head) - 4, special, field_limit, count)
    except ProtocolError as error:
        return type(error)
    if scanner is scan.walk_fields:
        fields = fields.pairs()
    return len(fields), fields, special


@settings(max_examples=500)
@given(SECTIONS)
@example(b"")
@example(b"X:1\r\n")
@example(b"a:\r\n:b")
def test_both_scanners_agree(section: bytes) -> None:
    if b"\r\n\r\n" in b"\r\n" + section + b"\r\n":
        section = section.replace(b"\r\n", b"")  # an empty line ends a section: scanners never see one
    if not section:
        return
    split = outcome(scan.split_fields, section)
    assert outcome(scan.walk_fields, section) == split
    assert outcome(scan.walk_fields, section, behind=b"a: body\r\n\r\n") == split


@given(SECTIONS, st.integers(1, 30), st.integers(0, 4))
def test_both_scanners_agree_on_what_is_too_large(section: bytes, field_limit: int, count: int) -> None:
    section = section.replace(b"\r\n\r\n", b"").strip(b"\r\n") or b"x: 1"
    walked = outcome(scan.walk_fields, section, field_limit, count)
    split = outcome(scan.split_fields, section, field_limit, count)
    if isinstance(walked, tuple) or isinstance(split, tuple):
        assert walked == split  # which error comes first is for the line-wise check to say


def test_no_fields() -> None:
    for scanner in (scan.split_fields, scan.scan_fields):
        assert scanner(b"GET / HTTP/1.0\r\n\r\n", 16, 14, [], 0, 0) == []
    assert scan.walk_fields(b"GET / HTTP/1.0\r\n\r\n", 16, 14, [], 0, 0).pairs() == []


def test_special_fields_come_with_their_kind() -> None:
    section = b"Host: a\r\ncontent-LENGTH: 1\r\nX_Y: 2\r\nAccept: b"
    expected = [(scan.HOST, b"a"), (scan.CONTENT_LENGTH, b"1"), (scan.UNDERSCORED, b"2")]
    for scanner in (scan.walk_fields, scan.split_fields, scan.scan_fields):
        assert outcome(scanner, section)[2] == expected


def test_names_that_collide_stay_apart() -> None:
    names = [b"n%d" % i for i in range(3000)]  # more than anything that remembers names has room for
    section = b"\r\n".join(name + b": 1" for name in names)
    for scanner in (scan.walk_fields, scan.split_fields):
        for _ in range(2):
            assert [name for name, _ in outcome(scanner, section, 0, 5000)[1]] == names


@pytest.mark.parametrize(
    ("folding", "spaces", "section", "expected"),
    [
        (False, False, b"A : 1\r\n 2", b"A : 1\r\n 2"),
        (True, False, b"A : 1\r\n \t 2\r\n\t3", b"A : 1 2 3"),
        (False, True, b"A : 1\r\nB\t : 2\r\nC: 3 : 4", b"A: 1\r\nB: 2\r\nC: 3 : 4"),
        (True, True, b" A: 1", b" A: 1"),
    ],
)
def test_relaxations_make_good_only_what_they_name(
    folding: bool, spaces: bool, section: bytes, expected: bytes
) -> None:
    grammar = Grammar(permit_obsolete_folding=folding, strip_header_spaces=spaces)
    assert scan.relax(section + b"\r\n\r\n", 0, len(section), grammar) == expected + b"\r\n\r\n"


def test_an_environ_made_of_lines_is_that_of_their_fields() -> None:
    values = [b"", b"a", b" \t spaced\t ", "\xe4".encode("latin-1"), b"x" * 300]
    names = [b"Cookie", b"Accept", b"CONTENT-type", b"x-a", *(b"n%d" % i for i in range(60))]
    for ascii_only in (True, False):
        section = b"\r\n".join(
            name + b":" + value for name in names for value in values if value.isascii() or not ascii_only
        )
        environs = []
        for scanner in (scan.walk_fields, scan.split_fields):
            request = Request(1, "GET", b"/", "1.1")
            found = scanner(section + b"\r\n\r\nbody", 0, len(section), [], 0, 1000)
            if scanner is scan.walk_fields:
                request.lines = found
            else:
                request.headers = found
            environs.append(request_environ({}, request, None))
        assert environs[0] == environs[1]
        assert environs[0]["HTTP_COOKIE"].startswith("; a; spaced; ")
        assert environs[0]["HTTP_N59"].endswith("x" * 300)


def test_names_of_any_size_are_recalled_as_they_were_read() -> None:
    names = [(b"aB-" * 40)[:size] for size in range(1, 100)]
    section = b"\r\n".join(name + b": 1" for name in names)
    for scanner in (scan.walk_fields, scan.split_fields):
        for _ in range(2):
            assert [name for name, _ in outcome(scanner, section, 0, 5000)[1]] == [name.lower() for name in names]


@pytest.mark.parametrize("octets", [b"", b"\n", b"\r\n", b"\r\n\r", b"\n\r\n", b"a\n\r\n", b"\n\n\n\n\n", b"a\r\n\r"])
def test_a_head_without_an_end(octets: bytes) -> None:
    assert scan.end_of_head(octets) == -1
    assert scan.end_of_head(octets + b"x\r\n\r\n") == len(octets) + 1


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1", b"PUT /a HTTP/1.0", b"GETX / HTTP/1.1", b"GET / HTTP/1.10", b"a  b"]
)
def test_a_request_line_is_split_at_its_spaces(line: bytes) -> None:
    head = b" " + line + b" \r\n"
    assert scan.split_request_line(head, 1, 1 + len(line), b"GET") == tuple(line.split(b" "))
    for wrong in (b"GET", b"GET /", b"GET / HTTP/1.1 ", b""):
        with pytest.raises(ProtocolError):
            scan.split_request_line(wrong, 0, len(wrong), b"GET")
