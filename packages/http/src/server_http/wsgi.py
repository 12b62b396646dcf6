"""WSGI (PEP 3333): an application's calls become messages in order.

Owns: ``start_response`` and ``write()``, the status line and header types an application may use.
Must not know: how a message travels (the sink does), what is in the environ (``environ``), threads, logs, settings.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple, Union

from server_http.environ import NAME_CACHE_SIZE
from server_http.errors import ApplicationFault
from server_http.events import Header, Headers

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

WriteCallable = Callable[[bytes], None]

#: The longest status that is kept, in characters.
STATUS_CHARACTERS_MAX = 64
#: The longest value of a response's field that is kept, in characters.
HEADER_CHARACTERS_MAX = 255

_header_names: Dict[str, HeaderName] = {}
_statuses: Dict[str, Tuple[int, bytes]] = {}


class Sink(Protocol):
    """Where the messages of one response go: the application's side of a stream."""

    def respond(self, status: int, headers: Headers, reason: bytes) -> None:
        """Send the response head."""

    def send(self, data: bytes) -> None:
        """Send a part of the body, and wait while too much of it is unsent."""

    def inform(self, status: int, headers: Headers) -> None:
        """Send a 1xx response."""


@cython.freelist(8)
@cython.cclass
class StartResponse:
    """``start_response`` of one request, and the order of its messages (PEP 3333).

    The head is kept until the first body octets or the end, because an application may still replace it by
    ``start_response(..., exc_info)`` until then.

    Attributes:
        status: the status code, or 0 while the application has not called.
        reason: the reason phrase.
        headers: the encoded fields, names as the application wrote them.
        length: the value of the application's Content-Length, or None without one.
        head_sent: whether the head went to the sink.
    """

    __slots__ = ("_sink", "_trailers", "head_sent", "headers", "length", "reason", "status")

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._trailers: Optional[Headers] = None
        self.status = 0
        self.reason = b""
        self.headers: Headers = []
        self.length: Optional[bytes] = None
        self.head_sent = False

    def __call__(self, status: Any, headers: Any, exc_info: Any = None) -> WriteCallable:
        """Take the head of the response.

        Args:
            status: ``"200 OK"``: three digits and a phrase.
            headers: a list of ``(name, value)`` strings that fit latin-1.
            exc_info: ``sys.exc_info()`` of an error that this head replaces the earlier one for.

        Returns:
            ``write(data)``, the imperative way to send the body.

        Raises:
            ApplicationFault: wrong types, or a second call without ``exc_info``.
        """
        if exc_info is not None:
            if self.head_sent:
                try:
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None  # the traceback refers to this frame
        elif self.status:
            raise ApplicationFault(
                f"start_response: expected exc_info with a second call, got none with {status!r} (from the application)"
            )
        code, reason = parse_status(status)
        encoded, length = encode_headers(headers)
        self.status = code
        self.reason = reason
        self.headers = encoded
        self.length = length
        return self.write

    def write(self, data: bytes) -> None:
        """Send ``data`` as the next part of the body, the head before it. Empty data sends nothing."""
        if not isinstance(data, bytes):
            data = _as_bytes(data)
        if not data:
            return
        if not self.head_sent:
            self.send_head()
        self._sink.send(data)

    def send_head(self) -> None:
        """Send the head if it is not on its way yet.

        Raises:
            ApplicationFault: the application has not called ``start_response``.
        """
        if self.head_sent:
            return
        if not self.status:
            raise ApplicationFault(
                "start_response: expected a call before the first body bytes, got none (from the application)"
            )
        self.head_sent = True
        self._sink.respond(self.status, self.headers, self.reason)

    def declare(self, size: int, method: str) -> None:
        """All of the body is known: declare its length unless the application did (PEP 3333).

        Args:
            size: octets of the body.
            method: of the request; an empty answer to HEAD says nothing of what GET would have.

        Raises:
            ApplicationFault: the application has not called ``start_response``.
        """
        if not self.status:
            raise ApplicationFault("start_response: expected a call before the end, got none (from the application)")
        if self.length is None and self.status not in (204, 304) and (size or method != "HEAD"):
            self.set_length(size)

    def take_whole(self, size: int, method: str) -> Optional[Tuple[int, Headers, bytes]]:
        """Return status, headers and reason for a sink to send with all of the body; the head counts as sent.

        None when fields follow the body, which has to be sent part by part then. Arguments and errors: see ``declare``.
        """
        if self._trailers is not None:
            return None
        self.declare(size, method)
        self.head_sent = True
        return self.status, self.headers, self.reason

    def set_length(self, length: int) -> None:
        """Declare a Content-Length that the server knows and the application did not give (PEP 3333)."""
        self.length = value = b"%d" % length
        self.headers.append((b"Content-Length", value))

    def early_hints(self, headers: Any) -> None:
        """``wsgi.early_hints``: send 103 with ``headers``; nothing once the final head is sent (RFC 8297)."""
        if not self.head_sent:
            encoded, _length = encode_headers(headers)
            self._sink.inform(103, encoded)

    def send_trailers(self, headers: Any) -> None:
        """``server.send_trailers``: the fields that follow the body of an HTTP/2 response."""
        self._trailers, _length = encode_headers(headers)

    def trailers(self) -> Headers:
        """Return the fields given to ``send_trailers``."""
        return self._trailers or []


def parse_status(status: Any) -> Tuple[int, bytes]:
    """Return code and reason phrase of ``"200 OK"``.

    Raises:
        ApplicationFault: not a string of three digits, and a phrase after a space or nothing.
    """
    if not isinstance(status, str):
        raise ApplicationFault(f"status: expected a string like '200 OK', got {status!r} (from the application)")
    known = _statuses.get(status)
    if known is not None:
        return known
    digits = status[:3]
    if len(digits) != 3 or not (digits.isascii() and digits.isdigit()) or status[3:4] not in ("", " "):
        raise ApplicationFault(f"status: expected three digits and a phrase, got {status!r} (from the application)")
    try:
        found = int(digits), status[4:].encode("latin-1")
    except UnicodeEncodeError:
        raise ApplicationFault(f"status: expected latin-1 text, got {status!r} (from the application)") from None
    if len(_statuses) < NAME_CACHE_SIZE and len(status) <= STATUS_CHARACTERS_MAX:
        _statuses[str(status)] = found
    return found


def encode_headers(headers: Any) -> Tuple[Headers, Optional[bytes]]:
    """Return the fields as octets, and the value of Content-Length if it is among them.

    What HTTP forbids in a field is the business of the response rules; only PEP 3333's types are checked.

    Raises:
        ApplicationFault: not a list of ``(str, str)`` pairs that fit latin-1.
    """
    if not isinstance(headers, list):
        headers = _as_list(headers)
    encoded: List[Header] = []
    length: Optional[bytes] = None
    try:
        for name, value in headers:
            known = _header_names.get(name)
            if known is None:
                known = _header_name(name)
            latest = known.latest
            field = latest[1] if value is latest[0] else known.field(value)
            if known.is_length:
                length = field[1]
            encoded.append(field)
    except (TypeError, ValueError, AttributeError):  # UnicodeEncodeError is a ValueError
        raise ApplicationFault(
            f"headers: expected (name, value) pairs of latin-1 strings, got {headers!r} (from the application)"
        ) from None
    return encoded, length


class HeaderName:
    """A field name as an application spells it.

    Attributes:
        octets: the name as it is sent.
        is_length: it is that of Content-Length.
        latest: the value that was met last as text, and the field with it; most responses say the same again.
    """

    __slots__ = ("is_length", "latest", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.is_length = octets.lower() == b"content-length"
        self.latest: Tuple[str, Header] = ("", (octets, b""))

    def field(self, value: Any) -> Header:
        """Return the field with ``value``."""
        known, latest = self.latest
        if type(value) is not str or len(value) > HEADER_CHARACTERS_MAX:
            return self.octets, _latin1(value)
        if len(value) != len(known) or value != known:
            latest = (self.octets, _latin1(value))
        self.latest = (value, latest)  # one assignment: threads share it
        return latest


def _latin1(text: Any) -> bytes:
    if type(text) is str:
        characters = text
        return characters.encode("latin-1")
    octets: bytes = text.encode("latin-1")  # an application's own kind of string
    return octets


def _header_name(name: Any) -> HeaderName:
    known = HeaderName(name.encode("latin-1"))
    if len(_header_names) < NAME_CACHE_SIZE:
        _header_names[str(name)] = known
    return known


def _as_list(headers: Any) -> List[Any]:
    """Accept any sequence of pairs: PEP 3333 wants a list, and gunicorn's users return tuples too."""
    if isinstance(headers, tuple):
        return list(headers)
    raise ApplicationFault(f"headers: expected a list of (name, value) pairs, got {headers!r} (from the application)")


def _as_bytes(data: Union[bytearray, memoryview, Any]) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise ApplicationFault(f"body: expected bytes, got {type(data).__name__} (from the application)")
