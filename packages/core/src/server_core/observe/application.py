"""Metrics of the application from all processes, as one.

Owns: the modes (how values of several processes become one), what dead processes leave, the families made of both.
Must not know: the library the application uses (``prometheus``), how pages are laid out (``pages``).

Counters, histograms and summaries are summed; the sums of processes that are gone are kept here, so that none goes
back. Gauges follow the mode they were declared with: those of the modes ``live...`` and ``all`` go with their process.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

from server_core.errors import ConfigError
from server_core.observe.families import COUNTER, GAUGE, HISTOGRAM, SUMMARY, Distribution, Family, Labels, Point
from server_core.observe.pages import Pages

MAX_SERIES = 100_000  # that are kept of processes that are gone


class Series(NamedTuple):
    """What identifies a number; ``mode`` is that of a gauge, else empty."""

    metric: str
    kind: str
    mode: str
    sample: str
    labels: Labels


class Number(NamedTuple):
    """A value, and when it was set (seconds since the epoch, 0 when that does not matter)."""

    value: float
    time: float


Merge = Callable[[Number, Number], Number]


def _sum(one: Number, other: Number) -> Number:
    return Number(one.value + other.value, 0.0)


def _latest(one: Number, other: Number) -> Number:
    return other if other.time > one.time else one


# How two numbers of one series become one, by mode; of modes that are not here every process is shown.
_MERGES: Mapping[str, Merge] = {"": _sum, "sum": _sum, "min": min, "max": max, "mostrecent": _latest}
_LIVE = "live"
_PER_PROCESS = ("all", "liveall")


@lru_cache(maxsize=MAX_SERIES)
def parse_key(key: bytes) -> Optional[Tuple[Series, str]]:
    """Return the series that a key of a page names, and its help; None when the application broke it."""
    try:
        metric, kind, mode, sample, labels, text = json.loads(key)
        pairs = tuple(sorted((str(name), _encodable(value)) for name, value in labels))
    except (ValueError, TypeError, RecursionError):
        return None
    if kind not in (COUNTER, GAUGE, HISTOGRAM, SUMMARY):
        return None
    return Series(str(metric), kind, str(mode) if kind == GAUGE else "", str(sample), pairs), _encodable(text)


def _encodable(value: Any) -> str:
    """Return text that every sink can encode: lone surrogates (of file names, of raw paths) as escapes."""
    return str(value).encode("utf-8", "backslashreplace").decode()


class ApplicationMetrics:
    """What the processes of the application count. Made by the arbiter before it forks; children ``enter`` their page.

    Args:
        places: how many children there can be.
        size: octets of each child's page.

    Raises:
        ConfigError: there is no room.
    """

    def __init__(self, places: int, size: int) -> None:
        try:
            self._pages = Pages(places, size)
        except OSError as error:  # a system that promises no more memory than it has
            raise ConfigError(
                f"application_metrics_size: expected room for {places} times {size} bytes, got: {error.strerror}"
            ) from None
        self._dead: Dict[Series, Number] = {}
        self._help: Dict[str, str] = {}
        self._refused = 0
        self._told: Set[str] = set()

    def enter(self, index: int, log: Any) -> None:
        """Keep the metrics of this process in the page of its place; called in children, before the application
        is loaded."""
        from server_core.observe import prometheus

        prometheus.install(self._pages.writer(index), log)

    def gone(self, index: int) -> None:
        """The child of a place is gone: keep what must not go back, and free its page."""
        for series, number in self._read(index):
            merge = _MERGES.get(series.mode)
            if merge is None:
                continue
            before = self._dead.get(series)
            if before is not None:
                self._dead[series] = merge(before, number)
            elif len(self._dead) < MAX_SERIES:
                self._dead[series] = number
            else:
                self._refused += 1
        self._refused += self._pages.refused(index)
        self._pages.clear(index)

    def refused(self, living: Iterable[int]) -> int:
        """Return how many series found no room; ``living`` are the places in use."""
        return self._refused + sum(self._pages.refused(index) for index in living)

    def families(self, living: Mapping[int, int], taken: Iterable[str], log: Any) -> List[Family]:
        """Return the metrics of the application, those of living and dead processes together.

        Args:
            living: process ids by place.
            taken: names of metrics that the application's must not have.
            log: told once of each name that is taken.
        """
        merged = dict(self._dead)
        for index, pid in living.items():
            for series, number in self._read(index):
                found, merge = self._alive(series, pid)
                before = merged.get(found)
                merged[found] = number if before is None or merge is None else merge(before, number)
        return self._assemble(merged, {_stem(name) for name in taken}, log)

    def _alive(self, series: Series, pid: int) -> Tuple[Series, Optional[Merge]]:
        """Return under which identity a number of a living process counts, and how it joins others."""
        if series.mode in _PER_PROCESS:
            return series._replace(labels=(*series.labels, ("pid", str(pid)))), None
        mode = series.mode[len(_LIVE) :] if series.mode.startswith(_LIVE) else series.mode
        return series, _MERGES.get(mode)

    def _read(self, index: int) -> Iterable[Tuple[Series, Number]]:
        for entry in self._pages.read(index):
            parsed = parse_key(entry.key)
            if parsed is not None:
                if len(self._help) < MAX_SERIES:
                    self._help.setdefault(parsed[0].metric, parsed[1])
                yield parsed[0], Number(entry.value, entry.time)

    def _assemble(self, merged: Mapping[Series, Number], taken: Set[str], log: Any) -> List[Family]:
        by_metric: Dict[str, Dict[Series, Number]] = {}
        for series, number in merged.items():
            if series.mode.endswith("mostrecent") and not number.time:
                continue  # never set
            by_metric.setdefault(series.metric, {})[series] = number
        families = []
        for metric, numbers in by_metric.items():
            if _stem(metric) not in taken:
                kind = next(reversed(numbers)).kind
                families.append(Family(metric, kind, self._help.get(metric, ""), _points(kind, numbers)))
            elif metric not in self._told:
                self._told.add(metric)
                log.warning("Application metrics: %s is left out, because the server has one of this name", metric)
        return families


_SUFFIXES = ("_total", "_info", "_bucket", "_sum", "_count", "_created")


def _stem(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.endswith(suffix)), name)


def _points(kind: str, numbers: Mapping[Series, Number]) -> List[Point]:
    own = {series: number.value for series, number in numbers.items() if series.kind == kind}
    if kind in (COUNTER, GAUGE):
        return [Point(labels, value) for labels, value in {s.labels: value for s, value in own.items()}.items()]
    parts: Dict[Labels, Dict[str, float]] = {}  # by bound, and the sum and count by their suffixes
    for series, value in own.items():
        bound = dict(series.labels).get("le") if kind == HISTOGRAM else None
        labels = series.labels if bound is None else tuple(pair for pair in series.labels if pair[0] != "le")
        name = series.sample[len(series.metric) :] if bound is None else bound
        parts.setdefault(labels, {})[name] = value
    return [Point(labels, _distribution(kind, found)) for labels, found in parts.items()]


def _distribution(kind: str, parts: Mapping[str, float]) -> Distribution:
    total = parts.get("_sum", 0.0)
    if kind == SUMMARY:
        return Distribution((), (parts.get("_count", 0.0),), total)
    counts = sorted((bound, count) for name, count in parts.items() for bound in _bounds(name))
    finite = [(bound, count) for bound, count in counts if bound != math.inf]
    above = sum(count for bound, count in counts if bound == math.inf)
    return Distribution(tuple(bound for bound, _ in finite), (*(count for _, count in finite), above), total)


def _bounds(name: str) -> List[float]:
    """Return the bound that ``name`` is, none when it is none."""
    try:
        return [float(name)]
    except ValueError:
        return []
