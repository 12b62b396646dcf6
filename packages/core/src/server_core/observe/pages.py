"""Shared memory for numbers of the application: one page for each child, with one writer.

Owns: the mapping, the layout of a page, writing and reading one.
Must not know: what the numbers mean, who made them.

A page is a header and entries one after another: the length of a key, the key, a value, a time. Entries are only
added; an entry exists when the header says so, which is written last. Numbers are eight aligned octets, so that a
reader never sees half of one.
"""

from __future__ import annotations

import mmap
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

CELL = 8  # octets

# The header, in cells
USED = 0  # octets of the page in use, the header included
REFUSED = 1  # keys that found no room
HEADER = 8 * CELL  # octets

_LENGTH = struct.Struct("=Q")
_NUMBERS = struct.Struct("=dd")


class Entry(NamedTuple):
    """A key with its numbers as they are now. ``time`` is what the writer set with the value."""

    key: bytes
    value: float
    time: float


class PageWriter:
    """The page of this process.

    Attributes:
        floats: the page as doubles; the value of a key is at ``place(key)``, its time in the next cell.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._cells = memory.cast("Q")
        self.floats = memory.cast("d")
        self._places: Dict[bytes, int] = {}
        self._cells[USED] = max(HEADER, self._cells[USED])

    def place(self, key: bytes) -> Optional[int]:
        """Return the cell of a key's value, made at the first time; None when the page is full, which is counted."""
        place = self._places.get(key)
        if place is not None:
            return place
        start = self._cells[USED]
        numbers = start + _LENGTH.size + -(-len(key) // CELL) * CELL
        if numbers + _NUMBERS.size > len(self._memory):
            self._cells[REFUSED] += 1
            return None
        _LENGTH.pack_into(self._memory, start, len(key))
        self._memory[start + _LENGTH.size : start + _LENGTH.size + len(key)] = key
        _NUMBERS.pack_into(self._memory, numbers, 0.0, 0.0)
        self._cells[USED] = numbers + _NUMBERS.size
        self._places[key] = numbers // CELL
        return numbers // CELL


class Pages:
    """The pages of all children; made before they are forked.

    Args:
        count: how many.
        size: octets of one. Pages that nobody writes cost no memory.
    """

    def __init__(self, count: int, size: int) -> None:
        self.size = -(-size // CELL) * CELL
        self._memory = memoryview(mmap.mmap(-1, count * self.size))
        self._known: Dict[int, List[Tuple[bytes, int]]] = {}  # keys found so far, and where their numbers are

    def writer(self, index: int) -> PageWriter:
        """Return the writing side of a page, to be used by its child only."""
        return PageWriter(self._page(index))

    def read(self, index: int) -> List[Entry]:
        """Return what is in a page now."""
        page = self._page(index)
        known = self._find(index, page)
        return [Entry(key, *_NUMBERS.unpack_from(page, numbers)) for key, numbers in known]

    def refused(self, index: int) -> int:
        """Return how many keys found no room."""
        return int(self._page(index).cast("Q")[REFUSED])

    def clear(self, index: int) -> None:
        """Make a page empty, when its child is gone."""
        page = self._page(index)
        used = page.cast("Q")[USED]
        if used:
            size = min(max(used, HEADER), self.size)
            page[:size] = bytes(size)
        self._known.pop(index, None)

    def _page(self, index: int) -> memoryview:
        return self._memory[index * self.size : (index + 1) * self.size]

    def _find(self, index: int, page: memoryview) -> List[Tuple[bytes, int]]:
        """Return the keys of a page, looking only at what was added since the last time."""
        known = self._known.setdefault(index, [])
        used = min(page.cast("Q")[USED], self.size)
        at = known[-1][1] + _NUMBERS.size if known else HEADER
        while at < used:
            (length,) = _LENGTH.unpack_from(page, at)
            numbers = at + _LENGTH.size + -(-length // CELL) * CELL
            if numbers + _NUMBERS.size > used:
                break  # the application wrote where it should not
            known.append((bytes(page[at + _LENGTH.size : at + _LENGTH.size + length]), numbers))
            at = numbers + _NUMBERS.size
        return known
