"""The socket of a connection as applications find it in their environ: ``server.socket``.

Owns: ``LentSocket``, and which uses of it leave the connection to the server.
Must not know: how a session stops caring for its socket (``Session.lend``).

Whoever asks for facts is told them. Whoever reads, writes or closes talks to the client alone from then on, as
libraries do that speak WebSocket from WSGI (simple-websocket, under Flask-Sock and Flask-SocketIO); the request then
has no answer of the server's. What is closed is the application's own descriptor: the server's number cannot come to
mean another connection while a session still has it.
"""

from __future__ import annotations

import socket
from typing import Any

#: What may be asked while the server serves the connection.
_FACTS = frozenset(
    ("family", "type", "proto", "getpeername", "getsockname", "getsockopt", "setsockopt", "gettimeout", "timeout")
)


class LentSocket:
    """Passes for the ``socket.socket`` of a connection.

    Args:
        session: what serves the connection (``drive.session.Session``).
    """

    __slots__ = ("_session", "_sock")

    def __init__(self, session: Any) -> None:
        self._session = session
        self._sock: Any = None

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return int((self._sock or self._session.sock).fileno())

    def __getattr__(self, name: str) -> Any:
        if self._sock is None:
            sock = self._session.sock
            if name in _FACTS or name.startswith("_"):
                return getattr(sock, name)
            family = sock.family
            self._sock = socket.socket(family, socket.SOCK_STREAM, 0, self._session.lend())
        return getattr(self._sock, name)

    def __repr__(self) -> str:
        return repr(self._sock or self._session.sock)

    @property  # type: ignore[misc]  # only ever read
    def __class__(self) -> Any:
        """What ``isinstance`` is to see."""
        return socket.socket
