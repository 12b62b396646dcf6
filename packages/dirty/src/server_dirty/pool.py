"""Which worker serves what: applications, their queues and their devices.

Owns: the plan of a pool from the settings and the classes' declarations, and the listening sockets.
Must not know: how workers are started; the service asks for what slot N needs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import signal
import socket
import stat
import time
import traceback
from typing import Any, Callable, Collection, Dict, List, Optional, Sequence, Tuple

from server_core.errors import AppImportError, ConfigError
from server_core.unix_queue import waiting
from server_dirty import paths
from server_dirty.app import AppSpec, Declaration, declared, parse_spec
from server_dirty.errors import DirtyError
from server_dirty.host import Devices, Seat
from server_dirty.worker import AppListener

LOOK = 0.1  # seconds between two looks whether to wait on


def read_declarations(
    paths_of_apps: Sequence[str], seconds: float, stopped: Callable[[], bool], become: Callable[[], None]
) -> Dict[str, Declaration]:
    """Import the applications' modules in a short-lived child and return what they declare.

    The arbiter itself imports no application code: it would keep old code over every reload, and the
    memory of what heavy modules load.

    Args:
        seconds: how long that may take; 0 for ever.
        stopped: whether it is not to be waited for any longer; asked again and again.
        become: called in the child first: gives up what the workers give up. Application code does not run as root.

    Raises:
        AppImportError: a module or class cannot be imported, and then it carries the child's traceback; or not in time.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _declare_in_child(paths_of_apps, write, become)
    os.close(write)
    try:
        text = _answer(read, time.monotonic() + seconds if seconds else math.inf, stopped)
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)  # what hangs; others have said what there is to say
        os.waitpid(pid, 0)
    if text is None:
        why = "the server is told to stop" if stopped() else f"it took longer than boot_timeout ({seconds:g} s)"
        raise AppImportError(f"dirty_apps: importing the applications was given up: {why}")
    if not text:
        raise AppImportError("dirty_apps: importing the applications ended the process that tried it")
    answer = json.loads(text)
    if "error" in answer:
        raise AppImportError(answer["error"], answer.get("traceback"))
    return {path: Declaration(*answer["found"][path]) for path in paths_of_apps}


def _answer(read: int, until: float, stopped: Callable[[], bool]) -> Optional[bytes]:
    """Return the line that comes from the pipe ``read``, empty when its writer ended; None when it is given up."""
    text = b""
    poller = select.poll()
    poller.register(read, select.POLLIN)
    while time.monotonic() < until and not stopped():
        if not poller.poll(LOOK * 1000):
            continue
        data = os.read(read, 65536)
        text += data
        if not data or data.endswith(b"\n"):  # processes that a module started may hold the pipe open
            return text
    return None


def _declare_in_child(paths_of_apps: Sequence[str], write: int, become: Callable[[], None]) -> None:
    answer: Dict[str, Any]
    try:
        with contextlib.suppress(PermissionError):  # the workers may not either, and say so
            become()
        answer = {"found": {path: list(declared(path)) for path in paths_of_apps}}
    except (DirtyError, ValueError) as error:
        answer = {"error": str(error)}
    except BaseException as error:  # whatever the application's module does as it is imported
        answer = {"error": f"dirty_apps: importing failed: {error!r}", "traceback": traceback.format_exc()}
    with contextlib.suppress(OSError):  # the arbiter is gone: nobody asks any more
        os.write(write, json.dumps(answer).encode() + b"\n")
    os._exit(0)


class Pool:
    """One generation of dirty workers: who serves which applications.

    Args:
        specs: the entries of ``dirty_apps``.
        declarations: what their classes declare.
        workers: how many processes there are.
    """

    def __init__(self, specs: Sequence[AppSpec], declarations: Dict[str, Declaration], workers: int) -> None:
        self.declarations = declarations
        self.assignments: List[List[str]] = [[] for _ in range(workers)]
        for spec in specs:
            self._assign(spec.path, spec.workers or declarations[spec.path].workers or workers)
        self._devices = self._number_devices()

    def _assign(self, path: str, count: int) -> None:
        """Give an application to the ``count`` workers that have the fewest, the first ones on a tie."""
        if count > len(self.assignments):
            raise ConfigError(
                f"dirty_apps: expected at most dirty_workers ({len(self.assignments)}) workers for {path}, got {count}"
            )
        order = sorted(range(len(self.assignments)), key=lambda slot: (len(self.assignments[slot]), slot))
        for slot in order[:count]:
            self.assignments[slot].append(path)

    def _number_devices(self) -> Dict[Tuple[int, str], Devices]:
        """Number the devices of each resource: every worker of every application has its own."""
        numbered: Dict[Tuple[int, str], Devices] = {}
        following: Dict[str, int] = {}
        for slot, assigned in enumerate(self.assignments):
            for path in assigned:
                for name, count in sorted(self.declarations[path].resources.items()):
                    first = following.get(name, 0)
                    numbered.setdefault((slot, path), {})[name] = list(range(first, first + count))
                    following[name] = first + count
        return numbered

    def apps_of(self, slot: int) -> List[str]:
        """Return the applications of a slot; a slot beyond the plan (scaled up) serves all that may be anywhere."""
        if slot < len(self.assignments):
            return self.assignments[slot]
        return [path for path, declaration in self.declarations.items() if declaration.workers is None]

    def seats_of(self, slot: int, threads: int) -> List[Seat]:
        """Return the applications of a slot with what each has there; ``threads`` calls of one run at a time."""
        return [
            Seat(path, self.declarations[path], self._devices.get((slot, path), {}), threads)
            for path in self.apps_of(slot)
        ]


def parse_specs(texts: Sequence[str]) -> List[AppSpec]:
    """Read ``dirty_apps``. Raises ConfigError."""
    try:
        specs = [parse_spec(text) for text in texts]
    except ValueError as error:
        raise ConfigError(str(error)) from None
    names = [spec.path for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"dirty_apps: expected each application once, got {name} {names.count(name)} times")
    return specs


class Sockets:
    """The listening sockets of a pool, open as long as the arbiter lives: what waits in a queue
    survives the workers.

    Args:
        users: whose directories of servers that were killed are removed.
    """

    def __init__(self, users: Collection[int]) -> None:
        parent = paths.parent_directory()
        paths.remove_stale(parent, users)
        self.directory, self._lock = paths.make_directory(parent)
        self._owner = os.getpid()
        self._listeners: Dict[str, AppListener] = {}

    def listener(self, path: str, queue: int) -> AppListener:
        """Return the queue of ``path``, made when there is none; ``queue`` calls may wait in it."""
        found = self._listeners.get(path)
        if found is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.bind(paths.app_socket(self.directory, path))
            os.chmod(paths.app_socket(self.directory, path), stat.S_IRUSR | stat.S_IWUSR)
            found = self._listeners[path] = AppListener(path, sock)
            paths.make_refusals(self.directory, path)
        # One more than the argument may wait (the kernel compares with "greater than").
        found.socket.listen(max(0, queue - 1))
        return found

    def keep_only(self, wanted: Collection[str]) -> None:
        """Close the queues of applications that are not served any more."""
        for path in [path for path in self._listeners if path not in wanted]:
            listener = self._listeners.pop(path)
            os.unlink(paths.app_socket(self.directory, path))
            with listener.socket, contextlib.suppress(OSError):  # until nobody waits any more
                while True:
                    listener.socket.accept()[0].close()
            os.unlink(paths.refusals_file(self.directory, path))

    def give_to(self, uid: int, gid: int) -> None:
        """Let workers of another user reach the sockets: they run as ``uid`` and ``gid``."""
        os.chown(self.directory, uid, gid)
        for path in self._listeners:
            os.chown(paths.app_socket(self.directory, path), uid, gid)
            os.chown(paths.refusals_file(self.directory, path), uid, gid)

    def queued(self, path: str) -> int:
        """Return how many calls of ``path`` wait; 0 where the system does not tell."""
        listener = self._listeners.get(path)
        return 0 if listener is None else waiting(listener.socket)

    def refused(self, path: str) -> int:
        """Return how many calls of ``path`` found the queue full."""
        return paths.refusals(self.directory, path)

    def close(self) -> None:
        """Close every queue and remove the directory."""
        for listener in self._listeners.values():
            listener.socket.close()
        self._listeners.clear()
        if os.getpid() == self._owner:
            shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)
