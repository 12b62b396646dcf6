"""What a worker does to the scoreboard for every request. Hot: compiled where possible.

Owns: ``ThreadRecord`` and ``RunningTable``, the writing side of counters and of running requests.
Must not know: processes, other slots, who reads.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, attr-defined"

from __future__ import annotations

import struct
from array import array
from typing import Any, Dict, List

from server_core.scoreboard.layout import (
    BEGAN,
    CELL,
    ENTRY_BODY,
    ENTRY_CELLS,
    ENTRY_TEXT,
    LATENCY,
    LATENCY_BOUNDS,
    LATENCY_BUCKETS,
    OVERFLOW,
    QUEUE,
    QUEUED_SECONDS,
    SECONDS,
    SENT,
    SHED,
    STATUS,
    STATUS_CELL,
)

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

_BODY = struct.Struct(f"=dQ{ENTRY_TEXT}s")
_pack_body = _BODY.pack_into
_BODY_OFFSET = ENTRY_BODY * CELL
_CELL = CELL
_TEXT = ENTRY_TEXT
_TEXT_OFFSET = 2 * CELL  # behind when it began and the length
_FIRST_BOUND: float = LATENCY_BOUNDS[0]
_BOUNDS = array("d", LATENCY_BOUNDS)

# Built once, because encoding a method costs as much as the rest of its entry.
_METHOD_PREFIXES: Dict[str, bytes] = {
    name: name.encode("ascii") + b" "
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
}


class RunningTable:
    """The requests now running in one process: a bounded table of entries in shared memory.

    An entry is known by its first cell, which has its sequence number. ``free`` is a list of free entries; its ``pop``
    and ``append`` are atomic, so that all threads of the process may take from it, while an entry in use has one owner.
    """

    __slots__ = ("cells", "free", "octets")

    def __init__(self, cells: Any, octets: Any, entries: int) -> None:
        self.cells = cells
        self.octets = octets
        self.free: List[int] = list(range((entries - 1) * ENTRY_CELLS, -1, -ENTRY_CELLS))

    def write(self, entry: int, now: float, prefix: bytes, target: bytes) -> None:
        """``_pack_body`` without an object for the text; compiled only."""
        body = cython.address(self.octets[entry * _CELL + _BODY_OFFSET])
        length = min(len(prefix), _TEXT)
        cython.cast("double *", body)[0] = now
        cython.cast("unsigned long long *", body)[1] = len(prefix) + len(target)
        memcpy(body + _TEXT_OFFSET, cython.cast("const char *", prefix), length)
        memcpy(body + _TEXT_OFFSET + length, cython.cast("const char *", target), min(len(target), _TEXT - length))


class ThreadRecord:
    """The counters of one thread. Only that thread writes them.

    Args:
        cells: the record's cells as unsigned 64-bit integers.
        floats: the same memory as doubles.
        table: the table of running requests of the process.
    """

    __slots__ = ("cells", "floats", "table")

    def __init__(self, cells: Any, floats: Any, table: RunningTable) -> None:
        self.cells = cells
        self.floats = floats
        self.table = table

    def begin(self, method: str, target: bytes, now: float, waited: float = 0.0) -> int:
        """A request begins. Return its entry, -1 when the table is full (that is counted).

        Args:
            method: the request method.
            target: the request target as sent; its first octets are kept.
            now: monotonic seconds.
            waited: its queue time, seconds.
        """
        cells = self.cells
        cells[BEGAN] += 1
        # The usual first bucket has a counter, here and in ``finish``: what is left of counters that are read one
        # after the other may go down, which counters must not.
        if waited > _FIRST_BOUND:
            cells[QUEUE + latency_bucket(waited)] += 1
            self.floats[QUEUED_SECONDS] += waited
        else:
            cells[QUEUE] += 1
        table = self.table
        try:
            entry = table.free.pop()
        except IndexError:
            self.cells[OVERFLOW] += 1
            return -1
        prefix = _METHOD_PREFIXES.get(method)
        if prefix is None:
            prefix = method.encode("latin-1", "replace") + b" "
        # The text is written while the sequence number is even, that is, while readers skip it.
        if cython.compiled and type(target) is bytes:
            table.write(entry, now, prefix, target)
        else:
            text = prefix + target
            _pack_body(table.octets, entry * _CELL + _BODY_OFFSET, now, len(text), text)
        table.cells[entry] += 1
        return entry

    def finish(self, entry: int, status: int, sent: int, began: float, now: float) -> None:
        """The request of ``entry`` ended.

        Args:
            entry: what ``begin`` returned.
            status: the status of the response; 0 when there was none.
            sent: octets of the response body.
            began: what ``begin`` was given, monotonic seconds.
            now: monotonic seconds.
        """
        cells = self.cells
        if entry >= 0:
            table = self.table
            table.cells[entry] += 1
            table.free.append(entry)
        seconds = now - began
        self.floats[SECONDS] += seconds
        cells[STATUS_CELL[status] if 0 <= status < 1000 else STATUS] += 1
        cells[SENT] += sent
        cells[LATENCY + (latency_bucket(seconds) if seconds > _FIRST_BOUND else 0)] += 1

    def shed(self) -> None:
        """A request was answered 503 without the application, because requests waited for too long."""
        self.cells[BEGAN] += 1
        self.cells[SHED] += 1
        self.cells[STATUS_CELL[503]] += 1

    def count(self, counter: int, n: int = 1) -> None:
        """Add ``n`` to a counter of ``layout``: RECEIVED, ERRORS, WEBSOCKETS or REFUSED."""
        self.cells[counter] += n


def latency_bucket(seconds: float) -> int:
    """Return the index of the first bound of the histogram that is not below ``seconds``."""
    # Most answers are in the first buckets, where a loop beats a bisection.
    index = 0
    while index < LATENCY_BUCKETS - 1 and seconds > _BOUNDS[index]:
        index += 1
    return index
