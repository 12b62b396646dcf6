"""Figures of state tables, as SVG.

Owns: the drawing: states side by side in the order of their table, transitions as arcs, forward ones above and
backward ones below.
Must not know: which tables there are.
"""

from __future__ import annotations

from html import escape
from typing import Dict, Iterable, List, Sequence, Tuple

Transition = Tuple[str, str, str]  # from, to, label

GAP = 38  # between boxes
CHARACTER = 7.4  # the width of one, at 12 px
HEIGHT = 30  # of a box
LEVEL = 20  # between arcs

STYLE = (
    "<style>rect{fill:#eef2f7;stroke:#3f5a7d;rx:5}text{font:12px sans-serif;text-anchor:middle;fill:#1c2733}"
    "path{fill:none;stroke:#3f5a7d;stroke-width:1.2}.l{font-size:11px;fill:#7a3b00;paint-order:stroke;stroke:#fff;"
    "stroke-width:3px}</style>"
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" style="fill:#3f5a7d;stroke:none"/></marker></defs>'
)


def draw(title: str, states: Sequence[str], transitions: Iterable[Transition]) -> str:
    """Return an SVG of a state table; transitions between the same two states share an arc."""
    merged: Dict[Tuple[str, str], List[str]] = {}
    for source, target, label in transitions:
        merged.setdefault((source, target), []).append(label)
    arcs = [(source, target, ", ".join(filter(None, labels))) for (source, target), labels in merged.items()]
    centres, widths, width = _places(states)
    place = {state: index for index, state in enumerate(states)}
    levels = _levels([(place[source], place[target]) for source, target, _ in arcs])
    above = max((level for level in levels if level > 0), default=0)
    below = -min((level for level in levels if level < 0), default=0)
    top = above * LEVEL + 24
    parts = [_box(state, centres[state], top, widths[state]) for state in states]
    parts += [_arc(arc, level, centres, widths, top) for arc, level in zip(arcs, levels)]
    height = top + HEIGHT + below * LEVEL + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    return f"{head}<title>{escape(title)}</title>{STYLE}{''.join(parts)}</svg>\n"


def _places(states: Sequence[str]) -> Tuple[Dict[str, float], Dict[str, float], float]:
    """Return the centre and the width of each box, and the width of all."""
    widths = {state: max(54.0, len(state) * CHARACTER + 16) for state in states}
    centres, x = {}, 10.0
    for state in states:
        centres[state] = x + widths[state] / 2
        x += widths[state] + GAP
    return centres, widths, x - GAP + 10


def _levels(spans: Sequence[Tuple[int, int]]) -> List[int]:
    """Return how far from the boxes each arc runs: positive above (forward, and to itself), negative below. Arcs that
    overlap get levels of their own, short ones the nearest."""
    chosen = [0] * len(spans)
    for index in sorted(range(len(spans)), key=lambda i: abs(spans[i][0] - spans[i][1])):
        low, high = sorted(spans[index])
        side = 1 if spans[index][0] <= spans[index][1] else -1
        level = 1
        while any(
            chosen[other] == side * level and _overlap((low, high), sorted(spans[other])) for other in range(len(spans))
        ):
            level += 1
        chosen[index] = side * level
    return chosen


def _overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    return (one[0] < other[1] and other[0] < one[1]) or list(one) == list(other)


def _box(state: str, centre: float, top: float, width: float) -> str:
    left = centre - width / 2
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}"/>'
        f'<text x="{centre:.1f}" y="{top + 19}">{escape(state)}</text>'
    )


def _arc(arc: Transition, level: int, centres: Dict[str, float], widths: Dict[str, float], top: float) -> str:
    source, target, label = arc
    edge = top if level > 0 else top + HEIGHT
    peak = edge - level * LEVEL
    offset = 8 if centres[target] >= centres[source] else -8
    start = centres[source] + (offset if source != target else -widths[source] / 4)
    end = centres[target] - (offset if source != target else -widths[target] / 4)
    middle = (start + end) / 2
    path = f"M{start:.1f} {edge} V{peak + (6 if level > 0 else -6)} Q{start:.1f} {peak} "
    turn = 6 if end > start else -6
    path += f"{start + turn:.1f} {peak} H{end - turn:.1f} Q{end:.1f} {peak} {end:.1f} "
    path += f"{peak + (6 if level > 0 else -6)} V{edge}"
    text = f'<text class="l" x="{middle:.1f}" y="{peak + (-3 if level > 0 else 12):.1f}">{escape(label)}</text>'
    return f'<path d="{path}" marker-end="url(#a)"/>' + (text if label else "")
