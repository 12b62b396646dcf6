"""The stash's process: a dirty application whose state is a ``Store``.

Owns: the operations as actions, served one at a time.
Must not know: sockets, supervision: it is called like every other application.
"""

from __future__ import annotations

import os
import time
from typing import Any, List, Optional

from server_dirty.app import DirtyApp
from server_dirty.stash.store import Store

PATH = "server_dirty.stash.app:StashApp"
SIZE_VARIABLE = "SERVER_DIRTY_STASH_SIZE"
VALUE_VARIABLE = "SERVER_DIRTY_STASH_VALUE"


class StashApp(DirtyApp):
    """The tables of one server. Values arrive and leave encoded; the caller encodes and decodes."""

    def init(self) -> None:
        """Begin with no tables."""
        self._store = Store(int(os.environ.get(SIZE_VARIABLE, "0")), int(os.environ.get(VALUE_VARIABLE, "0")))

    def put(self, table: str, key: str, data: bytes, ttl: Optional[float] = None) -> None:
        """Store a value."""
        self._store.put(table, key, data, ttl, time.monotonic())

    def get(self, table: str, key: str) -> Optional[bytes]:
        """Return a value, or None."""
        return self._store.get(table, key, time.monotonic())

    def delete(self, table: str, key: str) -> bool:
        """Remove a key."""
        return self._store.delete(table, key, time.monotonic())

    def compare_and_set(self, table: str, key: str, expected: Optional[bytes], data: bytes) -> bool:
        """Replace a value that is as expected."""
        return self._store.compare_and_set(table, key, expected, data, time.monotonic())

    def increment(self, table: str, key: str, amount: float) -> Any:
        """Add to a number."""
        return self._store.increment(table, key, amount, time.monotonic())

    def keys(self, table: str, pattern: Optional[str] = None) -> List[str]:
        """Return the keys of a table."""
        return self._store.keys(table, pattern, time.monotonic())

    def exists(self, table: str, key: Optional[str] = None) -> bool:
        """Whether a table or key exists."""
        return self._store.exists(table, key, time.monotonic())

    def ensure(self, table: str) -> bool:
        """Make a table."""
        return self._store.ensure(table)

    def clear(self, table: str) -> int:
        """Empty a table."""
        return self._store.clear(table)

    def delete_table(self, table: str) -> bool:
        """Remove a table."""
        return self._store.delete_table(table)

    def info(self, table: str) -> Any:
        """Describe a table."""
        return self._store.info(table, time.monotonic())

    def tables(self) -> List[str]:
        """Return the names of the tables."""
        return self._store.tables()
