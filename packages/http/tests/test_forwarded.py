"""The grammar of Forwarded and X-Forwarded-* fields (RFC 7239)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http.errors import BadRequest
from server_http.forwarded import element_at, parse_forwarded, parse_node, parse_port, values_at


class TestForwarded:
    @pytest.mark.parametrize(
        ("lines", "elements"),
        [
            ([b"for=192.0.2.43"], [{b"for": b"192.0.2.43"}]),
            ([b"For=a; Proto=http ;by=b"], [{b"for": b"a", b"proto": b"http", b"by": b"b"}]),
            ([b'for="[2001:db8::1]:47"'], [{b"for": b"[2001:db8::1]:47"}]),
            ([b"for=a, for=b"], [{b"for": b"a"}, {b"for": b"b"}]),
            ([b"for=a", b"for=b"], [{b"for": b"a"}, {b"for": b"b"}]),
            ([b'for="a,b;\\"c"'], [{b"for": b'a,b;"c'}]),
            ([b", for=a ;; ,"], [{b"for": b"a"}]),
            ([b""], []),
        ],
    )
    def test_elements_in_order(self, lines, elements):
        assert parse_forwarded(lines) == elements

    @pytest.mark.parametrize(
        "line", [b"for", b"for=", b"for=a b", b'for="a', b"=a", b"for=a;for=b", b"for =a", b'for="a"b']
    )
    def test_broken_grammar_is_refused(self, line):
        with pytest.raises(BadRequest, match=r"^forwarded: expected"):
            parse_forwarded([line])

    def test_element_is_counted_from_the_nearest_proxy(self):
        elements = [{b"for": b"a"}, {b"for": b"b"}]
        assert element_at(elements, 1) == {b"for": b"b"}
        assert element_at(elements, 2) == {b"for": b"a"}
        assert element_at(elements, 3) == {}

    @given(st.lists(st.binary(max_size=80), max_size=4))
    def test_arbitrary_octets_give_elements_or_a_refusal(self, lines):
        try:
            elements = parse_forwarded(lines)
        except BadRequest:
            return
        assert all(elements)

    @given(st.binary(max_size=60))
    def test_arbitrary_node_gives_an_address_or_a_refusal(self, value):
        try:
            node = parse_node(value)
        except BadRequest:
            return
        assert node is None or 0 <= node[1] <= 65535


@pytest.mark.parametrize(
    ("value", "node"),
    [
        (b"192.0.2.1", ("192.0.2.1", 0)), (b"192.0.2.1:80", ("192.0.2.1", 80)), (b"2001:DB8::1", ("2001:db8::1", 0)),
        (b"[2001:db8::1]:_hidden", ("2001:db8::1", 0)), (b"::ffff:192.0.2.1", ("::ffff:192.0.2.1", 0)),
        (b"fe80::1%eth0.1", ("fe80::1%eth0.1", 0)), (b"[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        (b"unknown", None), (b"_hidden:80", None),
    ],
)  # fmt: skip
def test_a_node_is_an_address_as_sockets_spell_it(value, node):
    assert parse_node(value) == node


@pytest.mark.parametrize(
    "value",
    [b"", b"a", b"1.2.3", b"1.2.3.4%eth0", b"fe80::1%", b'fe80::1%" 200 - "', b"fe80::1%a b", b"fe80::1%\xe9",
     b"fe80::1%a%b", b"[::1", b"[]", b"[::1]80"],
)  # fmt: skip
def test_what_is_no_address_is_refused(value):
    with pytest.raises(BadRequest, match="expected an address"):
        parse_node(value)


def test_entries_are_counted_over_all_lines():
    fields = [(b"x", b"a, b"), (b"y", b"n"), (b"x", b"c")]
    assert [values_at(fields, b"x", hops) for hops in (1, 2, 3, 4)] == [b"c", b"b", b"a", b"a"]
    assert values_at(fields, b"x", 4, exact=True) == b""
    assert values_at(fields, b"z", 1) == b""


@pytest.mark.parametrize("value", [b"", b"-1", b"65536", b"x", b"123456", b"\xb2"])
def test_port_is_a_number_below_65536(value):
    with pytest.raises(BadRequest, match="port"):
        parse_port(value)
