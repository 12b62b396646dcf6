"""The stash as its callers see it: values in, values out.

Owns: ``StashClient``, and the choice of the backend by the environment.
Must not know: how tables are kept.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Protocol

from server_dirty.client import DEFAULT_TIMEOUT, DirtyClient
from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.app import PATH, SIZE_VARIABLE, VALUE_VARIABLE
from server_dirty.stash.errors import StashError

URL_VARIABLE = "SERVER_DIRTY_STASH"  # "local", or the address of a Redis server


class Backend(Protocol):
    """Where encoded values are kept: one method, ``call(operation, *arguments)``."""

    def call(self, operation: str, *arguments: Any) -> Any:
        """Run an operation of ``stash.app.StashApp``."""


class LocalBackend:
    """The stash's process of this server.

    Args:
        socket_path: the directory of the pool's sockets; None takes the one of this server.
        timeout: seconds an operation may take.
    """

    def __init__(self, socket_path: Optional[str], timeout: float) -> None:
        self._client = DirtyClient(socket_path, timeout)

    def call(self, operation: str, *arguments: Any) -> Any:
        """Call the stash's process."""
        return self._client.execute(PATH, operation, *arguments)


def open_backend(socket_path: Optional[str], timeout: float) -> Backend:
    """Return the backend that the server was started with."""
    url = os.environ.get(URL_VARIABLE, "local")
    if url == "local" or socket_path is not None:
        return LocalBackend(socket_path, timeout)
    if url.split(":", 1)[0] in ("redis", "rediss", "unix"):
        from server_dirty.stash.redis import RedisBackend

        return RedisBackend(url, timeout, *(int(os.environ.get(name, "0")) for name in (SIZE_VARIABLE, VALUE_VARIABLE)))
    raise StashError(f"dirty_stash: expected 'local' or a redis:// address, got {url!r}")


class StashClient:
    """The operations of the stash.

    Args:
        socket_path: the directory of the pool's sockets; None takes the backend of this server.
        timeout: seconds an operation may take.
    """

    def __init__(self, socket_path: Optional[str] = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._backend = open_backend(socket_path, timeout)

    def put(self, table: str, key: str, value: Any, ttl: Optional[float] = None) -> None:
        """Store ``value``; after ``ttl`` seconds it is gone. Raises StashFullError."""
        self._backend.call("put", table, key, encode_inline(value), ttl)

    def get(self, table: str, key: str, default: Any = None) -> Any:
        """Return the value, or ``default`` when the table or the key does not exist."""
        data = self._backend.call("get", table, key)
        return default if data is None else decode_inline(data)

    def delete(self, table: str, key: str) -> bool:
        """Remove a key; return whether it was there."""
        return bool(self._backend.call("delete", table, key))

    def compare_and_set(self, table: str, key: str, expected: Any, value: Any) -> bool:
        """Store ``value`` when the present one equals ``expected`` (None: there is none). Return whether."""
        before = None if expected is None else encode_inline(expected)
        return bool(self._backend.call("compare_and_set", table, key, before, encode_inline(value)))

    def increment(self, table: str, key: str, amount: float = 1) -> Any:
        """Add to a number, beginning at 0; return the sum."""
        return self._backend.call("increment", table, key, amount)

    def keys(self, table: str, pattern: Optional[str] = None) -> List[str]:
        """Return the keys, those that match a glob ``pattern`` when it is given."""
        found: List[str] = self._backend.call("keys", table, pattern)
        return found

    def exists(self, table: str, key: Optional[str] = None) -> bool:
        """Whether the table, or the key in it, exists."""
        return bool(self._backend.call("exists", table, key))

    def ensure(self, table: str) -> bool:
        """Make a table; return whether it is new."""
        return bool(self._backend.call("ensure", table))

    def clear(self, table: str) -> int:
        """Empty a table; return how many keys it had."""
        return int(self._backend.call("clear", table))

    def delete_table(self, table: str) -> bool:
        """Remove a table; return whether it was there."""
        return bool(self._backend.call("delete_table", table))

    def info(self, table: str) -> Dict[str, Any]:
        """Return ``{"table", "size", "octets"}``. Raises StashTableNotFoundError."""
        found: Dict[str, Any] = self._backend.call("info", table)
        return found

    def tables(self) -> List[str]:
        """Return the names of all tables."""
        found: List[str] = self._backend.call("tables")
        return found
