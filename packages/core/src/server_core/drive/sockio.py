"""Octets between a non-blocking stream socket and the segments of an engine.

Owns: the calls of the system, and how several segments go out in one of them.
Must not know: connections, protocols, who waits.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, no-any-return, attr-defined"

from __future__ import annotations

import os
import socket
import struct
from typing import Any, List, Optional

from server_core.drive.streams import FileTooShortError, read_region
from server_http.engine import FileRegion

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: Octets asked of a socket at a time.
RECEIVE_OCTETS = 65536
#: Segments given to one ``sendmsg``; far below the system's IOV_MAX.
GATHER_SEGMENTS = 64
#: Octets of a file sent by one call: a peer that reads fast must not keep the others waiting.
FILE_OCTETS = 1024 * 1024
#: Octets read of a file at a time where ``sendfile`` is not to be used.
FILE_READ_OCTETS = 65536

#: Octets sent in one call without giving up the interpreter lock.
LOCKED_OCTETS = 65536

WOULD_BLOCK = -1

#: Linux: octets wait in the kernel for more of them, or for the end of the stream; 200 ms at most.
_MORE = int(getattr(socket, "MSG_MORE", 0))

_RESET = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds

# The sockets keep Python's blocking mode, which saves a call for each; the flag makes each operation return. Python's
# flags are objects that make another, in Python, of two of them: these are numbers.
_DONTWAIT = int(socket.MSG_DONTWAIT)
# A peer that is gone is an error of the call, as Python sees to by ignoring SIGPIPE; here it is said again.
_SEND_FLAGS = _DONTWAIT | int(getattr(socket, "MSG_NOSIGNAL", 0))


def receive(sock: Any, fd: int) -> Optional[bytes]:
    """Return what has arrived, ``b""`` at the end of the peer's stream, None when nothing is there.

    Raises OSError when the connection broke.
    """
    if cython.compiled:
        # One buffer for all: the interpreter lock is not given up for a call that never waits.
        size = c_recv(fd, BUFFER, cython.sizeof(BUFFER), _DONTWAIT)
        if size >= 0:
            return BUFFER[:size]
        if errno in (EAGAIN, EINTR):
            return None
        raise OSError(errno, os.strerror(errno))
    try:
        data: bytes = sock.recv(RECEIVE_OCTETS, _DONTWAIT)
    except BlockingIOError:
        return None
    return data


def abort_at_close(sock: Any) -> None:
    """Have ``sock.close()`` reset the connection: the peer sees an error where it waits for octets."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def transmit(sock: Any, fd: int, segments: List[Any], use_sendfile: bool, parting: bool = False) -> int:
    """Write as much of ``segments`` as one call takes.

    Args:
        sock: the socket.
        fd: its descriptor.
        segments: what ``Engine.segments`` returned, not empty.
        use_sendfile: whether file regions go the short way.
        parting: whether the caller shuts the socket down behind them at once, so that they can go out with its end.

    Returns:
        The octets written, ``WOULD_BLOCK`` when the socket takes none.

    Raises:
        OSError: the connection broke.
        FileTooShortError: a file region has fewer octets than it promised.
    """
    segment = segments[0]
    more = _MORE if parting else 0
    try:
        if type(segment) is FileRegion:
            return _transmit_file(sock, segment, use_sendfile)
        if len(segments) > 1:
            return _transmit_many(sock, segments, more)
        if cython.compiled and type(segment) is bytes and len(segment) <= LOCKED_OCTETS:
            return _send_locked(fd, segment, more)
        count: int = sock.send(segment, _DONTWAIT | more)
    except BlockingIOError:
        return WOULD_BLOCK
    return count


def _send_locked(fd: int, data: bytes, more: int) -> int:
    """Send without giving up the interpreter lock, which costs more than a short call that never waits."""
    count = c_send(fd, cython.cast("const char *", data), len(data), _SEND_FLAGS | more)
    if count >= 0:
        return count
    if errno in (EAGAIN, EINTR):
        return WOULD_BLOCK
    raise OSError(errno, os.strerror(errno))


def _transmit_many(sock: Any, segments: List[Any], more: int) -> int:
    gathered = []
    for segment in segments[:GATHER_SEGMENTS]:
        if type(segment) is FileRegion:
            break
        gathered.append(segment)
    count: int = sock.sendmsg(gathered, (), _DONTWAIT | more)
    return count


def _transmit_file(sock: Any, region: FileRegion, use_sendfile: bool) -> int:
    if use_sendfile:
        # It knows no flag that makes it return. Python's own state of the socket stays as it is.
        os.set_blocking(sock.fileno(), False)
        count = os.sendfile(sock.fileno(), region.fd, region.offset, min(region.count, FILE_OCTETS))
    else:
        count = sock.send(read_region(region, 0, FILE_READ_OCTETS), _DONTWAIT)
    if not count:
        raise FileTooShortError(region, 0)
    return count
