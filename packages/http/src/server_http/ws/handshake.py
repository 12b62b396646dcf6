"""The opening handshake: is this request one, may it be accepted, and with what answer.

Owns: RFC 6455 section 4.2 over HTTP/1.1 and RFC 8441 section 5 over HTTP/2, subprotocols.
Must not know: frames, the engine that carries the stream, ASGI. The negotiation of compression is ``deflate``'s.

Use: ``is_websocket(request)`` says whether a request asks for it at all; ``Handshake(request, limits)`` checks it
and raises the error that answers it; ``accept`` gives status and fields of the answer, for ``Engine.respond``, and
``websocket`` the engine for what follows. A denial is any other response, sent as to every request.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from hashlib import sha1
from typing import List, Optional, Tuple

from server_http.errors import ApplicationFault, BadRequest, ProtocolError, UpgradeRequired
from server_http.events import Headers, Request
from server_http.fields import is_token
from server_http.limits import Limits
from server_http.states import HTTP_2
from server_http.statuses import error_page
from server_http.ws.deflate import Deflate, negotiate
from server_http.ws.engine import WebSocket

VERSION = b"13"
KEY_OCTETS = 16
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OWN = frozenset(
    (b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol",
     b"sec-websocket-version")
)  # fmt: skip


def is_websocket(request: Request) -> bool:
    """Whether a request asks for a WebSocket, well-formed or not."""
    if request.version == HTTP_2:
        return request.protocol == b"websocket"
    return request.upgrade == b"websocket"


class Handshake:
    """A checked opening handshake.

    Args:
        request: one of which ``is_websocket`` is True.
        limits: the ``ws_*`` bounds.
        compress: whether permessage-deflate may be negotiated.

    Attributes:
        subprotocols: what the client offers, in its order.

    Raises:
        BadRequest: the handshake is malformed (answer 400).
        UpgradeRequired: a version other than 13 (answer 426). ``refusal`` builds both answers.
    """

    __slots__ = ("_accept", "_compress", "_http2", "_limits", "_offers", "subprotocols")

    def __init__(self, request: Request, limits: Limits, compress: bool = True) -> None:
        self._limits = limits
        self._http2 = request.version == HTTP_2
        self._compress = compress
        keys = versions = 0
        key = version = b""
        self.subprotocols: List[str] = []
        self._offers: List[bytes] = []
        for name, value in request.headers:
            if name[:14] != b"sec-websocket-":
                continue
            if name == b"sec-websocket-key":
                keys, key = keys + 1, value
            elif name == b"sec-websocket-version":
                versions, version = versions + 1, value
            elif name == b"sec-websocket-protocol":
                self.subprotocols += _tokens(value)
            elif name == b"sec-websocket-extensions":
                self._offers.append(value)
        if versions != 1 or version != VERSION:
            raise UpgradeRequired(f"sec-websocket-version: expected {VERSION!r} once, got {version!r}")
        self._accept = b"" if self._http2 else _check_upgrade(request, keys, key)

    def accept(
        self,
        subprotocol: Optional[str] = None,
        headers: Headers = (),  # type: ignore[assignment]
    ) -> Tuple[int, Headers, Optional[Deflate]]:
        """Return status, fields and the compression agreed upon.

        Args:
            subprotocol: the one chosen of ``subprotocols``, or None.
            headers: the application's fields.

        Raises:
            ApplicationFault: a subprotocol that was not offered, or a field that is the handshake's own.
        """
        for name, _ in headers:
            if bytes(name).lower() in _OWN:
                raise ApplicationFault(f"websocket accept: expected no field of the handshake, got {name!r}")
        fields: Headers = []
        if not self._http2:
            fields.append((b"Upgrade", b"websocket"))
            fields.append((b"Sec-WebSocket-Accept", self._accept))
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise ApplicationFault(
                    f"websocket subprotocol: expected one of {self.subprotocols!r}, got {subprotocol!r}"
                )
            fields.append((b"Sec-WebSocket-Protocol", subprotocol.encode("ascii")))
        deflate = negotiate(self._offers) if self._compress and self._offers else None
        if deflate is not None:
            fields.append((b"Sec-WebSocket-Extensions", deflate.header()))
        fields += headers
        return (200 if self._http2 else 101), fields, deflate

    def websocket(self, deflate: Optional[Deflate], now: float) -> WebSocket:
        """Return the engine for the octets behind the accepted handshake.

        Args:
            deflate: as ``accept`` returned it.
            now: monotonic seconds.
        """
        return WebSocket(self._limits, now, deflate)


def refusal(error: ProtocolError) -> Tuple[int, Headers, bytes]:
    """Return status, fields and body that answer a handshake that is refused (RFC 6455 section 4.2.2)."""
    headers, body = error_page(error.status)
    if error.status == UpgradeRequired.status:
        headers.append((b"Sec-WebSocket-Version", VERSION))
        headers.append((b"Upgrade", b"websocket"))
    return error.status, headers, body


def _check_upgrade(request: Request, keys: int, key: bytes) -> bytes:
    """Check what only HTTP/1.1 has; return the value of Sec-WebSocket-Accept."""
    if request.method != "GET" or request.version != "1.1":
        raise BadRequest(f"websocket: expected GET and HTTP/1.1, got {request.method} and {request.version}")
    try:
        octets = len(a2b_base64(key)) if keys == 1 and len(key) == 24 else 0
    except Base64Error:
        octets = 0
    if octets != KEY_OCTETS:
        raise BadRequest(f"sec-websocket-key: expected {KEY_OCTETS} octets in base64, once, got {key!r}")
    if request.content_length != 0:
        raise BadRequest("websocket: expected a request without content, got one with")
    return b64encode(sha1(key + _GUID).digest())  # noqa: S324 - no security rests on it (section 10.8)


def _tokens(value: bytes) -> List[str]:
    """Split a list of subprotocols (section 4.1, item 10 of the client's requirements)."""
    names = []
    for member in value.split(b","):
        name = member.strip(b" \t")
        if not is_token(name):
            raise BadRequest(f"sec-websocket-protocol: expected tokens, got {value!r}")
        names.append(name.decode("ascii"))
    return names
