"""What the variables of a uwsgi packet say of a request.

Owns: the format of the packet's strings, and the meaning of the variables.
Must not know: how a packet arrived, or whom to believe: who may speak uwsgi may say all of this.
"""

from __future__ import annotations

import struct
from typing import Dict, Optional, Tuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from server_http import fields
from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.events import Headers, Request

STREAM = 1
"""The number of the only stream of a connection."""

_SIZE = struct.Struct("<H")

# Variables that become a part of the request; everything else but HTTP_* is offered as it is
_CONSUMED = frozenset(
    (
        "REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "SCRIPT_NAME", "CONTENT_TYPE",
        "CONTENT_LENGTH", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "HTTPS", "REQUEST_SCHEME",
        "UWSGI_SCHEME",
    )
)  # fmt: skip
_SCHEMES = ("REQUEST_SCHEME", "UWSGI_SCHEME", "wsgi.url_scheme")
_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/2": "2", "HTTP/2.0": "2"}
_PATH_SAFE = "/:@!$&'()*+,;=~"
_FRAMING = (b"content-length", b"content-type", b"transfer-encoding")  # CONTENT_LENGTH alone frames the body


def parse_variables(block: bytes, limit: int) -> Dict[str, str]:
    """Return the variables of a packet, as text of one character per octet; the last of a name counts.

    Args:
        block: what follows the four octets of the packet's header.
        limit: how many variables there may be.

    Raises:
        BadRequest: a size that leads beyond the block, or too many variables.
    """
    variables: Dict[str, str] = {}
    position = count = 0
    while position < len(block):
        name, position = _sized(block, position)
        value, position = _sized(block, position)
        count += 1
        if count > limit:
            raise BadRequest(f"uwsgi variables: expected at most {limit}, got more")
        variables[name.decode("latin-1")] = value.decode("latin-1")
    return variables


def _sized(block: bytes, position: int) -> Tuple[bytes, int]:
    start = position + _SIZE.size
    end = start + _SIZE.unpack_from(block, position)[0] if start <= len(block) else start
    if end > len(block):
        raise BadRequest(f"uwsgi packet: expected {end - position} octets of a string, got {len(block) - position}")
    return block[start:end], end


def build_request(variables: Dict[str, str], info: ConnectionInfo) -> Request:
    """Return the request that the variables describe.

    Raises:
        BadRequest: a variable that is missing or malformed.
    """
    method = variables.get("REQUEST_METHOD", "")
    if not fields.is_token(method.encode("latin-1")):
        raise BadRequest(f"REQUEST_METHOD: expected a token, got {method!r}")
    path = _path(variables)
    query = variables.get("QUERY_STRING", "").encode("latin-1")
    uri = variables.get("REQUEST_URI", "").encode("latin-1") or (path + b"?" + query if query else path)
    request = Request(STREAM, method, uri, _VERSIONS.get(variables.get("SERVER_PROTOCOL", ""), "1.1"))
    request.path = path
    request.query = query
    request.headers = _headers(variables)
    request.content_length = fields.content_length(variables.get("CONTENT_LENGTH", "").encode("latin-1") or b"0")
    request.keep_alive = False
    request.script_name = variables.get("SCRIPT_NAME", "").rstrip("/") or None
    request.scheme = _scheme(variables, info)
    request.client = _client(variables, info)
    request.authority, request.server = _authority(variables)
    request.variables = {
        name: value
        for name, value in variables.items()
        if name not in _CONSUMED and not name.startswith("HTTP_") and "." not in name
    }
    return request


def _path(variables: Dict[str, str]) -> bytes:
    """Return the path, percent-encoded and with the mount point in it.

    PATH_INFO is what the proxy's rewrites made of the path; it comes decoded. nginx sends the whole path in it
    also where it sets SCRIPT_NAME, CGI what follows SCRIPT_NAME: REQUEST_URI tells which.
    """
    uri = variables.get("REQUEST_URI", "").encode("latin-1").partition(b"?")[0]
    decoded = variables.get("PATH_INFO", "").encode("latin-1") or unquote_to_bytes(uri)
    mount = variables.get("SCRIPT_NAME", "").rstrip("/").encode("latin-1")
    below = decoded == mount or decoded.startswith(mount + b"/")
    if mount and (not below or unquote_to_bytes(uri).startswith(mount + mount)):
        decoded = mount + decoded
    if decoded == b"*":
        return b"*"
    if not decoded.startswith(b"/"):
        raise BadRequest(f"PATH_INFO: expected a path that begins with '/', got {decoded[:64]!r}")
    return quote_from_bytes(decoded, _PATH_SAFE).encode("ascii")


def _headers(variables: Dict[str, str]) -> Headers:
    """Return the HTTP_* variables as fields, and CONTENT_TYPE and CONTENT_LENGTH."""
    headers = []
    for name, value in variables.items():
        if not name.startswith("HTTP_"):
            continue
        field = name[5:].lower().replace("_", "-").encode("latin-1")
        if field in _FRAMING:
            continue
        headers.append((field, value.encode("latin-1")))
    for name, field in (("CONTENT_TYPE", b"content-type"), ("CONTENT_LENGTH", b"content-length")):
        if variables.get(name):
            headers.append((field, variables[name].encode("latin-1")))
    for field, octets in headers:
        if not fields.is_token(field) or not fields.is_value(octets):
            raise BadRequest(
                f"field {field!r}: expected a token and a value without control characters, got {octets!r}"
            )
    return headers


def _scheme(variables: Dict[str, str], info: ConnectionInfo) -> str:
    secure = variables.get("HTTPS", "").lower() in ("on", "1")
    if secure or any(variables.get(name, "").lower() == "https" for name in _SCHEMES):
        return "https"
    return info.scheme


def _client(variables: Dict[str, str], info: ConnectionInfo) -> Optional[Tuple[str, int]]:
    """Return the address of the proxy's client; of one that came by a unix socket nginx says ``unix:``."""
    host = variables.get("REMOTE_ADDR", "")
    if not host:
        return info.client
    if host.startswith("unix:"):
        return None
    port = variables.get("REMOTE_PORT", "") or "0"
    if not port.isdigit() or len(port) > 5:
        raise BadRequest(f"REMOTE_PORT: expected a port, got {port!r}")
    return host, int(port)


def _authority(variables: Dict[str, str]) -> Tuple[bytes, Optional[Tuple[str, int]]]:
    """Return the authority that was asked for, and where the proxy says that it serves it."""
    name, port = variables.get("SERVER_NAME", ""), variables.get("SERVER_PORT", "")
    server = (name, int(port)) if name and port.isdigit() and len(port) <= 5 else None
    host = variables.get("HTTP_HOST", "").encode("latin-1")
    if host:
        fields.check_authority(host)
    elif server is not None:
        host = name.encode("latin-1") + b":" + port.encode("latin-1")
    return host, server
