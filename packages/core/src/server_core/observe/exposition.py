"""Metrics as text that Prometheus reads.

Owns: the two text formats (Prometheus 0.0.4, OpenMetrics 1.0).
Must not know: which metrics there are, where numbers come from, who asks.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Tuple

from server_core.observe.families import HISTOGRAM, Distribution, Family, Labels, Point

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# What a kind is called in each format, and what is appended to the names of its samples.
_SPELLING: Dict[bool, Dict[str, Tuple[str, str]]] = {
    False: {"counter": ("counter", "_total"), "info": ("gauge", "_info")},
    True: {"counter": ("counter", "_total"), "info": ("info", "_info")},
}


def render(found: Iterable[Family], openmetrics: bool = False) -> str:
    """Return families as text; ``openmetrics`` chooses the format."""
    lines: List[str] = []
    for family in found:
        kind, suffix = _SPELLING[openmetrics].get(family.kind, (family.kind, ""))
        # OpenMetrics names a counter without its suffix in the comments, Prometheus with it.
        shown = family.name if openmetrics else family.name + suffix
        lines.append(f"# HELP {shown} {_escape(family.help, quotes=False)}")
        lines.append(f"# TYPE {shown} {kind}")
        for point in family.points:
            for ending, labels, value in _samples(family.kind, point):
                lines.append(f"{family.name}{suffix}{ending}{_labels(labels)} {_number(value)}")
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _samples(kind: str, point: Point) -> Iterator[Tuple[str, Labels, float]]:
    """Return the lines of a point: what follows the family's name, the labels, the value."""
    value = point.value
    if not isinstance(value, Distribution):
        yield "", point.labels, value
        return
    if kind == HISTOGRAM:
        below = 0.0
        for bound, count in zip(value.bounds, value.counts):
            below += count
            yield "_bucket", (*point.labels, ("le", repr(float(bound)))), below
        yield "_bucket", (*point.labels, ("le", "+Inf")), value.total
    yield "_sum", point.labels, value.sum
    yield "_count", point.labels, value.total


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in labels) + "}"


def _escape(text: str, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(repr(float(value)), "NaN")
    return repr(float(value)) if isinstance(value, float) and not value.is_integer() else str(int(value))
