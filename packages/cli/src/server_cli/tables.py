"""Answers of a server as text for people.

Owns: how each kind of answer looks.
Must not know: where answers come from.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

Column = Tuple[str, str, Callable[[Any], str]]  # heading, key, how its value is written


def show(command: str, data: Any) -> str:
    """Return the answer to ``command`` as text."""
    view = _VIEWS.get(command)
    return view(data) if view is not None else plain(data)


def plain(data: Any) -> str:
    """Return any answer: plain values as lines of ``name  value``, each list of rows as a table after them."""
    if not isinstance(data, dict):
        return str(data)
    lists = {name: value for name, value in data.items() if value and _is_rows(value)}
    values = {name: value for name, value in data.items() if name not in lists}
    width = max((len(str(name)) for name in values), default=0)
    lines = "\n".join(f"{name:<{width}}  {_value(value)}" for name, value in values.items())
    tables = [f"{name}:\n{table([(key.upper(), key, _text) for key in rows[0]], rows)}" for name, rows in lists.items()]
    return "\n\n".join([lines, *tables] if lines else tables)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(part)}" for name, part in value.items())
    return str(value)


def table(columns: Sequence[Column], rows: Sequence[Dict[str, Any]]) -> str:
    """Return rows as a table; numbers stand to the right."""
    if not rows:
        return "(none)"
    cells = [[write(row.get(key)) for _, key, write in columns] for row in rows]
    widths = [max(len(heading), *(len(line[i]) for line in cells)) for i, (heading, _, _) in enumerate(columns)]
    right = [all(line[i][:1].isdigit() or line[i] == "-" for line in cells) for i in range(len(columns))]
    lines = ["  ".join(heading.ljust(width) for (heading, _, _), width in zip(columns, widths)).rstrip()]
    for line in cells:
        parts = (part.rjust(w) if r else part.ljust(w) for part, w, r in zip(line, widths, right))
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _text(value: Any) -> str:
    return "-" if value in (None, "") else str(value)


def seconds(value: Any) -> str:
    """Return a duration in the unit a person would choose."""
    if value is None:
        return "-"
    value = float(value)
    if value < 60:
        return f"{value:.1f}s"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def share(value: Any) -> str:
    """Return a part of one in percent."""
    return "-" if value is None else f"{value:.0%}"


def octets(value: Any) -> str:
    """Return a size in MiB."""
    return f"{value / (1 << 20):.1f}M" if value else "-"


WORKERS: List[Column] = [
    ("PID", "pid", _text),
    ("SLOT", "slot", _text),
    ("STATE", "state", _text),
    ("UP", "uptime", seconds),
    ("BEAT", "last_heartbeat", seconds),
    ("CONNS", "connections", _text),
    ("RUNNING", "running", _text),
    ("BUSY", "busy", share),
    ("REQUESTS", "requests", _text),
    ("MEMORY", "memory", octets),
    ("RETIRING", "retiring", _text),
]

REQUESTS: List[Column] = [
    ("PID", "pid", _text),
    ("GROUP", "group", _text),
    ("AGE", "age", seconds),
    ("REQUEST", "request", _text),
]

LISTENERS: List[Column] = [
    ("ADDRESS", "address", _text),
    ("FD", "fd", _text),
    ("TYPE", "type", _text),
    ("QUEUED", "queued", _text),
]


def _config(data: Any) -> str:
    rows = [{"name": name, **row} for name, row in sorted(data.items())]
    return table([("SETTING", "name", _text), ("VALUE", "value", _text), ("FROM", "source", _text)], rows)


def _all(data: Any) -> str:
    parts = [plain(data["stats"]), table(LISTENERS, data["listeners"]), table(WORKERS, data["workers"])]
    parts += [f"{name}:\n{table(WORKERS, rows)}" for name, rows in data["services"].items()]
    parts.append(table(REQUESTS, data["requests"]))
    return "\n\n".join(parts)


_VIEWS: Dict[str, Callable[[Any], str]] = {
    "show workers": lambda data: table(WORKERS, data["workers"]),
    "show requests": lambda data: table(REQUESTS, data["requests"]),
    "show listeners": lambda data: table(LISTENERS, data["listeners"]),
    "show config": _config,
    "show all": _all,
    "stack": lambda data: f"worker {data['pid']}\n{data['report']}",
}
