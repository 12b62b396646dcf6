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

from typing import Any, Callable, List, Optional, Sequence

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine, Segment
from server_http.events import Event, Handover

OpenEngine = Callable[[ConnectionInfo, HttpConfig, float], Engine]

class Opener:
    """What the connections of one listener share.

    Args:
        config: limits, policy and modes; see ``server_http.config``.
        open_engine: the protocol's connection factory, for example ``negotiate.open_http``.
        tls: the listener's TLS, or None for cleartext.
    """

    __slots__ = ("config", "open_engine", "tls")

    def __init__(self, config: HttpConfig, open_engine: OpenEngine, tls: Any = None) -> None:
        self.config = config
        self.open_engine = open_engine
        self.tls = tls

    def open(self, info: ConnectionInfo, now: float) -> Connection:
        """Return the connection of a socket that was just accepted."""
        return Connection(info, self.open_engine(info, self.config, now))


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

    def sent(self, n: int) -> None:
        """The first ``n`` octets of ``segments()`` were written."""
        self.engine.sent(n)

    def drain(self, now: float) -> None:
        """The worker is stopping: take no further request."""
        self.info.draining = True
        self.engine.drain(now)

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
