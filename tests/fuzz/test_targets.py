"""The fuzz targets run, for a bounded time, on every interpreter; with coverage guidance where atheris is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
SECONDS = os.environ.get("FUZZ_SECONDS", "3")


@pytest.mark.parametrize("target", ["http1", "http2", "websocket"])
def test_a_target_finds_nothing(target: str, tmp_path: Path) -> None:
    seeds = FUZZ / "corpus" / target
    run = subprocess.run(
        [sys.executable, FUZZ / f"{target}.py", f"-max_total_time={SECONDS}", tmp_path, seeds],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=float(SECONDS) + 60,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-5000:]
