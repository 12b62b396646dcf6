"""The application's side of a WebSocket.

Owns: ``is_handshake``; the channel follows with the WebSocket engine.
Must not know: sockets.
"""

from __future__ import annotations

from typing import Any


def is_handshake(_request: Any) -> bool:
    """Whether a request opens a WebSocket."""
    return False


class WebSocketChannel:
    """One WebSocket."""

    def __init__(self, *_args: Any) -> None:
        raise NotImplementedError
