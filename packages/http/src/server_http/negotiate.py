"""Which engine speaks on a connection: the protocol ``http``.

Owns: the choice between HTTP/1.1 and HTTP/2.
Must not know: how an engine works, TLS, the PROXY prefix; their facts are in ``ConnectionInfo``.
"""

from __future__ import annotations

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine
from server_http.exchange import reason
from server_http.h1.engine import Http1Engine


def open_http(info: ConnectionInfo, config: HttpConfig, now: float) -> Engine:
    """Open the engine of a connection whose PROXY prefix and TLS handshake are behind it."""
    return Http1Engine(info, config, now)


def refusal(status: int, text: bytes) -> bytes:
    """Return a whole HTTP/1.1 response for a peer that is refused before there is an engine.

    Args:
        status: an error status.
        text: constant octets that say what is wrong; nothing of the peer's input.
    """
    head = b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, reason(status), len(text)) + text
