# cython: boundscheck=False, wraparound=False
# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, no-any-return, operator"
"""Field lines of an HTTP/1 head or trailer section (RFC 9112 section 5).

Owns: the grammar of field lines, which names are special to the protocol, and the names that were met.
Must not know: what a field means. ``request`` reads the special ones, ``partial`` says which limit was broken.

There are two scanners of one meaning, held equal by a property test: ``walk_fields`` looks at octets in place and
leaves the values there (``lines``), which is the fastest when compiled; ``split_fields`` makes ``(name, value)`` pairs
by ``split`` and ``partition``, and knows lines that came before, which is the fastest when interpreted. ``scan_fields``
is for callers who want pairs from either.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from server_http.errors import BadRequest, HeaderFieldsTooLarge
from server_http.events import Headers
from server_http.fields import is_token, is_value, value_end
from server_http.h1.rules import Grammar
from server_http.lines import FieldLines, FieldName, field_lines, find_octet

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

# By spelling. Clients spell few names in few ways; what they make up is learned up to a bound.
_NAMES: Dict[bytes, FieldName] = {}
_NAMES_MAX = 1024
_NAME_OCTETS_MAX = 64

# For ``split_fields``: line -> (field, kind). Clients repeat themselves; when it is full it begins anew.
_LINES: Dict[bytes, Tuple[Tuple[bytes, bytes], int]] = {}
_LINES_MAX = 512
_LINE_OCTETS_MAX = 128
_SECRET_NAMES = frozenset((b"authorization", b"cookie", b"proxy-authorization"))  # not kept longer than their request

# For ``walk_fields``: the name that was met last in each slot.
_SLOTS = 256
_SLOT = _SLOTS - 1
_RECENT: List[FieldName] = [FieldName(b"", b"", 0)] * _SLOTS

#: The version of nearly all requests.
LATEST_VERSION = b"HTTP/1.1"
_LATEST_VERSION = LATEST_VERSION

_COLON = 0x3A
_SPACE = 0x20
_TAB = 0x09
_CR = 0x0D
_LF = 0x0A

_OBS_FOLD = re.compile(rb"\r\n[ \t]+")
_SPACE_BEFORE_COLON = re.compile(rb"(?m)^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")


def walk_fields(
    head: bytes, start: int, end: int, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> FieldLines:
    """Check the field lines ``head[start:end]``, in place.

    Args:
        head: octets of which those at ``end`` are the CRLF CRLF that close the section.
        start: of the first field line; above ``end`` when there is none.
        end: see ``head``.
        special: receives ``(kind, value)`` of the fields whose kind is not 0.
        field_limit: octets of one line without CRLF; 0 = none.
        count: the most lines allowed.

    Returns:
        The lines, of which each value is read when somebody asks for it.

    Raises:
        BadRequest: a line is no field line.
        HeaderFieldsTooLarge: a limit is exceeded.
    """
    octets = head
    fields = field_lines(head if len(head) == end + 4 else octets[: end + 4])  # without a body that is behind
    lines = 0
    at = start
    while at < end:
        line = at
        at = find_octet(octets, _COLON, line, end)
        if at <= line:
            raise _malformed(head, line)
        name = _recall(octets, line, at)
        first = after_blanks(octets, at + 1)
        at = value_end(head, first, end)
        if octets[at] != _CR or octets[at + 1] != _LF:
            raise _malformed(head, line)
        lines += 1
        if lines > count or (field_limit and at - line > field_limit):
            raise _too_large(lines, count, at - line, field_limit)
        last = before_blanks(octets, first, at)
        fields.add(name, first, last)
        if name.kind:
            value = octets[first:last]
            special.append((name.kind, value))
        at += 2
    return fields


def after_blanks(octets: bytes, at: int) -> int:
    """Return where at or behind ``at`` something else than white space is (RFC 9110 section 5.6.3); there is one."""
    while octets[at] == _SPACE or octets[at] == _TAB:
        at += 1
    return at


def before_blanks(octets: bytes, first: int, end: int) -> int:
    """Return where white space at the end of ``octets[first:end]`` begins, or ``end``."""
    while end > first and (octets[end - 1] == _SPACE or octets[end - 1] == _TAB):
        end -= 1
    return end


def is_spelled(octets: bytes, start: int, end: int, known: bytes) -> bool:
    """Whether ``octets[start:end]`` are those of ``known``."""
    if not cython.compiled:
        return octets[start:end] == known
    return len(known) == end - start and memcmp(PyBytes_AS_STRING(known), octets + start, end - start) == 0


def _recall(octets: bytes, start: int, end: int) -> FieldName:
    """Return what is known of the spelling ``octets[start:end]``, which is not empty.

    What was met last in each slot is compared in place: no object is made for a name that is known, and none of its
    octets looked at again. Spellings that collide replace one another, which costs time and nothing else.
    """
    size = end - start
    # What tells common names apart: the length, and an octet each from the middle, behind it and the end.
    slot = (size * 19 + octets[start + (size >> 1)] + octets[end - 1] + octets[end - ((size + 3) >> 2)] * 37) & _SLOT
    recent = _RECENT[slot]
    if is_spelled(octets, start, end, recent.spelling):
        return recent
    spelling = octets[start:end]
    known: Optional[FieldName] = _NAMES.get(spelling)
    if known is None:
        known = _learn(spelling)
    if size <= _NAME_OCTETS_MAX:
        _RECENT[slot] = known
    return known


def split_fields(
    head: bytes, start: int, end: int, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> Headers:
    """As ``walk_fields``, but return pairs; by operations on the whole section and on whole lines."""
    fields: Headers = []
    if start > end:
        return fields
    section = head[start:end]
    lines = section.split(b"\r\n")
    size = len(lines)
    if size > count:
        raise _too_large(size, count, 0, 0)
    if field_limit and end - start > field_limit:
        longest = len(max(lines, key=len))
        if longest > field_limit:
            raise _too_large(size, count, longest, field_limit)
    known = _LINES
    for line in lines:
        field, kind = known.get(line) or _split_line(line)
        fields.append(field)
        if kind:
            special.append((kind, field[1]))
    return fields


def _split_line(line: bytes) -> Tuple[Tuple[bytes, bytes], int]:
    """Return the field that ``line`` is, and the kind of its name."""
    name, colon, value = line.partition(b":")
    if not colon or not name or not is_value(value):
        raise _malformed(line, 0)
    known = _NAMES.get(name) or _learn(name)
    found = (known.lower, value.strip(b" \t")), known.kind
    if len(line) <= _LINE_OCTETS_MAX and known.lower not in _SECRET_NAMES:
        if len(_LINES) >= _LINES_MAX:
            _LINES.clear()
        _LINES[line] = found
    return found


def scan_fields(
    head: bytes, start: int, end: int, special: List[Tuple[int, bytes]], field_limit: int, count: int
) -> Headers:
    """Return the fields ``head[start:end]``: as ``walk_fields``, by the faster scanner of this build."""
    if cython.compiled:
        return walk_fields(head, start, end, special, field_limit, count).pairs()
    return split_fields(head, start, end, special, field_limit, count)


def end_of_head(data: bytes) -> int:
    """Return the offset of the first CRLF CRLF in ``data``, or -1."""
    if not cython.compiled:
        return data.find(b"\r\n\r\n")
    octets = data
    size = len(data)
    at = find_octet(octets, _LF, 1, size) if size > 3 else -1
    while at >= 0:
        if octets[at - 1] == _CR and octets[at + 1] == _CR and octets[at + 2] == _LF:  # NUL stands behind the last
            return at - 1
        at = find_octet(octets, _LF, at + 1, size)
    return -1


def end_of_line(head: bytes, start: int) -> int:
    """Return the offset of the first CRLF in ``head`` at or behind ``start``; there is one."""
    if not cython.compiled:
        return head.find(b"\r\n", start)
    octets = head
    at = find_octet(octets, _CR, start, len(head))
    while octets[at + 1] != _LF:
        at = find_octet(octets, _CR, at + 1, len(head))
    return at


def split_request_line(head: bytes, start: int, end: int, method: bytes) -> Tuple[bytes, bytes, bytes]:
    """Split the request line ``head[start:end]`` at its two spaces (RFC 9112 section 3).

    Args:
        head: octets.
        start: of the line.
        end: behind it.
        method: a usual one: where it is in the line, no other object is made for it.

    Raises:
        BadRequest: there are more spaces or fewer.
    """
    if not cython.compiled:
        parts = head[start:end].split(b" ")
        if len(parts) != 3:
            raise _unsplit(head, start, end)
        return parts[0], parts[1], parts[2]
    octets = head
    first = find_octet(octets, _SPACE, start, end)
    second = find_octet(octets, _SPACE, first + 1, end) if first >= 0 else -1
    if second < 0 or find_octet(octets, _SPACE, second + 1, end) >= 0:
        raise _unsplit(head, start, end)
    version = _LATEST_VERSION
    return (
        method if is_spelled(octets, start, first, method) else octets[start:first],
        octets[first + 1 : second],
        version if is_spelled(octets, second + 1, end, version) else octets[second + 1 : end],
    )


def _unsplit(head: bytes, start: int, end: int) -> BadRequest:
    line = head[start:end]
    return BadRequest(f"request line: expected method, target and version, got {line[:64]!r}")


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


def _learn(spelling: bytes) -> FieldName:
    """Classify a spelling that was not met before."""
    if not is_token(spelling):
        raise _malformed(spelling, 0)
    lower = spelling.lower()
    same = _NAMES.get(lower)
    if same is not None:
        lower = same.lower  # one object for all spellings
    known = FieldName(spelling, lower, SPECIAL_NAMES.get(lower, UNDERSCORED if b"_" in lower else 0))
    if len(_NAMES) < _NAMES_MAX and len(spelling) <= _NAME_OCTETS_MAX:
        _NAMES[spelling] = known
    return known


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
    _learn(_name)
    _learn(_name.title())
