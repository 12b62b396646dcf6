"""Taking connections from listeners that all workers share.

Owns: when a worker accepts, and when it leaves a connection to another worker: ``worker_connections``, fairness.
Must not know: what is spoken on a connection.

Every worker waits on the same listening sockets, and all are woken. One that has more connections than another looks
away for ``DEFERRAL`` seconds and then accepts what is still there: nobody is stranded when the others are busy.
"""

from __future__ import annotations

import errno
import os
import socket
from time import monotonic
from typing import Any, List

from server_core.drive.connection import Opener
from server_http.engine import ConnectionInfo
from server_workers_async.session import Session

#: Connections taken from one listener in a row, so that those that are open get their turn.
ACCEPT_BATCH = 16
#: Seconds for which a worker with more connections than another leaves new ones to it.
DEFERRAL = 0.003
#: How many connections more than the fewest a worker may have before it defers.
LEAD = 1
#: Seconds of pause after the process ran out of descriptors.
EXHAUSTED_PAUSE = 0.5

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts from one listener.

    Args:
        service: what the worker's connections share.
        listener: ``server_core.sockets.Listener``.
        opener: makes the protocol side of each connection.
        limit: connections of the worker above which it accepts none.
        alone: no other worker shares the listener.
    """

    def __init__(self, service: Any, listener: Any, opener: Opener, limit: int, alone: bool) -> None:
        self._service = service
        self._listener = listener
        self._sock: socket.socket = listener.sock
        self._opener = opener
        self._limit = limit
        self._alone = alone
        self._watching = False
        self._deferred = False
        self._stopped = False
        self._unix = self._sock.family == getattr(socket, "AF_UNIX", None)
        self._server = self._server_address()
        self._limits = opener.config.limits

    def start(self) -> None:
        """Watch the listener."""
        if not self._watching and not self._stopped:
            self._watching = True
            self._service.loop.add_reader(self._sock.fileno(), self._on_ready)

    def pause(self) -> None:
        """Look away; new connections wait in the backlog."""
        if self._watching:
            self._watching = False
            self._service.loop.remove_reader(self._sock.fileno())

    def stop(self) -> None:
        """Take what is in the backlog, then accept no more."""
        self.pause()
        self._stopped = True
        while self._accept():
            pass

    def _on_ready(self) -> None:
        if not self._alone and not self._deferred and self._others_are_freer():
            self._pause_for(DEFERRAL)
            self._deferred = True
            return
        self._deferred = False
        service = self._service
        for _ in range(ACCEPT_BATCH if self._alone else 1):
            if len(service.connections) >= self._limit:
                self.pause()
                return
            if not self._accept():
                return

    def _others_are_freer(self) -> bool:
        board = self._service.worker.board
        return len(self._service.connections) > int(board.fewest_connections()) + LEAD

    def _pause_for(self, seconds: float) -> None:
        self.pause()
        self._service.loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if len(self._service.connections) < self._limit:
            self.start()

    def _accept(self) -> bool:
        """Accept one connection; return False when there is none."""
        try:
            sock, address = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True  # it left while it waited
        except OSError as error:
            if error.errno in _EXHAUSTED and not self._stopped:
                self._service.log.error("Cannot accept a connection: %s", error.strerror)  # noqa: TRY400 - no traceback
                self._pause_for(EXHAUSTED_PAUSE)
            elif error.errno == errno.EINVAL or self._stopped:
                self.pause()  # the arbiter shut the listener down
            else:
                self._service.log.warning("Cannot accept a connection: %s", error)
            return False
        sock.setblocking(False)
        now = monotonic()
        info = ConnectionInfo(None if self._unix else address[:2], self._server)
        session = Session(self._service, sock, self._opener.open(info, now), self._limits)
        self._service.opened(session)
        if self._service.draining:
            session.drain(now)
        # What a client wanted is often here with it; the loop need not be asked.
        session.on_readable()
        return True

    def _server_address(self) -> Any:
        name: Any = self._sock.getsockname()
        if self._unix:
            return (os.fsdecode(name), None)
        return name[:2]


def start_all(acceptors: List[Acceptor]) -> None:
    """Watch all listeners again after a pause."""
    for acceptor in acceptors:
        acceptor.start()
