"""The stash on a Redis server, shared by several machines (extra ``redis``).

Owns: the operations of ``stash.app.StashApp`` as Redis commands.
Must not know: what values mean; they are encoded octets here too.

A table is a hash; besides them Redis holds the names of all tables, when keys expire, and the octets of all values.
Every change is one script, which Redis runs as a whole: it first removes what has expired, then checks the limits, so
that both are as exact as those of the stash's own process.
"""

from __future__ import annotations

import fnmatch
from typing import Any, Callable, Dict, List, Optional

import redis

from server_dirty.codec import decode_inline, encode_inline
from server_dirty.stash.errors import StashError, StashFullError, StashTableNotFoundError
from server_dirty.stash.store import KEY_OVERHEAD, incremented, same_value, size_refusal, value_refusal

# The braces keep all keys on one node of a Redis cluster, as scripts need it.
PREFIX = "{server:stash}:"
TABLES = PREFIX + "tables"  # a set
EXPIRIES = PREFIX + "expiries"  # a sorted set of "table\0key" by milliseconds of the epoch
SIZE = PREFIX + "size"  # octets of all values, keys and their overhead

# What every script begins with: KEYS are the four above and the table's hash.
_PRELUDE = f"""
local prefix, tables, expiries, size, name = '{PREFIX}t:', KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function cost(key, value) return {KEY_OVERHEAD} + #key + #value end
local function drop(from, table, key)
    local value = redis.call('HGET', from, key)
    if not value then return 0 end
    redis.call('HDEL', from, key)
    redis.call('ZREM', expiries, table .. '\\0' .. key)
    redis.call('DECRBY', size, cost(key, value))
    return 1
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now)) do
    local at = string.find(member, '\\0', 1, true)
    local table = string.sub(member, 1, at - 1)
    drop(prefix .. table, table, string.sub(member, at + 1))
end
"""

# table, key, value, ttl in milliseconds ('' for ever, '=' as it is), max_size, what is expected of the old value:
# '' nothing, 'absent', or 'equal' to the last argument
_PUT = """
local table, key, value, ttl, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local old = redis.call('HGET', name, key)
if ARGV[6] == 'absent' and old then return {0} end
if ARGV[6] == 'equal' and old ~= ARGV[7] then return {0} end
local held = tonumber(redis.call('GET', size) or '0')
local grown = cost(key, value)
if old then grown = grown - cost(key, old) end
if most > 0 and held + grown > most then return {-1, held, grown} end
redis.call('SADD', tables, table)
redis.call('HSET', name, key, value)
redis.call('INCRBY', size, grown)
local member = table .. '\\0' .. key
if ttl == '' then redis.call('ZREM', expiries, member)
elseif ttl ~= '=' then redis.call('ZADD', expiries, now + tonumber(ttl), member) end
return {1}
"""

_CLEAR = """
local keys = redis.call('HKEYS', name)
for _, key in ipairs(keys) do drop(name, ARGV[1], key) end
return #keys
"""

_INFO = """
local octets, entries = 0, redis.call('HGETALL', name)
for n = 1, #entries, 2 do octets = octets + cost(entries[n], entries[n + 1]) end
return {#entries / 2, octets}
"""


class RedisBackend:
    """A Redis server as the backend.

    Args:
        url: ``redis://host:port/db``, ``rediss://`` or ``unix://``.
        timeout: seconds an operation may take.
        max_size: octets of all entries together; 0 means no bound. All servers of one Redis should have the same.
        max_value: octets of one encoded value; 0 means no bound.
    """

    def __init__(self, url: str, timeout: float, max_size: int = 0, max_value: int = 0) -> None:
        # The library's annotations leave open whether answers are decoded; here they are octets.
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
        self._max_size = max_size
        self._max_value = max_value
        texts = {
            "get": "return redis.call('HGET', name, ARGV[2])",
            "put": _PUT,
            "delete": "return drop(name, ARGV[1], ARGV[2])",
            "keys": "return redis.call('HKEYS', name)",
            "exists": "return redis.call('HEXISTS', name, ARGV[2])",
            "clear": _CLEAR,
            "info": _INFO,
        }
        self._scripts = {name: self._redis.register_script(_PRELUDE + text) for name, text in texts.items()}

    def call(self, operation: str, *arguments: Any) -> Any:
        """Run an operation. Raises StashError when Redis cannot be asked."""
        run: Optional[Callable[..., Any]] = getattr(self, f"_do_{operation}", None)
        if run is None:
            raise StashError(f"stash: expected a known operation, got {operation!r}")
        try:
            return run(*arguments)
        except redis.RedisError as error:
            raise StashError(f"stash: Redis did not answer {operation}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _run(self, script: str, table: str, *arguments: Any) -> Any:
        return self._scripts[script](keys=[TABLES, EXPIRIES, SIZE, f"{PREFIX}t:{table}"], args=[table, *arguments])

    def _store(self, table: str, key: str, data: bytes, ttl: Any, condition: str = "", found: bytes = b"") -> bool:
        """Store a value when ``condition`` holds: '' always, 'absent', 'equal' to ``found``. Return whether."""
        if self._max_value and len(data) > self._max_value:
            raise StashFullError(value_refusal(table, key, self._max_value, len(data)))
        outcome, *sizes = self._run("put", table, key, data, ttl, self._max_size, condition, found)
        if outcome < 0:
            held, grown = sizes
            raise StashFullError(size_refusal(table, key, held, self._max_size, grown))
        return bool(outcome)

    def _do_put(self, table: str, key: str, data: bytes, ttl: Optional[float] = None) -> None:
        self._store(table, key, data, "" if ttl is None else max(1, int(ttl * 1000)))

    def _do_get(self, table: str, key: str) -> Optional[bytes]:
        data: Optional[bytes] = self._run("get", table, key)
        return data

    def _do_delete(self, table: str, key: str) -> bool:
        return bool(self._run("delete", table, key))

    def _do_compare_and_set(self, table: str, key: str, expected: Optional[bytes], data: bytes) -> bool:
        def change(found: Optional[bytes]) -> Optional[bytes]:
            same = found is None if expected is None else found is not None and same_value(found, expected)
            return data if same else None

        return self._update(table, key, change)

    def _do_increment(self, table: str, key: str, amount: float) -> Any:
        totals: List[Any] = []

        def add(found: Optional[bytes]) -> bytes:
            totals.append(incremented(table, key, None if found is None else decode_inline(found), amount))
            return encode_inline(totals[-1])

        self._update(table, key, add)
        return totals[-1]

    def _update(self, table: str, key: str, change: Callable[[Optional[bytes]], Optional[bytes]]) -> bool:
        """Replace a value by ``change(value)`` unless that is None; nobody else's write gets lost."""
        while True:
            found = self._do_get(table, key)
            data = change(found)
            if data is None:
                return False
            if self._store(table, key, data, "=", "absent" if found is None else "equal", found or b""):
                return True  # else somebody else was first: look again

    def _do_keys(self, table: str, pattern: Optional[str] = None) -> List[str]:
        found = [key.decode() for key in self._run("keys", table)]
        return found if pattern is None else fnmatch.filter(found, pattern)

    def _do_exists(self, table: str, key: Optional[str] = None) -> bool:
        if key is None:
            return bool(self._redis.sismember(TABLES, table))
        return bool(self._run("exists", table, key))

    def _do_ensure(self, table: str) -> bool:
        return bool(self._redis.sadd(TABLES, table))

    def _do_clear(self, table: str) -> int:
        self._require(table)
        return int(self._run("clear", table))

    def _do_delete_table(self, table: str) -> bool:
        if not self._do_exists(table):
            return False
        self._run("clear", table)
        return bool(self._redis.srem(TABLES, table))

    def _do_info(self, table: str) -> Dict[str, Any]:
        self._require(table)
        size, octets = self._run("info", table)
        return {"table": table, "size": size, "octets": octets}

    def _do_tables(self) -> List[str]:
        return sorted(name.decode() for name in self._redis.smembers(TABLES))

    def _require(self, table: str) -> None:
        if not self._do_exists(table):
            raise StashTableNotFoundError(f"no table {table!r}")
