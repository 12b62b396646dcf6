"""What the variables of a uwsgi packet say of a request.

Owns: the format of the packet's strings, and the meaning of the variables.
Must not know: how a packet arrived, or whom to believe: who may speak uwsgi may say all of this.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple, Union
from urllib.parse import quote_from_bytes

from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.events import Headers, Request
from server_http.fields import check_authority, content_length, decimal, is_token, is_value, percent_decoded
from server_http.states import HTTP_1_0, HTTP_1_1, HTTP_2

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

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
_VERSIONS = {b"HTTP/1.0": HTTP_1_0, b"HTTP/2": HTTP_2, b"HTTP/2.0": HTTP_2}
_PATH_SAFE = "/:@!$&'()*+,;=~"
_PATH_OCTETS = _PATH_SAFE.encode("ascii") + b"-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FRAMING = (b"content-length", b"content-type", b"transfer-encoding")  # CONTENT_LENGTH alone frames the body
_IS_PATH = bytes(octet in _PATH_OCTETS for octet in range(256))
_PORT_DIGITS = 5
_METHODS = {
    b"GET": "GET", b"HEAD": "HEAD", b"POST": "POST", b"PUT": "PUT", b"PATCH": "PATCH", b"DELETE": "DELETE",
    b"OPTIONS": "OPTIONS",
}  # fmt: skip

# What is known of variables, by name: see ``_learn``. Names are few, but nothing here grows without bound.
_MEANINGS: Dict[bytes, Union[bytes, str]] = {}
_MEANINGS_MAX = 1024
_NAME_OCTETS_MAX = 64

# A proxy sends its variables in the same order each time: the name that was met last at each place. The names that are
# looked for are these very objects, and whoever finds the same object need not compare octets.
_SLOTS = 64
_RECENT: List[bytes] = [b""] * _SLOTS
_SOUGHT: Dict[bytes, bytes] = {name: name for name in (*_CONSUMED, b"HTTP_HOST")}


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
        name = _recall(block, position + _SIZE_OCTETS, middle, count % _SLOTS)
        variables[name] = octets[middle + _SIZE_OCTETS : end]
        position = end
    return variables


def _recall(block: bytes, start: int, end: int, slot: int) -> bytes:
    """Return the name ``block[start:end]``: the object that was met last at its place, if it is the same."""
    name = _RECENT[slot]
    if len(name) != end - start or not block.startswith(name, start, end):
        octets = block
        name = octets[start:end]
        name = _SOUGHT.get(name, name)
        if len(name) <= _NAME_OCTETS_MAX:
            _RECENT[slot] = name
    return name


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
    path = _path(variables)
    query = variables.get(b"QUERY_STRING", b"")
    uri = variables.get(b"REQUEST_URI") or (path + b"?" + query if query else path)
    version = _VERSIONS.get(variables.get(b"SERVER_PROTOCOL", b""), HTTP_1_1)
    request = Request(STREAM, _method(variables), uri, version)
    request.path = path
    request.query = query
    length = variables.get(b"CONTENT_LENGTH")
    request.content_length = content_length(length) if length else 0
    request.keep_alive = False
    mount = variables.get(b"SCRIPT_NAME")
    request.script_name = mount.decode("latin-1").rstrip("/") or None if mount else None
    request.scheme = _scheme(variables, info)
    request.client = _client(variables, info)
    request.authority, request.server = _authority(variables)
    request.headers, request.variables = _fields_and_others(variables)
    return request


def _method(variables: Variables) -> str:
    method = variables.get(b"REQUEST_METHOD", b"")
    usual = _METHODS.get(method)
    if usual is not None:
        return usual
    if not is_token(method):
        raise BadRequest(f"REQUEST_METHOD: expected a token, got {method.decode('latin-1')!r}")
    return method.decode("ascii")


def _path(variables: Variables) -> bytes:
    """Return the path, percent-encoded and with the mount point in it.

    PATH_INFO is what the proxy's rewrites made of the path; it comes decoded. nginx sends the whole path in it
    also where it sets SCRIPT_NAME, CGI what follows SCRIPT_NAME: REQUEST_URI tells which.
    """
    decoded = variables.get(b"PATH_INFO") or _requested_path(variables)
    mount = variables.get(b"SCRIPT_NAME")
    if mount:
        mount = mount.rstrip(b"/")
    if mount:
        below = decoded == mount or decoded.startswith(mount + b"/")
        if not below or _requested_path(variables).startswith(mount + mount):
            decoded = mount + decoded
    if not decoded.startswith(b"/"):
        if decoded == b"*":
            return decoded
        raise BadRequest(f"PATH_INFO: expected a path that begins with '/', got {decoded[:64]!r}")
    if _is_plain(decoded):
        return decoded
    return quote_from_bytes(decoded, _PATH_SAFE).encode("ascii")


def _is_plain(path: bytes) -> bool:
    """Whether nothing of a path is to be encoded."""
    if not cython.compiled:
        return not path.translate(None, _PATH_OCTETS)
    octets = path
    table = _IS_PATH
    for i in range(len(path)):  # noqa: SIM110 - a plain loop is what becomes C
        if not table[octets[i]]:
            return False
    return True


def _requested_path(variables: Variables) -> bytes:
    """Return the path of REQUEST_URI, decoded."""
    return percent_decoded(variables.get(b"REQUEST_URI", b"").partition(b"?")[0])


def _fields_and_others(variables: Variables) -> Tuple[Headers, Dict[str, str]]:
    """Return the HTTP_* variables as fields, CONTENT_TYPE and CONTENT_LENGTH behind them; and what else is offered."""
    headers = []
    others: Dict[str, str] = {}
    for name, value in variables.items():
        known = _MEANINGS.get(name)
        meaning = _learn(name) if known is None else known
        if not meaning:
            continue
        if isinstance(meaning, bytes):
            headers.append((meaning, value))
        else:
            others[meaning] = value.decode("latin-1")
    content_type = variables.get(b"CONTENT_TYPE")
    if content_type:
        headers.append((b"content-type", content_type))
    length = variables.get(b"CONTENT_LENGTH")
    if length:
        headers.append((b"content-length", length))
    for field, value in headers:
        if not is_value(value):
            raise BadRequest(f"field {field!r}: expected a value without control characters, got {value!r}")
    return headers, others


def _learn(name: bytes) -> Union[bytes, str]:
    """Return what a variable is: a field, by its name in octets; one that is offered as it is, by its name in text; or
    nothing of its own (``b""``, ``""``), because it is read where the request is built."""
    meaning: Union[bytes, str]
    if name.startswith(b"HTTP_"):
        meaning = _field(name)
    elif name in _CONSUMED or b"." in name:
        meaning = ""
    else:
        meaning = name.decode("latin-1")
    if len(_MEANINGS) < _MEANINGS_MAX and len(name) <= _NAME_OCTETS_MAX:
        _MEANINGS[name] = meaning
    return meaning


def _field(name: bytes) -> bytes:
    """Return the name of the field that a variable is, b"" where CONTENT_LENGTH and CONTENT_TYPE stand for it."""
    field = name[5:].lower().replace(b"_", b"-")
    if not is_token(field):
        raise BadRequest(f"variable {name!r}: expected the name of a field behind HTTP_")
    return b"" if field in _FRAMING else field


def _scheme(variables: Variables, info: ConnectionInfo) -> str:
    secure = variables.get(b"HTTPS")
    if secure and secure.lower() in (b"on", b"1"):
        return "https"
    for name in _SCHEMES:
        said = variables.get(name)
        if said and said != b"http" and said.lower() == b"https":
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
    number = _port(port)
    if number < 0:
        raise BadRequest(f"REMOTE_PORT: expected a port, got {port!r}")
    return host.decode("latin-1"), number


def _authority(variables: Variables) -> Tuple[bytes, Optional[Tuple[str, int]]]:
    """Return the authority that was asked for, and where the proxy says that it serves it."""
    name, port = variables.get(b"SERVER_NAME", b""), variables.get(b"SERVER_PORT", b"")
    number = _port(port) if name else -1
    server = (name.decode("latin-1"), number) if number >= 0 else None
    host = variables.get(b"HTTP_HOST", b"")
    if host:
        check_authority(host)
    elif server is not None:
        host = name + b":" + port
    return host, server


def _port(value: bytes) -> int:
    """Return the number that up to five digits spell, -1 for anything else."""
    return decimal(value) if len(value) <= _PORT_DIGITS else -1
