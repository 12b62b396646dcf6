"""The ASGI mapping: a request to a scope, and the order in which an application may send messages.

Owns: the scopes of HTTP and WebSocket (ASGI 3.0, HTTP spec version 2.5 with its extensions), which message may
follow which, and the types that a message's values must have.
Must not know: event loops, channels, engines. Nothing here does I/O or keeps a clock.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, MutableMapping, Optional, Sequence, Tuple, Union

from server_http.engine import ConnectionInfo
from server_http.errors import ApplicationFault
from server_http.events import Headers, Request
from server_http.fields import percent_decoded
from server_http.states import HTTP_1_0, HTTP_1_1

Scope = Dict[str, Any]
Message = MutableMapping[str, Any]

ASGI_VERSION = "3.0"
SPEC_VERSION = "2.5"

# What every HTTP response may use. Trailers need HTTP/1.1 or later and are added there.
HTTP_EXTENSIONS: Tuple[str, ...] = (
    "http.response.early_hint",
    "http.response.informational",  # gunicorn's own name: any 1xx with any headers
    "http.response.pathsend",
)
TRAILERS_EXTENSION = "http.response.trailers"
PRIORITY_EXTENSION = "http.response.priority"
PROXY_EXTENSION = "server.proxy"  # what the PROXY header said, under the names an environ has
DENIAL_EXTENSION = "websocket.http.response"

_PERCENT = 0x25  # a number: Python tries bytes as one before it looks for them


class ScopeTemplate:
    """The part of a scope that requests share; ``http`` and ``websocket`` fill in the rest.

    Connections to the same address without TLS and PROXY header can share one: the client is the request's.

    Every scope is a fresh dictionary, and so are its ``asgi``, ``extensions``, ``headers`` and ``state``: what an
    application changes is not seen by the next request.

    Args:
        info: a connection, for ``server`` and the facts of TLS and of the PROXY header.
        root_path: the mount point when no trusted proxy named one.
        extensions: further extensions of the server, by name.
    """

    __slots__ = ("_asgi", "_extensions", "_http", "_trailers", "_websocket_extensions")

    def __init__(
        self, info: ConnectionInfo, root_path: str = "", extensions: Optional[Mapping[str, Any]] = None
    ) -> None:
        shared: Scope = dict(extensions or ())
        if info.tls is not None:
            shared["tls"] = info.tls.extension()
        if info.proxy is not None:
            shared[PROXY_EXTENSION] = info.proxy.variables()
        self._asgi: Scope = {"version": ASGI_VERSION, "spec_version": SPEC_VERSION}
        self._extensions: Scope = {**{name: {} for name in HTTP_EXTENSIONS}, **shared}
        self._trailers: Scope = {**self._extensions, TRAILERS_EXTENSION: {}}
        self._websocket_extensions: Scope = {DENIAL_EXTENSION: {}, **shared}
        self._http: Scope = {
            "type": "http",
            "asgi": self._asgi,
            "http_version": HTTP_1_1,
            "scheme": "http",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": root_path,
            "headers": [],
            "server": info.server,
            "client": None,
            "extensions": self._extensions,
            "method": "GET",
        }

    def http(self, request: Request, state: Optional[Mapping[str, Any]] = None) -> Scope:
        """Return the scope of an HTTP request.

        Args:
            request: the head, after the header policy.
            state: the lifespan's state, of which the request gets its own shallow copy; None when the application
                knows no lifespan.
        """
        scope = self._http.copy()
        scope["asgi"] = self._asgi.copy()
        if request.version != HTTP_1_1:
            scope["http_version"] = request.version
        method = request.method
        if method != "GET":
            scope["method"] = method if method.isupper() else method.upper()
        if request.scheme != "http":
            scope["scheme"] = request.scheme
        path = request.path
        scope["path"] = path.decode() if path.isascii() and _PERCENT not in path else decoded_path(path)
        scope["raw_path"] = path
        if request.query:
            scope["query_string"] = request.query
        if request.script_name is not None:
            scope["root_path"] = request.script_name
        scope["headers"] = list(request.headers)
        scope["client"] = request.client
        if request.server is not None:
            scope["server"] = request.server
        extensions = (self._extensions if request.version == HTTP_1_0 else self._trailers).copy()
        if request.priority is not None:
            extensions[PRIORITY_EXTENSION] = {"urgency": request.priority[0], "incremental": request.priority[1]}
        scope["extensions"] = extensions
        if state is not None:
            scope["state"] = state.copy()  # type: ignore[attr-defined]  # a dict, or the application's subclass of it
        return scope

    def websocket(
        self, request: Request, subprotocols: Sequence[str], state: Optional[Mapping[str, Any]] = None
    ) -> Scope:
        """Return the scope of a WebSocket handshake that offers ``subprotocols`` (RFC 6455 section 1.9)."""
        scope = self.http(request, state)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if request.scheme in ("https", "wss") else "ws"
        scope["subprotocols"] = list(subprotocols)
        scope["extensions"] = self._websocket_extensions.copy()
        return scope


def decoded_path(path: bytes) -> str:
    """Return ``path`` percent-decoded as UTF-8; what is no UTF-8 becomes U+FFFD (``raw_path`` keeps it)."""
    return percent_decoded(path).decode("utf-8", "replace")


# What an application's message asks for. The driver acts on these numbers.
HEAD, BODY, LAST_BODY, FILE, TRAILERS, LAST_TRAILERS, INFORM = range(7)
ACCEPT, SEND, CLOSE, DENY, DENIAL_BODY, LAST_DENIAL_BODY = range(7, 13)

EARLY_HINT = "http.response.early_hint"

# state -> message type -> (flag, what is meant without it, what is meant with it), the latter two as (action, next
# state). The flag is the key by which a message says that more of its kind will come, or trailers.
Meant = Tuple[int, int]
Order = Tuple[Dict[str, Tuple[str, Meant, Meant]], ...]

EXPECTING, STARTED, STREAMING, PROMISED, PROMISED_STREAMING, TRAILING, COMPLETE = range(7)
HTTP_ORDER: Order = (
    {  # EXPECTING: nothing of the final response was sent
        "http.response.start": ("trailers", (HEAD, STARTED), (HEAD, PROMISED)),
        EARLY_HINT: ("", (INFORM, EXPECTING), (INFORM, EXPECTING)),
        "http.response.informational": ("", (INFORM, EXPECTING), (INFORM, EXPECTING)),
    },
    {  # STARTED: the head waits for the first part of the body
        "http.response.body": ("more_body", (LAST_BODY, COMPLETE), (BODY, STREAMING)),
        "http.response.pathsend": ("", (FILE, COMPLETE), (FILE, COMPLETE)),
    },
    {"http.response.body": ("more_body", (LAST_BODY, COMPLETE), (BODY, STREAMING))},  # STREAMING
    {  # PROMISED: as STARTED, and trailers were promised
        "http.response.body": ("more_body", (LAST_BODY, TRAILING), (BODY, PROMISED_STREAMING)),
        "http.response.pathsend": ("", (FILE, TRAILING), (FILE, TRAILING)),
    },
    {"http.response.body": ("more_body", (LAST_BODY, TRAILING), (BODY, PROMISED_STREAMING))},  # PROMISED_STREAMING
    {  # TRAILING: the body is complete, promised trailers are not
        "http.response.trailers": ("more_trailers", (LAST_TRAILERS, COMPLETE), (TRAILERS, TRAILING)),
    },
    {},  # COMPLETE
)

CONNECTING, OPEN, DENYING, CLOSED = range(4)
WEBSOCKET_ORDER: Order = (
    {  # CONNECTING: the handshake has no answer
        "websocket.accept": ("", (ACCEPT, OPEN), (ACCEPT, OPEN)),
        "websocket.close": ("", (CLOSE, CLOSED), (CLOSE, CLOSED)),
        "websocket.http.response.start": ("", (DENY, DENYING), (DENY, DENYING)),
    },
    {  # OPEN
        "websocket.send": ("", (SEND, OPEN), (SEND, OPEN)),
        "websocket.close": ("", (CLOSE, CLOSED), (CLOSE, CLOSED)),
    },
    {  # DENYING: a response instead of the handshake
        "websocket.http.response.body": ("more_body", (LAST_DENIAL_BODY, CLOSED), (DENIAL_BODY, DENYING)),
    },
    {},  # CLOSED
)


def take(order: Order, state: int, message: Message) -> Meant:
    """Return the action that ``message`` asks for, and the state that follows.

    Args:
        order: ``HTTP_ORDER`` or ``WEBSOCKET_ORDER``.
        state: how far the application came with its response or WebSocket; 0 at first.
        message: from the application.

    Raises:
        ApplicationFault: the message may not come now.
    """
    allowed = order[state]
    found = allowed.get(message["type"])
    if found is None:
        raise ApplicationFault(_out_of_order(message, allowed))
    flag, plain, flagged = found
    # Most messages have no flag, and asking for that is less than a call.
    return flagged if flag in message and message[flag] else plain  # noqa: RUF019


def _out_of_order(message: Message, allowed: Mapping[str, Any]) -> str:
    wanted = " or ".join(sorted(allowed)) or "no further message, the response is complete"
    return f"ASGI message: expected {wanted}, got {message['type']!r} (from the application's send)"


def message_status(message: Message) -> int:
    """Return the status of a start or informational message."""
    status = message.get("status")
    if type(status) is int:
        return status
    if not isinstance(status, int) or isinstance(status, bool):
        raise ApplicationFault(f"status: expected an integer, got {status!r} (from {message['type']})")
    return int(status)


def message_headers(message: Message) -> Headers:
    """Return the message's ``headers`` as a new list of pairs of bytes.

    Raises ApplicationFault for anything but bytes; the rules of HTTP are the engine's to check.
    """
    fields = list(message["headers"] or ()) if "headers" in message else []
    for field in fields:
        if type(field) is tuple and len(field) == 2:
            # What an application gives as a tuple is kept, which most do.
            name, value = field
            if type(name) is bytes and type(value) is bytes:
                continue
        return [_field(field, message) for field in fields]
    return fields


def _field(field: Any, message: Message) -> Tuple[bytes, bytes]:
    try:
        name, value = field
    except (TypeError, ValueError):
        raise ApplicationFault(f"header: expected a name and a value, got {field!r} (from {message['type']})") from None
    if isinstance(name, bytes) and isinstance(value, bytes):
        return bytes(name), bytes(value)
    raise ApplicationFault(f"header: expected bytes, got {name!r}: {value!r} (from {message['type']})")


def message_body(message: Message) -> bytes:
    """Return the message's ``body``; raises ApplicationFault when it is no bytes-like object."""
    body = message["body"] if "body" in message else b""  # noqa: SIM401 - a call by name costs more
    if type(body) is bytes:
        return body
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise ApplicationFault(f"body: expected bytes, got {type(body).__name__} (from {message['type']})")


def informational(message: Message) -> Tuple[int, Headers]:
    """Return status and headers of an early hint (RFC 8297) or another informational message."""
    if message["type"] != EARLY_HINT:
        return message_status(message), message_headers(message)
    links = message.get("links") or ()
    if not all(isinstance(link, bytes) for link in links):
        raise ApplicationFault(f"links: expected bytes, got {links!r} (from {EARLY_HINT})")
    return 103, [(b"link", link) for link in links]


def message_path(message: Message) -> str:
    """Return the path of a ``http.response.pathsend`` message."""
    path = message.get("path")
    if not isinstance(path, str):
        raise ApplicationFault(f"path: expected a string, got {path!r} (from {message['type']})")
    return path


def message_data(message: Message) -> Union[bytes, str]:
    """Return what a ``websocket.send`` message carries: text, or bytes; exactly one of them."""
    data, text = message.get("bytes"), message.get("text")
    if text is None and isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if data is None and isinstance(text, str):
        return text
    raise ApplicationFault(f"websocket.send: expected either text or bytes, got {text!r} and {data!r}")


def close_code(message: Message) -> Tuple[int, str]:
    """Return code and reason of a ``websocket.close`` message (RFC 6455 section 7.4)."""
    code, reason = message.get("code", 1000), message.get("reason") or ""
    if not isinstance(code, int) or not isinstance(reason, str):
        raise ApplicationFault(f"websocket.close: expected a number and a text, got {code!r} and {reason!r}")
    return int(code), reason


def accepted_subprotocol(message: Message, offered: Sequence[str]) -> Optional[str]:
    """Return the subprotocol that a ``websocket.accept`` message chose among those ``offered``."""
    chosen = message.get("subprotocol")
    if chosen is None or chosen in offered:
        return chosen
    raise ApplicationFault(f"subprotocol: expected one of {list(offered)!r}, got {chosen!r} (from websocket.accept)")
