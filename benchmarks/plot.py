"""The picture of the results: a bar for each server in each case, as SVG.

Owns: its drawing. Only the standard library is used, so that the picture can be made anywhere.
"""

from __future__ import annotations

from html import escape
from typing import List

from cases import CASES
from report import Results, middle

CHOSEN = [
    "wsgi-hello",
    "wsgi-hello-gthread",
    "flask-hello",
    "asgi-hello",
    "fastapi-hello",
    "tls-asgi",
    "websocket-echo",
]
WIDTH, LABEL, BAR, GAP, HEAD = 760, 190, 16, 4, 26
OURS, PEER = "#1f6f54", "#b9c4c0"


def bars(results: Results) -> str:
    """An SVG with a group of bars for each of the chosen cases: CPU time per request, shorter is better."""
    parts: List[str] = []
    y = HEAD
    for name in CHOSEN:
        rows = results.get(name)
        if not rows:
            continue
        costs = sorted((middle(samples, "cpu") or 0.0, server) for server, samples in rows.items())
        longest = costs[-1][0] or 1.0
        parts.append(f'<text x="0" y="{y + 12}" font-weight="bold">{escape(name)}</text>')
        y += BAR + GAP
        for cost, server in costs:
            length = max(1.0, (WIDTH - LABEL - 90) * cost / longest)
            colour = OURS if server == CASES[name].ours else PEER
            parts.append(f'<text x="{LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(server)}</text>')
            parts.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{LABEL + length + 6:.1f}" y="{y + 12}">{cost:.1f} µs</text>')
            y += BAR + GAP
        y += 2 * GAP
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="white"/>\n'
        f'<text x="0" y="14">CPU time of the server per request; shorter is better</text>\n{body}\n</svg>\n'
    )
