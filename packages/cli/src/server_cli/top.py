"""The verb ``serverctl top``: a live view of a running server.

Owns: its command line, where numbers come from, and what it says when the extra is missing.
Must not know: how the view is drawn (``live``, which needs the extra).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict, List, Optional

from server_cli.stacks import stack
from server_core.control.client import ControlClient
from server_core.control.protocol import ControlError
from server_core.errors import ServerError
from server_core.plugins import how_to_install

INTERVAL = 1.0  # seconds


def main(arguments: List[str]) -> int:
    """Show the view until it is left; return the exit code.

    Raises:
        ServerError: the extra is missing, or no server answers.
    """
    options = _parser().parse_args(arguments)
    try:
        from server_cli.live import LiveView
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise ServerError(f"top: expected the package textual, got none: {how_to_install('top')}") from None
    source = Source(options.socket)
    try:
        source.top()
    except ControlError as error:
        raise ServerError(str(error)) from None
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # it reads keys from the one and draws on the other
        raise ServerError("top: expected a terminal, got none; 'serverctl -j show top' answers a program")
    LiveView(source, options.interval).run()
    source.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("serverctl top", description="A live view of a running server.")
    parser.add_argument("-s", "--socket", metavar="PATH", help="the control socket (default: the server's default)")
    parser.add_argument(
        "-i", "--interval", type=float, default=INTERVAL, metavar="SECONDS", help="between two looks (default: 1)"
    )
    return parser


class Source:
    """A server as the view sees it. Its methods wait for answers, and connect again when the server was replaced.

    Args:
        path: the control socket; None takes the default one.
    """

    def __init__(self, path: Optional[str]) -> None:
        self._path = path
        self._client: Optional[ControlClient] = None

    def top(self) -> Dict[str, Any]:
        """Return the overview. Raises ControlError."""
        return dict(self._call("show top"))

    def replace(self, pid: int) -> None:
        """Have a worker replaced; its successor is ready before it leaves. Raises ControlError."""
        self._call("worker replace", pid)

    def reload(self) -> None:
        """Have settings and code loaded again. Raises ControlError."""
        self._call("reload")

    def stack(self, pid: int) -> str:
        """Return the Python stacks of a worker and what it is answering. Raises ControlError."""
        try:
            return str(stack(self._connected(), str(pid))["report"])
        except ControlError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> ControlClient:
        if self._client is None:
            self._client = ControlClient(self._path)
        return self._client

    def _call(self, command: str, *args: Any) -> Any:
        try:
            return self._connected().call(command, *args)
        except ControlError:
            self.close()
            raise
