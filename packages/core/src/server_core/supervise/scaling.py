"""How many workers a load needs: the rule of ``adaptive_workers``.

Owns: ``desired``, a pure function of what was seen, and the numbers in it.
Must not know: where the shares come from, how workers are started; ``state`` asks once a second.

Growing is quick and shrinking is slow, because a worker too few costs users their time and a worker too many some
memory. There are gaps between the thresholds: a number that was just left is not wanted again under the same load,
whichever way it was left, so that a steady load comes to rest.
"""

from __future__ import annotations

import math
from typing import List, NamedTuple, Sequence

GROW_ABOVE = 0.8  # of the workers' time, on the mean of GROW_SECONDS
GROW_SECONDS = 5.0
FIT = 0.6  # the share that is aimed at
SHRINK_SECONDS = 60.0  # the busiest GROW_SECONDS of so long a time must fit into fewer workers
SHRINK_PART = 4  # at most a fourth of the workers goes at once


class Load(NamedTuple):
    """The workers had ``work`` workers' worth to do in the second before ``at`` (monotonic seconds)."""

    at: float
    work: float


def desired(history: Sequence[Load], target: int, least: int, most: int) -> int:
    """Return how many workers there should be.

    Args:
        history: what was seen since the number changed last, oldest first.
        target: how many there are.
        least, most: the bounds; a number outside of them, where an operator put it, is left only towards them.
    """
    if not history:
        return target
    now = history[-1].at
    seen = now - history[0].at
    if seen >= GROW_SECONDS:
        work = recent(history)
        if work > GROW_ABOVE * target:
            return max(target, min(most, max(target + 1, math.ceil(work / FIT))))
    if seen >= SHRINK_SECONDS and target > least:
        need = math.ceil(_peak(history, now - SHRINK_SECONDS) / FIT)
        return max(need, least, target - max(1, target // SHRINK_PART)) if need < target else target
    return target


def recent(history: Sequence[Load]) -> float:
    """Return the mean work of the last GROW_SECONDS."""
    since = history[-1].at - GROW_SECONDS
    works = [load.work for load in history if load.at > since]
    return sum(works) / len(works)


def _peak(history: Sequence[Load], since: float) -> float:
    """Return the most that any GROW_SECONDS after ``since`` brought, on their mean."""
    loads = [load for load in history if load.at > since]
    peak, total, first = 0.0, 0.0, 0
    for last, load in enumerate(loads):
        total += load.work
        while load.at - loads[first].at >= GROW_SECONDS:
            total -= loads[first].work
            first += 1
        peak = max(peak, total / (last + 1 - first))
    return peak


def remember(history: List[Load], load: Load) -> None:
    """Add to a history, and drop what no decision needs any more."""
    history.append(load)
    while load.at - history[0].at > SHRINK_SECONDS + 1.0:
        del history[0]
