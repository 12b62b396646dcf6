"""When a request arrived, as the kernel and a proxy know it.

Owns: how long octets waited in the kernel (TCP_INFO, tcp(7)), when it is asked and what is known without it, and what
of a proxy's word counts.
Must not know: loops, sessions, what is done about a long wait.

A worker that is busy leaves octets in the kernel: in the queue of connections to be accepted, and in the buffers of
those that are open. Asking costs a system call, which would be felt if every request paid it. Mostly nobody need ask:
what a poll reports of a connection that had nothing to be read came between the poll before and this one. While these
are close together, that says as much as the kernel does, which counts in ticks of 1 to 10 milliseconds.

Of all else (the first octets of a connection, what is reported after a long pause, what had to wait for a thread) a
read is asked about every ``PROBE_SECONDS``, until one turns out to have waited: then every read is, until one did not.
An idle worker has time to be asked, and a busy one does not stay unnoticed for longer than that.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Any

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: A poll that took longer had nothing to report when it was made, in seconds.
SLEPT_SECONDS = 0.0005
#: Two polls are so close together, in seconds, that the middle between them is no further off than a tick may be.
CLOSE_SECONDS = 0.02
#: Seconds between two questions while nothing waits.
PROBE_SECONDS = 0.01
#: Octets that were there no longer have not waited: it may be a tick of the kernel's clock, in seconds.
FRESH_SECONDS = 0.004
#: A proxy's clock that is further away is wrong, in seconds.
PLAUSIBLE_SECONDS = 3600.0

_LINUX = sys.platform == "linux"
_TCP: int = int(socket.IPPROTO_TCP)
_TCP_INFO: int = getattr(socket, "TCP_INFO", 11)
_INFO_OCTETS = 56
#: ``tcpi_last_data_recv``: milliseconds since the last segment with data, or since the handshake (linux/tcp.h).
_last_data = struct.Struct("=52xI").unpack


class Arrivals:
    """Tells how long the octets of a read had been there. One for each driver, used in the thread that reads.

    Attributes:
        due: before this monotonic moment nobody need ask.
        close: what the last poll reported came within ``CLOSE_SECONDS``: ``reported`` says when.
    """

    __slots__ = ("_since", "_woke", "close", "due")

    def __init__(self) -> None:
        self.due = 0.0
        self.close = False
        self._since = 0.0  # no octets that the last poll reported came before
        self._woke = 0.0  # when it reported them; 0.0 where nobody polls

    def polled(self, called: float, woke: float, behind: bool) -> None:
        """A poll is over.

        Args:
            called: when it began, monotonic seconds.
            woke: when it had something to report.
            behind: there is more to see to than it reported: what polls before it did, or had no room for.
        """
        if not behind:
            self._since = woke if woke - called > SLEPT_SECONDS else self._woke or called
        self._woke = woke
        # Interpreted, the poll includes a wait for the interpreter's lock; a long one may not have slept.
        since = self._since if cython.compiled else min(self._since, called)
        self.close = woke - since <= CLOSE_SECONDS

    def reported(self, now: float) -> float:
        """Return how long what the last poll reported had been in the kernel, in seconds: the middle of what can be."""
        return now - self._woke + (self._woke - self._since) / 2 if self._woke else 0.0

    def waited(self, sock: Any, now: float) -> float:
        """Return how long what was just read had been in the kernel, in seconds.

        Args:
            sock: a socket of which ``is_timed`` is true.
            now: monotonic seconds.
        """
        try:
            waited = _last_data(sock.getsockopt(_TCP, _TCP_INFO, _INFO_OCTETS))[0] / 1000.0
        except OSError:  # the connection is gone; its next use says so
            waited = 0.0
        self.due = now if waited > FRESH_SECONDS else now + PROBE_SECONDS
        return float(waited)


def is_timed(info: Any) -> bool:
    """Whether the kernel knows when octets of a connection (``ConnectionInfo``) arrived: TCP on Linux."""
    return _LINUX and info.peer is not None


def told_wait(since: float) -> float:
    """Return how long ago a proxy took a request, in seconds; 0.0 when its clock cannot be right.

    Args:
        since: ``Request.queued_since``, epoch seconds.
    """
    waited = time.time() - since
    return waited if 0.0 < waited < PLAUSIBLE_SECONDS else 0.0


def shares_clock(info: Any) -> bool:
    """Whether the peer of a connection runs on this machine, so that its clock is ours."""
    peer = info.peer
    return peer is None or peer[0] == "::1" or peer[0].startswith("127.")
