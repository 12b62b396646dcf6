"""Who goes first: RFC 9218 priorities and the order in which streams may send.

Owns: the ``Priority`` field and PRIORITY_UPDATE frame, and the queue of streams that have something to send.
Must not know: frames, windows, how much is sent at a turn: whoever asks for the next stream says what came of it.

The order (RFC 9218 section 10): the lowest urgency first. Within one urgency, streams that are not incremental come
one after the other in the order of their numbers, because the client can use each only when it is complete;
incremental ones take turns. Where both kinds wait at one urgency, they take turns as well, the non-incremental ones
together being one of them, so that neither starves the other.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

URGENCIES = 8
DEFAULT: Tuple[int, bool] = (3, False)
MAX_FIELD = 256
"""Octets of a Priority value that are looked at; ``u=3, i`` needs six."""


def parse_priority(value: bytes, fallback: Tuple[int, bool] = DEFAULT) -> Tuple[int, bool]:
    """Read ``u`` and ``i`` of a structured dictionary (RFC 9218 section 4, RFC 9651 section 3.2).

    Args:
        value: a Priority field value, or the content of a PRIORITY_UPDATE frame.
        fallback: what counts for a parameter that is missing, out of range or of the wrong type.

    Returns:
        ``(urgency, incremental)``. A value that cannot be read is ignored, as section 4 asks.
    """
    urgency, incremental = fallback
    for member in value[:MAX_FIELD].split(b","):
        key, _, rest = member.strip(b" \t").partition(b"=")
        item = rest.partition(b";")[0]
        if key == b"u":
            if len(item) == 1 and b"0" <= item <= b"7":
                urgency = item[0] - 48
        elif key.partition(b";")[0] == b"i":
            if item in (b"", b"?1"):
                incremental = True
            elif item == b"?0":
                incremental = False
    return urgency, incremental


class Scheduler:
    """The streams that can send now.

    A stream is any object with ``number``, ``urgency`` and ``incremental``; those must not change while it waits
    (take it out with ``remove`` first).
    """

    __slots__ = ("_levels", "_waiting")

    def __init__(self) -> None:
        self._levels: List[Optional[_Level]] = [None] * URGENCIES
        self._waiting: Dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, stream: Any) -> bool:
        return stream.number in self._waiting

    def add(self, stream: Any) -> None:
        """``stream`` has something to send; without effect when it waits already."""
        if stream.number in self._waiting:
            return
        self._waiting[stream.number] = stream
        level = self._levels[stream.urgency]
        if level is None:
            level = self._levels[stream.urgency] = _Level()
        level.add(stream)

    def remove(self, stream: Any) -> None:
        """``stream`` has nothing to send, or may not."""
        if self._waiting.pop(stream.number, None) is not None:
            level = self._levels[stream.urgency]
            if level is not None:
                level.remove(stream)

    def next(self) -> Any:
        """Return the stream whose turn it is, and move it behind those it takes turns with; None when none waits."""
        if self._waiting:
            for level in self._levels:
                if level is not None and (level.rotating or level.ordered):
                    return level.next()
        return None


class _Level:
    """The streams of one urgency."""

    __slots__ = ("_turn_of_ordered", "ordered", "rotating")

    def __init__(self) -> None:
        self.ordered: Deque[Any] = deque()
        self.rotating: Deque[Any] = deque()
        self._turn_of_ordered = True

    def add(self, stream: Any) -> None:
        if stream.incremental:
            self.rotating.append(stream)
            return
        ordered = self.ordered
        if ordered and ordered[-1].number > stream.number:
            place = next(i for i, other in enumerate(ordered) if other.number > stream.number)
            ordered.insert(place, stream)
        else:
            ordered.append(stream)

    def remove(self, stream: Any) -> None:
        (self.rotating if stream.incremental else self.ordered).remove(stream)

    def next(self) -> Any:
        if self.ordered and (self._turn_of_ordered or not self.rotating):
            self._turn_of_ordered = False
            return self.ordered[0]
        self._turn_of_ordered = True
        stream = self.rotating[0]
        self.rotating.rotate(-1)
        return stream
