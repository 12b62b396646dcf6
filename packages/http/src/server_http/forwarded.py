"""Reads ``Forwarded`` (RFC 7239), ``X-Forwarded-*`` and ``X-Request-Start`` values; decides nothing.

Owns: their grammar, and counting entries from the nearest proxy.
Must not know: whom to believe; ``headers`` asks only for fields of trusted peers.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from server_http.errors import BadRequest
from server_http.events import Headers
from server_http.fields import address_text, read_address

Node = Tuple[str, int]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(rb"[ \t]*(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*)")[ \t]*(?=[;,]|\Z)')
_EMPTY = re.compile(rb"[ \t]*(?=[;,]|\Z)")
_ESCAPE = re.compile(rb"\\(.)")
_BRACKETED = re.compile(rb"\[([^\]]+)\](?::([0-9A-Za-z._\-]+))?\Z")
_MOMENT = re.compile(rb"[ \t]*(?:t=)?[ \t]*([0-9]{1,20}(?:\.[0-9]{1,9})?)[ \t]*\Z")
#: From these numbers on a moment is in milliseconds, microseconds or nanoseconds: as seconds they lie 3000 years ahead.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_OBFUSCATED = re.compile(rb"(?:unknown|_[0-9A-Za-z._\-]+)(?::[0-9A-Za-z._\-]+)?\Z", re.IGNORECASE)


def values_at(fields: Headers, name: bytes, hops: int, exact: bool = False) -> bytes:
    """Return the entry that the ``hops``-th proxy, counted from here, added to a list field.

    Args:
        fields: fields with lower-case names; repeated lines form one list (RFC 9110 section 5.3).
        name: the list field.
        hops: 1 is the proxy that is connected to this server.
        exact: with fewer entries than hops return nothing; otherwise the first one, because most proxies replace
            host, port and scheme where they extend the list of addresses.

    Returns:
        The entry without surrounding space, or ``b""``.
    """
    values = [part.strip() for key, value in fields if key == name for part in value.split(b",")]
    if len(values) < hops:
        return values[0] if values and not exact else b""
    return values[-hops]


def element_at(elements: List[Dict[bytes, bytes]], hops: int) -> Mapping[bytes, bytes]:
    """Return the element that the ``hops``-th proxy added, or an empty one when there are fewer."""
    return elements[-hops] if len(elements) >= hops else {}


def parse_forwarded(lines: Iterable[bytes]) -> List[Dict[bytes, bytes]]:
    """Return the elements of ``Forwarded`` fields in order, names in lower case (RFC 7239 section 4).

    Raises:
        BadRequest: the grammar is broken, or a parameter comes twice in one element.
    """
    elements: List[Dict[bytes, bytes]] = []
    for line in lines:
        element: Dict[bytes, bytes] = {}
        position = 0
        while True:
            position = _take_pair(line, position, element)
            ended = position == len(line)
            if (ended or line[position : position + 1] == b",") and element:
                elements.append(element)
                element = {}
            if ended:
                break
            position += 1
    return elements


def _take_pair(line: bytes, position: int, element: Dict[bytes, bytes]) -> int:
    """Read one ``name=value`` or nothing; returns the place of the separator behind it."""
    match = _PAIR.match(line, position)
    if match is None:
        empty = _EMPTY.match(line, position)
        if empty is None:
            raise BadRequest(f"forwarded: expected name=value, got {line[position : position + 64]!r}")
        return empty.end()
    name, token, quoted = match.groups()
    name = name.lower()
    if name in element:
        raise BadRequest(f"forwarded: expected {name!r} once in an element, got it again")
    element[name] = token if token is not None else _ESCAPE.sub(rb"\1", quoted)
    return match.end()


def parse_node(value: bytes) -> Optional[Node]:
    """Return the address of a forwarding entry (RFC 7239 section 6) and its port, 0 when not said.

    Takes also what ``X-Forwarded-For`` is seen to hold: an IPv6 address without brackets.

    Returns:
        ``(host, port)``, or None where the proxy hides it (``unknown``, ``_name``).

    Raises:
        BadRequest: neither an address nor such a name.
    """
    if _OBFUSCATED.match(value) is not None:
        return None
    bracketed = _BRACKETED.match(value)
    if bracketed is not None:
        host, port = bracketed.groups()
    elif value.count(b":") == 1:
        host, _, port = value.partition(b":")
    else:
        host, port = value, None
    address = read_address(host)
    if address is None:
        raise BadRequest(f"forwarded client: expected an address, got {value[:64]!r}")
    if port is None or port.startswith(b"_"):
        return address_text(address), 0
    return address_text(address), parse_port(port)


def parse_port(value: bytes) -> int:
    """Return a port number, 0 to 65535. Raises BadRequest."""
    if value.isdigit() and len(value) <= 5:
        port = int(value)
        if port <= 65535:
            return port
    raise BadRequest(f"forwarded port: expected 0 to 65535, got {value[:64]!r}")


def parse_request_start(value: bytes) -> float:
    """Return when a proxy took a request, in seconds since the epoch; 0.0 when the value says nothing.

    Proxies write ``t=1700000000.123`` (nginx, ``t=${msec}``), milliseconds (Heroku, HAProxy), microseconds (Apache's
    ``%t``) or nanoseconds, each with or without ``t=``. The size of the number tells the unit.
    """
    match = _MOMENT.match(value)
    if match is None:
        return 0.0
    moment = float(match.group(1))
    for least, unit in _UNITS:
        if moment >= least:
            return moment / unit
    return moment
