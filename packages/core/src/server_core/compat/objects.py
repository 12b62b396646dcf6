"""Requests and responses in the shape that loggers and hooks written for gunicorn read.

Owns: these shapes.
Must not know: which logger or hook reads them.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from server_http.fields import percent_decoded
from server_http.states import PROTOCOLS


class GunicornRequest:
    """A request with gunicorn's attributes: ``method uri path query headers version scheme body`` and more.

    ``headers`` are pairs of upper-case names and text. What else the server's own request has is
    there too.

    Args:
        request: the server's own request.
        environ: the WSGI environ made of it, or None.
    """

    def __init__(self, request: Any, environ: Optional[Dict[str, Any]] = None) -> None:
        self._request = request
        self._environ: Dict[str, Any] = environ or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    @property
    def uri(self) -> str:
        """The target as it was sent."""
        return str(self._request.target.decode("latin-1"))

    raw_uri = uri

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return str(self._request.path.decode("latin-1"))

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return str(self._request.query.decode("latin-1"))

    @property
    def fragment(self) -> str:
        """Always empty: a target has none (RFC 9112 section 3.2)."""
        return ""

    @property
    def headers(self) -> List[Tuple[str, str]]:
        """Fields in order, names in upper case."""
        return [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in self._request.headers]

    @property
    def version(self) -> Tuple[int, int]:
        """The HTTP version as a pair."""
        major, _, minor = self._request.version.partition(".")
        return (int(major), int(minor or 0))

    @property
    def remote_addr(self) -> Any:
        """The client's address."""
        return self._request.client

    peer_addr = remote_addr

    @property
    def body(self) -> Any:
        """The body as the application reads it; None where that is not a stream (ASGI)."""
        return self._environ.get("wsgi.input")

    @property
    def proxy_protocol_info(self) -> Optional[Dict[str, Any]]:
        """What the PROXY header said, or None without one."""
        environ = self._environ
        if "PROXY_PROTOCOL" not in environ:
            return None
        return {
            "proxy_protocol": environ["PROXY_PROTOCOL"],
            "client_addr": environ.get("REMOTE_ADDR"),
            "client_port": environ.get("REMOTE_PORT"),
            "proxy_addr": environ.get("PROXY_ADDR"),
            "proxy_port": environ.get("PROXY_PORT"),
        }

    @staticmethod
    def shortened(request: Any, limit: int) -> Any:
        """Return a copy of the server's request with values cut to ``limit`` octets."""
        copy = type(request)(request.stream, request.method[:limit], _cut(request.target, limit), request.version)
        copy.path = _cut(request.path, limit)
        copy.query = _cut(request.query, limit)
        copy.authority = _cut(request.authority, limit)
        copy.client = request.client
        copy.headers = [(name, _cut(value, limit)) for name, value in request.headers]
        return copy


def _cut(value: bytes, limit: int) -> bytes:
    return value if len(value) <= limit else value[: limit - 3] + b"..."


class GunicornResponse:
    """A response with gunicorn's attributes: ``status`` as text, ``status_code``, ``sent``,
    ``headers`` as pairs of text."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    @property
    def status(self) -> str:
        """The code and its phrase."""
        reason = self._response.reason
        phrase = reason.decode("latin-1") if isinstance(reason, bytes) else str(reason or "")
        return f"{self._response.status} {phrase}".rstrip()

    @property
    def status_code(self) -> int:
        """The code."""
        return int(self._response.status)

    @property
    def headers(self) -> List[Tuple[str, str]]:
        """Fields in order."""
        return [(_text(name), _text(value)) for name, value in self._response.headers]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else str(value)


def environ_of(request: Any) -> Dict[str, Any]:
    """Return the environ variables that logging needs, of a request that has no environ (ASGI)."""
    client, server = request.client, request.server
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": request.target.decode("latin-1"),
        "PATH_INFO": percent_decoded(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_PROTOCOL": PROTOCOLS[request.version],
        "wsgi.url_scheme": request.scheme,
    }
    if client:
        environ.update(REMOTE_ADDR=client[0], REMOTE_PORT=str(client[1]))
    if server:
        environ.update(SERVER_NAME=server[0], SERVER_PORT=str(server[1]))
    for name, value in request.headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
