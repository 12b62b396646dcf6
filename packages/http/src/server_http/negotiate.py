"""Which engine speaks on a connection: the protocol ``http``.

Owns: the choice between HTTP/1.1 and HTTP/2, by ALPN, by the client preface and by ``Upgrade: h2c``, and
the answer to a peer that is refused before there is an engine.
Must not know: how an engine works, TLS, the PROXY prefix; their facts are in ``ConnectionInfo``.

Cleartext HTTP/2 is spoken with trusted peers only, and where ``http2_cleartext`` says so. Where HTTP/1 is
not among the protocols, a connection that could speak HTTP/2 and does not is refused.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple, Type, cast

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine, Segment
from server_http.errors import BadRequest
from server_http.events import ConnectionEnded, Event, Handover, Request
from server_http.fields import members
from server_http.h1.engine import Http1Engine
from server_http.h1.output import Output
from server_http.statuses import reason

if TYPE_CHECKING:
    from server_http.h2.engine import Http2Engine

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every HTTP/2 client says first (RFC 9113 section 3.4)."""

_PREFACE_MODES = ("prior-knowledge", "both")
_UPGRADE_MODES = ("upgrade", "both")


def open_http(info: ConnectionInfo, config: HttpConfig, now: float) -> Engine:
    """Open the engine of a connection whose PROXY prefix and TLS handshake are behind it."""
    if info.alpn == "h2" or (info.proxy is not None and "h2" in config.protocols and info.proxy.alpn == b"h2"):
        return _http2()(info, config, now)
    if info.tls is not None:
        first = Http1Engine(info, config, now)
        return first if "h1" in config.protocols else _listening(info, config, first)
    if config.http2_cleartext == "off" or not config.policy.trusts(info):
        return Http1Engine(info, config, now)
    upgrade = partial(_upgrade_h2c, info, config) if config.http2_cleartext in _UPGRADE_MODES else None
    first = Http1Engine(info, config, now, upgrade)
    return _listening(info, config, first) if config.http2_cleartext in _PREFACE_MODES else first


def _listening(info: ConnectionInfo, config: HttpConfig, first: Engine) -> Engine:
    # It has no streams, so nobody gives it the commands of the contract that it lacks
    return cast(Engine, _Listening(info, config, first))


def _http2() -> Type[Http2Engine]:
    """The HTTP/2 engine; its library is an extra, so it is imported where it is spoken."""
    from server_http.h2.engine import Http2Engine

    return Http2Engine


def _upgrade_h2c(
    info: ConnectionInfo, config: HttpConfig, request: Request, rest: bytes, now: float
) -> Optional[Tuple[Engine, Sequence[Event]]]:
    """Take an ``Upgrade: h2c`` (RFC 7540 section 3.2), or return None where the offer is not complete.

    Args:
        info, config: of the connection.
        request: without a body.
        rest: what follows its head.
        now: monotonic seconds.
    """
    settings = [value for name, value in request.headers if name == b"http2-settings"]
    named = any(name == b"connection" and b"http2-settings" in members(value) for name, value in request.headers)
    if len(settings) != 1 or not named:
        return None
    try:
        engine = _http2().from_upgrade(info, config, now, request, settings[0])
    except BadRequest:
        return None
    return engine, engine.receive_data(rest, now) if rest else engine.advance(now)


class _Listening:
    """Tells HTTP/2 from HTTP/1 by the first octets of a connection, and hands over.

    Until then everything else is asked of the HTTP/1 engine, whose deadlines for a first request hold.
    """

    __slots__ = ("_config", "_ended", "_first", "_held", "_info", "_out")

    def __init__(self, info: ConnectionInfo, config: HttpConfig, first: Engine) -> None:
        self._info = info
        self._config = config
        self._first = first
        self._held = b""
        self._out = Output()
        self._ended = False

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """See ``Engine.receive_data``; ``Handover`` once the octets are no preface, or a whole one."""
        if self._ended:
            return ()
        self._held += data
        if self._held.startswith(PREFACE):
            return self._hand_over(_http2()(self._info, self._config, now), now)
        if PREFACE.startswith(self._held):
            return ()
        if "h1" in self._config.protocols:
            return self._hand_over(self._first, now)
        self._ended = True
        error = BadRequest(f"client preface: expected HTTP/2, got {self._held[:24]!r}")
        self._out.add(refusal(error.status, b"This port speaks HTTP/2 only.\n"), now)
        return [ConnectionEnded(error, True)]

    def receive_eof(self, now: float) -> Sequence[Event]:
        """See ``Engine.receive_eof``."""
        return () if self._ended else self._first.receive_eof(now)

    def advance(self, now: float) -> Sequence[Event]:
        """See ``Engine.advance``."""
        return () if self._ended else self._first.advance(now)

    def want_read(self) -> bool:
        """See ``Engine.want_read``."""
        return not self._ended and self._first.want_read()

    @property
    def queue(self) -> None:
        """See ``Engine.queue``."""

    def segments(self) -> List[Segment]:
        """See ``Engine.segments``."""
        return self._out.segments()

    def sent(self, n: int) -> bool:
        """See ``Engine.sent``."""
        self._out.sent(n)
        return True

    def drain(self, now: float) -> None:
        """See ``Engine.drain``."""
        self._first.drain(now)

    def deadline(self) -> Optional[float]:
        """See ``Engine.deadline``."""
        return None if self._ended else self._first.deadline()

    def handle_timer(self, now: float) -> Sequence[Event]:
        """See ``Engine.handle_timer``."""
        return () if self._ended else self._first.handle_timer(now)

    def _hand_over(self, engine: Engine, now: float) -> Sequence[Event]:
        if self._info.draining:
            engine.drain(now)
        return [Handover(engine), *engine.receive_data(self._held, now)]


def refusal(status: int, text: bytes) -> bytes:
    """Return a whole HTTP/1.1 response for a peer that is refused before there is an engine.

    Args:
        status: an error status.
        text: constant octets that say what is wrong; nothing of the peer's input.
    """
    head = b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, reason(status), len(text)) + text
