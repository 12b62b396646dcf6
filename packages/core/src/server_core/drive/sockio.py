"""Octets between a non-blocking stream socket and the segments of an engine.

Owns: the calls of the system, and how several segments go out in one of them.
Must not know: connections, protocols, who waits.
"""

from __future__ import annotations

import os
import socket
from typing import Any, List, Optional

from server_http.engine import FileRegion

#: Octets asked of a socket at a time.
RECEIVE_OCTETS = 65536
#: Segments given to one ``sendmsg``; far below the system's IOV_MAX.
GATHER_SEGMENTS = 64
#: Octets of a file sent by one call: a peer that reads fast must not keep the others waiting.
FILE_OCTETS = 1024 * 1024
#: Octets read of a file at a time where ``sendfile`` is not to be used.
FILE_READ_OCTETS = 65536

WOULD_BLOCK = -1

# The sockets keep Python's blocking mode, which saves a call for each; the flag makes each operation return.
_DONTWAIT = socket.MSG_DONTWAIT


class FileTooShortError(OSError):
    """A file ended before the octets that were promised of it; the connection cannot go on."""


def receive(sock: Any) -> Optional[bytes]:
    """Return what has arrived, ``b""`` at the end of the peer's stream, None when nothing is there.

    Raises OSError when the connection broke.
    """
    try:
        data: bytes = sock.recv(RECEIVE_OCTETS, _DONTWAIT)
    except BlockingIOError:
        return None
    return data


def transmit(sock: Any, segments: List[Any], use_sendfile: bool) -> int:
    """Write as much of ``segments`` as one call takes.

    Args:
        sock: the socket.
        segments: what ``Engine.segments`` returned, not empty.
        use_sendfile: whether file regions go the short way.

    Returns:
        The octets written, ``WOULD_BLOCK`` when the socket takes none.

    Raises:
        OSError: the connection broke.
        FileTooShortError: a file region has fewer octets than it promised.
    """
    try:
        if len(segments) == 1:
            segment = segments[0]
            if type(segment) is FileRegion:
                return _transmit_file(sock, segment, use_sendfile)
            count: int = sock.send(segment, _DONTWAIT)
            return count
        return _transmit_many(sock, segments, use_sendfile)
    except BlockingIOError:
        return WOULD_BLOCK


def _transmit_many(sock: Any, segments: List[Any], use_sendfile: bool) -> int:
    if type(segments[0]) is FileRegion:
        return _transmit_file(sock, segments[0], use_sendfile)
    gathered = []
    for segment in segments[:GATHER_SEGMENTS]:
        if type(segment) is FileRegion:
            break
        gathered.append(segment)
    count: int = sock.sendmsg(gathered, (), _DONTWAIT)
    return count


def _transmit_file(sock: Any, region: FileRegion, use_sendfile: bool) -> int:
    if use_sendfile:
        count = os.sendfile(sock.fileno(), region.fd, region.offset, min(region.count, FILE_OCTETS))
    else:
        data = os.pread(region.fd, min(region.count, FILE_READ_OCTETS), region.offset)
        count = sock.send(data, _DONTWAIT) if data else 0
    if not count:
        raise FileTooShortError(f"file: expected {region.count} more octets at {region.offset}, got none")
    return count
