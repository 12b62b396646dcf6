"""One HTTP/1 request head: octets to a ``Request`` (RFC 9112 sections 2, 3, 6 and 9).

Owns: the request line, the forms of a target, what the protocol's own fields mean together: framing, authority,
persistence, expectation, upgrade.
Must not know: how octets arrive, bodies, responses, whom to trust.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from server_http.errors import BadRequest, ExpectationFailed, NotImplementedByServer, UriTooLong, VersionNotSupported
from server_http.events import Headers, Request
from server_http.fields import check_authority, content_length, is_target, members, split_authority
from server_http.h1.rules import Grammar, RequestRules
from server_http.h1.scan import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    LATEST_VERSION,
    SINGLE_KINDS,
    TRANSFER_ENCODING,
    UNDERSCORED,
    UPGRADE,
    end_of_line,
    relax,
    scan_fields,
    split_fields,
    split_request_line,
    walk_fields,
)
from server_http.headers import set_authority
from server_http.methods import METHODS, read_method
from server_http.states import HTTP_1_0, HTTP_1_1

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

_CONNECT = METHODS[b"CONNECT"]  # of equal names this is the one that a request has

#: What was met last; comparing costs less than hashing. One item, which no other thread can replace by halves.
_LATEST: List[Tuple[bytes, str]] = [(b"GET", "GET")]

_SLASH = 0x2F
_QUESTION_MARK = 0x3F

#: Codings that may come before chunked; the application gets the body as it is (RFC 9112 section 7.2).
_CODINGS = frozenset((b"gzip", b"deflate", b"compress", b"x-gzip", b"x-compress"))


def read_head(stream: int, head: bytes, start: int, end: int, rules: RequestRules) -> Request:
    """Read the head ``head[start:end]``.

    Args:
        stream: the number of the request on its connection.
        head: octets, with CRLF CRLF at ``end``.
        start: of the request line.
        end: of the last line.
        rules: of the listener.

    Returns:
        The request, of which ``content_length`` is None with a chunked body.

    Raises:
        ProtocolError: the head is refused.
    """
    line_end = end_of_line(head, start)
    if rules.request_line and line_end - start > rules.request_line:
        raise UriTooLong(f"request line: expected at most {rules.request_line} octets, got {line_end - start}")
    request = read_request_line(stream, head, start, line_end, rules)
    special: List[Tuple[int, bytes]] = []
    first = line_end + 2
    if rules.relaxed and first < end:
        head = relax(head, first, end, rules.grammar)
        first = 0
        end = len(head) - 4
    if cython.compiled:
        request.lines = walk_fields(head, first, end, special, rules.header_field, rules.header_count)
    else:
        request.headers = split_fields(head, first, end, special, rules.header_field, rules.header_count)
    _interpret(request, special)
    return request


def read_request_line(stream: int, head: bytes, start: int, end: int, rules: RequestRules) -> Request:
    """Read ``method SP target SP version`` (RFC 9112 section 3): exactly one space twice.

    Raises:
        BadRequest: another form.
        VersionNotSupported: a version other than 1.x.
    """
    latest = _LATEST[0]
    name, target, digits = split_request_line(head, start, end, latest[0])
    version = HTTP_1_1 if digits == LATEST_VERSION else _version(digits, rules.grammar)
    if name == latest[0]:
        method = latest[1]
    else:
        method = read_method(name, rules.grammar)
        if name in METHODS:  # of which there are few
            _LATEST[0] = (name, method)
    if not is_target(target):
        raise BadRequest(f"request target: expected visible ASCII octets without '#', got {target[:64]!r}")
    request = Request(stream, method, target, version)
    if target[0] == _SLASH and method is not _CONNECT:  # origin-form
        if _QUESTION_MARK in target:
            request.path, _, request.query = target.partition(b"?")
    else:
        _other_forms(request, target)
    return request


def _version(digits: bytes, grammar: Grammar) -> str:
    """Return which of the two versions that are spoken one other than HTTP/1.1 means (RFC 9112 section 2.3)."""
    if digits == b"HTTP/1.0":
        return HTTP_1_0
    number = digits[5:].split(b".")
    well_formed = digits[:5] == b"HTTP/" and len(digits) == 8 and len(number) == 2 and all(n.isdigit() for n in number)
    if not well_formed:
        raise BadRequest(f"HTTP version: expected HTTP/1.1 or HTTP/1.0, got {digits[:32]!r}")
    if number[0] != b"1" and not grammar.permit_unconventional_http_version:
        raise VersionNotSupported(f"HTTP version: expected HTTP/1.x, got {digits!r}")
    return HTTP_1_0 if number[0] == b"0" else HTTP_1_1


def _other_forms(request: Request, target: bytes) -> None:
    """Take authority-form, asterisk-form and absolute-form, each only where it belongs (RFC 9112 section 3.2)."""
    method = request.method
    if method == "CONNECT":
        split_authority(target, port_required=True)
        request.authority = target
        request.path = b""
    elif target == b"*":
        if method != "OPTIONS":
            raise BadRequest(f"request target: expected asterisk-form only with OPTIONS, got it with {method!r}")
    else:
        _absolute_form(request, target)


def _absolute_form(request: Request, target: bytes) -> None:
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        raise BadRequest(f"request target: expected origin-form or an http URI, got {target[:64]!r}")
    rest, mark, request.query = rest.partition(b"?")
    authority, slash, path = rest.partition(b"/")
    check_authority(authority)
    request.authority = authority
    if slash:
        request.path = slash + path
    else:
        # Of the whole server when nothing is named (RFC 9112 section 3.2.4).
        request.path = b"*" if request.method == "OPTIONS" and not mark else b"/"


def _interpret(request: Request, special: List[Tuple[int, bytes]]) -> None:  # noqa: C901 - one branch for each kind
    """Apply the protocol's own fields."""
    seen = 0
    host = length = transfer = None
    connection = upgrade = b""
    for kind, value in special:
        repeated = kind & seen
        if repeated & SINGLE_KINDS:
            raise BadRequest(f"header fields: expected one of its name, got a second with value {value[:64]!r}")
        seen |= kind
        if kind == HOST:
            host = value
        elif kind == CONNECTION:
            connection = connection + b"," + value if repeated else value
        elif kind == CONTENT_LENGTH:
            length = value
        elif kind == TRANSFER_ENCODING:
            transfer = value if transfer is None else transfer + b"," + value
        elif kind == UPGRADE:
            upgrade = upgrade + b"," + value if repeated else value
        elif kind == EXPECT:
            _expect(request, value)
    _authority(request, host)
    if length is not None or transfer is not None:
        _framing(request, length, transfer)
    if request.expects_continue and request.content_length == 0:
        request.expects_continue = False
    if seen & CONNECTION:
        _connection(request, connection, upgrade)
    elif request.version != HTTP_1_1:
        request.keep_alive = False
    if seen & UNDERSCORED:
        request.underscored = True


def _expect(request: Request, value: bytes) -> None:
    """Take ``100-continue`` and nothing else (RFC 9110 section 10.1.1)."""
    if value.lower() != b"100-continue":
        raise ExpectationFailed(f"Expect: expected 100-continue, got {value[:64]!r}")
    request.expects_continue = request.version == HTTP_1_1


def _authority(request: Request, host: Optional[bytes]) -> None:
    """Find whom the request is for: exactly one valid Host in 1.1, and an absolute-form target overrides it
    (RFC 9112 sections 3.2 and 3.2.2)."""
    if host is None:
        if request.version == HTTP_1_1:
            raise BadRequest("Host: expected one with HTTP/1.1, got none (RFC 9112 section 3.2)")
        if not request.authority or request.method == "CONNECT":
            return
    else:
        check_authority(host)
    if not request.authority:
        request.authority = host or b""
    elif request.authority != host and request.method != "CONNECT":
        set_authority(request, request.authority)


def _framing(request: Request, length: Optional[bytes], transfer: Optional[bytes]) -> None:
    """Decide how long the body is (RFC 9112 section 6.3): one rule, or none at all."""
    if request.method is _CONNECT:
        raise BadRequest("CONNECT: expected no body (RFC 9110 section 9.3.6), got Content-Length or Transfer-Encoding")
    if transfer is None:
        if length is not None:
            request.content_length = content_length(length)
        return
    if length is not None:
        raise BadRequest("framing: expected Content-Length or Transfer-Encoding, got both (RFC 9112 section 6.1)")
    if request.version == HTTP_1_0:
        raise BadRequest("Transfer-Encoding: expected none with HTTP/1.0 (RFC 9112 section 6.1), got one")
    _transfer_codings(request, members(transfer))
    request.content_length = None


def _transfer_codings(request: Request, codings: List[bytes]) -> None:
    """Take ``chunked``, once and last, behind known codings (RFC 9112 section 6.1)."""
    for coding in codings[:-1]:
        if coding == b"chunked":
            raise BadRequest(f"Transfer-Encoding: expected chunked once and last, got {codings!r}")
    for coding in codings:
        if coding in _CODINGS:
            request.keep_alive = False  # a proxy that does not know the coding may see another end
        elif coding == b"":
            raise BadRequest(f"Transfer-Encoding: expected no empty member, got {codings!r}")
        elif coding != b"chunked":
            raise NotImplementedByServer(f"Transfer-Encoding: expected chunked, got {coding[:32]!r}")
    if codings[-1] != b"chunked":
        raise BadRequest(f"Transfer-Encoding: expected chunked last, got {codings!r}")


def _connection(request: Request, value: bytes, upgrade: bytes) -> None:
    """Read ``Connection`` (RFC 9112 section 9.3) and what it says of ``Upgrade`` (RFC 9110 section 7.8)."""
    if request.version == HTTP_1_1 and (value == b"keep-alive" or value == b"close"):  # what most say
        request.keep_alive = value != b"close"
        return
    options = members(value)
    if b"close" in options or (request.version == HTTP_1_0 and b"keep-alive" not in options):
        request.keep_alive = False
    # A request with a body is answered as if it had not offered: what follows it would be ambiguous.
    if upgrade and b"upgrade" in options and request.version == HTTP_1_1 and request.content_length == 0:
        request.upgrade = upgrade.strip().lower()


def trailer_fields(section: bytes, field_limit: int, count: int) -> Headers:
    """Read a trailer section that ends with CRLF CRLF (RFC 9112 section 7.1.2)."""
    return scan_fields(section, 0, len(section) - 4, [], field_limit, count)
