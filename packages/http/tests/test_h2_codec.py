"""HPACK: our decoder and encoder against the hpack library's."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKDecodingError
from hypothesis import given, settings
from hypothesis import strategies as st

from server_http.h2.codec import FieldDecoder, FieldEncoder

Fields = List[Tuple[bytes, bytes]]

NAMES = st.sampled_from(
    [b":status", b":path", b"date", b"content-type", b"x-a", b"x-request-id", b"set-cookie", b"etag"]
)
VALUES = st.one_of(
    st.sampled_from([b"200", b"404", b"/", b"text/html", b"", b"gzip"]), st.binary(max_size=40), st.just(b"v" * 1200)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


def encode(encoder: FieldEncoder, fields: Fields) -> bytes:
    encoder.fields = fields
    return encoder.encode(fields[:1])


@settings(max_examples=150, deadline=None)
@given(st.lists(FIELDS, max_size=8), st.booleans())
def test_what_hpack_encodes_is_decoded_alike(blocks: List[Fields], huffman: bool) -> None:
    encoder, theirs, ours = Encoder(), Decoder(), FieldDecoder(0)
    for fields in blocks:
        block = encoder.encode(fields, huffman=huffman)
        assert ours.decode(block) == ()
        assert ours.fields == [tuple(item) for item in theirs.decode(block, raw=True)] == fields


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_octets_of_any_kind_are_decoded_or_refused_alike(blocks: List[bytes]) -> None:
    theirs, ours = Decoder(), FieldDecoder(65536)
    for block in blocks:
        try:
            expected = [tuple(item) for item in theirs.decode(block, raw=True)]
        except HPACKError:
            with pytest.raises(HPACKError):
                ours.decode(block)
            return
        try:
            ours.decode(block)
        except HPACKDecodingError:
            assert sum(0x20 <= octet < 0x40 for octet in block) > 2  # updates of the size, which hpack does not count
            return
        assert ours.fields == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FIELDS, st.sampled_from([None, 0, 64, 200, 4096, 1 << 20])), max_size=12))
def test_what_we_encode_is_decoded_by_hpack(blocks: List[Tuple[Fields, int]]) -> None:
    """Also across changes of the table's size by the peer."""
    ours, theirs = FieldEncoder(), Decoder()
    theirs.max_allowed_table_size = 1 << 20
    for fields, size in blocks:
        if size is not None:
            ours.header_table_size = size
        for _ in range(3):  # literal, entering the table, from the table
            decoded = [tuple(item) for item in theirs.decode(encode(ours, fields), raw=True)]
            assert decoded == [stripped(item) for item in fields]
        assert theirs.header_table_size <= 4096 or ours.header_table_size <= 4096


def stripped(item: Tuple[bytes, bytes]) -> Tuple[bytes, bytes]:
    """Outer white space may not go out; controls never get this far."""
    name, value = item
    return name, value.strip(b" \t") if value and (value[0] <= 0x20 or value[-1] <= 0x20) else value


def test_names_go_out_in_lower_case() -> None:
    block = encode(FieldEncoder(), [(b"X-Mixed-Case", b"Value")])
    assert Decoder().decode(block, raw=True) == [(b"x-mixed-case", b"Value")]


def test_a_pair_that_comes_again_is_one_octet() -> None:
    encoder = FieldEncoder()
    fields = [(b":status", b"200"), (b"server", b"some server"), (b"content-type", b"text/html; charset=utf-8")]
    sizes = [len(encode(encoder, fields)) for _ in range(4)]
    assert sizes[2:] == [3, 3]


def test_values_that_never_come_again_do_not_enter_the_table() -> None:
    encoder = FieldEncoder()
    for n in range(1000):
        encode(encoder, [(b"x-request-id", b"%d" % n)])
    assert len(encoder._entries) == 0
    assert len(encoder._seen) <= 64


def test_cookies_and_credentials_are_never_indexed() -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    for _ in range(4):
        [item] = decoder.decode(encode(encoder, [(b"Set-Cookie", b"secret=1")]), raw=True)
        assert isinstance(item, NeverIndexedHeaderTuple)


def test_the_list_is_bounded_by_what_it_counts() -> None:
    decoder = FieldDecoder(100)
    decoder.decode(Encoder().encode([(b"a", b"b" * (100 - 32 - 1))]))
    with pytest.raises(HPACKError):
        FieldDecoder(100).decode(Encoder().encode([(b"a", b"b" * (100 - 32))]))
