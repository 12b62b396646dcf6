"""A store of small tables that all workers share.

Owns: the functions users call: ``stash.put("table", "key", value)`` and so on.
Must not know: where the tables are; ``stash.client`` asks the stash's own process, ``stash.redis`` a Redis server.
"""

from __future__ import annotations

from server_dirty.stash.api import (
    StashTable,
    clear,
    compare_and_set,
    delete,
    delete_table,
    ensure,
    exists,
    get,
    increment,
    info,
    keys,
    put,
    table,
    tables,
)
from server_dirty.stash.client import StashClient
from server_dirty.stash.errors import StashError, StashFullError, StashKeyNotFoundError, StashTableNotFoundError

__all__ = [
    "StashClient", "StashError", "StashFullError", "StashKeyNotFoundError", "StashTable", "StashTableNotFoundError",
    "clear", "compare_and_set", "delete", "delete_table", "ensure", "exists", "get", "increment", "info", "keys",
    "put", "table", "tables",
]  # fmt: skip
