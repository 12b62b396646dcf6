"""One WebSocket, server side, sans I/O: octets in, messages out, octets out (RFC 6455 sections 5 to 7).

Owns: frames to messages, control frames, the closing handshake, keep-alive pings and every timeout of a WebSocket.
Must not know: how the octets travel (HTTP/1.1 after 101, or an HTTP/2 stream), ASGI, sockets, clocks.

Use, with ``engine`` and ``stream`` of the connection that carries it::

    for event in websocket.receive_data(body.data, now):     # str: text, bytes: binary, Closed: the end
    engine.send(stream, websocket.send_text("hello"), now)   # commands return the octets to send
    engine.send(stream, websocket.take(), now)               # what it has to say itself, after every call
    if websocket.ended: engine.end(stream, now)

Memory is bounded by ``ws_message`` octets of the message that is being received, also when it is compressed, plus
one control frame, however many fragments and pings there are. Text is decoded as it arrives, so that a wrong octet
ends the connection before the message does.

Longer than other modules, because it is one class: octets, commands and time move the same few facts (the state, the
message under way, what waits to go out). Frames, compression and the opening handshake have modules of their own.
"""

from __future__ import annotations

import codecs
import io
import zlib
from typing import Any, List, Optional, Union

from server_http.errors import ApplicationFault, ProtocolError
from server_http.limits import Limits
from server_http.ws import frames
from server_http.ws.deflate import COMPRESS_MIN, Deflate, TooLargeError
from server_http.ws.frames import frame, unmask

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]  # noqa: F401

NORMAL = 1000
PROTOCOL_ERROR = 1002
NO_STATUS = 1005
ABNORMAL = 1006
INVALID_DATA = 1007
TOO_LARGE = 1009
INTERNAL_ERROR = 1011

REASON_OCTETS = frames.CONTROL_MAX - 2

PONGS_MAX = 2048
"""Octets of answers that wait to be taken; of pings beyond that only the last is answered (section 5.5.3)."""

COMPRESSED_SLACK = 1024
"""Octets by which a compressed message, as it comes, may exceed an eighth more than the limit of its content."""

# States of a connection (RFC 6455 section 7): what may still come, and go.
OPEN = 0
CLOSING = 1  # our Close is out, the peer's is awaited
ENDED = 2  # nothing goes out any more

_Decoder = codecs.getincrementaldecoder("utf-8")


class WebSocketError(ProtocolError):
    """The peer broke RFC 6455; ``ws_code`` is what it is told."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.ws_code = code


class Closed:
    """The WebSocket is over: no more messages come.

    Attributes:
        code: of the Close frame; 1005 when it had none, 1006 when there was no Close frame.
        reason: its text.
        error: what the peer did wrong, or None.
    """

    __slots__ = ("code", "error", "reason")

    def __init__(self, code: int, reason: str = "", error: Optional[WebSocketError] = None) -> None:
        self.code = code
        self.reason = reason
        self.error = error


Message = Union[str, bytes, Closed]


class WebSocket:
    """See the module.

    Args:
        limits: the ``ws_*`` bounds.
        now: monotonic seconds.
        deflate: the compression agreed upon, or None.

    Attributes:
        ended: nothing goes out any more: end the stream once ``take`` is sent.
    """

    __slots__ = (
        "_buffer", "_close_at", "_compressed", "_decoder", "_deflate", "_fin", "_heard", "_left", "_limit", "_limits",
        "_mask", "_message", "_opcode", "_out", "_phase", "_ping_at", "_pong", "_pong_at", "_received", "_reported",
        "_size", "_state", "ended",
    )  # fmt: skip

    def __init__(self, limits: Limits, now: float, deflate: Optional[Deflate] = None) -> None:
        self._limits = limits
        self._limit = limits.ws_message
        self._deflate = deflate
        self._state = OPEN
        self.ended = False
        self._reported = False
        self._buffer = b""  # a header or control frame that is incomplete
        self._out = b""
        self._pong: Optional[bytes] = None  # of a Ping whose answer found no room
        # the message that is being received
        self._opcode = 0
        self._compressed = False
        self._size = 0
        self._received = 0  # octets of its frames, which may be compressed
        self._message: Any = None  # a BytesIO with what is there of it, unless it comes as a whole
        self._decoder: Any = None
        # its current frame
        self._fin = False
        self._left = 0
        self._mask = b""
        self._phase = 0
        # time
        self._heard = now
        self._ping_at = now + limits.ws_ping_interval if limits.ws_ping_interval else 0.0
        self._pong_at = 0.0
        self._close_at = 0.0

    # -- received -----------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> List[Message]:
        """Take octets from the peer.

        Returns:
            Messages in order, ``str`` for text and ``bytes`` for binary, and at last one ``Closed``.
        """
        events: List[Message] = []
        if self._state == ENDED:
            return events
        self._heard = now
        self._pong_at = 0.0
        if self._buffer:
            data = self._buffer + data
        elif type(data) is not bytes:
            data = bytes(data)
        try:
            self._buffer = data[self._parse(data, events) :]
        except WebSocketError as error:
            self._fail(error, events)
        return events

    def receive_eof(self, now: float) -> List[Message]:
        """The stream ended. Without a Close frame that is an abnormal closure (section 7.1.5)."""
        events: List[Message] = []
        self._finish(Closed(ABNORMAL), events)
        return events

    def take(self) -> bytes:
        """Return the octets that answer what was received: pongs, pings, Close."""
        octets = self._out
        self._out = b""
        if self._pong is not None:
            octets += frame(frames.FIN | frames.PONG, self._pong)
            self._pong = None
        return octets

    # -- sent ---------------------------------------------------------------------------------------------------

    def send_text(self, text: str) -> bytes:
        """Return the frame of a text message; nothing once closing has begun.

        Raises:
            ApplicationFault: the text has lone surrogates, which UTF-8 cannot carry.
        """
        try:
            return self._frame(frames.FIN | frames.TEXT, text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ApplicationFault(f"websocket text: expected no lone surrogates, got {error.object[:64]!r}") from None

    def send_bytes(self, data: bytes) -> bytes:
        """Return the frame of a binary message; nothing once closing has begun."""
        return self._frame(frames.FIN | frames.BINARY, data if type(data) is bytes else bytes(data))

    def ping(self, now: float, payload: bytes = b"") -> bytes:
        """Return a Ping of at most 125 octets; something must be heard within ``ws_ping_timeout``."""
        if self._state != OPEN:
            return b""
        if self._limits.ws_ping_timeout and not self._pong_at:
            self._pong_at = now + self._limits.ws_ping_timeout
        return frame(frames.FIN | frames.PING, payload[: frames.CONTROL_MAX])

    def close(self, now: float, code: int = NORMAL, reason: str = "") -> bytes:
        """Return the Close frame that begins the closing handshake (section 7.1.2).

        Args:
            now: monotonic seconds; the peer has ``ws_close_timeout`` to answer.
            code: 1000 to 1014 without the reserved ones, or 3000 to 4999.
            reason: at most 123 octets of UTF-8; the rest is cut off.

        Raises:
            ApplicationFault: a code that must not be sent.
        """
        if code not in frames.SENDABLE_CODES:
            raise ApplicationFault(f"websocket close code: expected 1000 to 1014 or 3000 to 4999, got {code!r}")
        if self._state != OPEN:
            return b""
        self._state = CLOSING
        self._close_at = now + self._limits.ws_close_timeout
        return frame(frames.FIN | frames.CLOSE, _close_payload(code, reason))

    # -- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called, in monotonic seconds."""
        if self._state == ENDED:
            return None
        if self._state == CLOSING:
            return self._close_at
        if self._pong_at and (not self._ping_at or self._pong_at < self._ping_at):
            return self._pong_at
        return self._ping_at or None

    def excuse(self) -> None:
        """The peer is not read just now, for the application's sake: the answer to a ping is not missed."""
        self._pong_at = 0.0

    def handle_timer(self, now: float) -> List[Message]:
        """Act on every deadline that has passed; ``take`` then has the ping or Close."""
        events: List[Message] = []
        if self._state == CLOSING:
            if now >= self._close_at:
                self._finish(Closed(ABNORMAL), events)
        elif self._state == OPEN:
            if self._pong_at and now >= self._pong_at:
                timeout = self._limits.ws_ping_timeout
                self._fail(WebSocketError(f"ping: expected an answer within {timeout:g} s", INTERNAL_ERROR), events)
            elif self._ping_at and now >= self._ping_at:
                self._keep_alive(now)
        return events

    def _keep_alive(self, now: float) -> None:
        """Send a ping unless the peer was heard within the interval."""
        interval = self._limits.ws_ping_interval
        if now - self._heard >= interval:
            self._out += self.ping(now)
            self._ping_at = now + interval
        else:
            self._ping_at = self._heard + interval

    # -- frames -------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes, events: List[Message]) -> int:
        """Take whole frames, and content of the last one as far as it is there; return where the rest begins."""
        at = 0
        end = len(data)
        while self._state != ENDED:
            if self._left:
                size = end - at if end - at < self._left else self._left
                if size == 0:
                    break
                self._content(unmask(data, at, size, self._mask, self._phase), size, events)
                at += size
                continue
            if end - at < 6:
                self._check_start(data, at, end)
                break
            first = data[at]
            size = data[at + 1] - frames.MASKED
            short = 0 <= size < 126 and end - at - 6 >= size and not self._opcode and self._state == OPEN
            if short and (first == _WHOLE_TEXT or first == _WHOLE_BINARY):  # noqa: SIM109 - compares C integers
                self._whole(first, unmask(data, at + 6, size, data[at + 2 : at + 6], 0), size, events)
                at += 6 + size
                continue
            after = self._header(data, at, end, events)
            if after < 0:
                break
            at = after
        return at

    def _whole(self, first: int, payload: bytes, size: int, events: List[Message]) -> None:
        """Take a short message in one frame, which most are."""
        if 0 < self._limit < size:
            raise self._too_large(size)
        if first == _WHOLE_BINARY:
            events.append(payload)
            return
        try:
            events.append(payload.decode("utf-8"))
        except UnicodeDecodeError:
            raise WebSocketError("text: expected UTF-8, got something else", INVALID_DATA) from None

    def _check_start(self, data: bytes, at: int, end: int) -> None:
        """Refuse an incomplete header as early as its octets allow."""
        if end > at:
            self._check_first(data[at])
        if end > at + 1 and not data[at + 1] & frames.MASKED:
            raise WebSocketError("frame: expected it masked, as clients must")

    def _header(self, data: bytes, at: int, end: int, events: List[Message]) -> int:
        """Take a frame's header, and all of a control frame; return where they end, -1 when they are incomplete."""
        first = data[at]
        self._check_start(data, at, end)
        opcode = first & 0x0F
        size = data[at + 1] & 0x7F
        if opcode & 0x8 and size > frames.CONTROL_MAX:
            raise WebSocketError(f"control frame: expected at most {frames.CONTROL_MAX} octets, got more")
        after = at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if end - after < width + 4:
                return -1
            size = _extended(data, after, width)
            after += width
        mask = data[after : after + 4]
        after += 4
        if opcode & 0x8:
            if end - after < size:
                return -1
            self._control(opcode, unmask(data, after, size, mask, 0), events)
            return after + size
        self._begin(first, opcode, size)
        self._mask = mask
        if not size:
            self._content(b"", 0, events)
        return after

    def _check_first(self, first: int) -> None:
        """Check FIN, RSV and opcode (section 5.2)."""
        opcode = first & 0x0F
        reserved = first & frames.RSV
        if opcode & 0x8:
            if opcode > frames.PONG or reserved or not first & frames.FIN:
                raise WebSocketError(f"control frame: expected Close, Ping or Pong in one frame, got {first:#04x}")
            return
        if opcode > frames.BINARY:
            raise WebSocketError(f"opcode: expected a known one, got {opcode:#x}")
        if opcode == frames.CONTINUATION:
            if not self._opcode or reserved:
                raise WebSocketError(f"continuation: expected a message to continue, got {first:#04x}")
        elif self._opcode:
            raise WebSocketError("frame: expected a continuation of the message, got the start of another")
        elif reserved and (reserved != frames.RSV1 or self._deflate is None):
            raise WebSocketError(f"RSV bits: expected none that was not agreed upon, got {first:#04x}")

    def _begin(self, first: int, opcode: int, size: int) -> None:
        """Begin a data frame of ``size`` octets."""
        if opcode != frames.CONTINUATION:
            self._opcode = opcode
            self._compressed = bool(first & frames.RSV1)
            self._size = 0
            self._received = 0
            self._decoder = _Decoder() if opcode == frames.TEXT else None
        self._received += size
        most = self._limit + (self._limit >> 3) + COMPRESSED_SLACK if self._compressed else self._limit
        if self._limit > 0 and self._received > most:
            raise self._too_large(self._received)
        self._fin = first >= frames.FIN
        self._left = size
        self._phase = 0

    def _content(self, payload: bytes, size: int, events: List[Message]) -> None:
        """Take content of the current frame; deliver the message when it is complete."""
        self._left -= size
        self._phase = (self._phase + size) & 3
        last = self._fin and not self._left
        if self._compressed:
            payload = self._inflate(payload, last)
        self._size += len(payload)
        content: Any = payload
        if self._decoder is not None:
            try:
                content = self._decoder.decode(payload, last)
            except UnicodeDecodeError:
                raise WebSocketError("text: expected UTF-8, got something else", INVALID_DATA) from None
        if last:
            self._deliver(content, payload, events)
        elif payload:
            if self._message is None:
                self._message = io.BytesIO()  # parts of few octets would be objects of many
            self._message.write(payload)

    def _deliver(self, content: Any, payload: bytes, events: List[Message]) -> None:
        """The message is complete: ``content`` of its last octets, ``payload``, and what came before."""
        if self._message is not None:
            self._message.write(payload)
            content = self._message.getvalue()
            if self._decoder is not None:
                content = content.decode("utf-8")
        self._opcode = 0
        self._message = self._decoder = None
        if self._state == OPEN:  # after our Close nobody listens (section 5.5.1)
            events.append(content)

    def _inflate(self, payload: bytes, last: bool) -> bytes:
        deflate = self._deflate
        if deflate is None:
            raise WebSocketError("RSV1: expected no compression, got it")
        try:
            return deflate.inflate(payload, last, self._limit - self._size if self._limit else None)
        except TooLargeError:
            raise self._too_large(self._limit + 1) from None
        except zlib.error:
            raise WebSocketError("compressed message: expected deflated data, got something else") from None

    def _too_large(self, size: int) -> WebSocketError:
        return WebSocketError(f"message: expected at most {self._limit} octets, got {size} or more", TOO_LARGE)

    def _control(self, opcode: int, payload: bytes, events: List[Message]) -> None:
        """Act on a control frame, which may stand between the fragments of a message (section 5.4)."""
        if opcode == frames.PING:
            if self._state == OPEN and len(self._out) < PONGS_MAX:
                self._out += frame(frames.FIN | frames.PONG, payload)
            elif self._state == OPEN:
                self._pong = payload
        elif opcode == frames.CLOSE:
            closed = _read_close(payload)
            if self._state == OPEN:
                self._out += frame(frames.FIN | frames.CLOSE, payload)  # the same code comes back (section 5.5.1)
            self._finish(closed, events)

    # -- the end ------------------------------------------------------------------------------------------------

    def _frame(self, first: int, payload: bytes) -> bytes:
        if self._state != OPEN:
            return b""
        if self._deflate is not None and len(payload) >= COMPRESS_MIN:
            return frame(first | frames.RSV1, self._deflate.compress(payload))
        return frame(first, payload)

    def _fail(self, error: WebSocketError, events: List[Message]) -> None:
        """Fail the connection (section 7.1.7): say why, then end it without waiting."""
        if self._state == OPEN:
            self._out += frame(frames.FIN | frames.CLOSE, _close_payload(error.ws_code, ""))
        self._finish(Closed(error.ws_code, "", error), events)

    def _finish(self, closed: Closed, events: List[Message]) -> None:
        self._state = ENDED
        self.ended = True
        self._buffer = b""
        self._message = self._pong = None
        self._left = 0
        if not self._reported:
            self._reported = True
            events.append(closed)


_WHOLE_TEXT = frames.FIN | frames.TEXT
_WHOLE_BINARY = frames.FIN | frames.BINARY


def _extended(data: bytes, at: int, width: int) -> int:
    """Read an extended payload length, which must be the shortest that fits (section 5.2)."""
    size = int.from_bytes(data[at : at + width], "big")
    if size < (126 if width == 2 else 0x10000) or size >= 1 << 63:
        raise WebSocketError(f"payload length: expected the shortest form below 2^63, got {size} in {width} octets")
    return size


def _close_payload(code: int, reason: str) -> bytes:
    """Return code and reason, the reason cut at a whole character."""
    text = reason.encode("utf-8", "replace")
    if len(text) > REASON_OCTETS:
        text = text[:REASON_OCTETS].decode("utf-8", "ignore").encode("utf-8")
    return code.to_bytes(2, "big") + text


def _read_close(payload: bytes) -> Closed:
    """Read a Close frame (section 5.5.1)."""
    if not payload:
        return Closed(NO_STATUS)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in frames.SENDABLE_CODES:
        raise WebSocketError(f"close code: expected one that may be sent, got {payload[:2]!r}")
    try:
        return Closed(code, payload[2:].decode("utf-8"))
    except UnicodeDecodeError:
        raise WebSocketError("close reason: expected UTF-8, got something else", INVALID_DATA) from None
