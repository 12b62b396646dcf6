"""What a metric is: a family of points, with numbers that any sink can use.

Owns: ``Family``, ``Point``, ``Distribution``.
Must not know: which metrics there are, in which format they are shown or sent.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple, Union

COUNTER = "counter"  # only grows
GAUGE = "gauge"
HISTOGRAM = "histogram"  # its points are distributions
SUMMARY = "summary"  # its points are distributions without bounds
INFO = "info"  # a gauge of 1 whose labels are what it says

Labels = Tuple[Tuple[str, str], ...]  # names and values


class Distribution(NamedTuple):
    """Observations counted by size.

    Attributes:
        bounds: upper bounds, rising, without the infinite one.
        counts: observations not above each bound and above the bound before it; the last is what is above all.
        sum: of all observations.
    """

    bounds: Tuple[float, ...]
    counts: Tuple[float, ...]
    sum: float

    @property
    def total(self) -> float:
        """How many observations there were."""
        return sum(self.counts)


class Point(NamedTuple):
    """One member of a family."""

    labels: Labels
    value: Union[float, Distribution]


class Family(NamedTuple):
    """A metric with all its points. ``name`` is without the suffixes that formats add (``_total``)."""

    name: str
    kind: str
    help: str
    points: List[Point]


def quantile(distribution: Distribution, share: float) -> float:
    """Return the value below which ``share`` (0..1) of the observations are, by interpolation within a bound.

    Returns 0.0 without observations; above the last bound the answer is that bound.
    """
    wanted = distribution.total * share
    below, lower = 0.0, 0.0
    for bound, count in zip(distribution.bounds, distribution.counts):
        if count and below + count >= wanted:
            return lower + (bound - lower) * max(0.0, wanted - below) / count
        below += count
        lower = bound
    return lower if below < distribution.total else 0.0
