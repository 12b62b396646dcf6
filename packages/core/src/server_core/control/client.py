"""The client's end of the control socket: for ``serverctl`` and for tools.

Owns: ``ControlClient``.
Must not know: how answers are shown.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Any, Dict, Mapping, Optional, Type

from server_core.control.protocol import MAX_ANSWER, ControlError, MessageReader, request
from server_core.control.server import default_path

TIMEOUT = 10.0  # seconds for an answer
RELOAD_TIMEOUT = 600.0  # before it answers, the server reads its settings and may import dirty applications


class ControlClient:
    """A connection to a running server.

    Args:
        path: the control socket; None takes the default one.
        timeout: seconds to wait for each answer but that to a reload.

    Raises:
        ControlError: nobody listens there, or we may not connect.
    """

    def __init__(
        self, path: Optional[str] = None, timeout: float = TIMEOUT, environ: Optional[Mapping[str, str]] = None
    ) -> None:
        place = path or default_path(os.environ if environ is None else environ)
        if not place:
            raise ControlError("control socket: expected a home directory, $XDG_RUNTIME_DIR or --socket PATH, got none")
        self.path = os.path.abspath(place)
        self._number = 0
        self._reader = MessageReader(MAX_ANSWER)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._timeout = timeout
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(self.path)
        except OSError as error:
            self._socket.close()
            raise ControlError(
                f"control socket: expected a running server at {self.path}, got: {error.strerror or error}"
                " (is it running? --socket PATH names another one)"
            ) from None

    def call(self, command: str, *args: Any) -> Any:
        """Run a command and return its data. Raises ControlError with the server's words."""
        self._number += 1
        self._socket.settimeout(RELOAD_TIMEOUT if command == "reload" else self._timeout)
        try:
            self._socket.sendall(request(command, list(args), self._number))
            message = self._receive()
        except OSError as error:
            raise ControlError(f"control socket: no answer from {self.path}: {error}") from None
        if message.get("status") != "ok":
            raise ControlError(str(message.get("error", "the server gave no reason")))
        return message.get("data")

    def _receive(self) -> Dict[str, Any]:
        while True:
            message = self._reader.next()
            if message is not None and message.get("id") in (self._number, None):
                return message
            if message is not None:  # the late answer to a call that was given up
                continue
            data = self._socket.recv(65536)
            if not data:
                raise ControlError("control socket: the server closed the connection")
            self._reader.feed(data)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()
