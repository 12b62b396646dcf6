# cython: boundscheck=False, wraparound=False
"""Field lines of an HTTP/1 head or trailer section: octets in, ``(name, value)`` pairs out (RFC 9112 section 5).

Owns: the grammar of field lines, which names are special to the protocol, and interned lower-case names.
Must not know: what a field means. ``request`` reads the special ones, ``partial`` says which limit was broken.

There are two scanners of one meaning, held equal by a property test: ``walk_fields`` is a loop over octets, which is
the fastest when compiled; ``split_fields`` leaves the octets to ``split``, ``partition`` and ``translate``, which is
the fastest when interpreted. ``scan_fields`` calls the right one.
"""

from __future__ import annotations

import re
from typing import Dict, List, Tuple

from server_http.errors import BadRequest, HeaderFieldsTooLarge
from server_http.events import Headers
from server_http.fields import TOKEN, VALUE, is_token
from server_http.h1.rules import Grammar

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

# Kinds of names, as bits.
HOST = 1
CONTENT_LENGTH = 2
CONTENT_TYPE = 4
TRANSFER_ENCODING = 8
CONNECTION = 16
EXPECT = 32
UPGRADE = 64
UNDERSCORED = 128  # what becomes of it is for the header policy to say

#: Kinds that a head may have once (RFC 9112 sections 3.2 and 6.3, RFC 9110 section 8.3).
SINGLE_KINDS = HOST | CONTENT_LENGTH | CONTENT_TYPE

SPECIAL_NAMES = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"content-type": CONTENT_TYPE,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
}

_COMMON_NAMES = (
    b"accept accept-charset accept-encoding accept-language access-control-request-headers "
    b"access-control-request-method authorization cache-control cdn-loop cf-connecting-ip cf-ipcountry cf-ray "
    b"cf-visitor content-disposition content-encoding cookie date dnt early-data forwarded from http2-settings "
    b"if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive max-forwards origin pragma "
    b"priority proxy-authorization range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest "
    b"sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc sec-websocket-extensions sec-websocket-key "
    b"sec-websocket-protocol sec-websocket-version te traceparent tracestate trailer upgrade-insecure-requests "
    b"user-agent via x-correlation-id x-csrf-token x-forwarded-for x-forwarded-host x-forwarded-port "
    b"x-forwarded-proto x-real-ip x-request-id x-requested-with"
).split()

# Spelling -> (lower-case name, kind). Clients spell few names in few ways; what they make up is learned up to a bound.
_NAMES: Dict[bytes, Tuple[bytes, int]] = {}
_NAMES_MAX = 1024
_NAME_OCTETS_MAX = 64

# For ``walk_fields``: what was met last, by a hash of the spelling.
_SLOTS = 256
_RECENT: List[Tuple[bytes, Tuple[bytes, int]]] = [(b"", (b"", 0))] * _SLOTS

_IS_TOKEN = bytes(octet in TOKEN for octet in range(256))
_IS_VALUE = bytes(octet in VALUE for octet in range(256))

_COLON = 0x3A
_SPACE = 0x20
_TAB = 0x09
_CR = 0x0D
_LF = 0x0A

_OBS_FOLD = re.compile(rb"\r\n[ \t]+")
_SPACE_BEFORE_COLON = re.compile(rb"(?m)^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")


def walk_fields(
    head: bytes, start: int, end: int, fields: Headers, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> int:
    """Append the fields of ``head[start:end]`` to ``fields``; octet by octet.

    Args:
        head: octets of which those at ``end`` are the CRLF CRLF that close the section.
        start: of the first field line; above ``end`` when there is none.
        end: see ``head``.
        fields: receives ``(name, value)``: names in lower case, values without surrounding white space.
        special: receives ``(kind, value)`` of the fields whose kind is not 0.
        field_limit: octets of one line without CRLF; 0 = none.
        count: the most lines allowed.

    Returns:
        The number of lines.

    Raises:
        BadRequest: a line is no field line.
        HeaderFieldsTooLarge: a limit is exceeded.
    """
    octets = head
    is_token_octet = _IS_TOKEN
    is_value_octet = _IS_VALUE
    lines = 0
    at = start
    while at < end:
        line = at
        slot = 0
        while is_token_octet[octets[at]]:
            slot = slot * 31 + octets[at]
            at += 1
        if octets[at] != _COLON or at == line:
            raise _malformed(head, line)
        entry = _recall(octets, line, at, slot % _SLOTS)
        at += 1
        while octets[at] == _SPACE or octets[at] == _TAB:
            at += 1
        first = at
        while is_value_octet[octets[at]]:
            at += 1
        if octets[at] != _CR or octets[at + 1] != _LF:
            raise _malformed(head, line)
        last = at
        while last > first and (octets[last - 1] == _SPACE or octets[last - 1] == _TAB):
            last -= 1
        lines += 1
        if lines > count or (field_limit and at - line > field_limit):
            raise _too_large(lines, count, at - line, field_limit)
        value = octets[first:last]
        fields.append((entry[0], value))
        kind = entry[1]
        if kind:
            special.append((kind, value))
        at += 2
    return lines


def _recall(octets: bytes, start: int, end: int, slot: int) -> Tuple[bytes, int]:
    """Return what is known of the spelling ``octets[start:end]``.

    What was met last in each slot is compared octet by octet: no object is made for a name that is known. Spellings
    that collide replace one another, which costs time and nothing else.
    """
    spelling, entry = _RECENT[slot]
    known = spelling
    size = end - start
    if len(spelling) == size:
        i = 0
        while i < size and known[i] == octets[start + i]:
            i += 1
        if i == size:
            return entry
    name = octets[start:end]
    found = _NAMES.get(name)
    entry = _learn(name) if found is None else found
    if size <= _NAME_OCTETS_MAX:
        _RECENT[slot] = (name, entry)
    return entry


def split_fields(
    head: bytes, start: int, end: int, fields: Headers, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> int:
    """As ``walk_fields``, by operations on the whole section and on whole lines."""
    if start > end:
        return 0
    section = head[start:end]
    lines = section.split(b"\r\n")
    size = len(lines)
    if size > count:
        raise _too_large(size, count, 0, 0)
    if field_limit and end - start > field_limit:
        longest = len(max(lines, key=len))
        if longest > field_limit:
            raise _too_large(size, count, longest, field_limit)
    # What is left without the octets of values must be the CR and LF that the lines were split at.
    if len(section.translate(None, VALUE)) != 2 * size - 2:
        raise _malformed(_first_with_control(lines), 0)
    names = _NAMES
    for line in lines:
        name, colon, value = line.partition(b":")
        entry = names.get(name)
        if not colon or not name:
            raise _malformed(line, 0)
        if entry is None:
            entry = _learn(name)
        value = value.strip(b" \t")
        kind = entry[1]
        fields.append((entry[0], value))
        if kind:
            special.append((kind, value))
    return size


def scan_fields(
    head: bytes, start: int, end: int, fields: Headers, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> int:
    """As ``walk_fields``, by the faster scanner of this build."""
    if cython.compiled:
        return walk_fields(head, start, end, fields, special, field_limit, count)
    return split_fields(head, start, end, fields, special, field_limit, count)


def end_of_head(data: bytes) -> int:
    """Return the offset of the first CRLF CRLF in ``data``, or -1."""
    if not cython.compiled:
        return data.find(b"\r\n\r\n")
    octets = data
    size = len(data)
    at = 3  # where the last of the four may be
    while at < size:
        if octets[at] != _CR and octets[at] != _LF:
            at += 4
        elif octets[at] == _LF and octets[at - 1] == _CR and octets[at - 2] == _LF and octets[at - 3] == _CR:
            return at - 3
        else:
            at += 1
    return -1


def end_of_line(head: bytes, start: int) -> int:
    """Return the offset of the first CRLF in ``head`` at or behind ``start``; there is one."""
    if not cython.compiled:
        return head.find(b"\r\n", start)
    octets = head
    at = start
    while octets[at] != _CR or octets[at + 1] != _LF:
        at += 1
    return at


def split_request_line(line: bytes) -> List[bytes]:
    """Split a request line at its two spaces (RFC 9112 section 3).

    Raises:
        BadRequest: there are more or fewer.
    """
    parts = _split_at_spaces(line) if cython.compiled else line.split(b" ")
    if len(parts) != 3:
        raise BadRequest(f"request line: expected method, target and version, got {line[:64]!r}")
    return parts


def _split_at_spaces(line: bytes) -> List[bytes]:
    """``line.split(b" ")``; compiled only."""
    octets = line
    size = len(line)
    parts = []
    start = 0
    for at in range(size):
        if octets[at] == _SPACE:
            parts.append(octets[start:at])
            start = at + 1
    parts.append(octets[start:size])
    return parts


def relax(head: bytes, start: int, end: int, grammar: Grammar) -> bytes:
    """Return the section ``head[start:end]``, closed by CRLF CRLF, with permitted relaxations made good.

    Each obs-fold becomes one space (RFC 9112 section 5.2), white space before a colon goes (section 5.1). What was not
    permitted stays as it is, for the scanner to refuse; so does a fold of the first line, which continues nothing.
    """
    section = head[start:end]
    if grammar.permit_obsolete_folding and section[:1] not in (b" ", b"\t"):
        section = _OBS_FOLD.sub(b" ", section)
    if grammar.strip_header_spaces:
        section = _SPACE_BEFORE_COLON.sub(rb"\1:", section)
    return section + b"\r\n\r\n"


def _learn(name: bytes) -> Tuple[bytes, int]:
    """Classify a spelling that was not met before."""
    if not is_token(name):
        raise BadRequest(f"field name: expected a token, got {name[:64]!r}")
    lower = name.lower()
    entry = _NAMES.get(lower)
    if entry is None:
        entry = (lower, SPECIAL_NAMES.get(lower, UNDERSCORED if b"_" in lower else 0))
    if len(_NAMES) < _NAMES_MAX and len(name) <= _NAME_OCTETS_MAX:
        _NAMES[name] = entry
    return entry


def _first_with_control(lines: List[bytes]) -> bytes:
    return next(line for line in lines if line.translate(None, VALUE))


def _malformed(head: bytes, start: int) -> BadRequest:
    """Say what is wrong with the line at ``start``: the same from both scanners."""
    name, colon, _ = head[start:].partition(b"\r\n")[0].partition(b":")
    if not is_token(name):
        return BadRequest(f"field name: expected a token, got {name[:64]!r}")
    if not colon:
        return BadRequest(f"field line: expected a colon behind the name, got {name[:64]!r}")
    return BadRequest(f"field {name[:64]!r}: expected a value without control characters")


def _too_large(lines: int, count: int, octets: int, field_limit: int) -> HeaderFieldsTooLarge:
    if lines > count:
        return HeaderFieldsTooLarge(f"header fields: expected at most {count}, got {lines} and more")
    return HeaderFieldsTooLarge(f"field line: expected at most {field_limit} octets, got {octets}")


for _name in (*SPECIAL_NAMES, *_COMMON_NAMES):
    _NAMES[_name.title()] = _learn(_name)
