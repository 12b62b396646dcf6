"""One coarse timer wheel for all connections of a loop.

Owns: which objects are due when, in ticks of ``GRANULARITY`` seconds.
Must not know: what a timer means; whoever is due asks its engine, whose ``deadline()`` is the truth.

Timers are lazy: an object that is armed is left where it is when its deadline moves to later, and armed again
when it comes due too early. A connection that serves request after request therefore touches the wheel once
per keep-alive period and not once per request. Nothing fires early; everything may fire one tick late.
"""

from __future__ import annotations

import heapq
from typing import Any, Dict, List, Optional

#: Seconds per tick: the precision of every timeout of a connection.
GRANULARITY = 0.25


class TimerWheel:
    """Objects by the tick they are due at. An armed object has its tick in its ``armed`` attribute, else 0."""

    __slots__ = ("_buckets", "_ticks")

    def __init__(self) -> None:
        self._buckets: Dict[int, Dict[Any, None]] = {}  # in the order of arming
        self._ticks: List[int] = []  # a heap of the keys of _buckets

    def arm(self, item: Any, deadline: float) -> None:
        """Make ``item`` due at ``deadline`` (monotonic seconds) unless it is due earlier already."""
        tick = int(deadline / GRANULARITY) + 1
        if item.armed and item.armed <= tick:
            return
        self.disarm(item)
        item.armed = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {item: None}
            heapq.heappush(self._ticks, tick)
        else:
            bucket[item] = None

    def disarm(self, item: Any) -> None:
        """Forget ``item``: one that is over would otherwise be kept, with all it holds, until it is due."""
        if item.armed:
            self._buckets[item.armed].pop(item, None)
            item.armed = 0

    def due(self, now: float) -> List[Any]:
        """Remove and return the objects that are due at ``now``, no longer armed."""
        found: List[Any] = []
        last = int(now / GRANULARITY)
        while self._ticks and self._ticks[0] <= last:
            tick = heapq.heappop(self._ticks)
            for item in self._buckets.pop(tick):
                item.armed = 0
                found.append(item)
        return found

    def deadline(self) -> Optional[float]:
        """Return when something is due next, in monotonic seconds; None while nothing is armed."""
        return self._ticks[0] * GRANULARITY if self._ticks else None
