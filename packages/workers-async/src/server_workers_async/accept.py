"""Taking connections from listeners on an event loop.

Owns: watching a listener by the loop, and making a session of what was accepted.
Must not know: when a connection is left to another worker (``server_core.drive.accept``), what is spoken on it.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from server_core.drive.accept import Acceptor
from server_core.drive.connection import Opener
from server_workers_async.session import Session


class Entrance:
    """One listener of the worker.

    Args:
        service: what the worker's connections share.
        listener: ``server_core.sockets.Listener``.
        opener: makes the protocol side of each connection.
        limit: connections of the worker above which it accepts none.
        shared: whether other workers accept from the same listener.
    """

    def __init__(self, service: Any, listener: Any, opener: Opener, limit: int, shared: bool) -> None:
        self._service = service
        self._opener = opener
        self._limit = limit
        self._limits = opener.config.limits
        self._watching = False
        self._stopped = False
        self._acceptor = Acceptor(listener, self, shared, service.log)

    # What the acceptor asks of a poller -------------------------------------------------------------------------------

    def add_listener(self, fd: int) -> None:
        """Watch the listener."""
        if not self._watching and not self._stopped:
            self._watching = True
            self._service.loop.add_reader(fd, self._on_ready)

    def mute(self, fd: int, muted: bool) -> None:
        """Look away, or look again."""
        if not muted:
            self.add_listener(fd)
        elif self._watching:
            self._watching = False
            self._service.loop.remove_reader(fd)

    # What the worker calls --------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """There may be room now."""
        self._acceptor.unmute(self._acceptor.muted_until)

    def stop(self) -> None:
        """Take what is in the backlog, then accept no more."""
        self.mute(self._acceptor.fd, True)
        self._stopped = True
        while self._take(1):
            pass

    def _on_ready(self) -> None:
        service = self._service
        acceptor = self._acceptor
        if not service.worker.alive:  # a drain takes what waits, and a worker that was given up would serve no more
            self.mute(acceptor.fd, True)
            return
        own = len(service.connections)
        now = monotonic()
        accepted = acceptor.accept(now, self._limit - own, False, own, service.worker.board.fewest_connections())
        if acceptor.muted_until:
            service.loop.call_later(acceptor.muted_until - now, self.look_again)
        for sock, info in accepted:
            self._open(sock, info, now)

    def _take(self, count: int) -> int:
        now = monotonic()
        accepted = self._acceptor.take(count, now)
        for sock, info in accepted:
            self._open(sock, info, now)
        return len(accepted)

    def _open(self, sock: Any, info: Any, now: float) -> None:
        service = self._service
        session = Session(service, sock, self._opener.open(info, now), self._limits)
        service.opened(session)
        if service.draining:
            session.drain(now)
        # What a client wants is often here with it; the loop need not be asked.
        session.on_readable()
