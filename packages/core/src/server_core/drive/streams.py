"""What holds of a stream with every driver: threads, greenlets, asyncio.

Owns: the error for an application whose client is gone, the size up to which parts are joined, which ends of a
connection count as refusals.
Must not know: how a driver waits.
"""

from __future__ import annotations

from server_http.errors import ProtocolError

#: Octets up to which parts that wait for the application are joined: a client may send a frame, or a chunk, for each
#: octet, and each would be an object.
JOIN_MAX = 1024


class ClientGoneError(ConnectionAbortedError):
    """Nobody is left to read the response or to send the rest of the body."""


def is_refusal(error: BaseException) -> bool:
    """Whether a connection that ended for ``error`` counts as a refused request: not one that was slow or scanned."""
    return isinstance(error, ProtocolError) and error.log_level not in ("debug", "info")
