"""The lingering close of a connection (RFC 9112 section 9.6).

Owns: what is thrown away behind an answer, and the bounds of that.
Must not know: sessions, and how they learn that something has arrived.

A socket that is closed while input waits answers with a reset, which destroys what the peer has not read yet. So our
side is shut down first, and what the peer still sends is read and thrown away until it is through.
"""

from __future__ import annotations

from typing import Any

from server_core.drive.sockio import receive

#: How long the peer has, in seconds, and how many octets it may send meanwhile.
LINGER_SECONDS = 2.0
LINGER_OCTETS = 65536


class Linger:
    """What is known of one lingering close.

    Args:
        now: when it began, monotonic seconds.

    Attributes:
        until: when the connection is closed at the latest, monotonic seconds.
    """

    __slots__ = ("_octets", "until")

    def __init__(self, now: float) -> None:
        self.until = now + LINGER_SECONDS
        self._octets = 0

    def discard(self, sock: Any, fd: int) -> bool:
        """Throw away what has arrived; return whether it is over: by the peer's end, its reset, or too many octets."""
        while True:
            try:
                data = receive(sock, fd)
            except OSError:
                return True
            if data is None:
                return False
            self._octets += len(data)
            if not data or self._octets > LINGER_OCTETS:
                return True
