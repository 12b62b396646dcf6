"""Where the sockets of a pool are.

Owns: the directory, the names of sockets in it, the environment variable that tells clients, and the count of
calls that a full queue refused, which only callers can keep.
Must not know: who listens or connects.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import struct
import tempfile
from functools import lru_cache
from typing import Collection, Optional, Tuple

from server_dirty.errors import DirtyConnectionError

VARIABLE = "SERVER_DIRTY_DIR"
PREFIX = "server-dirty-"
LOCK = "lock"  # the file in a pool's directory that is locked while its server, or a child of it, lives

_chosen: Optional[str] = None


def set_dirty_socket_path(path: Optional[str]) -> None:
    """Use the pool whose sockets are in the directory ``path``; None returns to the environment's."""
    global _chosen
    _chosen = path


def configured_directory() -> Optional[str]:
    """Return the directory of the pool's sockets, or None when this process has none."""
    return _chosen or os.environ.get(VARIABLE)


def pool_directory() -> str:
    """Return the directory of the pool's sockets.

    Raises:
        DirtyConnectionError: this process does not belong to a server with dirty workers.
    """
    found = configured_directory()
    if not found:
        raise DirtyConnectionError(
            f"dirty pool: expected {VARIABLE} in the environment, got none; set dirty_apps and dirty_workers"
        )
    return found


def parent_directory() -> str:
    """Return where the directories of pools are made."""
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return parent if os.access(parent, os.W_OK) else tempfile.gettempdir()


def make_directory(parent: str) -> Tuple[str, int]:
    """Make a new directory (0700) for the sockets of a pool.

    Returns:
        Its path, and a descriptor that says by a lock that the pool is in use: for as long as it, or what a child has
        of it, is open.
    """
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        os.chmod(path, stat.S_IRWXU)
        with contextlib.suppress(FileNotFoundError):  # a server that starts at this moment took it for a dead one's
            lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:
                return path, lock
            os.close(lock)


def remove_stale(parent: str, users: Collection[int]) -> None:
    """Remove the directories that servers of ``users`` left in ``parent`` because they were killed.

    One without a lock is left alone: its server is about to make it.
    """
    for entry in os.scandir(parent):
        if not entry.name.startswith(PREFIX) or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):  # its server lives, ends just now, or is somebody else's
            if entry.stat(follow_symlinks=False).st_uid in users:
                _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    finally:
        os.close(lock)


def app_socket(directory: str, app_path: str) -> str:
    """Return the socket of an application."""
    return _of_app(directory, app_path, "sock")


def refusals_file(directory: str, app_path: str) -> str:
    """Return the file that counts the calls of an application which found its queue full."""
    return _of_app(directory, app_path, "refused")


@lru_cache(maxsize=256)
def _of_app(directory: str, app_path: str, suffix: str) -> str:
    # A digest, because paths of sockets are short (108 octets).
    digest = hashlib.sha256(app_path.encode()).hexdigest()[:16]
    return os.path.join(directory, f"app-{digest}.{suffix}")


_COUNT = struct.Struct("=Q")


def make_refusals(directory: str, app_path: str) -> None:
    """Begin to count at 0."""
    descriptor = os.open(refusals_file(directory, app_path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(descriptor, _COUNT.pack(0))
    os.close(descriptor)


def count_refusal(directory: str, app_path: str) -> None:
    """Count one call more; callers of several processes may come at once."""
    with contextlib.suppress(OSError):  # the server stops just now: nobody will read it
        descriptor = os.open(refusals_file(directory, app_path), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            (count,) = _COUNT.unpack(os.pread(descriptor, _COUNT.size, 0))
            os.pwrite(descriptor, _COUNT.pack(count + 1), 0)
        finally:
            os.close(descriptor)


def refusals(directory: str, app_path: str) -> int:
    """Return how many calls were refused."""
    try:
        with open(refusals_file(directory, app_path), "rb") as file:
            return int(_COUNT.unpack(file.read(_COUNT.size))[0])
    except OSError:
        return 0
