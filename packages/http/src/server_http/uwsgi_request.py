"""What the variables of a uwsgi packet say of a request.

Owns: the format of the packet's strings, and the meaning of the variables.
Must not know: how a packet arrived, or whom to believe: who may speak uwsgi may say all of this.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple
from urllib.parse import quote_from_bytes

from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.events import Headers, Request
from server_http.fields import check_authority, content_length, decimal, is_token, is_value, percent_decoded
from server_http.h1.rules import Grammar
from server_http.h1.scan import is_spelled
from server_http.methods import read_method
from server_http.states import HTTP_1_0, HTTP_1_1, HTTP_2

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

STREAM = 1
"""The number of the only stream of a connection."""

_SIZE_OCTETS = 2  # of the little-endian size before each string

# -- what variables are for, as data ---------------------------------------------------------------------------------

# Those that become a part of the request have a number each; nothing else is made of them.
# The three that say a scheme stand together.
REQUEST_METHOD = 0
REQUEST_URI = 1
PATH_INFO = 2
QUERY_STRING = 3
SERVER_PROTOCOL = 4
SCRIPT_NAME = 5
CONTENT_TYPE = 6
CONTENT_LENGTH = 7
SERVER_NAME = 8
SERVER_PORT = 9
REMOTE_ADDR = 10
REMOTE_PORT = 11
HTTPS = 12
REQUEST_SCHEME = 13
UWSGI_SCHEME = 14
URL_SCHEME = 15
# What the others are
FIELD = -1  # HTTP_*
OFFERED = -2  # offered as it is
NOTHING = -3  # something else stands for it

_PARTS = {
    b"REQUEST_METHOD": REQUEST_METHOD, b"REQUEST_URI": REQUEST_URI, b"PATH_INFO": PATH_INFO,
    b"QUERY_STRING": QUERY_STRING, b"SERVER_PROTOCOL": SERVER_PROTOCOL, b"SCRIPT_NAME": SCRIPT_NAME,
    b"CONTENT_TYPE": CONTENT_TYPE, b"CONTENT_LENGTH": CONTENT_LENGTH, b"SERVER_NAME": SERVER_NAME,
    b"SERVER_PORT": SERVER_PORT, b"REMOTE_ADDR": REMOTE_ADDR, b"REMOTE_PORT": REMOTE_PORT, b"HTTPS": HTTPS,
    b"REQUEST_SCHEME": REQUEST_SCHEME, b"UWSGI_SCHEME": UWSGI_SCHEME, b"wsgi.url_scheme": URL_SCHEME,
}  # fmt: skip
_UNSAID = [b""] * len(_PARTS)

_VERSIONS = {b"HTTP/1.0": HTTP_1_0, b"HTTP/2": HTTP_2, b"HTTP/2.0": HTTP_2}
_PATH_SAFE = "/:@!$&'()*+,;=~"
_PATH_OCTETS = _PATH_SAFE.encode("ascii") + b"-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FRAMING = (b"content-length", b"content-type", b"transfer-encoding")  # CONTENT_LENGTH alone frames the body
_IS_PATH = bytes(octet in _PATH_OCTETS for octet in range(256))
_PORT_DIGITS = 5
_USUAL_PROTOCOL = b"HTTP/1.1"


class Meaning:
    """What is known of variables with one name.

    Attributes:
        name: the name.
        part: the number of what it is for.
        field: the name of the field that it is, else ``b""``.
        key: the name as text where it is offered as it is, else ``""``.
    """

    __slots__ = ("field", "key", "name", "part")

    def __init__(self, name: bytes, part: int, field: bytes, key: str) -> None:
        self.name = name
        self.part = part
        self.field = field
        self.key = key


# Names are few, but nothing here grows without bound.
_MEANINGS: Dict[bytes, Meaning] = {}
_MEANINGS_MAX = 1024
_NAME_OCTETS_MAX = 64

# A proxy sends its variables in the same order each time: what was met last at each place.
_SLOTS = 64
_RECENT: List[Meaning] = [Meaning(b"", NOTHING, b"", "")] * _SLOTS


@cython.freelist(8)
@cython.cclass
class Variables:
    """The variables of a packet, octets as they came; the last of a name counts.

    Attributes:
        parts: by their numbers, ``b""`` for those that were not said.
        fields: the ``HTTP_*`` variables, by the names of the fields that they are.
        offered: what is offered as it is.
    """

    __slots__ = ("fields", "offered", "parts")

    def __init__(self) -> None:
        self.parts: List[bytes] = _UNSAID[:]
        self.fields: Dict[bytes, bytes] = {}
        self.offered: Dict[str, str] = {}


def read_variables(packet: bytes, start: int, end: int, limit: int) -> Variables:
    """Return the variables that ``packet[start:end]`` says.

    Args:
        packet: octets.
        start, end: what follows the four octets of the packet's header.
        limit: how many variables there may be.

    Raises:
        BadRequest: a size that leads beyond the end, too many variables, or one that can be no field.
    """
    variables = Variables()
    octets = packet  # of which slices are made without a detour when compiled
    position = start
    count = 0
    while position < end:
        middle = _end_of_string(octets, position, end)
        following = _end_of_string(octets, middle, end)
        count += 1
        if count > limit:
            raise BadRequest(f"uwsgi variables: expected at most {limit}, got more")
        meaning = _recall(octets, position + _SIZE_OCTETS, middle, count % _SLOTS)
        part = meaning.part
        value = octets[middle + _SIZE_OCTETS : following]
        if part >= 0:
            variables.parts[part] = value
        elif part == FIELD:
            if not is_value(value):
                raise _bad_value(meaning.field, value)
            variables.fields[meaning.field] = value
        elif part == OFFERED:
            variables.offered[meaning.key] = value.decode("latin-1")
        position = following
    return variables


def _end_of_string(octets: bytes, position: int, limit: int) -> int:
    """Return where the string ends whose size stands at ``position``."""
    end = position + _SIZE_OCTETS
    if end <= limit:
        end += octets[position] + 256 * octets[position + 1]
    if end > limit:
        raise BadRequest(f"uwsgi packet: expected {end - position} octets of a string, got {limit - position}")
    return end


def _recall(octets: bytes, start: int, end: int, slot: int) -> Meaning:
    """Return what is known of the name ``octets[start:end]``, most likely that which was met last at its place."""
    recent = _RECENT[slot]
    if is_spelled(octets, start, end, recent.name):
        return recent
    name = octets[start:end]
    known = _MEANINGS.get(name)
    meaning = _learn(name) if known is None else known
    if len(name) <= _NAME_OCTETS_MAX:
        _RECENT[slot] = meaning
    return meaning


def _learn(name: bytes) -> Meaning:
    """Return what a variable is whose name was not met before."""
    part = _PARTS.get(name, OFFERED)
    field = b""
    if name.startswith(b"HTTP_"):
        field = _field(name)
        part = NOTHING if field in _FRAMING else FIELD
    elif part == OFFERED and b"." in name:
        part = NOTHING
    meaning = Meaning(name, part, field, name.decode("latin-1") if part == OFFERED else "")
    if len(_MEANINGS) < _MEANINGS_MAX and len(name) <= _NAME_OCTETS_MAX:
        _MEANINGS[name] = meaning
    return meaning


def _field(name: bytes) -> bytes:
    """Return the name of the field that a variable is."""
    field = name[5:].lower().replace(b"_", b"-")
    if not is_token(field):
        raise BadRequest(f"variable {name!r}: expected the name of a field behind HTTP_")
    return field


def _bad_value(field: bytes, value: bytes) -> BadRequest:
    return BadRequest(f"field {field!r}: expected a value without control characters, got {value!r}")


def build_request(variables: Variables, info: ConnectionInfo, grammar: Grammar) -> Request:
    """Return the request that the variables describe.

    Args:
        variables: of the packet.
        info: the connection.
        grammar: which methods are taken.

    Raises:
        BadRequest: a variable that is missing or malformed.
    """
    parts = variables.parts
    path = _path(parts)
    query = parts[QUERY_STRING]
    protocol = parts[SERVER_PROTOCOL]
    version = HTTP_1_1 if protocol == _USUAL_PROTOCOL else _VERSIONS.get(protocol, HTTP_1_1)
    uri = parts[REQUEST_URI] or (path + b"?" + query if query else path)
    request = Request(STREAM, read_method(parts[REQUEST_METHOD], grammar), uri, version)
    request.path = path
    request.query = query
    request.keep_alive = False
    mount = parts[SCRIPT_NAME]
    if mount:
        request.script_name = mount.decode("latin-1").rstrip("/") or None
    request.scheme = _scheme(parts, info)
    request.client = _client(parts, info)
    request.headers = _fields(variables, request)
    _address(variables, request)
    request.variables = variables.offered
    return request


def _path(parts: List[bytes]) -> bytes:
    """Return the path, percent-encoded and with the mount point in it.

    PATH_INFO is what the proxy's rewrites made of the path; it comes decoded. nginx sends the whole path in it
    also where it sets SCRIPT_NAME, CGI what follows SCRIPT_NAME: REQUEST_URI tells which.
    """
    decoded = parts[PATH_INFO] or _requested_path(parts)
    mount = parts[SCRIPT_NAME]
    if mount:
        mount = mount.rstrip(b"/")
    if mount:
        below = decoded == mount or decoded.startswith(mount + b"/")
        if not below or _requested_path(parts).startswith(mount + mount):
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


def _requested_path(parts: List[bytes]) -> bytes:
    """Return the path of REQUEST_URI, decoded."""
    return percent_decoded(parts[REQUEST_URI].partition(b"?")[0])


def _fields(variables: Variables, request: Request) -> Headers:
    """Return the fields, CONTENT_TYPE and CONTENT_LENGTH behind the others, and note the length."""
    headers: Headers = []
    for field, value in variables.fields.items():
        headers.append((field, value))
    content_type = variables.parts[CONTENT_TYPE]
    if content_type:
        if not is_value(content_type):
            raise _bad_value(b"content-type", content_type)
        headers.append((b"content-type", content_type))
    length = variables.parts[CONTENT_LENGTH]
    if length:
        request.content_length = content_length(length)
        headers.append((b"content-length", length))
    return headers


def _scheme(parts: List[bytes], info: ConnectionInfo) -> str:
    secure = parts[HTTPS]
    if secure and secure.lower() in (b"on", b"1"):
        return "https"
    for part in range(REQUEST_SCHEME, URL_SCHEME + 1):
        said = parts[part]
        if said and said != b"http" and said.lower() == b"https":
            return "https"
    return info.scheme()


def _client(parts: List[bytes], info: ConnectionInfo) -> Optional[Tuple[str, int]]:
    """Return the address of the proxy's client; of one that came by a unix socket nginx says ``unix:``."""
    host = parts[REMOTE_ADDR]
    if not host:
        return info.client
    if host.startswith(b"unix:"):
        return None
    port = parts[REMOTE_PORT] or b"0"
    number = _port(port)
    if number < 0:
        raise BadRequest(f"REMOTE_PORT: expected a port, got {port!r}")
    return host.decode("latin-1"), number


def _address(variables: Variables, request: Request) -> None:
    """Note the authority that was asked for, and where the proxy says that it serves it."""
    name = variables.parts[SERVER_NAME]
    port = variables.parts[SERVER_PORT]
    number = _port(port) if name else -1
    if number >= 0:
        request.server = name.decode("latin-1"), number
    host = variables.fields.get(b"host")
    if host:
        check_authority(host)
        request.authority = host
    elif number >= 0:
        request.authority = name + b":" + port


def _port(value: bytes) -> int:
    """Return the number that up to five digits spell, -1 for anything else."""
    return decimal(value) if len(value) <= _PORT_DIGITS else -1
