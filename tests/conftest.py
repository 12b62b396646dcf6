"""What tests of several areas share: one build of all six distributions for a test run."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from support.distributions import ROOT, Environment, hatch_build, make_environment, run


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder with the wheels of all six, compiled where there is a C compiler; as the Makefile builds them."""
    return Path(run([sys.executable, ROOT / "tools" / "environment.py", "wheels"]).splitlines()[-1])


@pytest.fixture(scope="session")
def pure_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheels and sdists of all six, built by hatch without compiled modules."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all processes of this run
    target = shared / "pure-wheels"
    with (shared / "pure-wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            target.mkdir()
            hatch_build(target, SERVER_ACCEL="0")
    return target


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A clean environment of the interpreter that runs the tests."""
    return make_environment(tmp_path / "venv")
