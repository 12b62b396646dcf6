"""PROXY protocol headers: every form, every bound, in every piece (haproxy.org, proxy-protocol.txt)."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http.errors import BadRequest, Forbidden
from server_http.limits import Limits
from server_http.proxy import MODES, V2_START, ProxyReader

LIMITS = Limits()


def v2(command=0x21, family=0x11, body=b"", size=None):
    return V2_START + struct.pack("!BBH", command, family, len(body) if size is None else size) + body


def inet(*tlvs):
    return (
        socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1000, 443) + b"".join(tlvs)
    )


def inet6():
    source, destination = (socket.inet_pton(socket.AF_INET6, host) for host in ("2001:db8::1", "2001:db8::2"))
    return source + destination + struct.pack("!HH", 1000, 443)


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


V4 = (("192.0.2.1", 1000), ("192.0.2.2", 443))
V6 = (("2001:db8::1", 1000), ("2001:db8::2", 443))
NOBODY = (None, None)

ACCEPTED = [
    # section, mode, header, protocol, addresses
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n", "TCP4", V4),
    ("2.1", "v1", b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 1000 443\r\n", "TCP6", V6),
    ("2.1", "v1", b"PROXY UNKNOWN\r\n", "UNSPEC", NOBODY),
    ("2.1", "v1", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "UNSPEC", NOBODY),
    ("2.1", "auto", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n", "TCP4", V4),
    ("2.2", "v2", v2(body=inet()), "TCP4", V4),
    ("2.2", "auto", v2(body=inet()), "TCP4", V4),
    ("2.2", "v2", v2(family=0x21, body=inet6()), "TCP6", V6),
    ("2.2", "v2", v2(family=0x00), "UNSPEC", NOBODY),
    ("2.2", "v2", v2(family=0x00, body=b"ignored"), "UNSPEC", NOBODY),
    ("2.2", "v2", v2(family=0x31, body=bytes(216)), "UNIX", NOBODY),
    ("2.2", "v2", v2(command=0x20), "LOCAL", NOBODY),
    ("2.2", "v2", v2(command=0x20, family=0x11, body=inet()), "LOCAL", NOBODY),
    ("2.2.7", "v2", v2(body=inet(tlv(0xEE, b"own"), tlv(0x04, bytes(300)))), "TCP4", V4),
]

REFUSED = [
    # section, mode, octets, what the error says
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000\r\n", "expected TCP4 or TCP6, two addresses"),
    ("2.1", "v1", b"PROXY TCP4  192.0.2.1 192.0.2.2 1000 443\r\n", "expected TCP4 or TCP6, two addresses"),
    ("2.1", "v1", b"PROXY UDP4 192.0.2.1 192.0.2.2 1000 443\r\n", "expected TCP4 or TCP6"),
    ("2.1", "v1", b"PROXY TCP4 2001:db8::1 192.0.2.2 1000 443\r\n", "expected an IPv4 address"),
    ("2.1", "v1", b"PROXY TCP6 192.0.2.1 2001:db8::1 1000 443\r\n", "expected an IPv6 address"),
    ("2.1", "v1", b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1000 443\r\n", "expected an IPv6 address"),
    ("2.1", "v1", b"PROXY TCP4 192.0.2.01 192.0.2.2 1000 443\r\n", "expected an IPv4 address"),
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", "expected a port"),
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n", "expected a port"),
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 010 443\r\n", "expected a port"),
    ("2.1", "v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\n" + b"x" * 80, "at most 107 octets"),
    ("2.1", "v1", b"PROXY " + b"1" * 200, "at most 107 octets"),
    ("2.1", "v1", b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", "at most 107 octets"),
    ("2", "v1", b"GET / HTTP/1.1\r\n\r\n", "expected one of v1"),
    ("2", "v2", b"GET / HTTP/1.1\r\n\r\n", "expected one of v2"),
    ("2", "v1", v2(body=inet()), "expected one of v1"),
    ("2", "v2", b"PROXY UNKNOWN\r\n", "expected one of v2"),
    ("2.2", "v2", v2(command=0x11), "expected version 2 with LOCAL or PROXY"),
    ("2.2", "v2", v2(command=0x22), "expected version 2 with LOCAL or PROXY"),
    ("2.2", "v2", v2(family=0x12, body=inet()), "expected a stream"),
    ("2.2", "v2", v2(family=0x13, body=inet()), "expected a stream"),
    ("2.2", "v2", v2(body=inet()[:11]), "expected 12 octets of addresses, got 11"),
    ("2.2", "v2", v2(family=0x31, body=bytes(10)), "expected 216 octets of addresses"),
    ("2.2", "v2", v2(size=65535), "expected at most 4096 octets, got 65535"),
    ("2.2", "v2", v2(body=inet(b"\x01\x00")), "expected a TLV of 3 octets"),
    ("2.2", "v2", v2(body=inet(b"\x01\x00\x05abc")), "expected 5 octets in TLV 0x01, got 3"),
    ("2.2.5", "v2", v2(body=inet(tlv(0x05, bytes(129)))), "expected at most 128 octets, got 129"),
    ("2.2.6", "v2", v2(body=inet(tlv(0x20, b"\x01\x00"))), "expected 5 octets or more, got 2"),
]


def splits(octets):
    """Whole, byte by byte, and cut at every place."""
    yield [octets]
    yield [octets[i : i + 1] for i in range(len(octets))]
    step = max(1, len(octets) // 60)
    for cut in range(1, len(octets), step):
        yield [octets[:cut], octets[cut:]]


def read(reader, pieces):
    """Feed pieces until the header is through; returns everything behind it."""
    for number, piece in enumerate(pieces):
        rest = reader.receive(piece)
        if rest is not None:
            return rest + b"".join(pieces[number + 1 :])
    return None


@pytest.mark.parametrize(("section", "mode", "header", "protocol", "addresses"), ACCEPTED)
def test_header_is_read_however_it_is_cut(section, mode, header, protocol, addresses):
    for pieces in splits(header + b"GET /"):
        reader = ProxyReader(mode, True, LIMITS)
        assert read(reader, pieces) == b"GET /"
        assert reader.header.protocol == protocol
        assert (reader.header.source, reader.header.destination) == addresses


@pytest.mark.parametrize(("section", "mode", "octets", "text"), REFUSED)
def test_malformed_header_is_refused_however_it_is_cut(section, mode, octets, text):
    for pieces in splits(octets):
        with pytest.raises(BadRequest, match=text):
            read(ProxyReader(mode, True, LIMITS), pieces)


@pytest.mark.parametrize(("section", "mode", "header", "protocol", "addresses"), ACCEPTED)
def test_header_of_a_peer_that_is_not_allowed_is_forbidden(section, mode, header, protocol, addresses):
    for pieces in splits(header):
        with pytest.raises(Forbidden, match="proxy_allow_ips"):
            read(ProxyReader(mode, False, LIMITS), pieces)


@pytest.mark.parametrize("mode", ["v1", "v2", "auto"])
def test_peer_that_is_not_allowed_is_served_without_a_header(mode):
    for pieces in splits(b"PRI * HTTP/2.0\r\n\r\n"):
        reader = ProxyReader(mode, False, LIMITS)
        assert read(reader, pieces) == b"PRI * HTTP/2.0\r\n\r\n"
        assert reader.header is None


def test_auto_serves_an_allowed_peer_without_a_header():
    reader = ProxyReader("auto", True, LIMITS)
    assert reader.receive(b"P") is None
    assert reader.receive(b"UT /") == b"PUT /"


def test_incomplete_header_gives_nothing():
    reader = ProxyReader("auto", True, LIMITS)
    assert reader.receive(v2(body=inet())[:-1]) is None
    assert reader.header is None


class TestEntriesOfVersion2:
    def header(self, *tlvs):
        reader = ProxyReader("v2", True, LIMITS)
        assert reader.receive(v2(body=inet(*tlvs))) == b""
        return reader.header

    def test_alpn_authority_and_unique_id_are_offered(self):
        header = self.header(tlv(1, b"h2"), tlv(2, b"example.org"), tlv(5, b"id-1"))
        assert (header.alpn, header.authority, header.unique_id) == (b"h2", "example.org", b"id-1")
        assert header.variables() == {
            "PROXY_PROTOCOL": "TCP4",
            "PROXY_ADDR": "192.0.2.2",
            "PROXY_PORT": "443",
            "PROXY_ALPN": "h2",
            "PROXY_AUTHORITY": "example.org",
            "PROXY_UNIQUE_ID": "id-1",
        }

    @pytest.mark.parametrize(
        ("client", "verify", "verified"), [(1, 0, False), (3, 0, True), (5, 0, True), (7, 1, False)]
    )
    def test_tls_of_the_client_is_offered(self, client, verify, verified):
        inner = tlv(0x21, b"TLSv1.3") + tlv(0x22, b"Someone") + tlv(0x23, b"ECDHE") + tlv(0x25, b"RSA2048")
        header = self.header(tlv(0x20, struct.pack("!BI", client, verify) + inner))
        assert (header.tls.version, header.tls.cipher) == ("TLSv1.3", "ECDHE")
        assert (header.tls.common_name, header.tls.verified) == ("Someone", verified)
        assert header.variables()["SSL_CLIENT_VERIFY"] == ("SUCCESS" if verified else "NONE")

    def test_a_client_in_clear_has_no_tls(self):
        assert self.header(tlv(0x20, struct.pack("!BI", 0, 1))).tls is None


@given(
    mode=st.sampled_from(MODES[1:]),
    allowed=st.booleans(),
    start=st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2_START, V2_START + b"\x21\x11"]),
    pieces=st.lists(st.binary(max_size=200), max_size=6),
)
def test_arbitrary_octets_end_in_a_header_a_refusal_or_waiting(mode, allowed, start, pieces):
    reader = ProxyReader(mode, allowed, LIMITS)
    fed = b""
    for piece in [start, *pieces]:
        fed += piece
        try:
            rest = reader.receive(piece)
        except (BadRequest, Forbidden):
            return
        if rest is not None:
            assert fed.endswith(rest)
            return
    assert len(fed) <= 16 + LIMITS.proxy_v2_body
