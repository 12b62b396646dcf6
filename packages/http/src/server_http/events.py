"""The facts that engines report: past tense, data only.

Owns: the event classes and the ``Request`` that all protocols share.
Must not know: who handles an event. Plain slotted classes, because one is made for every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Tuple, Union

if TYPE_CHECKING:
    from server_http.lines import FieldLines

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
        lines: what ``headers`` will be made of when somebody asks for them; None when they are a list.
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
        underscored: a field name contains ``_``, of which the policy decides.
        queued_since: when a trusted proxy took the request (``X-Request-Start``), epoch seconds; 0.0 = it did not say.
    """

    __slots__ = (
        "_headers",
        "authority",
        "client",
        "content_length",
        "expects_continue",
        "keep_alive",
        "lines",
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
        "underscored",
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
    lines: Optional[FieldLines]
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
    underscored: bool
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
        self._headers: Headers = []
        self.lines = None
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
        self.underscored = False
        self.queued_since = 0.0

    @property
    def headers(self) -> Headers:
        """The fields in order, names in lower case."""
        if self.lines is not None:
            self._headers = self.lines.pairs()
            self.lines = None
        return self._headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers
        self.lines = None

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

    ``complete`` is True when nothing follows; no ``BodyEnded`` is reported then. ``body`` is None, unless a body came
    whole with its head: then it is all of it, and no credit is to be given back.
    """

    __slots__ = ("body", "complete", "request", "stream")

    def __init__(self, stream: int, request: Request, complete: bool) -> None:
        self.stream = stream
        self.request = request
        self.complete = complete
        self.body: Optional[bytes] = None

    def facts(self) -> Tuple[int, Request, bool, Optional[bytes], str, bytes, bool, float]:
        """Return what a driver acts on, in one look: stream, request, complete and body of this, and method, target,
        keep_alive and queued_since of the request."""
        request: Request = self.request
        target, persists = request.target, request.keep_alive
        return self.stream, request, self.complete, self.body, request.method, target, persists, request.queued_since


if not cython.compiled:
    # Nothing makes ``lines`` there, and the plain attribute can be had without a call.
    Request.headers = Request._headers  # type: ignore[assignment, method-assign, misc]


def request_received(stream: int, request: Request, complete: bool) -> RequestReceived:
    """Return ``RequestReceived(...)``: without the reading of arguments that a class does when it is called."""
    event = RequestReceived.__new__(RequestReceived)
    event.stream = stream
    event.request = request
    event.complete = complete
    event.body = None
    return event


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


def body_received(stream: int, data: Any, credit: int) -> BodyReceived:
    """Return ``BodyReceived(...)``; see ``request_received``."""
    event = BodyReceived.__new__(BodyReceived)
    event.stream = stream
    event.data = data
    event.credit = credit
    return event


def body_ended(stream: int, trailers: Headers) -> BodyEnded:
    """Return ``BodyEnded(...)``; see ``request_received``."""
    event = BodyEnded.__new__(BodyEnded)
    event.stream = stream
    event.trailers = trailers
    return event


def end_body(events: List[Event], stream: int, trailers: Headers) -> bool:
    """Report that a body is complete: with the head, if that and one part are all that was said of it.

    Args:
        events: what is about to be reported.
        stream: the engine's number of the exchange.
        trailers: of the body.

    Returns:
        Whether it is told with the head, so that nobody will give its credit back.
    """
    last = len(events) - 1
    part: Any = None
    if last >= 0 and type(events[last]) is BodyReceived:
        part = events[last]
        if part.stream != stream:  # of another request on the same connection
            events.append(body_ended(stream, trailers))
            return False
        last -= 1
    if last >= 0 and type(events[last]) is RequestReceived and not trailers:
        head: Any = events[last]
        request: Request = head.request
        method = request.method
        # What follows a CONNECT is no body
        if head.stream == stream and method != "CONNECT" and (part is None or type(part.data) is bytes):
            head.complete = True
            head.body = b""
            if part is not None:
                head.body = part.data
                events.pop()
            return True
    events.append(body_ended(stream, trailers))
    return False


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


def stream_closed(stream: int, status: int, sent: int) -> StreamClosed:
    """Return ``StreamClosed(...)``; see ``request_received``."""
    event = StreamClosed.__new__(StreamClosed)
    event.stream = stream
    event.status = status
    event.sent = sent
    return event


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


@cython.freelist(8)
@cython.cclass
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
