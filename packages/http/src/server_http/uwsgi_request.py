"""What the variables of a uwsgi packet say of a request.

Owns: the format of the packet's strings, and the meaning of the variables.
Must not know: how a packet arrived, or whom to believe: who may speak uwsgi may say all of this.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.events import Headers, Request
from server_http.fields import check_authority, content_length, is_token, is_value

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]  # noqa: F401

Variables = Dict[bytes, bytes]

STREAM = 1
"""The number of the only stream of a connection."""

_SIZE_OCTETS = 2  # of the little-endian size before each string

# Variables that become a part of the request; everything else but HTTP_* is offered as it is
_CONSUMED = frozenset(
    (
        b"REQUEST_METHOD", b"REQUEST_URI", b"PATH_INFO", b"QUERY_STRING", b"SERVER_PROTOCOL", b"SCRIPT_NAME",
        b"CONTENT_TYPE", b"CONTENT_LENGTH", b"SERVER_NAME", b"SERVER_PORT", b"REMOTE_ADDR", b"REMOTE_PORT", b"HTTPS",
        b"REQUEST_SCHEME", b"UWSGI_SCHEME",
    )
)  # fmt: skip
_SCHEMES = (b"REQUEST_SCHEME", b"UWSGI_SCHEME", b"wsgi.url_scheme")
_VERSIONS = {b"HTTP/1.0": "1.0", b"HTTP/2": "2", b"HTTP/2.0": "2"}
_PATH_SAFE = "/:@!$&'()*+,;=~"
_PATH_OCTETS = _PATH_SAFE.encode("ascii") + b"-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FRAMING = (b"content-length", b"content-type", b"transfer-encoding")  # CONTENT_LENGTH alone frames the body
_DOT = 0x2E

# What is known of variables that are fields: the field's name, b"" for those of _FRAMING. Names are few, but nothing
# here grows without bound.
_FIELDS: Dict[bytes, bytes] = {}
_FIELDS_MAX = 1024
_FIELD_OCTETS_MAX = 64


def parse_variables(block: bytes, limit: int) -> Variables:
    """Return the variables of a packet, octets as they came; the last of a name counts.

    Args:
        block: what follows the four octets of the packet's header.
        limit: how many variables there may be.

    Raises:
        BadRequest: a size that leads beyond the block, or too many variables.
    """
    variables: Variables = {}
    octets = block  # of which slices are made without a detour when compiled
    position = count = 0
    while position < len(block):
        middle = _end_of_string(block, position)
        end = _end_of_string(block, middle)
        count += 1
        if count > limit:
            raise BadRequest(f"uwsgi variables: expected at most {limit}, got more")
        name = octets[position + _SIZE_OCTETS : middle]
        variables[name] = octets[middle + _SIZE_OCTETS : end]
        position = end
    return variables


def _end_of_string(block: bytes, position: int) -> int:
    """Return where the string ends whose size stands at ``position``."""
    size = len(block)
    end = position + _SIZE_OCTETS
    if end <= size:
        end += block[position] + 256 * block[position + 1]
    if end > size:
        raise BadRequest(f"uwsgi packet: expected {end - position} octets of a string, got {size - position}")
    return end


def build_request(variables: Variables, info: ConnectionInfo) -> Request:
    """Return the request that the variables describe.

    Raises:
        BadRequest: a variable that is missing or malformed.
    """
    method = variables.get(b"REQUEST_METHOD", b"")
    if not is_token(method):
        raise BadRequest(f"REQUEST_METHOD: expected a token, got {method.decode('latin-1')!r}")
    path = _path(variables)
    query = variables.get(b"QUERY_STRING", b"")
    uri = variables.get(b"REQUEST_URI") or (path + b"?" + query if query else path)
    version = _VERSIONS.get(variables.get(b"SERVER_PROTOCOL", b""), "1.1")
    request = Request(STREAM, method.decode("ascii"), uri, version)
    request.path = path
    request.query = query
    request.content_length = content_length(variables.get(b"CONTENT_LENGTH") or b"0")
    request.keep_alive = False
    request.script_name = variables.get(b"SCRIPT_NAME", b"").decode("latin-1").rstrip("/") or None
    request.scheme = _scheme(variables, info)
    request.client = _client(variables, info)
    request.authority, request.server = _authority(variables)
    request.headers, request.variables = _fields_and_others(variables)
    return request


def _path(variables: Variables) -> bytes:
    """Return the path, percent-encoded and with the mount point in it.

    PATH_INFO is what the proxy's rewrites made of the path; it comes decoded. nginx sends the whole path in it
    also where it sets SCRIPT_NAME, CGI what follows SCRIPT_NAME: REQUEST_URI tells which.
    """
    decoded = variables.get(b"PATH_INFO") or _requested_path(variables)
    mount = variables.get(b"SCRIPT_NAME", b"").rstrip(b"/")
    if mount:
        below = decoded == mount or decoded.startswith(mount + b"/")
        if not below or _requested_path(variables).startswith(mount + mount):
            decoded = mount + decoded
    if not decoded.startswith(b"/"):
        if decoded == b"*":
            return decoded
        raise BadRequest(f"PATH_INFO: expected a path that begins with '/', got {decoded[:64]!r}")
    if not decoded.translate(None, _PATH_OCTETS):
        return decoded  # nothing to be encoded
    return quote_from_bytes(decoded, _PATH_SAFE).encode("ascii")


def _requested_path(variables: Variables) -> bytes:
    """Return the path of REQUEST_URI, decoded."""
    return unquote_to_bytes(variables.get(b"REQUEST_URI", b"").partition(b"?")[0])


def _fields_and_others(variables: Variables) -> Tuple[Headers, Dict[str, str]]:
    """Return the HTTP_* variables as fields, CONTENT_TYPE and CONTENT_LENGTH behind them; and what else is offered."""
    headers = []
    others: Dict[str, str] = {}
    for name, value in variables.items():
        if name.startswith(b"HTTP_"):
            known = _FIELDS.get(name)
            field = _field(name) if known is None else known
            if field:
                headers.append((field, value))
        elif name not in _CONSUMED and _DOT not in name:
            others[name.decode("latin-1")] = value.decode("latin-1")
    content_type = variables.get(b"CONTENT_TYPE")
    if content_type:
        headers.append((b"content-type", content_type))
    length = variables.get(b"CONTENT_LENGTH")
    if length:
        headers.append((b"content-length", length))
    for field, octets in headers:
        if not is_value(octets):
            raise BadRequest(f"field {field!r}: expected a value without control characters, got {octets!r}")
    return headers, others


def _field(name: bytes) -> bytes:
    """Return the name of the field that a variable is, b"" where CONTENT_LENGTH and CONTENT_TYPE stand for it."""
    field = name[5:].lower().replace(b"_", b"-")
    if not is_token(field):
        raise BadRequest(f"variable {name!r}: expected the name of a field behind HTTP_")
    if field in _FRAMING:
        field = b""
    if len(_FIELDS) < _FIELDS_MAX and len(name) <= _FIELD_OCTETS_MAX:
        _FIELDS[name] = field
    return field


def _scheme(variables: Variables, info: ConnectionInfo) -> str:
    secure = variables.get(b"HTTPS")
    if secure and secure.lower() in (b"on", b"1"):
        return "https"
    for name in _SCHEMES:
        said = variables.get(name)
        if said and said.lower() == b"https":
            return "https"
    return info.scheme


def _client(variables: Variables, info: ConnectionInfo) -> Optional[Tuple[str, int]]:
    """Return the address of the proxy's client; of one that came by a unix socket nginx says ``unix:``."""
    host = variables.get(b"REMOTE_ADDR", b"")
    if not host:
        return info.client
    if host.startswith(b"unix:"):
        return None
    port = variables.get(b"REMOTE_PORT") or b"0"
    if not port.isdigit() or len(port) > 5:
        raise BadRequest(f"REMOTE_PORT: expected a port, got {port!r}")
    return host.decode("latin-1"), int(port)


def _authority(variables: Variables) -> Tuple[bytes, Optional[Tuple[str, int]]]:
    """Return the authority that was asked for, and where the proxy says that it serves it."""
    name, port = variables.get(b"SERVER_NAME", b""), variables.get(b"SERVER_PORT", b"")
    server = (name.decode("latin-1"), int(port)) if name and port.isdigit() and len(port) <= 5 else None
    host = variables.get(b"HTTP_HOST", b"")
    if host:
        check_authority(host)
    elif server is not None:
        host = name + b":" + port
    return host, server
