"""Tables in memory: the rules of the stash, without processes or clocks.

Owns: ``Store``: tables of encoded values with expiry and exact size limits.
Must not know: who asks; ``now`` is monotonic seconds, given by the caller.
"""

from __future__ import annotations

import fnmatch
import heapq
from typing import Any, Dict, List, Optional, Tuple

from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.errors import StashError, StashFullError, StashKeyNotFoundError, StashTableNotFoundError

KEY_OVERHEAD = 100  # octets counted for an entry beside its key and value


class _Entry:
    __slots__ = ("data", "expires")

    def __init__(self, data: bytes, expires: Optional[float]) -> None:
        self.data = data
        self.expires = expires


class Store:
    """All tables.

    Args:
        max_size: octets of all entries together; 0 means no bound.
        max_value: octets of one encoded value; 0 means no bound.
    """

    def __init__(self, max_size: int, max_value: int) -> None:
        self._max_size = max_size
        self._max_value = max_value
        self._tables: Dict[str, Dict[str, _Entry]] = {}
        self._expiries: List[Tuple[float, str, str]] = []
        self.size = 0

    def put(self, table: str, key: str, data: bytes, ttl: Optional[float], now: float) -> None:
        """Store an encoded value. ``ttl`` is in seconds, None for ever. Raises StashFullError."""
        self._expire(now)
        entries = self._tables.get(table, {})
        old = entries.get(key)
        grown = _cost(key, data) - (_cost(key, old.data) if old is not None else 0)
        self._check_size(table, key, len(data), grown)
        expires = None if ttl is None else now + ttl
        self._tables.setdefault(table, entries)[key] = _Entry(data, expires)
        self.size += grown
        if expires is not None:
            heapq.heappush(self._expiries, (expires, table, key))

    def get(self, table: str, key: str, now: float) -> Optional[bytes]:
        """Return the encoded value, or None."""
        self._expire(now)
        entry = self._tables.get(table, {}).get(key)
        return None if entry is None else entry.data

    def delete(self, table: str, key: str, now: float) -> bool:
        """Remove a key; return whether it was there."""
        self._expire(now)
        return self._remove(table, key)

    def compare_and_set(self, table: str, key: str, expected: Optional[bytes], data: bytes, now: float) -> bool:
        """Store ``data`` when the key's value equals ``expected`` (None: there is none). Return whether."""
        found = self.get(table, key, now)
        same = found is None if expected is None else found is not None and same_value(found, expected)
        if same:
            self.put(table, key, data, self._remaining(table, key, now), now)
        return same

    def increment(self, table: str, key: str, amount: float, now: float) -> Any:
        """Add to a number, beginning at 0; return the sum. Raises StashError when it is no number."""
        found = self.get(table, key, now)
        total = incremented(table, key, None if found is None else decode_inline(found), amount)
        self.put(table, key, encode_inline(total), self._remaining(table, key, now), now)
        return total

    def keys(self, table: str, pattern: Optional[str], now: float) -> List[str]:
        """Return the keys of a table, those that match a glob ``pattern`` when it is given."""
        self._expire(now)
        found = list(self._tables.get(table, {}))
        return found if pattern is None else fnmatch.filter(found, pattern)

    def exists(self, table: str, key: Optional[str], now: float) -> bool:
        """Whether the table, or the key in it, exists."""
        self._expire(now)
        return table in self._tables if key is None else key in self._tables.get(table, {})

    def ensure(self, table: str) -> bool:
        """Make a table; return whether it is new."""
        new = table not in self._tables
        self._tables.setdefault(table, {})
        return new

    def clear(self, table: str) -> int:
        """Remove every key of a table; return how many there were. Raises StashTableNotFoundError."""
        entries = self._existing(table)
        count = len(entries)
        self.size -= sum(_cost(key, entry.data) for key, entry in entries.items())
        entries.clear()
        return count

    def delete_table(self, table: str) -> bool:
        """Remove a table; return whether it was there."""
        if table not in self._tables:
            return False
        self.clear(table)
        del self._tables[table]
        return True

    def info(self, table: str, now: float) -> Dict[str, Any]:
        """Return ``{"table", "size", "octets"}``. Raises StashTableNotFoundError."""
        self._expire(now)
        entries = self._existing(table)
        octets = sum(_cost(key, entry.data) for key, entry in entries.items())
        return {"table": table, "size": len(entries), "octets": octets}

    def tables(self) -> List[str]:
        """Return the names of all tables."""
        return list(self._tables)

    def take(self, table: str, key: str, now: float) -> bytes:
        """Return the encoded value. Raises StashKeyNotFoundError."""
        found = self.get(table, key, now)
        if found is None:
            raise StashKeyNotFoundError(f"{table}: no key {key!r}")
        return found

    def _existing(self, table: str) -> Dict[str, _Entry]:
        entries = self._tables.get(table)
        if entries is None:
            raise StashTableNotFoundError(f"no table {table!r}")
        return entries

    def _remaining(self, table: str, key: str, now: float) -> Optional[float]:
        entry = self._tables.get(table, {}).get(key)
        return None if entry is None or entry.expires is None else entry.expires - now

    def _remove(self, table: str, key: str) -> bool:
        entry = self._tables.get(table, {}).pop(key, None)
        if entry is not None:
            self.size -= _cost(key, entry.data)
        return entry is not None

    def _expire(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            _, table, key = heapq.heappop(self._expiries)
            entry = self._tables.get(table, {}).get(key)
            # The key may have been stored again since, with a later end or none.
            if entry is not None and entry.expires is not None and entry.expires <= now:
                self._remove(table, key)

    def _check_size(self, table: str, key: str, size: int, grown: int) -> None:
        if self._max_value and size > self._max_value:
            raise StashFullError(value_refusal(table, key, self._max_value, size))
        if self._max_size and self.size + grown > self._max_size:
            raise StashFullError(size_refusal(table, key, self.size, self._max_size, grown))


def _cost(key: str, data: bytes) -> int:
    return KEY_OVERHEAD + len(key.encode()) + len(data)


# --- rules that every backend keeps ---


def incremented(table: str, key: str, value: Any, amount: float) -> Any:
    """Return ``value`` (None: 0) plus ``amount``. Raises StashError when it is no number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise StashError(f"{table}[{key!r}]: expected a number, got {type(value).__name__}")
    return (value or 0) + amount


def value_refusal(table: str, key: str, most: int, size: int) -> str:
    """Return the text for a value that is too large."""
    return f"{table}[{key!r}]: expected at most {most} bytes, got {size}"


def size_refusal(table: str, key: str, held: int, most: int, grown: int) -> str:
    """Return the text for a value for which there is no room."""
    return f"{table}[{key!r}]: the stash holds {held} of {most} bytes, {grown} more do not fit"


def same_value(left: bytes, right: bytes) -> bool:
    """Whether two encoded values are equal, even if they are not encoded alike."""
    return left == right or bool(decode_inline(left) == decode_inline(right))
