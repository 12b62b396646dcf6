"""The grammar of fields that all protocols share."""

from __future__ import annotations

import subprocess
import sys
from typing import Optional
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http import fields
from server_http.errors import BadRequest


@given(st.binary(max_size=20))
def test_tokens_values_and_targets_are_their_sets_of_octets(octets: bytes) -> None:
    assert fields.is_token(octets) is (bool(octets) and all(o in fields.TOKEN for o in octets))
    assert fields.is_value(octets) is all(o == 9 or (o >= 32 and o != 127) for o in octets)
    assert fields.is_target(octets) is (bool(octets) and all(0x21 <= o <= 0x7E and o != 0x23 for o in octets))


def test_values_may_be_of_other_octet_types() -> None:
    class Octets(bytes):
        pass

    for kind in (bytes, bytearray, Octets):
        assert fields.is_value(kind(b"a b"))
        assert not fields.is_value(kind(b"a\nb"))


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"007", 7), (b"9223372036854775807", 2**63 - 1)])
def test_content_length(value: bytes, length: int) -> None:
    assert fields.content_length(value) == length


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b" 1", b"1 ", b"1,1", b"0x1", b"1_0", b"\xb2", b"9223372036854775808",
     b"18446744073709551621", b"00000000000000000001", b"1" * 100000],
)  # fmt: skip
def test_content_length_refused(value: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        fields.content_length(value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (b"a", b"a", None), (b"a:", b"a", None), (b"a:80", b"a", 80), (b"A.b-c_d~e:65535", b"A.b-c_d~e", 65535),
        (b"%41", b"%41", None), (b"127.0.0.1:1", b"127.0.0.1", 1), (b"[::]", b"::", None),
        (b"[2001:db8::1]:8080", b"2001:db8::1", 8080), (b"[::ffff:1.2.3.4]", b"::ffff:1.2.3.4", None),
    ],
)  # fmt: skip
def test_authority(value: bytes, host: bytes, port: Optional[int]) -> None:
    assert fields.split_authority(value) == (host, port)
    for _ in range(2):
        fields.check_authority(value)  # the second time it is known


@pytest.mark.parametrize(
    "value",
    [
        b"", b":80", b"a:b", b"a:65536", b"a:000080", b"a:1:2", b"u@a", b"a/b", b"a?b", b"a#b", b"a b", b"a, b",
        b"a\\b", b"[a", b"a]", b"[]", b"[1.2.3.4]", b"[::1", b"[:::]", b"[1:2:3:4:5:6:7:8:9]", b"[::1]a", b"[::1]80",
        b"[fe80::1%25eth0]", b"\xe9", b"a%", b"a%4", b"a%gg", b"a\n", b"a\0", b"a:80\n",
    ],
)  # fmt: skip
def test_authority_refused(value: bytes) -> None:
    with pytest.raises(BadRequest):
        fields.split_authority(value)
    with pytest.raises(BadRequest):
        fields.check_authority(value)


def test_an_empty_authority_is_refused_by_a_process_that_met_none_before() -> None:
    """In a process of its own, because what was met last is remembered."""
    check = (
        "from server_http.errors import BadRequest\nfrom server_http.fields import check_authority\n"
        "try: check_authority(b'')\nexcept BadRequest: print('refused')"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=True).stdout == b"refused\n"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"/a?b=%20", "/a?b=%20"),
        (b"/caf\xe9", "/caf\xe9"),
        (b"/\n[CRITICAL] forged\r", "/\\n[CRITICAL] forged\\r"),
        (b"/\x1b[2J\x9b2J\x7f\0", "/\\x1b[2J\\x9b2J\\x7f\\x00"),
    ],
)
def test_what_a_log_line_shows_of_a_target_has_no_control_characters(octets: bytes, text: str) -> None:
    assert fields.printable(octets) == text


def test_a_port_can_be_asked_for() -> None:
    assert fields.split_authority(b"a:1", port_required=True) == (b"a", 1)
    for value in (b"a", b"a:"):
        with pytest.raises(BadRequest):
            fields.split_authority(value, port_required=True)


def test_authorities_that_are_remembered_are_bounded() -> None:
    for i in range(2000):
        fields.check_authority(b"host-%d" % i)
    fields.check_authority(b"a" * 5000)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 17])
def test_each_octet_of_a_value_is_looked_at(size: int) -> None:
    for at in range(size):
        for octet in range(256):
            value = b"a" * at + bytes([octet]) + b"\xff" * (size - at - 1)
            assert fields.is_value(value) == (octet in fields.VALUE)
            assert fields.value_end(value, 0, size) == (size if octet in fields.VALUE else at)


def test_members_of_a_list() -> None:
    assert fields.members(b" A ,b\t,,C") == [b"a", b"b", b"", b"c"]


@pytest.mark.parametrize(
    ("octets", "decoded"),
    [
        (b"", b""),
        (b"/plain", b"/plain"),
        (b"/a%20b%2fC%2F", b"/a b/C/"),
        (b"%41%c3%A4", b"A\xc3\xa4"),
        (b"%", b"%"),
        (b"%4", b"%4"),
        (b"%%41", b"%A"),
        (b"%4g%+1% 1%0x%", b"%4g%+1% 1%0x%"),
        (b"%2541", b"%41"),  # decoded once
    ],
)
def test_percent_decoding_leaves_what_is_no_triple(octets: bytes, decoded: bytes) -> None:
    assert fields.percent_decoded(octets) == decoded == unquote_to_bytes(octets)
