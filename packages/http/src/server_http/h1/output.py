"""What waits to be written to an HTTP/1 peer, and how a response head is spelled (RFC 9112 sections 4 and 5).

Owns: the queue of segments with its octet counts, how long the peer may leave it lying and the application wait for
it, and status lines, field lines, chunks and error pages as octets.
Must not know: when anything is said (``exchange``), sockets. uwsgi answers through it as well.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, no-any-return, attr-defined"

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from server_http.defaults import ResponseDefaults
from server_http.engine import FileRegion, Segment
from server_http.errors import RequestTimeout
from server_http.events import Headers
from server_http.exchange import Exchange
from server_http.states import CHUNKED
from server_http.statuses import REASONS, error_page, reason

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: A part of at most this size, in octets, is joined to a small part before it: head and first body part leave together.
JOINED = 16 * 1024
_JOINED = JOINED
#: What a part may already have, in octets, for another to be joined to it. The two bound the copying: linear.
_JOINED_TO = 2 * 1024

_HEXADECIMAL = b"0123456789abcdef"
_COLON = 0x3A
_SPACE = 0x20
_CR = 0x0D
_LF = 0x0A

#: By status: its usual line, and the phrase in it; None for those that have none.
_STATUS_LINES: List[Optional[Tuple[bytes, bytes]]] = [
    (b"HTTP/1.1 %d %b\r\n" % (status, REASONS[status]), REASONS[status]) if status in REASONS else None
    for status in range(1000)
]

_CONNECTION_LINES = {
    b"": b"",
    b"close": b"Connection: close\r\n",
    b"keep-alive": b"Connection: keep-alive\r\n",
    b"Upgrade": b"Connection: Upgrade\r\n",
}
_CHUNKED_LINES = {
    value: line + b"Transfer-Encoding: chunked\r\n" for value, line in _CONNECTION_LINES.items()
}  # fmt: skip


@cython.freelist(8)
@cython.cclass
class Output:
    """The segments of one connection in order, and how many octets they are.

    Attributes:
        pending: octets that wait.
        since: when the first of them came, or the peer last took some; monotonic seconds.
        written: octets that were written, since the connection began.
        blocked: the application waits until the peer has taken more.
    """

    __slots__ = ("_segments", "blocked", "pending", "since", "written")

    def __init__(self) -> None:
        self._segments: List[Segment] = []
        self.pending = 0
        self.since = 0.0
        self.written = 0
        self.blocked = False

    def segments(self) -> List[Segment]:
        """Return what waits, in order. The list is the queue itself, always the same, and not to be changed."""
        return self._segments

    def add(self, data: bytes, now: float) -> None:
        """Append octets; a small part joins the one before it."""
        if self.pending == 0:
            self.since = now
        size = len(data)
        self.pending += size
        segments = self._segments
        if segments and size <= _JOINED:
            last = segments[-1]
            if type(last) is bytes and len(last) <= _JOINED_TO:
                segments[-1] = last + data
                return
        segments.append(data)

    def add_chunk(self, data: bytes, now: float) -> None:
        """Append one chunk (RFC 9112 section 7.1); ``data`` is not empty, which would end the body."""
        size = len(data)
        if size <= _JOINED:
            self.add(_chunk(data), now)
        else:
            self.add(b"%x\r\n" % size, now)
            self.add(data, now)
            self.add(b"\r\n", now)

    def add_file(self, fd: int, offset: int, count: int, now: float) -> None:
        """Append ``count`` octets of an open file."""
        if self.pending == 0:
            self.since = now
        self.pending += count
        self._segments.append(FileRegion(fd, offset, count))

    def add_page(self, exchange: Exchange, status: int, defaults: ResponseDefaults, now: float) -> None:
        """Append the constant page of an error as the response of ``exchange``, of which nothing was said."""
        exchange.keep_alive = False
        headers, page = error_page(status)
        fields = exchange.respond(status, headers)
        size = exchange.complete(len(page))
        self.add(response_head(exchange, fields, defaults), now)
        self.add(page[:size], now)

    def sent(self, n: int) -> None:
        """Take the first ``n`` octets off."""
        self.pending -= n
        self.written += n
        segments = self._segments
        if self.pending == 0:
            segments.clear()
            return
        gone = 0
        for segment in segments:
            size = len(segment)
            if n < size:
                break
            n -= size
            gone += 1
        del segments[:gone]
        if n:
            segments[0] = _behind(segments[0], n)

    def give_up(self, exchange: Optional[Exchange]) -> int:
        """Forget what waits, which cannot be written any more, and all that ``exchange`` had still to say.

        Returns:
            How many octets of the response's body were written.
        """
        waited = self.pending
        self._segments.clear()
        self.pending = 0
        if exchange is None:
            return 0
        exchange.abandon()
        return max(0, exchange.sent - waited)

    # -- who waits for whom ----------------------------------------------------------------------------------------

    def fill(self, high: int) -> None:
        """Content was added: with more than ``high`` octets the application waits."""
        if self.pending > high:
            self.blocked = True

    def relieved(self, low: int) -> bool:
        """Whether an application that waited may go on, because at most ``low`` octets are left; True once."""
        if not self.blocked or self.pending > low:
            return False
        self.blocked = False
        return True

    def deadline(self, patience: float, since: float, timeout: float) -> Optional[float]:
        """Return when the peer has to have taken or sent something, whichever is first; None for no such time.

        Args:
            patience: seconds in which it has to take some of what waits; 0 for any.
            since: when what it has to send was asked for; monotonic seconds.
            timeout: the seconds it has for that; 0 when nothing is expected of it.
        """
        if self.pending and patience:
            written_by = self.since + patience
            if not timeout or written_by < since + timeout:
                return written_by
        return since + timeout if timeout else None

    def overdue(self, patience: float, now: float) -> Optional[RequestTimeout]:
        """Return what is wrong with a peer that took nothing for ``patience`` seconds, else None."""
        if self.pending and patience and now >= self.since + patience:
            return RequestTimeout(f"output: expected the peer to read within {patience} s")
        return None


def _behind(segment: Segment, n: int) -> Segment:
    """Return what is left of a segment behind its first ``n`` octets."""
    if isinstance(segment, FileRegion):
        return FileRegion(segment.fd, segment.offset + n, segment.count - n)
    return memoryview(segment)[n:]


def response_head(
    exchange: Exchange, fields: Headers, defaults: ResponseDefaults, phrase: bytes = b"", body: bytes = b""
) -> bytes:
    """Spell the final head that ``exchange.respond`` admitted.

    Args:
        exchange: after ``respond``.
        fields: what ``respond`` returned.
        defaults: the ``Server`` and ``Date`` fields.
        phrase: the reason phrase, ``b""`` for the usual one.
        body: what follows the head in the same piece.
    """
    if exchange.own_server or exchange.own_date:
        own = (b"" if exchange.own_server else defaults.server_line) + (
            b"" if exchange.own_date else defaults.date_line
        )
    else:
        own = defaults.lines
    connection = exchange.connection()
    if exchange.framing == CHUNKED:
        connection = _CHUNKED_LINES[connection]
    elif connection:
        connection = _CONNECTION_LINES[connection]
    return _spell(_status_line(exchange.status, phrase), own, connection, fields, body)


def informational_head(status: int, fields: Headers) -> bytes:
    """Spell a 1xx head (RFC 9110 section 15.2)."""
    return _spell(_status_line(status, b""), b"", b"", fields, b"")


def trailer_section(fields: Headers) -> bytes:
    """Spell the last chunk and the trailers behind it (RFC 9112 section 7.1.2)."""
    return _spell(b"0\r\n", b"", b"", fields, b"") if fields else b"0\r\n\r\n"


def _spell(start: bytes, own: bytes, connection: bytes, fields: Headers, body: bytes) -> bytes:
    """Return the first line, the server's own lines, the field lines, the empty line behind them and ``body`` as one
    piece."""
    if cython.compiled:
        spelled = _copy(start, own, connection, fields, body)
        if spelled is not None:
            return spelled
    parts = [start, own, connection]
    for field in fields:
        parts.append(b"%b: %b\r\n" % field)
    parts.append(b"\r\n")
    parts.append(body)
    return b"".join(parts)


def _copy(start: bytes, own: bytes, connection: bytes, fields: Headers, body: bytes) -> Optional[bytes]:
    """``_spell`` without a list of parts; None when a field is made of another kind of bytes. Compiled only."""
    size = len(start) + len(own) + len(connection) + 2 + len(body)
    for name, value in fields:
        if type(name) is not bytes or type(value) is not bytes:
            return None
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
    spelled = PyBytes_FromStringAndSize(cython.NULL, size)
    at = PyBytes_AS_STRING(spelled)
    at = _append(_append(_append(at, start), own), connection)
    for name, value in fields:
        at = _append(at, name)
        at[0] = _COLON
        at[1] = _SPACE
        at = _append(at + 2, value)
        at[0] = _CR
        at[1] = _LF
        at += 2
    at[0] = _CR
    at[1] = _LF
    _append(at + 2, body)
    return spelled


def _append(at: Any, octets: bytes) -> Any:
    """Copy octets to ``at``; returns where they end. Compiled only."""
    memcpy(at, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
    return at + PyBytes_GET_SIZE(octets)


def _chunk(data: bytes) -> bytes:
    """Spell one chunk: its size in hexadecimal, a line end, the octets, a line end."""
    if not cython.compiled:
        return b"%x\r\n%b\r\n" % (len(data), data)
    size = len(data)
    digits = 1
    while size >> 4 * digits:
        digits += 1
    spelled = PyBytes_FromStringAndSize(cython.NULL, digits + size + 4)
    at = PyBytes_AS_STRING(spelled)
    for place in range(digits):
        at[place] = _HEXADECIMAL[size >> 4 * (digits - 1 - place) & 15]
    at += digits
    at[0] = _CR
    at[1] = _LF
    at = _append(at + 2, data)
    at[0] = _CR
    at[1] = _LF
    return spelled


def _status_line(status: int, phrase: bytes) -> bytes:
    """Return the line for ``status``, with the usual phrase where ``phrase`` is ``b""``."""
    usual = _STATUS_LINES[status]
    if usual is not None and (not phrase or phrase == usual[1]):
        return usual[0]
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase or reason(status))
