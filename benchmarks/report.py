"""Results to tables: for the terminal, and for ``docs/performance-table.md``.

Owns: medians, ratios and their presentation.
Must not know: how anything is measured.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple

from cases import CASES, Case
from servers import SERVERS

# case -> server -> list of samples, each a dict of measure.Sample
Results = Dict[str, Dict[str, List[Dict[str, Any]]]]

ERROR_SHARE = 0.01

HEADER = (
    "| case | server | CPU µs/request | requests/s | p50 ms | p99 ms | calls/request | errors | PSS MiB "
    "| CPU to best peer | p99 to best |"
)
RULE = "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"

#: The p99 of a case is compared with the best of these; ours at most this share of it.
P99_PEERS = ("granian wsgi", "granian asgi", "uvicorn", "bjoern")
P99_TARGET = 1.1


def middle(samples: Sequence[Dict[str, Any]], field: str) -> Optional[float]:
    """Median of a field over the rounds; None where the generator does not tell."""
    values = [sample[field] for sample in samples if sample.get(field) is not None]
    return median(values) if values else None


def fails(samples: Sequence[Dict[str, Any]]) -> bool:
    """Whether more than ERROR_SHARE of the requests failed."""
    return sum(sample["errors"] for sample in samples) > ERROR_SHARE * sum(sample["requests"] for sample in samples)


def best_peer(case: Case, rows: Dict[str, List[Dict[str, Any]]]) -> Optional[str]:
    """The counted peer with the lowest CPU time per request; one that fails requests is no peer."""
    costs = {name: middle(rows[name], "cpu") for name in case.peers if rows.get(name) and not fails(rows[name])}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    return min(known, key=lambda name: known[name]) if known else None


def case_rows(case: Case, rows: Dict[str, List[Dict[str, Any]]]) -> List[str]:
    """The table's rows of one case: ours first, then by cost."""
    best = best_peer(case, rows)
    reference = middle(rows[best], "cpu") if best else None
    order = sorted(rows, key=lambda name: (name != case.ours, middle(rows[name], "cpu") or 0))
    lines = []
    for name in order:
        samples = rows[name]
        if not samples:
            continue
        cost = middle(samples, "cpu") or 0.0
        ratio = f"{cost / reference:.2f}" if reference else ""
        if name == case.ours and reference:
            ratio = f"**{ratio}** (target {case.target}, {'met' if cost / reference <= case.target else 'missed'})"
        cells = [
            case.name,
            f"**{name}**" if name == case.ours else name,
            f"{cost:.1f}",
            f"{middle(samples, 'rate') or 0:,.0f}",
            _number(middle(samples, "p50")),
            _number(middle(samples, "p99")),
            _number(middle(samples, "calls")),
            str(sum(sample["errors"] for sample in samples)),
            f"{middle(samples, 'pss') or 0:.0f}",
            ratio,
            p99_verdict(rows, samples) if name == case.ours else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def p99_verdict(rows: Dict[str, List[Dict[str, Any]]], ours: List[Dict[str, Any]]) -> str:
    """Our p99 to the best of the peers that count; empty without one."""
    known = [middle(rows[name], "p99") for name in P99_PEERS if rows.get(name) and not fails(rows[name])]
    best = min((value for value in known if value), default=None)
    own = middle(ours, "p99")
    if best is None or own is None:
        return ""
    verdict = "met" if own / best <= P99_TARGET else "missed"
    return f"{own / best:.2f} (target {P99_TARGET}, {verdict})"


def log_lines(results: Results) -> List[str]:
    """What a line of the access log adds to a request."""
    lines = []
    for plain, logged in (("wsgi-hello", "log-wsgi"), ("asgi-hello", "log-asgi")):
        for server, samples in results.get(logged, {}).items():
            without = middle(results.get(plain, {}).get(server, []), "cpu")
            cost = middle(samples, "cpu")
            if without is not None and cost is not None:
                target = "2.5" if server == CASES[logged].ours else ""
                lines.append(f"| {logged} | {server} | {cost - without:.1f} | {target} |")
    return lines


def _number(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.2f}"


def table(results: Results) -> str:
    """All cases as one Markdown table."""
    lines = [HEADER, RULE]
    for name, rows in results.items():
        lines += case_rows(CASES[name], rows)
    return "\n".join(lines) + "\n"


def figures_table(figures: List[Dict[str, Any]]) -> str:
    """Memory, start-up and idle connections as a Markdown table."""
    lines = ["| what | server | figure | unit | to the best other | target |", "|---|---|---:|---|---:|---:|"]
    for row in figures:
        ratio, target = verdict(row, figures)
        figure = f"{row['value']:,.2f}" if row["value"] < 10 else f"{row['value']:,.0f}"
        lines.append(f"| {row['what']} | {row['server']} | {figure} | {row['unit']} | {ratio} | {target} |")
    return "\n".join(lines) + "\n"


def verdict(row: Dict[str, Any], figures: List[Dict[str, Any]]) -> Tuple[str, str]:
    """The ratio of one of our figures to the best other server's, and its target, where there is one."""
    target = row.get("target")
    if target is None or not row["server"].startswith("server "):
        return "", ""
    others = [
        other["value"]
        for other in figures
        if other["what"] == row["what"] and not other["server"].startswith("server ")
    ]
    value = row["value"] / min(others) if others else row["value"]
    return f"**{value:.2f}**" if others else "", f"{target} ({'met' if value <= target else 'missed'})"


def load_figures(path: Path) -> List[Dict[str, Any]]:
    """Figures of the last run."""
    return list(json.loads(path.read_text())) if path.exists() else []


def save_figures(path: Path, figures: List[Dict[str, Any]]) -> None:
    """Keep figures for the page."""
    path.write_text(json.dumps(figures, indent=1))


def page(results: Results, figures: List[Dict[str, Any]]) -> str:
    """The page of the documentation."""
    used = {server for rows in results.values() for server in rows}
    rounds = max((len(samples) for rows in results.values() for samples in rows.values()), default=0)
    commands = "\n".join(f"| {name} | `{SERVERS[name].command}` |" for name in SERVERS if name in used)
    return (
        "# Performance: the table\n\n"
        "Made by `make bench`.\n\n"
        f"CPython {platform.python_version()}, {platform.machine()}, server and load generator on one core each, "
        f"one worker, medians of up to {rounds} interleaved rounds; servers that do not count for the ratio took part "
        "in one. CPU time is that of all the server's processes. Targets are ratios.\n\n"
        "![CPU time per request](performance.svg)\n\n"
        f"{table(results)}\n## What a line of the access log adds\n\n| case | server | CPU µs | target |\n"
        "|---|---|---:|---:|\n" + "\n".join(log_lines(results)) + "\n\n"
        f"## Memory, start, idle connections, workers and endurance\n\n{figures_table(figures)}\n"
        f"## Command lines\n\n| server | command |\n|---|---|\n{commands}\n"
    )


def load(path: Path) -> Results:
    """Results of earlier runs."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def save(path: Path, results: Results) -> None:
    """Keep results for later runs, in the order of the cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: results[name] for name in CASES if name in results}, indent=1))
