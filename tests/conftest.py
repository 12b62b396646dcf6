"""What tests of several areas share: one build of all six distributions for a test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.distributions import Environment, hatch_build, make_environment


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels and sdists of all six, compiled where there is a C compiler."""
    target = tmp_path_factory.mktemp("wheels")
    hatch_build(target)
    return target


@pytest.fixture(scope="session")
def pure_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all six without compiled modules."""
    target = tmp_path_factory.mktemp("pure-wheels")
    hatch_build(target, "-t", "wheel", SERVER_ACCEL="0")
    return target


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A clean environment of the interpreter that runs the tests."""
    return make_environment(tmp_path / "venv")
