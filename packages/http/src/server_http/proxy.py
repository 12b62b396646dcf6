"""The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): the one reader of its header.

Owns: the header's grammar, its bounds, and whether a peer may or must send one.
Must not know: sockets, and what follows the header; whoever feeds the reader gets the rest back.

Modes: ``"v1"`` and ``"v2"`` demand that header from a peer that is allowed to send one, because a
receiver must not guess (section 2); ``"auto"`` takes either, or none. A peer that is not allowed never
sends one: its octets go on, unless they begin like a header, which is refused.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Dict, Mapping, Optional, Tuple

from server_http.errors import BadRequest, Forbidden
from server_http.fields import address_text, read_address
from server_http.limits import Limits

V1_START = b"PROXY "
V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
MODES = ("off", "v1", "v2", "auto")

_STARTS: Mapping[str, Tuple[bytes, ...]] = {"v1": (V1_START,), "v2": (V2_START,), "auto": (V1_START, V2_START)}

_V1_FAMILIES = {b"TCP4": 4, b"TCP6": 6}
_V2_FIXED = len(V2_START) + 4
_V2_COMMANDS = {0x20: "LOCAL", 0x21: "PROXY"}
_V2_FAMILIES = {0x11: ("TCP4", 4, 12), 0x21: ("TCP6", 16, 36)}  # octets of an address, of the address block
_V2_UNSPECIFIED = 0x00
_V2_UNIX_STREAM = 0x31
_V2_UNIX_BLOCK = 216

TLV_ALPN = 0x01
TLV_AUTHORITY = 0x02
TLV_UNIQUE_ID = 0x05
TLV_SSL = 0x20
UNIQUE_ID_MAX = 128  # octets, section 2.2.5

_SSL_CLIENT = 0x01  # the client connected over TLS
_SSL_FIXED = 5
_SSL_FIELDS = {0x21: "version", 0x22: "common_name", 0x23: "cipher"}

Address = Tuple[str, int]


class ProxyTLS:
    """What the proxy says of the client's TLS (section 2.2.6).

    Attributes:
        version, cipher: as the proxy's library names them, or ``""``.
        common_name: of the client's certificate, or ``""``.
        verified: the client gave a certificate and it was accepted.
    """

    __slots__ = ("cipher", "common_name", "verified", "version")

    def __init__(self, version: str, cipher: str, common_name: str, verified: bool) -> None:
        self.version = version
        self.cipher = cipher
        self.common_name = common_name
        self.verified = verified


class ProxyHeader:
    """One PROXY header.

    Attributes:
        version: 1 or 2.
        protocol: ``"TCP4"``, ``"TCP6"``, ``"UNIX"``, ``"UNSPEC"``, or ``"LOCAL"`` for the proxy's own connection.
        source: where the client connected from, or None when the header does not say.
        destination: where it connected to, or None.
        alpn: the protocol the proxy negotiated, or ``b""``.
        authority: the host name the client gave (SNI), or ``""``.
        unique_id: the proxy's name of the connection, or ``b""``.
        tls: facts of the client's TLS session with the proxy, or None when it used none.
    """

    __slots__ = ("alpn", "authority", "destination", "protocol", "source", "tls", "unique_id", "version")

    def __init__(
        self,
        version: int,
        protocol: str,
        source: Optional[Address] = None,
        destination: Optional[Address] = None,
    ) -> None:
        self.version = version
        self.protocol = protocol
        self.source = source
        self.destination = destination
        self.alpn = b""
        self.authority = ""
        self.unique_id = b""
        self.tls: Optional[ProxyTLS] = None

    def variables(self) -> Dict[str, str]:
        """Return the header as environ variables; those that say nothing are left out."""
        said = {
            "PROXY_PROTOCOL": self.protocol,
            "PROXY_ADDR": self.destination[0] if self.destination else "",
            "PROXY_PORT": str(self.destination[1]) if self.destination else "",
            "PROXY_ALPN": self.alpn.decode("latin-1"),
            "PROXY_AUTHORITY": self.authority,
            "PROXY_UNIQUE_ID": self.unique_id.decode("latin-1"),
        }
        if self.tls is not None:
            said.update(
                HTTPS="on",
                SSL_PROTOCOL=self.tls.version,
                SSL_CIPHER=self.tls.cipher,
                SSL_CLIENT_S_DN_CN=self.tls.common_name,
                SSL_CLIENT_VERIFY="SUCCESS" if self.tls.verified else "NONE",
            )
        return {name: value for name, value in said.items() if value}


class ProxyReader:
    """Reads the header at the start of one connection, in whatever pieces it arrives.

    Args:
        mode: ``"v1"``, ``"v2"`` or ``"auto"``.
        allowed: whether this peer may send a header.
        limits: bounds of the header.

    Attributes:
        header: the header once it was read; None when there was none.
    """

    __slots__ = ("_allowed", "_buffer", "_limits", "_mode", "_starts", "header")

    def __init__(self, mode: str, allowed: bool, limits: Limits) -> None:
        self.header: Optional[ProxyHeader] = None
        self._mode = mode
        self._allowed = allowed
        self._limits = limits
        self._buffer = b""
        self._starts = _STARTS[mode]

    def receive(self, data: bytes) -> Optional[bytes]:
        """Take octets; returns those behind the header, or None while more are needed.

        Raises:
            Forbidden: a header from a peer that may not send one.
            BadRequest: a malformed or oversized header, or none where one is demanded.
        """
        self._buffer += data
        octets = self._buffer
        start = self._started(octets)
        if start is None:
            return None
        if start and not self._allowed:
            raise Forbidden("PROXY header: expected none from a peer outside proxy_allow_ips, got one")
        if start == V1_START:
            return self._read_v1(octets)
        if start == V2_START:
            return self._read_v2(octets)
        if self._allowed and self._mode != "auto":
            raise BadRequest(f"PROXY header: expected one of {self._mode}, got {octets[:16]!r}")
        self._buffer = b""
        return octets

    def _started(self, octets: bytes) -> Optional[bytes]:
        """Return which header begins, ``b""`` for none, None while that is open."""
        undecided = False
        for start in self._starts:
            if octets.startswith(start):
                return start
            undecided = undecided or start.startswith(octets)
        return None if undecided else b""

    def _read_v1(self, octets: bytes) -> Optional[bytes]:
        """Section 2.1: one line of at most 107 octets, CRLF included."""
        limit = self._limits.proxy_v1_line
        line, crlf, rest = octets.partition(b"\r\n")
        if not crlf and len(octets) < limit:
            return None
        if not crlf or len(line) + 2 > limit:
            raise BadRequest(f"PROXY v1 header: expected at most {limit} octets with CRLF, got more")
        self.header = _parse_v1(line)
        self._buffer = b""
        return rest

    def _read_v2(self, octets: bytes) -> Optional[bytes]:
        """Section 2.2: sixteen octets, then as many as they say."""
        if len(octets) < _V2_FIXED:
            return None
        command, family, size = struct.unpack_from("!BBH", octets, len(V2_START))
        if size > self._limits.proxy_v2_body:
            raise BadRequest(f"PROXY v2 header: expected at most {self._limits.proxy_v2_body} octets, got {size}")
        end = _V2_FIXED + size
        if len(octets) < end:
            return None
        self.header = _parse_v2(command, family, octets[_V2_FIXED:end])
        self._buffer = b""
        return octets[end:]


def _parse_v1(line: bytes) -> ProxyHeader:
    parts = line.split(b" ")
    if len(parts) >= 2 and parts[1] == b"UNKNOWN":
        return ProxyHeader(1, "UNSPEC")
    version = _V1_FAMILIES.get(parts[1]) if len(parts) == 6 else None
    if version is None:
        raise BadRequest(f"PROXY v1 header: expected TCP4 or TCP6, two addresses and two ports, got {line!r}")
    source = (_v1_address(parts[2], version), _v1_port(parts[4]))
    destination = (_v1_address(parts[3], version), _v1_port(parts[5]))
    return ProxyHeader(1, parts[1].decode("ascii"), source, destination)


def _v1_address(value: bytes, version: int) -> str:
    address = read_address(value)
    if address is None or address.version != version or b"%" in value:
        raise BadRequest(f"PROXY v1 header: expected an IPv{version} address, got {value!r}")
    return address_text(address)


def _v1_port(value: bytes) -> int:
    if not value.isdigit() or len(value) > 5 or int(value) > 65535 or (value != b"0" and value.startswith(b"0")):
        raise BadRequest(f"PROXY v1 header: expected a port, got {value!r}")
    return int(value)


def _parse_v2(command: int, family: int, body: bytes) -> ProxyHeader:
    name = _V2_COMMANDS.get(command)
    if name is None:
        raise BadRequest(f"PROXY v2 header: expected version 2 with LOCAL or PROXY, got {command:#04x}")
    if name == "LOCAL":  # a health check of the proxy itself; the rest has no meaning (section 2.2)
        return ProxyHeader(2, "LOCAL")
    if family == _V2_UNSPECIFIED:
        return ProxyHeader(2, "UNSPEC")
    if family == _V2_UNIX_STREAM:
        header, block = ProxyHeader(2, "UNIX"), _V2_UNIX_BLOCK
    elif family in _V2_FAMILIES:
        protocol, width, block = _V2_FAMILIES[family]
        header = ProxyHeader(2, protocol)
        if len(body) >= block:
            header.source, header.destination = _v2_addresses(body, width)
    else:
        raise BadRequest(f"PROXY v2 header: expected a stream over IPv4, IPv6 or unix, got family {family:#04x}")
    if len(body) < block:
        raise BadRequest(f"PROXY v2 header: expected {block} octets of addresses, got {len(body)}")
    _apply_tlvs(header, body[block:])
    return header


def _v2_addresses(body: bytes, width: int) -> Tuple[Address, Address]:
    source_port, destination_port = struct.unpack_from("!HH", body, 2 * width)
    source = address_text(ipaddress.ip_address(body[:width]))
    destination = address_text(ipaddress.ip_address(body[width : 2 * width]))
    return (source, source_port), (destination, destination_port)


def _tlvs(octets: bytes) -> Dict[int, bytes]:
    """Split type-length-value entries (section 2.2); the first of a type counts."""
    found: Dict[int, bytes] = {}
    position = 0
    while position < len(octets):
        if position + 3 > len(octets):
            raise BadRequest(f"PROXY v2 header: expected a TLV of 3 octets or more, got {octets[position:]!r}")
        kind, size = struct.unpack_from("!BH", octets, position)
        end = position + 3 + size
        if end > len(octets):
            raise BadRequest(
                f"PROXY v2 header: expected {size} octets in TLV {kind:#04x}, got {len(octets) - end + size}"
            )
        found.setdefault(kind, octets[position + 3 : end])
        position = end
    return found


def _apply_tlvs(header: ProxyHeader, octets: bytes) -> None:
    tlvs = _tlvs(octets)
    header.alpn = tlvs.get(TLV_ALPN, b"")
    header.authority = tlvs.get(TLV_AUTHORITY, b"").decode("utf-8", "replace")
    header.unique_id = tlvs.get(TLV_UNIQUE_ID, b"")
    if len(header.unique_id) > UNIQUE_ID_MAX:
        raise BadRequest(f"PROXY v2 unique id: expected at most {UNIQUE_ID_MAX} octets, got {len(header.unique_id)}")
    session = tlvs.get(TLV_SSL)
    if session is not None:
        header.tls = _parse_tls(session)


def _parse_tls(octets: bytes) -> Optional[ProxyTLS]:
    if len(octets) < _SSL_FIXED:
        raise BadRequest(f"PROXY v2 SSL: expected {_SSL_FIXED} octets or more, got {len(octets)}")
    client, verify = struct.unpack_from("!BI", octets)
    if not client & _SSL_CLIENT:
        return None
    said = {
        _SSL_FIELDS[kind]: value.decode("utf-8", "replace")
        for kind, value in _tlvs(octets[_SSL_FIXED:]).items()
        if kind in _SSL_FIELDS
    }
    # 0x02 and 0x04: the client gave a certificate on this connection, or in this session
    verified = bool(client & 0x06) and verify == 0
    return ProxyTLS(said.get("version", ""), said.get("cipher", ""), said.get("common_name", ""), verified)
