"""The facts that engines report: past tense, data only.

Owns: the event classes and the ``Request`` that all protocols share.
Must not know: who handles an event. Plain slotted classes, because one is made for every request.
"""

from __future__ import annotations

from typing import Any, List, Optional, Tuple, Union

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

Header = Tuple[bytes, bytes]
Headers = List[Header]


@cython.freelist(8)
@cython.cclass
class Request:
    """The head of one request, the same for HTTP/1, HTTP/2 and uwsgi.

    Attributes:
        stream: the engine's number of the exchange; unique on its connection.
        method: the method as text, for example ``"GET"``.
        target: the request target as it was sent (RFC 9112 section 3.2), for ``RAW_URI``.
        path: the path part of the target, still percent-encoded (``b"*"`` for asterisk-form,
            ``b""`` for CONNECT).
        query: what follows ``?``, or ``b""``.
        version: ``"1.0"``, ``"1.1"`` or ``"2"``.
        scheme: ``"http"`` or ``"https"``, after the header policy looked at trusted headers.
        authority: Host, ``:authority`` or the authority of an absolute-form target.
        headers: fields in order, names in lower case, after the header policy.
        content_length: octets of the body; None when unknown until its end; 0 when there is none.
        expects_continue: the client waits for 100 (RFC 9110 section 10.1.1).
        upgrade: the lower-case ``Upgrade`` protocol when ``Connection`` lists it, else ``b""``.
        protocol: ``:protocol`` of an extended CONNECT (RFC 8441), else ``b""``.
        script_name: mount prefix set by a trusted proxy or by uwsgi variables, else ``None``.
        client: client address after PROXY protocol and the forwarded policy: ``(host, port)``,
            or None for a unix peer that said nothing.
        server: ``(host, port)`` that the client addressed, or None to use the listener's.
        priority: ``(urgency, incremental)`` of RFC 9218, or None.
        variables: extra variables of the uwsgi protocol as ``{str: str}``, or None.
        queued_since: when a trusted proxy took the request (``X-Request-Start``), epoch seconds; 0.0 = it did not say.
    """

    __slots__ = (
        "authority",
        "client",
        "content_length",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "path",
        "priority",
        "protocol",
        "query",
        "queued_since",
        "scheme",
        "script_name",
        "server",
        "stream",
        "target",
        "upgrade",
        "variables",
        "version",
    )  # fmt: skip

    stream: int
    method: str
    target: bytes
    path: bytes
    query: bytes
    version: str
    scheme: str
    authority: bytes
    headers: Headers
    content_length: Optional[int]
    expects_continue: bool
    upgrade: bytes
    protocol: bytes
    script_name: Optional[str]
    client: Optional[Tuple[str, int]]
    server: Optional[Tuple[str, int]]
    priority: Optional[Tuple[int, bool]]
    variables: Optional[dict[str, str]]
    keep_alive: bool
    queued_since: float

    def __init__(self, stream: int, method: str, target: bytes, version: str) -> None:
        self.stream = stream
        self.method = method
        self.target = target
        self.path = target
        self.query = b""
        self.version = version
        self.scheme = "http"
        self.authority = b""
        self.headers = []
        self.content_length = 0
        self.expects_continue = False
        self.upgrade = b""
        self.protocol = b""
        self.script_name = None
        self.client = None
        self.server = None
        self.priority = None
        self.variables = None
        self.keep_alive = True
        self.queued_since = 0.0

    def header(self, name: bytes) -> Optional[bytes]:
        """Return the first value of the lower-case field ``name``, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@cython.freelist(8)
@cython.cclass
class RequestReceived:
    """The head of a request is complete and passed the policy.

    ``complete`` is True when no body follows; no ``BodyEnded`` is reported then.
    """

    __slots__ = ("complete", "request", "stream")

    def __init__(self, stream: int, request: Request, complete: bool) -> None:
        self.stream = stream
        self.request = request
        self.complete = complete


@cython.freelist(8)
@cython.cclass
class BodyReceived:
    """A part of a body. ``credit`` octets are given back by ``Engine.consumed`` when the body's
    owner took them; with HTTP/2 padding it can exceed ``len(data)``."""

    __slots__ = ("credit", "data", "stream")

    def __init__(self, stream: int, data: Any, credit: int) -> None:
        self.stream = stream
        self.data = data
        self.credit = credit


@cython.freelist(8)
@cython.cclass
class BodyEnded:
    """The body is complete; ``trailers`` never join the headers (RFC 9110 section 6.5.1)."""

    __slots__ = ("stream", "trailers")

    def __init__(self, stream: int, trailers: Headers) -> None:
        self.stream = stream
        self.trailers = trailers


class Writable:
    """``pending(stream)`` fell to the low-water mark after it had been above the high one."""

    __slots__ = ("stream",)

    def __init__(self, stream: int) -> None:
        self.stream = stream


class InputEnded:
    """The peer closed its sending side while ``stream`` runs: gone or half-closed, which cannot be
    told apart (RFC 9112 section 9.6). The stream may still be answered."""

    __slots__ = ("stream",)

    def __init__(self, stream: int) -> None:
        self.stream = stream


class StreamReset:
    """The stream ended early: the peer reset it, or its connection broke. No answer can arrive.

    ``StreamClosed`` follows for the same stream.
    """

    __slots__ = ("error", "stream")

    def __init__(self, stream: int, error: Optional[BaseException]) -> None:
        self.stream = stream
        self.error = error


@cython.freelist(8)
@cython.cclass
class StreamClosed:
    """Nothing more will be reported for the stream; the driver forgets it.

    ``status`` and ``sent`` (octets of the body on the wire) are what the access log needs.
    """

    __slots__ = ("sent", "status", "stream")

    def __init__(self, stream: int, status: int, sent: int) -> None:
        self.stream = stream
        self.status = status
        self.sent = sent


class Warned:
    """Something worth a log line at ``level`` (``"info"``, ``"warning"``, ``"error"``)."""

    __slots__ = ("level", "message")

    def __init__(self, message: str, level: str = "warning") -> None:
        self.message = message
        self.level = level


class Handover:
    """Another engine takes the connection over (h2c). ``engine`` has already been fed what
    followed, its first events come next in the same list."""

    __slots__ = ("engine",)

    def __init__(self, engine: Any) -> None:
        self.engine = engine


class ConnectionEnded:
    """No more input is taken: close once ``segments()`` is empty.

    ``linger`` asks for a lingering close: shut the sending side down, then discard what arrives
    for a bounded time and size, so that a reset cannot destroy the answer on its way
    (RFC 9112 section 9.6).
    ``abort`` asks for a reset instead: a message that would end with the connection was cut, and nothing else tells
    the peer that its rest is missing (RFC 9112 section 8).
    """

    __slots__ = ("abort", "error", "linger")

    def __init__(self, error: Optional[BaseException], linger: bool, abort: bool = False) -> None:
        self.error = error
        self.linger = linger
        self.abort = abort


Event = Union[
    RequestReceived, BodyReceived, BodyEnded, Writable, InputEnded, StreamReset, StreamClosed,
    Warned, Handover, ConnectionEnded,
]  # fmt: skip
