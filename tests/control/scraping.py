"""Reading the metrics of a running server, with the parser that Prometheus's users have."""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Tuple

from prometheus_client.parser import text_string_to_metric_families

from support import ServerProcess, request

Scraped = Dict[Tuple[str, FrozenSet[Tuple[str, str]]], float]


def metrics_address(server: ServerProcess) -> Tuple[str, int]:
    """Where ``metrics_bind = "127.0.0.1:0"`` led to."""
    server.wait_for_log("Metrics at: ")
    found = re.search(r"Metrics at: http://127\.0\.0\.1:(\d+)", server.log)
    assert found, server.log
    return "127.0.0.1", int(found.group(1))


def scrape_all(server: ServerProcess) -> Scraped:
    """Every sample by name and labels."""
    answer = request(metrics_address(server), "GET", "/metrics")
    assert answer.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: Scraped, name: str, **labels: str) -> float:
    """One sample of ``scrape_all``; 0 when it is not there."""
    return found.get((name, frozenset(labels.items())), 0.0)
