"""What lies between a socket and an engine: the PROXY prefix and TLS, sans-I/O like the engine itself.

Owns: the order of the layers, opening the engine once everything before it is known, and handing over
from one engine to the next.
Must not know: sockets, how a layer works inside (``server_http.proxy``, ``server_core.tls``), and
which protocol the engine speaks.

    octets from the peer -> PROXY prefix -> TLS -> engine
    octets to the peer   <-                 TLS <- engine

A driver makes one ``Opener`` for each listener and asks it for a ``Connection`` for each socket. While
``connection.plain`` is True there is no layer: the driver may talk to ``connection.engine`` directly and
replaces it itself when a ``Handover`` is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Optional, Sequence, Union

from server_core.drive.streams import read_region
from server_core.tls_errors import PlainHTTP, TLSError
from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine, FileRegion, Segment
from server_http.errors import ProtocolError, RequestTimeout
from server_http.events import ConnectionEnded, Event, Handover
from server_http.negotiate import refusal
from server_http.proxy import ProxyReader

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

if TYPE_CHECKING:
    from server_core.tls import ServerTLS
    from server_core.tls_session import TLSSession

OpenEngine = Callable[[ConnectionInfo, HttpConfig, float], Engine]

CIPHERTEXT_HIGH_WATER = 128 * 1024
"""Octets that are encrypted ahead of the peer; more stay in the engine."""

FILE_PIECE = 64 * 1024
"""Octets of a file that are read at once to be encrypted."""

NOTHING: Sequence[Event] = ()


class Opener:
    """What the connections of one listener share.

    Args:
        config: limits, policy and modes; see ``server_http.config``.
        open_engine: the protocol's connection factory, for example ``negotiate.open_http``.
        tls: the listener's TLS, or None for cleartext.

    Attributes:
        is_plain: nothing lies between its sockets and their engines.
    """

    __slots__ = ("config", "is_plain", "open_engine", "tls")

    def __init__(self, config: HttpConfig, open_engine: OpenEngine, tls: Optional[ServerTLS] = None) -> None:
        self.config = config
        self.open_engine = open_engine
        self.tls = tls
        self.is_plain = tls is None and config.proxy_mode == "off"
        if tls is not None:
            tls.set_protocols(config.protocols)

    def open(self, info: ConnectionInfo, now: float) -> Connection:
        """Return the connection of a socket that was just accepted."""
        if self.is_plain:
            return Connection(info, self.open_engine(info, self.config, now))
        return LayeredConnection(self, info, now)


@cython.freelist(8)
@cython.cclass
class Connection:
    """An engine with nothing below it; what a layered connection adds is empty here.

    Attributes:
        info: what is known of the connection.
        engine: takes the commands; None until the layers below know what to open.
        plain: no layer is in the way, now and later.
    """

    __slots__ = ("engine", "info", "plain")

    engine: Engine

    def __init__(self, info: ConnectionInfo, engine: Engine) -> None:
        self.info = info
        self.engine = engine
        self.plain = True

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """Take octets from the socket and return what became known."""
        return self._handed_over(self.engine.receive_data(data, now))

    def receive_eof(self, now: float) -> Sequence[Event]:
        """The socket's other end closed its sending side."""
        return self._handed_over(self.engine.receive_eof(now))

    def advance(self, now: float) -> Sequence[Event]:
        """Return the facts that commands and writing caused."""
        return self._handed_over(self.engine.advance(now))

    def want_read(self) -> bool:
        """Whether the driver may read from the socket now."""
        return self.engine.want_read()

    def segments(self) -> List[Segment]:
        """Return the octets that wait for the socket, in order."""
        return self.engine.segments()

    def sent(self, n: int) -> bool:
        """The first ``n`` octets of ``segments()`` were written. Returns False when ``advance`` has nothing to do."""
        sent: bool = self.engine.sent(n)
        return sent

    def drain(self, now: float) -> None:
        """The worker is stopping: take no further request."""
        self.info.draining = True
        self.engine.drain(now)

    def close(self, now: float) -> None:
        """The driver ends the connection: only what waits, and TLS's close_notify, is still to be written.
        Not needed after ``ConnectionEnded``."""

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called, in monotonic seconds."""
        return self.engine.deadline()

    def handle_timer(self, now: float) -> Sequence[Event]:
        """Act on every deadline that has passed."""
        return self._handed_over(self.engine.handle_timer(now))

    def _handed_over(self, events: Sequence[Event]) -> Sequence[Event]:
        for event in events:
            if type(event) is Handover:
                self.engine = event.engine
        return events


class _Output:
    """Octets for the socket and how many of the engine's they carry."""

    __slots__ = ("carried", "octets")

    def __init__(self, octets: Union[bytes, memoryview], carried: int) -> None:
        self.octets = octets
        self.carried = carried


class LayeredConnection(Connection):
    """A connection with a PROXY prefix, with TLS, or both before its engine.

    ``sent`` of the engine is told octets once their ciphertext was written, so that back-pressure and
    the send deadline stay the engine's; ``_covered`` counts those that are encrypted and not yet told.
    Once ``_failure`` is set nothing more is encrypted. ``_unasked`` says that TLS may have octets of its own, and
    ``_waiting`` is the engine's queue where it keeps one (``Engine.queue``): without either nothing need be asked.
    """

    __slots__ = (
        "_covered",
        "_deadline",
        "_ended",
        "_failure",
        "_notices",
        "_opener",
        "_prefix",
        "_progress",
        "_queue",
        "_queued",
        "_tls",
        "_unasked",
        "_waiting",
    )

    def __init__(self, opener: Opener, info: ConnectionInfo, now: float) -> None:
        self.info = info
        self.engine = None  # type: ignore[assignment]  # nobody gives commands before the first event
        self.plain = False
        self._opener = opener
        self._ended = False
        self._queue: List[_Output] = []
        self._queued = 0
        self._covered = 0
        self._failure: Optional[Exception] = None
        self._notices: List[Event] = []
        self._deadline: Optional[float] = None
        self._prefix: Optional[ProxyReader] = None
        self._tls: Optional[TLSSession] = None
        self._unasked = True
        self._progress = False  # something was written since the deadline of the output was set
        self._waiting: Optional[List[Segment]] = None
        config = opener.config
        if config.proxy_mode != "off":
            self._prefix = ProxyReader(config.proxy_mode, config.proxy_allow_ips.has(info.peer), config.limits)
            self._deadline = now + config.limits.proxy_timeout
        else:
            self._start_tls(now)

    # -- octets from the peer ------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """See ``Connection.receive_data``. Before there is an engine only ``Warned`` and ``ConnectionEnded``
        are reported."""
        if self._ended:
            return NOTHING
        try:
            if self._prefix is not None:
                rest = self._read_prefix(data, now)
                if rest is None:
                    return NOTHING
                data = rest
            if self._tls is not None:
                return self._receive_encrypted(self._tls, data, now)
        except ProtocolError as error:
            return self._refuse(error, now)
        if self.engine is None:
            self._open(now)
        return self._observe(self.engine.receive_data(data, now), now) if data else NOTHING

    def receive_eof(self, now: float) -> Sequence[Event]:
        """See ``Connection.receive_eof``. An end of TLS without close_notify is the same fact: HTTP
        frames its messages, so a body that was cut short is found by the engine."""
        if self._ended:
            return NOTHING
        if self.engine is None:
            self._ended = True
            return [ConnectionEnded(None, False)]
        if self._tls is not None and self._tls.input_ended:
            return NOTHING
        return self._observe(self.engine.receive_eof(now), now)

    def _read_prefix(self, data: bytes, now: float) -> Optional[bytes]:
        """Feed the PROXY prefix; returns what follows it, or None while it is incomplete."""
        assert self._prefix is not None  # noqa: S101 - the caller looked
        rest = self._prefix.receive(data)
        if rest is None:
            return None
        header = self._prefix.header
        if header is not None:
            self.info.proxy = header
            if header.source is not None:
                self.info.client = header.source
        self._prefix = None
        self._start_tls(now)
        return rest

    def _start_tls(self, now: float) -> None:
        tls = self._opener.tls
        self._deadline = None
        if tls is not None:
            self._notices = list(tls.refresh(now))
            self._tls = tls.session()
            self._deadline = now + tls.handshake_timeout

    def _receive_encrypted(self, tls: TLSSession, data: bytes, now: float) -> Sequence[Event]:
        plaintext = tls.receive(data)
        self._unasked = tls.has_output
        events: Sequence[Event] = NOTHING
        if self.engine is None:
            if not tls.established:
                return NOTHING
            events = self._establish(tls, now)
        if plaintext:
            received = self._observe(self.engine.receive_data(plaintext, now), now)
            events = [*events, *received] if events else received
        if tls.input_ended and not self._ended:
            events = [*events, *self._observe(self.engine.receive_eof(now), now)]
        return events

    def _establish(self, tls: TLSSession, now: float) -> Sequence[Event]:
        """The handshake is complete: note its facts, open the engine, report what there is to log."""
        self._deadline = None
        self.info.tls = tls.info()
        self.info.alpn = tls.info().alpn
        self._open(now)
        notices, self._notices = self._notices, []
        return notices

    def _open(self, now: float) -> None:
        opener = self._opener
        self._take_engine(opener.open_engine(self.info, opener.config, now))
        if self.info.draining:
            self.engine.drain(now)
        if self._tls is None:
            self.plain = True

    def _take_engine(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting = getattr(engine, "queue", None)  # a plugin may have none

    def _refuse(self, error: ProtocolError, now: float) -> Sequence[Event]:
        """The peer broke a rule below the engine: say so where it can be read, and end."""
        self._ended = True
        self._limit_output(now)
        if isinstance(error, PlainHTTP):
            self._put(refusal(error.status, b"This port speaks HTTPS, the request was sent in clear.\n"))
        elif self._tls is not None:
            self._put(self._tls.encrypt())  # the alert
        elif self._opener.tls is None and self.engine is None:
            self._put(refusal(error.status, b"The PROXY header is missing, malformed or not allowed.\n"))
        return [ConnectionEnded(error, bool(self._queue))]

    def _observe(self, events: Sequence[Event], now: float) -> Sequence[Event]:
        for event in events:
            if type(event) is Handover:
                self._take_engine(event.engine)
            elif type(event) is ConnectionEnded:
                self._end_output(event.abort, now)
        return events

    def _end_output(self, abort: bool, now: float) -> None:
        """No input follows; where the engine gave its output up, what was encrypted of it goes too."""
        self._ended = True
        self._limit_output(now)
        if abort or self._covered > sum(map(len, self.engine.segments())):
            self._give_up_output()  # and no close_notify: it is cut

    def _limit_output(self, now: float) -> None:
        """From here on the engine sets no deadline for what waits: it may have been told that all is written."""
        timeout = self._opener.config.limits.send_timeout
        self._deadline = now + timeout if timeout else None
        self._progress = False

    def _give_up_output(self) -> None:
        self._queue.clear()
        self._queued = self._covered = 0
        self._failure = TLSError("output: given up before it was written")

    # -- octets to the peer --------------------------------------------------------------------------------------

    def segments(self) -> List[Segment]:
        """See ``Connection.segments``. With TLS these are octets only: files are read and encrypted."""
        tls = self._tls
        if tls is None:
            return self.engine.segments() if self.engine is not None else [entry.octets for entry in self._queue]
        if self._failure is None and self._queued < CIPHERTEXT_HIGH_WATER and self._may_encrypt():
            try:
                self._encrypt(tls)
            except (TLSError, OSError) as error:
                self._failure = error
        return [entry.octets for entry in self._queue]

    def sent(self, n: int) -> bool:
        """See ``Connection.sent``."""
        if self.plain:
            return Connection.sent(self, n)  # named, which compiled is a call in C
        done = 0
        self._queued -= n
        self._progress = True
        while n:
            entry = self._queue[0]
            size = len(entry.octets)
            if size > n:
                entry.octets = memoryview(entry.octets)[n:]
                break
            n -= size
            done += entry.carried
            del self._queue[0]
        if done:
            self._covered -= done
            self.engine.sent(done)
        return True

    def _put(self, octets: bytes, carried: int = 0) -> None:
        if octets:
            self._queue.append(_Output(octets, carried))
            self._queued += len(octets)

    def _may_encrypt(self) -> bool:
        return self._unasked or self._ended or self._waiting is None or len(self._waiting) > 0

    def _encrypt(self, tls: TLSSession) -> None:
        """Encrypt what the engine has and is not yet covered, in bounded pieces; at the end close_notify."""
        plaintext: Union[bytes, bytearray, memoryview] = b""
        last = False
        if tls.established:
            waiting = self._waiting if self._waiting is not None else self.engine.segments()
            pieces = _beyond(waiting, self._covered) if waiting else None
            if pieces:
                plaintext = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            last = self._ended and sum(map(len, waiting)) == self._covered + len(plaintext)
        self._put(tls.encrypt(plaintext, last), len(plaintext))
        self._covered += len(plaintext)
        self._unasked = False

    # -- time ----------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> Sequence[Event]:
        """See ``Connection.advance``."""
        if self._failure is not None and not self._ended:
            self._ended = True
            self._limit_output(now)
            return [ConnectionEnded(self._failure, False)]
        return self._observe(self.engine.advance(now), now) if self.engine is not None else NOTHING

    def want_read(self) -> bool:
        """See ``Connection.want_read``."""
        return not self._ended and (self.engine is None or self.engine.want_read())

    def drain(self, now: float) -> None:
        """See ``Connection.drain``."""
        self.info.draining = True
        if self.engine is not None:
            self.engine.drain(now)

    def close(self, now: float) -> None:
        """See ``Connection.close``."""
        self._ended = True

    def deadline(self) -> Optional[float]:
        """See ``Connection.deadline``."""
        own = self._deadline
        theirs = self.engine.deadline() if self.engine is not None else None
        return theirs if own is None or (theirs is not None and theirs < own) else own

    def handle_timer(self, now: float) -> Sequence[Event]:
        """See ``Connection.handle_timer``."""
        events = self._observe(self.engine.handle_timer(now), now) if self.engine is not None else NOTHING
        if self._deadline is None or now < self._deadline:
            return events
        if self._ended:
            if self._progress:
                self._limit_output(now)
            else:
                self._deadline = None
                self._give_up_output()
            return events
        self._ended = True
        stage = "PROXY header" if self._prefix is not None else "TLS handshake"
        return [ConnectionEnded(RequestTimeout(f"{stage}: expected within its deadline, got none"), False)]


def _beyond(segments: List[Segment], skip: int) -> List[Union[bytes, bytearray, memoryview]]:
    """Return what lies behind the first ``skip`` octets, at most about CIPHERTEXT_HIGH_WATER.

    Raises FileTooShortError when a file ends before its region does.
    """
    pieces: List[Union[bytes, bytearray, memoryview]] = []
    room = CIPHERTEXT_HIGH_WATER
    for segment in segments:
        size = len(segment)
        if skip >= size:
            skip -= size
            continue
        if isinstance(segment, FileRegion):
            piece: Union[bytes, bytearray, memoryview] = read_region(segment, skip, FILE_PIECE)
            whole = len(piece) == size - skip
        else:
            whole = size - skip <= room
            piece = segment if whole and not skip else memoryview(segment)[skip : skip + room]
        pieces.append(piece)
        room -= len(piece)
        skip = 0
        if not whole or room <= 0:
            break
    return pieces
