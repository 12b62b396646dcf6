# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, attr-defined"
"""The grammar of HTTP fields, once for every protocol (RFC 9110 section 5, RFC 3986 section 3.2).

Owns: what a token, a field value, a Content-Length, a list and an authority look like.
Must not know: which protocol a field came by, or what is done with it; callers decide what a refusal
means (``BadRequest`` for a peer, ``ApplicationFault`` for an application).
"""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import Dict, List, Optional, Set, Tuple, Union

from server_http.errors import BadRequest

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: Octets of a token: methods, field names, chunk extension names (RFC 9110 section 5.6.2).
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: Octets of a field value: HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5).
VALUE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])

#: Octets of a request target: VCHAR without "#", because a fragment is no part of it (RFC 9112 section 3.2).
TARGET = bytes(octet for octet in range(0x21, 0x7F) if octet != 0x23)

#: Fields that must not come as trailers: they frame, route or authorise a message that was already
#: acted upon (RFC 9110 section 6.5.1).
FORBIDDEN_TRAILERS = frozenset((
    b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range",
    b"content-type", b"cookie", b"expect", b"host", b"keep-alive", b"proxy-authorization", b"proxy-connection",
    b"range", b"set-cookie", b"te", b"trailer", b"transfer-encoding", b"upgrade",
))  # fmt: skip

_IS_VALUE = bytes(octet in VALUE for octet in range(256))
_IS_TARGET = bytes(octet in TARGET for octet in range(256))

# For octets eight at a time: a number with bit 7 of each octet that is less than another is found by subtraction.
_ONES = 0x0101010101010101
_SPACES = 0x2020202020202020
_DELETES = 0x7F7F7F7F7F7F7F7F
_HIGHEST = 0x8080808080808080
_LITTLE_ENDIAN = sys.byteorder == "little"  # the lowest bit that is found is then the first octet's

#: Octets of the zone of an IPv6 address, unreserved ones (RFC 6874 section 2).
_ZONE = b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: 2**63 - 1 has 19 digits; what is longer is refused before it is converted.
_LENGTH_DIGITS = 19
_LENGTH_MAX = 2**63 - 1
_ZERO = 0x30
_NINE = 0x39
_SPACE = 0x20
_HASH = 0x23

# RFC 3986 section 3.2.2 without userinfo: a registered name, an IPv4 or a bracketed IPv6 address, then a port
_AUTHORITY = re.compile(
    rb"(?:(?P<name>(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?\Z"
)
_PORT_MAX = 65535

# The few names that a server is asked for, so that the grammar is run once for each.
_AUTHORITIES: Set[bytes] = set()
_AUTHORITIES_MAX = 256
_AUTHORITY_OCTETS_MAX = 255
_LATEST = [b"localhost"]  # the one that was met last; comparing costs less than hashing

# Two hexadecimal digits to their octet; filled by the first who asks.
_ESCAPED: Dict[bytes, bytes] = {}


def is_token(value: bytes) -> bool:
    """Whether ``value`` is a non-empty token (RFC 9110 section 5.6.2)."""
    return bool(value) and not value.translate(None, TOKEN)


def is_value(value: bytes) -> bool:
    """Whether ``value`` has only octets of a field value: no CR, LF, NUL or other control but HTAB."""
    if cython.compiled and type(value) is bytes:
        octets = value
        return value_end(octets, 0, len(octets)) == len(octets)
    # ASCII that can be printed is most of what comes, and sooner said than by a table.
    return (value.isascii() and value.decode().isprintable()) or not value.translate(None, VALUE)


def value_end(octets: bytes, start: int, end: int) -> int:
    """Return the offset of the first of ``octets[start:end]`` that no field value has, or ``end``."""
    is_value_octet = _IS_VALUE
    at = start
    if cython.compiled:
        while end - at >= 8:
            memcpy(cython.address(eight), PyBytes_AS_STRING(octets) + at, 8)
            deleted = eight ^ _DELETES  # what was DEL is 0 now
            found = (((eight - _SPACES) & ~eight) | ((deleted - _ONES) & ~deleted)) & _HIGHEST
            if found:  # a control character: HTAB, or the end
                if _LITTLE_ENDIAN:
                    at += __builtin_ctzll(found) >> 3
                break
            at += 8
    while at < end and is_value_octet[octets[at]]:
        at += 1
    return at


def is_ascii(octets: bytes) -> bool:
    """Whether ``octets`` are all ASCII."""
    if not cython.compiled:
        return octets.isascii()
    start = PyBytes_AS_STRING(octets)
    size = len(octets)
    at = 0
    seen = 0
    while size - at >= 8:
        memcpy(cython.address(eight), start + at, 8)
        seen |= eight
        at += 8
    while at < size:
        seen |= cython.cast(cython.uchar, start[at])
        at += 1
    return not seen & _HIGHEST


def is_target(value: bytes) -> bool:
    """Whether ``value`` is not empty and has only octets of a request target (RFC 9112 section 3.2)."""
    if cython.compiled:
        return bool(value) and _only(_IS_TARGET, value, len(value))
    # What can be printed of ASCII is VCHAR and SP.
    return (
        value.isascii() and value.decode().isprintable() and _SPACE not in value and _HASH not in value and value != b""
    )


def _only(table: bytes, octets: bytes, size: int) -> bool:
    for i in range(size):  # noqa: SIM110 - a plain loop is what becomes C
        if not table[octets[i]]:
            return False
    return True


def content_length(value: bytes) -> int:
    """Convert a Content-Length value, octets (RFC 9110 section 8.6).

    Only digits: no sign, no list, no white space, nothing above 2**63 - 1.

    Raises:
        BadRequest: anything else.
    """
    length = decimal(value)
    if length < 0:
        raise BadRequest(f"Content-Length: expected digits, at most 2**63 - 1, got {bytes(value[:32])!r}")
    return length


def decimal(value: bytes) -> int:
    """Return the number that digits spell; -1 for anything else, and for more than 2**63 - 1."""
    size = len(value)
    if not 0 < size <= _LENGTH_DIGITS:
        return -1
    if not cython.compiled or not isinstance(value, bytes):
        number = int(value) if value.isdigit() else -1
        return number if number <= _LENGTH_MAX else -1
    return _decimal(value, size)


def _decimal(octets: bytes, size: int) -> int:
    """``decimal`` of at most ``_LENGTH_DIGITS`` octets, which 64 bits without a sign can hold; compiled only."""
    total = 0
    for i in range(size):
        if not _ZERO <= octets[i] <= _NINE:
            return -1
        total = total * 10 + (octets[i] - _ZERO)
    return total if total <= _LENGTH_MAX else -1


def percent_decoded(octets: bytes) -> bytes:
    """Return ``octets`` with an octet for each ``%`` and two hexadecimal digits (RFC 3986 section 2.1).

    A ``%`` with something else behind it stays.
    """
    if not _ESCAPED:
        digits = "0123456789ABCDEFabcdef"
        _ESCAPED.update({f"{high}{low}".encode(): bytes.fromhex(high + low) for high in digits for low in digits})
    first, *others = octets.split(b"%")
    decoded = [first]
    for part in others:
        octet = _ESCAPED.get(part[:2])
        decoded.append(b"%" + part if octet is None else octet + part[2:])
    return b"".join(decoded)


def meta_variable(lower: bytes) -> str:
    """Return the CGI name of a field, given in lower case (RFC 3875 sections 4.1.2, 4.1.3 and 4.1.18)."""
    name = lower.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") and b"-" in lower else "HTTP_" + name


def printable(octets: bytes) -> str:
    """Return text for logs and terminals: a target may hold ends of lines over uwsgi, and C1 controls over HTTP/2."""
    text = octets.decode("latin-1")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def members(value: bytes) -> List[bytes]:
    """Split a comma-separated list of tokens, lower-case, white space removed (RFC 9110 section 5.6.1).

    Empty members are kept, so that a caller can refuse them.
    """
    return [member.strip(b" \t") for member in value.lower().split(b",")]


def check_authority(value: bytes) -> None:
    """Raise BadRequest unless ``value`` is ``host [":" port]``; the good ones are remembered."""
    if value == _LATEST[0]:
        return
    if value not in _AUTHORITIES:
        split_authority(value)
    if len(value) <= _AUTHORITY_OCTETS_MAX and len(_AUTHORITIES) < _AUTHORITIES_MAX:
        _AUTHORITIES.add(bytes(value))
    if len(value) <= _AUTHORITY_OCTETS_MAX:
        _LATEST[0] = bytes(value)


def split_authority(value: bytes, port_required: bool = False) -> Tuple[bytes, Optional[int]]:
    """Split ``host [":" port]`` (RFC 3986 section 3.2, RFC 9110 sections 4.2 and 7.2).

    Args:
        value: an authority without userinfo.
        port_required: as CONNECT asks (RFC 9110 section 9.3.6).

    Returns:
        The host without brackets, and the port or None.

    Raises:
        BadRequest: anything else. An empty host too: an http URI has none (RFC 9110 section 4.2.1).
    """
    match = _AUTHORITY.match(value)
    if match is not None:
        name, v6, digits = match.groups()
        port = int(digits) if digits else None
        if (v6 is None or _is_ipv6(v6)) and (port is None or port <= _PORT_MAX) and not (port_required and not digits):
            return (name if v6 is None else v6), port
    wanted = "host:port" if port_required else "host or host:port"
    raise BadRequest(f"authority: expected {wanted}, got {value[:64]!r}")


def read_address(octets: bytes) -> Optional[Address]:
    """Return the IP address that text spells, None for anything else; its zone may have few kinds of octets."""
    _, mark, zone = octets.partition(b"%")
    if mark and (not zone or zone.translate(None, _ZONE)):
        return None
    try:
        return ipaddress.ip_address(octets.decode("ascii"))
    except ValueError:
        return None


def address_text(address: Address) -> str:
    """Return an address as sockets spell it: ``::ffff:192.0.2.1``, of which Python before 3.13 writes two numbers."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _is_ipv6(value: bytes) -> bool:
    try:
        ipaddress.IPv6Address(value.decode("ascii"))
    except ValueError:
        return False
    return True
