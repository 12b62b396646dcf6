"""The stash on a Redis server, shared by several machines (extra ``redis``).

Owns: the operations of ``stash.app.StashApp`` as Redis commands.
Must not know: what values mean; they are encoded octets here too.

A table is the keys ``server:stash:<table>:<key>``; the set ``server:stash:tables`` names the tables.
Expiry is Redis's own.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Optional

import redis

from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.errors import StashError, StashTableNotFoundError

PREFIX = "server:stash:"
TABLES = PREFIX + "tables"
SCAN_COUNT = 500  # keys Redis looks at in one step


class RedisBackend:
    """A Redis server as the backend.

    Args:
        url: ``redis://host:port/db``, ``rediss://`` or ``unix://``.
        timeout: seconds an operation may take.
    """

    def __init__(self, url: str, timeout: float) -> None:
        # The library's annotations leave open whether answers are decoded; here they are octets.
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)

    def call(self, operation: str, *arguments: Any) -> Any:
        """Run an operation. Raises StashError when Redis cannot be asked."""
        run: Optional[Callable[..., Any]] = getattr(self, f"_do_{operation}", None)
        if run is None:
            raise StashError(f"stash: expected a known operation, got {operation!r}")
        try:
            return run(*arguments)
        except redis.RedisError as error:
            raise StashError(f"stash: Redis did not answer {operation}: {error}") from error

    def _do_put(self, table: str, key: str, data: bytes, ttl: Optional[float] = None) -> None:
        pipeline = self._redis.pipeline()
        pipeline.sadd(TABLES, table)
        pipeline.set(_name(table, key), data, px=None if ttl is None else max(1, int(ttl * 1000)))
        pipeline.execute()

    def _do_get(self, table: str, key: str) -> Optional[bytes]:
        data: Optional[bytes] = self._redis.get(_name(table, key))
        return data

    def _do_delete(self, table: str, key: str) -> bool:
        return bool(self._redis.delete(_name(table, key)))

    def _do_compare_and_set(self, table: str, key: str, expected: Optional[bytes], data: bytes) -> bool:
        def matches(found: Optional[bytes]) -> bool:
            if expected is None or found is None:
                return found is expected
            return found == expected or bool(decode_inline(found) == decode_inline(expected))

        return self._update(table, key, lambda found: data if matches(found) else None)

    def _do_increment(self, table: str, key: str, amount: float) -> Any:
        totals: List[Any] = []

        def add(found: Optional[bytes]) -> bytes:
            value = 0 if found is None else decode_inline(found)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise StashError(f"{table}[{key!r}]: expected a number, got {type(value).__name__}")
            totals.append(value + amount)
            return encode_inline(totals[-1])

        self._update(table, key, add)
        return totals[-1]

    def _update(self, table: str, key: str, change: Callable[[Optional[bytes]], Optional[bytes]]) -> bool:
        """Replace a value by ``change(value)`` unless that is None; nobody else's write gets lost."""
        name = _name(table, key)
        with self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(name)
                data = change(pipeline.get(name))
                if data is None:
                    return False
                pipeline.multi()
                pipeline.sadd(TABLES, table)
                pipeline.set(name, data, keepttl=True)
                with contextlib.suppress(redis.WatchError):  # somebody else was first: look again
                    pipeline.execute()
                    return True

    def _do_keys(self, table: str, pattern: Optional[str] = None) -> List[str]:
        prefix = _name(table, "")
        names = self._redis.scan_iter(match=_escape(prefix) + (pattern or "*"), count=SCAN_COUNT)
        return [name.decode()[len(prefix) :] for name in names]

    def _do_exists(self, table: str, key: Optional[str] = None) -> bool:
        if key is None:
            return bool(self._redis.sismember(TABLES, table))
        return bool(self._redis.exists(_name(table, key)))

    def _do_ensure(self, table: str) -> bool:
        return bool(self._redis.sadd(TABLES, table))

    def _do_clear(self, table: str) -> int:
        self._require(table)
        names = [_name(table, key) for key in self._do_keys(table)]
        return int(self._redis.delete(*names)) if names else 0

    def _do_delete_table(self, table: str) -> bool:
        if not self._do_exists(table):
            return False
        self._do_clear(table)
        return bool(self._redis.srem(TABLES, table))

    def _do_info(self, table: str) -> Dict[str, Any]:
        self._require(table)
        names = self._do_keys(table)
        octets = sum(int(self._redis.strlen(_name(table, key))) for key in names)
        return {"table": table, "size": len(names), "octets": octets}

    def _do_tables(self) -> List[str]:
        return sorted(name.decode() for name in self._redis.smembers(TABLES))

    def _require(self, table: str) -> None:
        if not self._do_exists(table):
            raise StashTableNotFoundError(f"no table {table!r}")


def _name(table: str, key: str) -> str:
    return f"{PREFIX}{table}:{key}"


def _escape(text: str) -> str:
    """Quote what is special in a glob, so that a table's name stands for itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)
