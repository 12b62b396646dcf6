"""Taking connections from a listener, and leaving them to a worker that has less to do.

Owns: ``Door`` (the facts of a listener and of new connections) and ``Acceptor``: when a readable listener is accepted
from, and what a full process or system does about it.
Must not know: what becomes of a connection.

Nothing is ever refused for good: a worker that leaves a connection to others looks again after ``DECLINE_SECONDS``
and takes it if it is still there. All workers hear of every connection (no EPOLLEXCLUSIVE: with it a declined
connection stays with the one that declined it).
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any, List, Optional, Tuple

from server_core.drive.clientsocket import accept
from server_http.engine import ConnectionInfo

#: How long a connection is left to other workers, in seconds.
DECLINE_SECONDS = 0.002
#: Connections a worker may have more than the one with the fewest before it declines.
UNEVENNESS = 1
#: How long nothing is accepted after the process or the system ran out of descriptors or memory.
EXHAUSTED_SECONDS = 0.25
#: Connections taken in a row where no other worker wants them.
BATCH = 8

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHUT = (errno.EINVAL, errno.EBADF)
#: Linux hands TCP_NODELAY of a listener on to what it accepts; others do not.
_INHERITS_NODELAY = sys.platform == "linux"

Accepted = Tuple[Any, ConnectionInfo]


def uneven(own: int, fewest: int) -> bool:
    """Whether a worker with ``own`` connections leaves a new one to that with the ``fewest``."""
    return own > fewest + UNEVENNESS


class Door:
    """The facts of a listener, and of what is accepted from it.

    Args:
        listener: the listener (``server_core.sockets.Listener``).
    """

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.sock = listener.sock
        self.fd: int = listener.fileno()
        self.family = int(self.sock.family)
        self._is_unix = self.family == socket.AF_UNIX
        self._nodelay = not self._is_unix and not _INHERITS_NODELAY
        self.server = self._server_address()

    def _server_address(self) -> Tuple[str, Optional[int]]:
        name = self.sock.getsockname()
        if self._is_unix:
            return (name if isinstance(name, str) else name.decode("utf-8", "replace"), None)
        return (name[0], name[1])

    def admit(self, sock: Any, address: Any) -> ConnectionInfo:
        """Return the facts of a connection that was accepted, and set it up."""
        if self._nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_unix:
            return ConnectionInfo(None, self.server)
        return ConnectionInfo(address if len(address) == 2 else (address[0], address[1]), self.server)

    def take(self, count: int, now: float) -> List[Accepted]:
        """Accept up to ``count`` connections that wait at ``now``, monotonic seconds."""
        accepted: List[Accepted] = []
        while len(accepted) < count:
            try:
                connection = accept(self.sock, self.fd, self.family)
            except OSError as error:
                self.fail(error, now)
                break
            if connection is None:
                break
            sock, address = connection
            accepted.append((sock, self.admit(sock, address)))
        return accepted

    def fail(self, error: OSError, now: float) -> None:
        """The system gave no connection."""


def is_exhausted(error: OSError) -> bool:
    """Whether process or system ran out of what an accepted connection needs."""
    return error.errno in _EXHAUSTED


def is_shut(error: OSError) -> bool:
    """Whether the listener was shut down or closed; other errors are those of one connection (accept(2))."""
    return error.errno in _SHUT


class Acceptor(Door):
    """One listener of a reactor.

    Args:
        listener: the listener.
        poller: where it is registered and muted.
        shared: whether other workers accept from the same queue.
        log: the logger.

    Attributes:
        muted_until: when it is looked at again, monotonic seconds; 0 while it is not muted.
    """

    def __init__(self, listener: Any, poller: Any, shared: bool, log: Any) -> None:
        super().__init__(listener)
        self.muted_until = 0.0
        self._poller = poller
        self._shared = shared
        self._log = log
        self._declined = False
        poller.add_listener(self.fd)

    def accept(self, now: float, room: int, busy: bool, own: int, fewest: int) -> List[Accepted]:
        """The listener is readable: take connections, or leave them to others.

        Args:
            now: monotonic seconds.
            room: connections the worker may still take.
            busy: requests wait for this worker.
            own: connections of this worker.
            fewest: connections of the worker that has the fewest.
        """
        if room <= 0:
            self.mute(now + EXHAUSTED_SECONDS)
            return []
        if self._shared and not self._declined and (busy or uneven(own, fewest)):
            self._declined = True
            self.mute(now + DECLINE_SECONDS)
            return []
        self._declined = False
        return self.take(min(room, 1 if self._shared else BATCH), now)

    def fail(self, error: OSError, now: float) -> None:
        """The system gave no connection: look away for a while where it will give none."""
        if is_exhausted(error):
            self._log.error("accept: expected a free descriptor, got: %s", error.strerror)
        if is_exhausted(error) or is_shut(error):
            self.mute(now + EXHAUSTED_SECONDS)

    def mute(self, until: float) -> None:
        """Do not look at the listener before ``until``."""
        if not self.muted_until:
            self._poller.mute(self.fd, True)
        self.muted_until = until

    def unmute(self, now: float) -> bool:
        """Look at the listener again if it is time; returns whether it was muted until now."""
        if not self.muted_until or self.muted_until > now:
            return False
        self.muted_until = 0.0
        self._poller.mute(self.fd, False)
        return True
