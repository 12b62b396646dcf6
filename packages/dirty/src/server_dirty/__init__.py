"""Pools of processes for heavy work beside the web workers, with their client and stash.

Owns: the names users import. They are imported when they are first used: the settings of this package
are read by every start of the server, which must not cost what the rest of it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from server_dirty.version import __version__

if TYPE_CHECKING:
    from server_dirty import stash
    from server_dirty.app import DirtyApp, batch
    from server_dirty.client import (
        DirtyClient,
        close_dirty_client,
        close_dirty_client_async,
        get_dirty_client,
        get_dirty_client_async,
    )
    from server_dirty.codec import Buffer
    from server_dirty.context import CallCancelledError, CallContext, current_call
    from server_dirty.errors import (
        DirtyAppError,
        DirtyAppNotFoundError,
        DirtyBusyError,
        DirtyConnectionError,
        DirtyError,
        DirtyNoWorkersAvailableError,
        DirtyProtocolError,
        DirtyTimeoutError,
        DirtyWorkerError,
    )
    from server_dirty.paths import set_dirty_socket_path

_HOMES = {
    "server_dirty.app": ("DirtyApp", "batch"),
    "server_dirty.client": (
        "DirtyClient", "close_dirty_client", "close_dirty_client_async", "get_dirty_client", "get_dirty_client_async",
    ),
    "server_dirty.codec": ("Buffer",),
    "server_dirty.context": ("CallCancelledError", "CallContext", "current_call"),
    "server_dirty.errors": (
        "DirtyAppError", "DirtyAppNotFoundError", "DirtyBusyError", "DirtyConnectionError", "DirtyError",
        "DirtyNoWorkersAvailableError", "DirtyProtocolError", "DirtyTimeoutError", "DirtyWorkerError",
    ),
    "server_dirty.paths": ("set_dirty_socket_path",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Buffer", "CallCancelledError", "CallContext", "DirtyApp", "DirtyAppError", "DirtyAppNotFoundError",
    "DirtyBusyError", "DirtyClient", "DirtyConnectionError", "DirtyError", "DirtyNoWorkersAvailableError",
    "DirtyProtocolError", "DirtyTimeoutError", "DirtyWorkerError", "__version__", "batch", "close_dirty_client",
    "close_dirty_client_async", "current_call", "get_dirty_client", "get_dirty_client_async",
    "set_dirty_socket_path", "stash",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "stash":
        return importlib.import_module("server_dirty.stash")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'server_dirty' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
