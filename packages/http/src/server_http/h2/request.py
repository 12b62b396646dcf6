"""From the fields of a header block to a Request, or to the reason why it is malformed.

Owns: which fields make a request (RFC 9113 section 8.3, RFC 8441 section 4), and what a field may be in HTTP/2
(section 8.2). At least as strict as the checks of the h2 library, which are off; a test compares them.
Must not know: streams, frames, whom to trust (``headers``), the grammar itself (``fields``).
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from server_http.errors import BadRequest, ExpectationFailed, HeaderFieldsTooLarge, NotImplementedByServer, UriTooLong
from server_http.events import Header, Headers, Request
from server_http.fields import (
    FORBIDDEN_TRAILERS,
    check_authority,
    content_length,
    is_target,
    is_token,
    is_value,
    split_authority,
)
from server_http.h1.rules import RequestRules
from server_http.h2.priority import parse_priority
from server_http.methods import read_method
from server_http.states import HTTP_2


class Malformed(BadRequest):
    """A request that HTTP/2 calls malformed: its stream is reset with PROTOCOL_ERROR (RFC 9113 section 8.1.1)."""

    closes = False


_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))

_HOST, _LENGTH, _COOKIE, _TE, _EXPECT, _PRIORITY, _TYPE, _FORBIDDEN = range(1, 9)
_SPECIAL: Dict[bytes, int] = {
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"cookie": _COOKIE,
    b"te": _TE,
    b"expect": _EXPECT,
    b"priority": _PRIORITY,
    b"content-type": _TYPE,
    # Connection-specific fields (section 8.2.2).
    b"connection": _FORBIDDEN,
    b"proxy-connection": _FORBIDDEN,
    b"keep-alive": _FORBIDDEN,
    b"transfer-encoding": _FORBIDDEN,
    b"upgrade": _FORBIDDEN,
}

_SCHEME_OCTETS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."

_NAMES: Set[bytes] = set()  # names that passed, so that each is checked once; bounded, filled by what clients send
_NAMES_MAX = 1024
_SHOWN = 64  # octets of what was wrong that a log line shows
_NAME_OCTETS_MAX = 64


def build_request(
    stream: int, fields: Headers, complete: bool, rules: RequestRules, protocols: Tuple[bytes, ...] = ()
) -> Request:
    """Build the Request of a header block.

    Args:
        stream: the stream's number.
        fields: the decoded fields, in order.
        complete: END_STREAM came with the block, so there is no content.
        rules: of the listener; ``request_line`` bounds ``:path``.
        protocols: of an extended CONNECT, those that are served; where there are none, it was not announced.

    Returns:
        The request; ``scheme`` and ``client`` are still to be set by the caller.

    Raises:
        Malformed: the fields make no request.
        BadRequest, ExpectationFailed, HeaderFieldsTooLarge, NotImplementedByServer, UriTooLong: a well-formed request
            that is refused.
    """
    pseudo, headers, found = _sort(fields)
    if rules.header_count and len(headers) > rules.header_count:
        raise HeaderFieldsTooLarge(f"fields: expected at most {rules.header_count}, got {len(headers)}")
    request = _request(stream, pseudo, rules, protocols)
    request.headers = headers
    _set_host(request, pseudo.get(b":authority"), found[_HOST])
    _set_body(request, found[_LENGTH], complete)
    expect = found[_EXPECT]
    if expect is not None:
        if expect.lower() != b"100-continue":
            raise ExpectationFailed(f"expect: expected 100-continue, got {_cut(expect)!r}")
        request.expects_continue = not complete
    priority = found[_PRIORITY]
    if priority is not None:
        request.priority = parse_priority(priority)
    return request


def _sort(fields: Headers) -> Tuple[Dict[bytes, bytes], Headers, List[Optional[bytes]]]:
    """Check each field; return pseudo-header fields, the others, and the values that say something of the message."""
    pseudo: Dict[bytes, bytes] = {}
    headers: Headers = []
    found: List[Optional[bytes]] = [None] * (_FORBIDDEN + 1)
    crumbs: List[bytes] = []
    place = 0
    for item in fields:
        name, value = item
        if value and (not is_value(value) or value[0] <= 0x20 or value[-1] <= 0x20):
            raise Malformed(
                f"field {_cut(name)!r}: expected a value without controls or outer white space, got {_cut(value)!r}"
            )
        if name not in _NAMES:
            if name[:1] == b":":
                _take_pseudo(pseudo, name, value, bool(headers))
                continue
            _check_name(name)
        special = _SPECIAL.get(name)
        if special == _COOKIE:
            if not crumbs:
                place = len(headers)
                headers.append(item)
            crumbs.append(value)
        elif special is not None:
            _take_special(found, headers, special, item)
        else:
            headers.append(item)
    if len(crumbs) > 1:  # split for compression; applications know one field (section 8.2.3)
        headers[place] = (b"cookie", b"; ".join(crumbs))
    return pseudo, headers, found


def check_trailers(fields: Headers, missing: int) -> Headers:
    """Return the trailers that the application may see (RFC 9110 section 6.5.1).

    Args:
        fields: the decoded fields.
        missing: octets of content that Content-Length promised and that did not come.

    Raises:
        Malformed: content is missing; a pseudo-header, framing or connection-specific field; octets no field may have.
    """
    if missing > 0:
        raise Malformed(f"content: expected {missing} octets more, got trailers")
    kept = []
    for item in fields:
        name, value = item
        _check_name(name)  # a pseudo-header field is no token
        if value and (not is_value(value) or value[0] <= 0x20 or value[-1] <= 0x20):
            raise Malformed(
                f"trailer {_cut(name)!r}: expected a value without controls or outer white space, got {_cut(value)!r}"
            )
        special = _SPECIAL.get(name)
        if special in (_FORBIDDEN, _LENGTH) or (special == _TE and value.lower() != b"trailers"):
            raise Malformed(f"trailer: expected none that frames or is connection-specific, got {_cut(name)!r}")
        if name not in FORBIDDEN_TRAILERS:
            kept.append(item)
    return kept


def _cut(octets: Optional[bytes]) -> Optional[bytes]:
    return octets and octets[:_SHOWN]


def _check_name(name: bytes) -> None:
    """Refuse a name that is no token in lower case (RFC 9113 section 8.2.1)."""
    if name in _NAMES:
        return
    if not is_token(name) or name.lower() != name:
        raise Malformed(f"field name: expected a token in lower case, got {_cut(name)!r}")
    if len(_NAMES) < _NAMES_MAX and len(name) <= _NAME_OCTETS_MAX:
        _NAMES.add(name)


def _take_pseudo(pseudo: Dict[bytes, bytes], name: bytes, value: bytes, late: bool) -> None:
    if late:
        raise Malformed(f"pseudo-header field: expected before the others, got {_cut(name)!r} behind them")
    if name not in _PSEUDO:
        raise Malformed(f"pseudo-header field: expected one of a request, got {_cut(name)!r}")
    if name in pseudo:
        raise Malformed(f"pseudo-header field: expected {_cut(name)!r} once, got it again")
    pseudo[name] = value


def _take_special(found: List[Optional[bytes]], headers: Headers, special: int, item: Header) -> None:
    """Note or refuse a field that says something about the message."""
    name, value = item
    if special == _FORBIDDEN:
        raise Malformed(f"field: expected none that is connection-specific, got {_cut(name)!r}")
    if special == _TE and value.lower() != b"trailers":
        raise Malformed(f"te: expected trailers, got {_cut(value)!r}")
    before = found[special]
    if before is None:
        found[special] = value
    elif special == _PRIORITY:
        found[special] = before + b", " + value  # a dictionary, which may be split over lines
    elif special != _TE:
        raise Malformed(f"field {_cut(name)!r}: expected once, got it again")
    headers.append(item)


def _request(stream: int, pseudo: Dict[bytes, bytes], rules: RequestRules, protocols: Tuple[bytes, ...]) -> Request:
    """Build a request from its pseudo-header fields (section 8.3.1; section 8.5 for CONNECT)."""
    method = pseudo.get(b":method")
    if method is None or not is_token(method):
        raise Malformed(f":method: expected a token, got {_cut(method)!r}")
    path, scheme, protocol = pseudo.get(b":path"), pseudo.get(b":scheme"), pseudo.get(b":protocol")
    if method == b"CONNECT" and protocol is None:
        if path is not None or scheme is not None:
            raise Malformed("CONNECT: expected neither :scheme nor :path, got one")
        authority = pseudo.get(b":authority") or b""
        request = Request(stream, "CONNECT", authority, HTTP_2)
        request.path = b""
        return request
    if protocol is not None and method != b"CONNECT":
        raise Malformed(f":protocol: expected with CONNECT only, got it with {_cut(method)!r}")
    if protocol is not None and not (protocols and is_token(protocol)):
        raise Malformed(f":protocol: expected a token, and that only where it was announced, got {_cut(protocol)!r}")
    if not scheme or scheme.translate(None, _SCHEME_OCTETS) or not scheme[:1].isalpha():
        raise Malformed(f":scheme: expected a scheme, got {_cut(scheme)!r}")
    if not path or not is_target(path) or (path[:1] != b"/" and (path != b"*" or method != b"OPTIONS")):
        raise Malformed(f":path: expected an absolute path, got {_cut(path)!r}")
    if 0 < rules.request_line < len(path):
        raise UriTooLong(f":path: expected at most {rules.request_line} octets, got {len(path)}")
    request = Request(stream, read_method(method, rules.grammar), path, HTTP_2)
    request.path, _, request.query = path.partition(b"?")
    if protocol is not None:
        request.protocol = protocol.lower()
        if request.protocol not in protocols:
            raise NotImplementedByServer(
                f":protocol: expected one of {protocols}, got {_cut(protocol)!r}"
            )  # RFC 9220 3
    return request


def _set_host(request: Request, authority: Optional[bytes], host: Optional[bytes]) -> None:
    """Make authority and Host one (section 8.3.1): applications read Host, clients send ``:authority``."""
    if authority is None:
        if host is None:
            raise Malformed("request: expected :authority or host, got neither")
        if request.method == "CONNECT":
            raise Malformed("CONNECT: expected :authority, got host")
        authority = host
    elif host is not None:
        if authority != host:
            raise Malformed(f"host: expected {_cut(authority)!r} as :authority says, got {_cut(host)!r}")
    else:
        request.headers.insert(0, (b"host", authority))
    try:
        if request.method == "CONNECT" and not request.protocol:
            split_authority(authority, port_required=True)
        else:
            check_authority(authority)
    except BadRequest as error:
        raise Malformed(str(error)) from None
    request.authority = authority


def _set_body(request: Request, length: Optional[bytes], complete: bool) -> None:
    """Decide how much content follows (section 8.1.1)."""
    declared = None
    if length is not None:
        try:
            declared = content_length(length)
        except BadRequest as error:
            raise Malformed(str(error)) from None
    if complete:
        if declared:
            raise Malformed(f"content-length: expected 0 with END_STREAM, got {declared}")
        request.content_length = 0
    elif request.method == "CONNECT":
        request.content_length = None  # a tunnel, where the field means nothing (RFC 9110 section 9.3.6)
    else:
        request.content_length = declared
