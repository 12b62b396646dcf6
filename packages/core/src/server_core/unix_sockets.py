"""Unix sockets as others left or opened them: socket files, and the process at the other end.

Owns: whether somebody listens on a socket file, which file it is, and who may talk to a private socket.
Must not know: what a socket is for, what becomes of a file that nobody serves.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from typing import Any, Optional, Tuple

ABSENT = "absent"  # no file, so that one can be made
LEFT = "left"  # by a server that was killed: nobody listens
SERVED = "served"

_STATES = {
    0: SERVED,
    errno.EAGAIN: SERVED,  # by somebody whose queue is full
    errno.EINPROGRESS: SERVED,
    errno.ECONNREFUSED: LEFT,
    errno.ENOENT: ABSENT,
}  # by the outcome of a connect
_CREDENTIALS = struct.Struct("3i")  # process, user, group
_PEER: Optional[int] = getattr(socket, "SO_PEERCRED", None)


def file_state(path: str) -> str:
    """Return whether a socket file is there and served: ``ABSENT``, ``LEFT`` or ``SERVED``.

    Raises:
        OSError: it is another kind of file; or, since whoever may not connect (EACCES) or speaks datagrams (EPROTOTYPE)
            does not know that nobody is there, this cannot be told.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return ABSENT
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.ENOTSOCK, "expected a socket or nothing at this path, got another kind of file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        outcome = probe.connect_ex(path)
    if outcome not in _STATES:
        raise OSError(outcome, f"expected a stream socket that nobody serves, got: {os.strerror(outcome)}")
    return _STATES[outcome]


def file_identity(path: str) -> Optional[Tuple[int, int]]:
    """Return what tells a file from another that took its place; None when there is none to be seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_peer(sock: Any, user: int) -> None:
    """Refuse a peer of another user than ``user``, root excepted; where the system does not tell, modes are the guard.

    Raises:
        PermissionError: it is another's.
    """
    if _PEER is None:
        return
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, _PEER, _CREDENTIALS.size))
    if uid not in (user, 0):
        raise PermissionError(f"peer: expected user {user}, got {uid}")
