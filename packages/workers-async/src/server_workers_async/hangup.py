"""Clients that leave while nobody reads from them.

Owns: asking the kernel whether a socket's other end is gone, without reading.
Must not know: why reading is paused, what follows from a client's leaving.
"""

from __future__ import annotations

import select
from typing import Any, Iterable, List, Tuple

# Without POLLRDHUP (macOS) the end of a stream behind unread octets cannot be seen; a reset can.
_ENDED: int = getattr(select, "POLLRDHUP", 0)
_RESET = select.POLLERR | select.POLLHUP


def find_hung_up(sessions: Iterable[Any]) -> List[Tuple[Any, bool]]:
    """Return those of ``sessions`` (each with ``fd``) whose client ended its stream, and whether it reset it."""
    by_fd = {session.fd: session for session in sessions}
    if not by_fd:
        return []
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, _ENDED)
    return [(by_fd[fd], bool(event & _RESET)) for fd, event in poll.poll(0)]
