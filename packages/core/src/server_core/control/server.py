"""The control socket in the arbiter's loop.

Owns: the listening unix socket, who may connect, and how much memory a client may take.
Must not know: what commands do, how connections are served (``loopserver``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any, Callable, Dict, Optional

from server_core.control.protocol import MAX_REQUEST, ControlError, MessageReader, answer, refusal
from server_core.loopserver import Client, LoopServer, Octets
from server_core.unix_sockets import SERVED, check_peer, file_identity, file_state

MAX_CLIENTS = 32
IDLE_SECONDS = 300.0  # without a request
BACKLOG = 16


class ControlServer:
    """Answers control clients of the arbiter's own user (and root).

    Args:
        arbiter: the arbiter; its loop calls back.
        path: where the socket is made.
        mode: its permissions.
    """

    def __init__(self, arbiter: Any, path: str, mode: int) -> None:
        self._arbiter = arbiter
        self.path = path
        self._table: Any = None
        listener = _listen(path, mode)
        self._identity = file_identity(path)
        self._server = LoopServer(arbiter, listener, self._welcome, MAX_CLIENTS)

    def move(self, path: str) -> None:
        """Give the socket another path, taking the place of whatever is there."""
        os.replace(self.path, path)
        self.path = path

    def tick(self, now: float) -> None:
        """Close the connections of clients that say nothing."""
        self._server.tick(now)

    def close(self) -> None:
        """Close every connection and the socket, and remove its file when it still is ours."""
        self._server.close()
        if file_identity(self.path) == self._identity:
            with contextlib.suppress(OSError):  # one that stays is replaced by the next server
                os.unlink(self.path)

    def close_in_child(self) -> None:
        """Close the descriptors only; in a process that was just forked."""
        self._server.close_in_child()

    def _welcome(self, accepted: socket.socket) -> Optional[Client]:
        try:
            check_peer(accepted, os.geteuid())
        except PermissionError:
            return None
        return _ControlClient(accepted, self.carry_out)

    def carry_out(self, message: Dict[str, Any]) -> bytes:
        """Return the answer to a request."""
        command, args = message.get("command"), message.get("args") or []
        if not isinstance(command, str) or not isinstance(args, list):
            return refusal(message, "request: expected a command and a list of arguments")
        if self._table is None:
            # Imported when it is asked for: a server that nobody steers should not carry it.
            from server_core.control.commands import default_table

            self._table = default_table(self._arbiter)
        try:
            return answer(message, self._table.run(self._arbiter, command, args))
        except ControlError as error:
            return refusal(message, str(error))
        except Exception:
            # Whatever is wrong with one command, a plugin's perhaps, must not end the arbiter.
            self._arbiter.log.exception("Exception in control command %r", command)
            return refusal(message, "the command failed; the server's log says why")


class _ControlClient(Client):
    """One connection: what it sent and what it has not read; an answer at a time, so MAX_ANSWER bounds that."""

    def __init__(self, sock: socket.socket, carry_out: Callable[[Dict[str, Any]], bytes]) -> None:
        super().__init__(sock)
        self._carry_out = carry_out
        self._reader = MessageReader(MAX_REQUEST)
        self._out = bytearray()
        self._ending = False
        self._last = time.monotonic()

    def receive(self, data: bytes, now: float) -> None:
        self._last = now
        self._ending = not data
        self._reader.feed(data)
        self.work(now)

    def has_work(self) -> bool:
        return self._reader.has_message()

    def work(self, now: float) -> None:
        try:
            message = self._reader.next()
        except ControlError as error:
            self._out += refusal({}, str(error))
            self.finished = True
            return
        if message is not None:
            self._out += self._carry_out(message)
        self.finished = self._ending and not self._reader.has_message()

    def output(self) -> Octets:
        return self._out

    def sent(self, count: int) -> None:
        del self._out[:count]

    def tick(self, now: float) -> None:
        if now - self._last > IDLE_SECONDS:
            self._out.clear()
            self.finished = True


def default_path(environ: Any) -> str:
    """Return where the control socket is when no setting says: the runtime directory, or the home; ``""`` without."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "server.ctl")
    home = os.path.expanduser("~")
    return os.path.join(home, ".server", "server.ctl") if os.path.isabs(home) else ""


def open_control(arbiter: Any, cfg: Any, suffix: str) -> Optional[ControlServer]:
    """Return the control server of ``cfg``, or None when it cannot be had.

    A control socket is a convenience: what keeps it from being made is a warning, not an error.

    Args:
        suffix: appended to the path; a second arbiter waits beside the first one's socket.
    """
    place = cfg.control_socket or default_path(os.environ)
    if not place:
        arbiter.log.warning("No control socket: expected a home directory or $XDG_RUNTIME_DIR, got none")
        return None
    path = os.path.abspath(place) + suffix
    try:
        return ControlServer(arbiter, path, cfg.control_socket_mode)
    except OSError as error:
        arbiter.log.warning("No control socket at %s: %s", path, error.strerror or error)
        return None


def _listen(path: str, mode: int) -> socket.socket:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    if file_state(path) == SERVED:
        raise OSError(0, "another running server listens there; set control_socket")
    temporary = f"{path}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.setblocking(False)
        sock.bind(temporary)
        os.chmod(temporary, mode)
        sock.listen(BACKLOG)
        os.replace(temporary, path)
    except BaseException:
        sock.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.umask(before)
    return sock
