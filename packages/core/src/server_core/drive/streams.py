"""What holds of a stream with every driver: threads, greenlets, asyncio.

Owns: the error for an application whose client is gone, the size up to which parts are joined, which ends of a
connection count as refusals, how a request is named, what is said of those that a stop cuts off, and reading of a file
that is sent.
Must not know: how a driver waits.
"""

from __future__ import annotations

import os
from typing import Any, Iterable

from server_http.engine import FileRegion
from server_http.errors import ProtocolError
from server_http.fields import printable

#: Octets up to which parts that wait for the application are joined: a client may send a frame, or a chunk, for each
#: octet, and each would be an object.
JOIN_MAX = 1024
#: How many of the requests that a stop cuts off are named.
NAMED_MAX = 10


class ClientGoneError(ConnectionAbortedError):
    """Nobody is left to read the response or to send the rest of the body."""


class FileTooShortError(OSError):
    """A file ended before the octets that were promised of it; the connection cannot go on.

    Args:
        region: the part of the file.
        skip: octets of it that were there.
    """

    log_level = "warning"  # no client is to blame

    def __init__(self, region: FileRegion, skip: int) -> None:
        left, place = region.count - skip, region.offset + skip
        super().__init__(f"file: expected {left} more octets at {place}, got none: it became shorter while it was sent")


def read_region(region: FileRegion, skip: int, most: int) -> bytes:
    """Return up to ``most`` octets of a file, from ``skip`` octets behind the beginning of ``region``.

    Raises:
        FileTooShortError: the file ends there.
        OSError: the file cannot be read.
    """
    octets = os.pread(region.fd, min(most, region.count - skip), region.offset + skip)
    if not octets:
        raise FileTooShortError(region, skip)
    return octets


def report_end(log: Any, peer: str, error: BaseException) -> None:
    """Say why a connection ended, as loudly as its error asks for; clients that go away are no news."""
    text = "Invalid request from ip=%s: %s" if isinstance(error, ProtocolError) else "Connection of ip=%s broke: %s"
    getattr(log, getattr(error, "log_level", "debug"))(text, peer, error)


def is_refusal(error: BaseException) -> bool:
    """Whether a connection that ended for ``error`` counts as a refused request: not one that was slow or scanned."""
    return isinstance(error, ProtocolError) and error.log_level not in ("debug", "info")


def request_line(channel: Any) -> str:
    """Return method and target of a request, as it is named to people."""
    return f"{channel.request.method} {printable(channel.request.target)}"


def report_unfinished(log: Any, sessions: Iterable[Any]) -> None:
    """Say which requests of ``sessions`` a stop is about to cut off, because ``graceful_timeout`` is over."""
    running = [channel for session in sessions for channel in session.channels.values() if not channel.finished]
    if running:
        requests = [request_line(channel) for channel in running[:NAMED_MAX]]
        more = ", ..." if len(running) > NAMED_MAX else ""
        log.warning("Ending %d requests that outlasted graceful_timeout: %s%s", len(running), ", ".join(requests), more)
