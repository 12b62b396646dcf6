"""Which engine speaks on a connection: the protocol ``http``.

Owns: the choice between HTTP/1.1 and HTTP/2.
Must not know: how an engine works, TLS, the PROXY prefix; their facts are in ``ConnectionInfo``.
"""

from __future__ import annotations

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, Engine
from server_http.h1.engine import Http1Engine


def open_http(info: ConnectionInfo, config: HttpConfig, now: float) -> Engine:
    """Open the engine of a connection whose PROXY prefix and TLS handshake are behind it."""
    return Http1Engine(info, config, now)
