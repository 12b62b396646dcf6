"""How busy children are: the part of their time in which they had no room for more.

Owns: ``BusyMeter``, which looks at the board once in each tick of the arbiter and keeps the looks of a few seconds.
Must not know: what is done about it. Time is an argument; no worker does anything for it in a request.

What is measured depends on how a child works. Where requests have threads (``sync``, ``gthread``) it is the share of
the threads' time spent in requests, waiting for a database included: such a thread takes nothing else. A child with a
loop (``asgi``, ``gevent``, ``eventlet``) takes any number of requests, and is full when its loop never rests: there it
is the share of one core that its process uses. A loop that an application blocks without using the processor shows in
the queue time and not here.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, NamedTuple, Optional, Tuple

from server_core.scoreboard.layout import READY

WINDOW = 5.0  # seconds that a share is taken over


class Look(NamedTuple):
    """What was seen at one moment: of each ready child, by place and age, its group, capacity and busy seconds."""

    at: float
    children: Dict[Tuple[int, int], Tuple[int, int, float]]


class BusyMeter:
    """Shares of time, 0 to 1.

    Args:
        reader: the board's reading side.
        window: seconds.
    """

    def __init__(self, reader: Any, window: float = WINDOW) -> None:
        self._reader = reader
        self._window = window
        self._looks: Deque[Look] = deque()

    def look(self, now: float) -> None:
        """Look at the board, once a second or so."""
        reader = self._reader
        children = {
            (slot.index, slot.age): (slot.group, slot.capacity, reader.busy_seconds(slot.index, now))
            for slot in reader.slots()
            if slot.state == READY
        }
        self._looks.append(Look(now, children))
        while len(self._looks) > 2 and self._looks[1].at <= now - self._window:
            self._looks.popleft()

    def share(self, group: int) -> float:
        """Return the mean share of the ready children of a group over the window."""
        return self._mean(group, self._looks[0]) if self._looks else 0.0

    def latest(self, group: int) -> float:
        """Return the mean share of a group since the look before the last."""
        return self._mean(group, self._looks[-2]) if len(self._looks) > 1 else 0.0

    def of(self, index: int) -> float:
        """Return the share of the child in place ``index`` over the window, 0 when it is not ready."""
        for child in self._looks[-1].children if self._looks else ():
            if child[0] == index:
                return self._share(child, self._looks[0]) or 0.0
        return 0.0

    def _mean(self, group: int, since: Look) -> float:
        shares = [
            share
            for child, (of_group, _, _) in self._looks[-1].children.items()
            if of_group == group
            for share in (self._share(child, since),)
            if share is not None
        ]
        return sum(shares) / len(shares) if shares else 0.0

    def _share(self, child: Tuple[int, int], since: Look) -> Optional[float]:
        """Return the share of a child from ``since``, or from when it was first seen ready; None without two looks."""
        last = self._looks[-1]
        first = since
        if child not in since.children:
            first = next((look for look in self._looks if child in look.children), last)
        seconds = last.at - first.at
        if seconds <= 0:
            return None
        _, capacity, busy = last.children[child]
        return min(1.0, max(0.0, (busy - first.children[child][2]) / (seconds * max(1, capacity))))
