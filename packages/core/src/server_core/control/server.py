"""The control socket in the arbiter's loop.

Owns: the listening unix socket, its clients, and how much of the arbiter's time and memory they may take.
Must not know: what commands do.

Nothing here waits: a client that is slow to send or to read only loses its own connection.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import struct
import time
from typing import Any, Dict, Optional

from server_core.control.commands import Table, default_table
from server_core.control.protocol import MAX_REQUEST, ControlError, MessageReader, answer, refusal

MAX_CLIENTS = 32
MAX_UNREAD = 32 * 1024 * 1024  # octets of answers a client has not read
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
        self._clients: Dict[socket.socket, _Client] = {}
        self._table: Optional[Table] = None
        self._socket = _listen(path, mode)
        self._identity = _identity(path)
        arbiter.watch(self._socket, self._accept)

    def move(self, path: str) -> None:
        """Give the socket another path, taking the place of whatever is there."""
        os.replace(self.path, path)
        self.path = path

    def tick(self, now: float) -> None:
        """Close the connections of clients that say nothing."""
        for client in [client for client in self._clients.values() if now - client.last > IDLE_SECONDS]:
            self._drop(client)

    def close(self) -> None:
        """Close every connection and the socket, and remove its file when it still is ours."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._arbiter.unwatch(self._socket)
        self.close_in_child()
        if _identity(self.path) == self._identity:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def close_in_child(self) -> None:
        """Close the descriptors only; in a process that was just forked."""
        for client in self._clients.values():
            client.socket.close()
        self._socket.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except OSError:  # it has gone already, or there is no descriptor left: it may try again
            return
        if len(self._clients) >= MAX_CLIENTS or not _allowed(accepted):
            accepted.close()
            return
        accepted.setblocking(False)
        client = _Client(accepted)
        self._clients[accepted] = client
        self._arbiter.watch(accepted, lambda: self._serve(client))

    def _serve(self, client: _Client) -> None:
        client.last = time.monotonic()
        try:
            for message in client.receive():
                client.out += self._carry_out(message)
            closed = client.ended
        except ControlError as error:
            client.out += refusal({}, str(error))
            client.ended = closed = True
        except OSError:
            self._drop(client)
            return
        if closed and not client.out:
            self._drop(client)
        else:
            self._send(client)

    def _carry_out(self, message: Dict[str, Any]) -> bytes:
        command, args = message.get("command"), message.get("args") or []
        if not isinstance(command, str) or not isinstance(args, list):
            return refusal(message, "request: expected a command and a list of arguments")
        if self._table is None:
            self._table = default_table(self._arbiter)
        try:
            return answer(message, self._table.run(self._arbiter, command, args))
        except ControlError as error:
            return refusal(message, str(error))
        except Exception:
            # Whatever is wrong with one command, a plugin's perhaps, must not end the arbiter.
            self._arbiter.log.exception("Exception in control command %r", command)
            return refusal(message, "the command failed; the server's log says why")

    def _send(self, client: _Client) -> None:
        try:
            client.flush()
        except OSError:
            self._drop(client)
            return
        if len(client.out) > MAX_UNREAD or (client.ended and not client.out):
            self._drop(client)
            return
        self._rewatch(client)

    def _rewatch(self, client: _Client) -> None:
        waiting = bool(client.out)
        if waiting != client.writing:
            client.writing = waiting
            self._arbiter.unwatch(client.socket)
            if waiting:  # further requests wait until the answers are read
                self._arbiter.watch(client.socket, lambda: self._send(client), selectors.EVENT_WRITE)
            else:
                self._arbiter.watch(client.socket, lambda: self._serve(client))

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.socket, None) is not None:
            self._arbiter.unwatch(client.socket)
            client.socket.close()


class _Client:
    """One connection: what it sent and what it has not read."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.reader = MessageReader(MAX_REQUEST)
        self.out = bytearray()
        self.writing = False
        self.ended = False
        self.last = time.monotonic()

    def receive(self) -> Any:
        try:
            data = self.socket.recv(MAX_REQUEST)
        except (BlockingIOError, InterruptedError):
            return []
        self.ended = not data
        return self.reader.feed(data)

    def flush(self) -> None:
        while self.out:
            try:
                del self.out[: self.socket.send(self.out)]
            except (BlockingIOError, InterruptedError):
                return


def default_path(environ: Any) -> str:
    """Return where the control socket is when no setting says: the runtime directory, or the home."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "server.ctl")
    return os.path.join(os.path.expanduser("~"), ".server", "server.ctl")


def open_control(arbiter: Any, cfg: Any, suffix: str) -> Optional[ControlServer]:
    """Return the control server that ``cfg`` asks for, or None.

    A control socket is a convenience: what keeps it from being made is a warning, not an error.

    Args:
        suffix: appended to the path; a second arbiter waits beside the first one's socket.
    """
    if cfg.control_socket_disable:
        return None
    path = os.path.abspath(cfg.control_socket or default_path(os.environ)) + suffix
    try:
        return ControlServer(arbiter, path, cfg.control_socket_mode)
    except OSError as error:
        arbiter.log.warning("No control socket at %s: %s", path, error.strerror or error)
        return None


def _listen(path: str, mode: int) -> socket.socket:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    if _is_served(path):
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


def _is_served(path: str) -> bool:
    """Whether somebody listens at ``path``. Raises OSError when something else than a socket is there."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(0, "expected a socket or nothing there, got another kind of file")
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _identity(path: str) -> Any:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _allowed(sock: socket.socket) -> bool:
    """Whether the peer is our user or root; where the system does not tell, the file's mode is the guard."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.geteuid())
