"""Memory that workers of a preloaded application share."""

from __future__ import annotations

import sys

import pytest

from support import ServerProcess

# 300,000 small objects, and a collection in every worker, which touches all that is not frozen.
APP = """
import gc, os
heap = [[[number], [number]] for number in range(100_000)]
def app(environ, start_response):
    gc.collect()
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
WORKERS = 4


def memory_of(pid: int, field: str) -> int:
    """KiB of a field of smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{field}:"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_preloaded_application_stays_shared_although_workers_collect_garbage() -> None:
    with ServerProcess(["app:app", "-w", str(WORKERS), "--preload"], app=APP, workers=WORKERS) as server:
        collected = set()
        while len(collected) < WORKERS:
            collected.add(int(server.get().body))
        workers = sorted(collected)
        pss = sum(memory_of(pid, "Pss") for pid in workers)
        resident = sum(memory_of(pid, "Rss") for pid in workers)
        print(f"{WORKERS} workers: PSS {pss >> 10} MiB of {resident >> 10} MiB resident")
        assert pss < 0.6 * resident
