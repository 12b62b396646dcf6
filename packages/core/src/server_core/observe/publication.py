"""The metrics for a process that sends them on: written by the arbiter when that process asks.

Owns: ``Publication``, a piece of shared memory with one text, and how metrics are written in it.
Must not know: who sends them where.

The process says that it wants numbers by a counter, the arbiter looks at it in each tick. So a process that is slow,
stuck or gone costs the arbiter nothing.
"""

from __future__ import annotations

import json
import mmap
from typing import Any, Callable, Iterable, List, Optional

from server_core.observe.families import Distribution, Family, Point

LIMIT = 16 * 1024 * 1024  # octets of the text

_CELL = 8
_WANTED, _GIVEN, _SEQUENCE, _LENGTH = 0, 1, 2, 3  # cells; the process writes the first, the arbiter the others
_BODY = 8 * _CELL
_ATTEMPTS = 5  # to read what changes meanwhile


class Publication:
    """Shared memory with one text; made before the process that reads it is forked. Only what is used costs memory."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._memory = memoryview(mmap.mmap(-1, _BODY + limit))
        self._cells = self._memory[:_BODY].cast("Q")

    # --- the arbiter's side ---------------------------------------------------------------------

    def serve(self, write: Callable[[], bytes]) -> bool:
        """Have the text written when it is wanted. Return whether it fitted."""
        wanted = self._cells[_WANTED]
        if wanted == self._cells[_GIVEN]:
            return True
        data = write()
        fits = len(data) <= self._limit
        if fits:
            self._cells[_SEQUENCE] += 1  # odd: do not read now
            self._memory[_BODY : _BODY + len(data)] = data
            self._cells[_LENGTH] = len(data)
            self._cells[_SEQUENCE] += 1
        self._cells[_GIVEN] = wanted
        return fits

    # --- the other side -------------------------------------------------------------------------

    def want(self) -> int:
        """Ask for the text of now. Return a number for ``is_given``."""
        self._cells[_WANTED] += 1
        return int(self._cells[_WANTED])

    def is_given(self, number: int) -> bool:
        """Whether what was asked for is there."""
        return bool(self._cells[_GIVEN] >= number)

    def read(self) -> Optional[bytes]:
        """Return the text; None when there is none, or when it changes too often."""
        for _ in range(_ATTEMPTS):
            before = self._cells[_SEQUENCE]
            if not before or before & 1:
                continue
            data = bytes(self._memory[_BODY : _BODY + min(self._cells[_LENGTH], self._limit)])
            if self._cells[_SEQUENCE] == before:
                return data
        return None


def dump(families: Iterable[Family]) -> bytes:
    """Return families as octets."""
    return json.dumps(list(families), separators=(",", ":")).encode()


def parse(data: bytes) -> List[Family]:
    """Return what ``dump`` wrote."""
    return [
        Family(name, kind, text, [Point(_labels(labels), _value(value)) for labels, value in points])
        for name, kind, text, points in json.loads(data)
    ]


def _labels(pairs: Any) -> Any:
    return tuple((name, value) for name, value in pairs)


def _value(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    bounds, counts, total = value
    return Distribution(tuple(bounds), tuple(counts), total)
