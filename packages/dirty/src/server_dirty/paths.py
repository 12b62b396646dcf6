"""Where the sockets of a pool are.

Owns: the directory, the names of sockets in it and the environment variable that tells clients.
Must not know: who listens or connects.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from typing import Optional

from server_dirty.errors import DirtyConnectionError

VARIABLE = "SERVER_DIRTY_DIR"

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


def make_directory() -> str:
    """Make a new directory (0700) for the sockets of a pool and return its path."""
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    if not os.access(parent, os.W_OK):
        parent = tempfile.gettempdir()
    path = tempfile.mkdtemp(prefix="server-dirty-", dir=parent)
    os.chmod(path, stat.S_IRWXU)
    return path


def app_socket(directory: str, app_path: str) -> str:
    """Return the socket of an application: a digest, because paths of sockets are short (108 octets)."""
    digest = hashlib.sha256(app_path.encode()).hexdigest()[:16]
    return os.path.join(directory, f"app-{digest}.sock")
