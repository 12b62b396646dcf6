"""The report of ``server migrate``, as text.

Owns: its layout.
Must not know: tables, files.
"""

from __future__ import annotations

import textwrap
from typing import Any, List, Sequence

from server_cli.migrate.assess import Finding, by_outcome
from server_cli.migrate.table import DIFFERS, GONE, IDLE, MAPPED, SAME

WIDTH = 100

_HEADINGS = (
    (SAME, "Stays as it is"),
    (MAPPED, "Taken over in another form"),
    (DIFFERS, "Taken, and acts differently"),
    (IDLE, "Without effect, and needed no more"),
    (GONE, "Nothing here does it"),
)


def report(title: str, findings: Sequence[Finding], unknown: Sequence[str], start: str) -> str:
    """Return the report.

    Args:
        title: what was read.
        findings: what becomes of each setting.
        unknown: remarks on names that are no settings.
        start: the command that starts it here.
    """
    parts = [title]
    groups = by_outcome(findings)
    for outcome, heading in _HEADINGS:
        if outcome in groups:
            parts.append(_section(heading, [_lines(finding) for finding in groups[outcome]]))
    advice = [f"{finding.row.name}: {text}" for finding in findings for text in finding.advice]
    if advice:
        parts.append(_section("Better written otherwise", [[line] for line in advice]))
    problems = [finding.problem for finding in findings if finding.problem]
    if problems:
        parts.append(_section("Cannot be used", [[line] for line in problems]))
    if unknown:
        parts.append(_section("No settings, there or here", [[line] for line in unknown]))
    parts.append(_section("To start it", [[start]], wrap=False))
    return "\n\n".join(parts)


def _section(heading: str, entries: List[List[str]], wrap: bool = True) -> str:
    lines = [heading + ":"]
    for first, *others in entries:
        lines += textwrap.wrap(first, WIDTH, initial_indent="  ", subsequent_indent="    ") if wrap else ["  " + first]
        for other in others:
            lines += textwrap.wrap(other, WIDTH, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _lines(finding: Finding) -> List[str]:
    row = finding.row
    first = f"{row.name} = {_shown(finding.value)}"
    if finding.outcome == MAPPED:
        first += f" becomes {row.setting} = {_shown(finding.here)}"
    return [first] if finding.outcome == SAME or not row.remark else [first, row.remark]


def _shown(value: Any) -> str:
    if callable(value) and not isinstance(value, type):
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)
