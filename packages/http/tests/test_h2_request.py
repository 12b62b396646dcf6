"""The fields of a request: at least as strict as the h2 library, whose own checks are off."""

from __future__ import annotations

import time
from typing import List, Tuple

import h2.config
import h2.connection
import h2.exceptions
import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from server_http.config import HttpConfig
from server_http.errors import BadRequest, HeaderFieldsTooLarge, ProtocolError, UriTooLong
from server_http.h2.request import Malformed, build_request, check_trailers
from server_http.limits import Limits
from support.http2 import GET, PREFACE, raw

Fields = List[Tuple[bytes, bytes]]
RULES = HttpConfig().rules


def h2_accepts(fields: Fields, trailers: bool = False) -> bool:
    """Whether h2 would have passed the fields on."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=False))
    encoder = Encoder()
    data = PREFACE + raw(4, 0, 0)
    if trailers:
        data += raw(1, 4, 1, encoder.encode([(b":method", b"POST"), *GET[1:]]))
    try:
        connection.receive_data(data + raw(1, 5, 1, encoder.encode(fields, huffman=False)))
    except h2.exceptions.ProtocolError:
        return False
    return True


PSEUDO = st.sampled_from(
    [(b":method", b"GET"), (b":method", b"CONNECT"), (b":method", b""), (b":scheme", b"http"), (b":scheme", b""),
     (b":authority", b"example.com"), (b":authority", b"a:1"), (b":authority", b""), (b":path", b"/"), (b":path", b""),
     (b":path", b"*"), (b":protocol", b"websocket"), (b":status", b"200"), (b":other", b"x"), (b":", b"x")]
)  # fmt: skip
REGULAR = st.one_of(
    st.sampled_from(
        [(b"host", b"example.com"), (b"host", b"other"), (b"te", b"trailers"), (b"te", b"gzip"), (b"connection", b"x"),
         (b"upgrade", b"x"), (b"transfer-encoding", b"chunked"), (b"keep-alive", b"1"), (b"proxy-connection", b"x"),
         (b"content-length", b"0"), (b"content-length", b"5"), (b"content-length", b"x"), (b"cookie", b"a=b"),
         (b"Upper", b"x"), (b"", b"x"), (b"x", b" y"), (b"x", b"y\t"), (b"x", b"a\nb"), (b"x:y", b"z")]
    ),
    st.tuples(st.binary(min_size=1, max_size=6), st.binary(max_size=6)),
)  # fmt: skip
REQUESTS = st.one_of(
    st.lists(st.one_of(PSEUDO, REGULAR), max_size=9),
    st.lists(REGULAR, max_size=4).map(lambda extra: [*GET, *extra]),
    st.permutations(GET),
)


@settings(max_examples=600, deadline=None)
@given(REQUESTS)
def test_what_h2_would_refuse_is_refused(fields: Fields) -> None:
    try:
        build_request(1, fields, True, RULES)
    except ProtocolError:
        return
    assert h2_accepts(fields)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PSEUDO, REGULAR), min_size=1, max_size=4))
def test_trailers_that_h2_would_refuse_are_refused(fields: Fields) -> None:
    try:
        check_trailers(fields, 0)
    except ProtocolError:
        return
    assert h2_accepts(fields, trailers=True)


@pytest.mark.parametrize(
    "extra",
    [
        [],
        [(b"te", b"trailers")],
        [(b"te", b"Trailers"), (b"te", b"trailers")],
        [(b"host", b"example.com")],
        [(b"x", b"")],
        [(b"x", b"\xff\x80 \t!")],
        [(b"content-length", b"0")],
    ],
)
def test_what_is_well_formed_passes_both(extra: Fields) -> None:
    fields = [*GET, *extra]
    assert h2_accepts(fields)
    assert build_request(1, fields, True, RULES).path == b"/"


def test_a_name_that_was_met_before_is_checked_no_less() -> None:
    for _ in range(2):
        with pytest.raises(Malformed):
            build_request(1, [*GET, (b"X-Twice", b"1")], True, RULES)


def test_fields_are_counted_after_cookies_are_joined() -> None:
    crumbs = [(b"cookie", b"c%d=1" % n) for n in range(300)]
    build_request(1, [*GET, *crumbs], True, RULES)
    with pytest.raises(HeaderFieldsTooLarge):
        build_request(1, [*GET, *[(b"x", b"1")] * 101], True, RULES)


@pytest.mark.parametrize("wrong", [(b"x" * 9000 + b" ", b"1"), (b"x", b"\0" * 9000), (b":path", b"a" * 9000)])
def test_what_is_wrong_is_shown_in_part(wrong: Tuple[bytes, bytes]) -> None:
    with pytest.raises(Malformed) as caught:
        build_request(1, [*GET[:3], wrong], True, RULES)
    assert len(str(caught.value)) < 500


def test_crumbs_of_a_cookie_cost_no_more_behind_many_fields() -> None:
    """Each looked through all fields before it: 2000 octets of HPACK took 50 ms."""
    crumbs = [(b"cookie", b"a")] * 20_000
    fields = [*GET, *[(b"x", b"1")] * 20_000, *crumbs]

    def seconds(tried: List[Tuple[bytes, bytes]]) -> float:
        began = time.process_time()
        request = build_request(1, tried, True, HttpConfig(limits=Limits(header_count=0)).rules)
        took = time.process_time() - began
        assert request.header(b"cookie") == b"; ".join([b"a"] * 20_000)
        return took

    first = [*GET, *crumbs, *[(b"x", b"1")] * 20_000]
    assert min(seconds(fields) for _ in range(3)) < 10 * min(seconds(first) for _ in range(3))


def test_a_path_has_the_bound_of_a_request_line() -> None:
    rules = HttpConfig(limits=Limits(request_line=10)).rules
    build_request(1, [*GET[:-1], (b":path", b"/" + b"a" * 9)], True, rules)
    with pytest.raises(UriTooLong):
        build_request(1, [*GET[:-1], (b":path", b"/" + b"a" * 10)], True, rules)


def test_a_malformed_request_is_no_reason_to_end_the_connection() -> None:
    assert not Malformed.closes
    assert issubclass(Malformed, BadRequest)


def test_a_scheme_other_than_the_connections_is_no_error() -> None:
    """A proxy may pass https on in clear (RFC 9113 section 8.3.1); who is trusted decides what it means."""
    fields = [(b":method", b"GET"), (b":scheme", b"https"), *GET[2:]]
    assert build_request(1, fields, True, RULES).path == b"/"
