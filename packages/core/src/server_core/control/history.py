"""The last minutes of a server: rates and latencies, second by second.

Owns: ``History``: what is kept, and how rates and percentiles come from counters.
Must not know: who looks at it. Time is an argument.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from server_core.observe.families import Distribution, quantile
from server_core.observe.snapshot import Snapshot
from server_core.scoreboard.layout import LATENCY_BOUNDS
from server_core.scoreboard.reader import Counters

LENGTH = 300  # moments that are kept, of a second each
INTERVAL = 0.9  # seconds at least between two; ticks come faster while the server stops
RECENT = 10  # moments over which the numbers of now are taken

# What is known of each moment. Times are seconds; a percentile without requests is None.
COLUMNS = ("at", "rate", "errors", "p50", "p95", "p99", "queue_p95", "busy", "running", "connections", "waiting",
           "workers", "memory")  # fmt: skip

Value = Optional[float]


class _Look(NamedTuple):
    """Counters of the HTTP workers at one moment, monotonic seconds."""

    at: float
    counters: Counters


class History:
    """Keeps what happened. Give it a snapshot about once a second."""

    def __init__(self) -> None:
        self._looks: Deque[_Look] = deque(maxlen=RECENT + 1)
        self._rows: Deque[Tuple[Value, ...]] = deque(maxlen=LENGTH)

    def due(self, now: float) -> bool:
        """Whether a second has passed."""
        return not self._looks or now - self._looks[-1].at >= INTERVAL

    def add(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Keep a moment.

        Args:
            snapshot: the numbers.
            now: monotonic seconds.
            wall: the same as seconds since the epoch.
        """
        look = _Look(now, snapshot.http.counters)
        if self._looks:
            self._rows.append((round(wall, 1), *_between(self._looks[-1], look), *_state(snapshot)))
        self._looks.append(look)

    def now(self, snapshot: Snapshot, now: float, wall: float) -> Dict[str, Value]:
        """Return the moment of now, over the last seconds."""
        look = _Look(now, snapshot.http.counters)
        first = self._looks[0] if self._looks else look
        return dict(zip(COLUMNS, (round(wall, 1), *_between(first, look), *_state(snapshot))))

    def rows(self) -> List[Tuple[Value, ...]]:
        """Return the moments, oldest first, in the order of ``COLUMNS``."""
        return list(self._rows)


def _between(first: _Look, last: _Look) -> Tuple[Value, ...]:
    """Return rate, errors, percentiles of latency and of queue time between two looks."""
    seconds = last.at - first.at
    if seconds <= 0:
        return (0.0, 0.0, None, None, None, None)
    old, new = first.counters, last.counters
    latency = _difference(old.latency, new.latency)
    queue = _difference(old.queue, new.queue)
    return (
        round((new.finished - old.finished) / seconds, 1),
        round((new.statuses[5] - old.statuses[5]) / seconds, 1),
        *(_percentile(latency, share) for share in (0.5, 0.95, 0.99)),
        _percentile(queue, 0.95),
    )


def _difference(old: Sequence[int], new: Sequence[int]) -> Distribution:
    return Distribution(LATENCY_BOUNDS, tuple(max(0, after - before) for before, after in zip(old, new)), 0.0)


def _percentile(distribution: Distribution, share: float) -> Value:
    return round(quantile(distribution, share), 6) if distribution.total else None


def _state(snapshot: Snapshot) -> Tuple[Value, ...]:
    http = snapshot.http
    return (
        round(http.busy, 3),
        http.counters.running,
        http.connections,
        sum(snapshot.queues.values()),
        http.ready,
        sum(http.memory.values()),
    )
