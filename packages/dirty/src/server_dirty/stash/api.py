"""The stash of this server as plain functions and mapping-like tables.

Owns: the module-level functions and ``StashTable``.
Must not know: backends.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any, Dict, Iterator, List, Optional, Tuple

from server_dirty import paths
from server_dirty.stash.client import URL_VARIABLE, StashClient
from server_dirty.stash.errors import StashKeyNotFoundError

_client: Optional[Tuple[Tuple[Optional[str], Optional[str]], StashClient]] = None


def client() -> StashClient:
    """Return the client of this process; a new one when the pool or the backend has changed."""
    global _client
    key = (paths.configured_directory(), os.environ.get(URL_VARIABLE))
    if _client is None or _client[0] != key:
        _client = (key, StashClient())
    return _client[1]


def put(table: str, key: str, value: Any, ttl: Optional[float] = None) -> None:
    """See ``StashClient.put``."""
    client().put(table, key, value, ttl)


def get(table: str, key: str, default: Any = None) -> Any:
    """See ``StashClient.get``."""
    return client().get(table, key, default)


def delete(table: str, key: str) -> bool:
    """See ``StashClient.delete``."""
    return client().delete(table, key)


def compare_and_set(table: str, key: str, expected: Any, value: Any) -> bool:
    """See ``StashClient.compare_and_set``."""
    return client().compare_and_set(table, key, expected, value)


def increment(table: str, key: str, amount: float = 1) -> Any:
    """See ``StashClient.increment``."""
    return client().increment(table, key, amount)


def keys(table: str, pattern: Optional[str] = None) -> List[str]:
    """See ``StashClient.keys``."""
    return client().keys(table, pattern)


def exists(table: str, key: Optional[str] = None) -> bool:
    """See ``StashClient.exists``."""
    return client().exists(table, key)


def ensure(table: str) -> bool:
    """See ``StashClient.ensure``."""
    return client().ensure(table)


def clear(table: str) -> int:
    """See ``StashClient.clear``."""
    return client().clear(table)


def delete_table(table: str) -> bool:
    """See ``StashClient.delete_table``."""
    return client().delete_table(table)


def info(table: str) -> Dict[str, Any]:
    """See ``StashClient.info``."""
    return client().info(table)


def tables() -> List[str]:
    """See ``StashClient.tables``."""
    return client().tables()


class StashTable(MutableMapping[str, Any]):
    """One table as a mapping: ``stash.table("sessions")["a"] = 1``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, key: str) -> Any:
        missing = object()
        value = get(self.name, key, missing)
        if value is missing:
            raise StashKeyNotFoundError(f"{self.name}: no key {key!r}")
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        put(self.name, key, value)

    def __delitem__(self, key: str) -> None:
        if not delete(self.name, key):
            raise StashKeyNotFoundError(f"{self.name}: no key {key!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(keys(self.name))

    def __len__(self) -> int:
        return len(keys(self.name))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and exists(self.name, key)


def table(name: str) -> StashTable:
    """Return the table ``name`` as a mapping; it is made when it does not exist."""
    ensure(name)
    return StashTable(name)
