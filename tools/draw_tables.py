"""Draws the tables of docs/supervision.md from the code that obeys them.

Run without arguments it rewrites the page; ``draw(text)`` returns the page as it should be, which a test compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from server_core.supervise.children import TRANSITIONS, ChildState, Happening
from server_core.supervise.state import SIGNALS

PAGE = Path(__file__).parent.parent / "docs" / "supervision.md"


def signals_table() -> str:
    """One row per signal, those with the same effect together."""
    meanings: dict[str, list[str]] = {}
    for name, (_, description) in SIGNALS.items():
        meanings.setdefault(description, []).append(name)
    rows = [f"| {', '.join(names)} | {description} |" for description, names in meanings.items()]
    return "\n".join(["| signal | effect |", "|---|---|", *rows])


def children_table() -> str:
    """States down, happenings across."""
    happenings = [happening for happening in Happening if any(h is happening for _, h in TRANSITIONS)]
    head = "| | " + " | ".join(happening.value for happening in happenings) + " |"
    rows = []
    for state in ChildState:
        targets = [TRANSITIONS.get((state, happening)) for happening in happenings]
        cells = [target.value if target is not None else "" for target in targets]
        rows.append(f"| **{state.value}** | " + " | ".join(cells) + " |")
    return "\n".join([head, "|---" * (len(happenings) + 1) + "|", *rows])


TABLES = {"signals": signals_table, "children": children_table}


def draw(text: str) -> str:
    """Return ``text`` with every table drawn anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table()}\n{found[2]}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(draw(PAGE.read_text()))
