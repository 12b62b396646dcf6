"""What a stranger types first, in a copy of the checkout that has no environment yet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import ServerProcess
from support.distributions import ROOT

MAKE_SECONDS = 300


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the checkout that git knows or would take, without anything that was built."""
    if shutil.which("make") is None or shutil.which("git") is None:
        pytest.skip("needs make and git")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=str(ROOT), capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    target = tmp_path / "clone"
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    return target


def test_make_run_serves_the_example_and_says_what_to_try(clone):
    program = ["make", "run", f"PYTHON={sys.executable}", "BIND=127.0.0.1:0", "ARGS="]
    # Pure Python: the compiler has its own tests. MAKEFLAGS would bring the variables of a make that runs the tests.
    env = {"SERVER_ACCEL": "0", "MAKEFLAGS": ""}
    server = ServerProcess(program=program, bind=None, cwd=clone, env=env, timeout=MAKE_SECONDS, clean=False)
    with server:
        assert "curl" in server.log
        assert server.get("/").text == "Hello, World!\n"
        assert not list(clone.glob("packages/*/src/**/*.so"))


def test_make_says_what_it_can_do(clone):
    done = subprocess.run(["make", "help"], cwd=str(clone), capture_output=True, text=True, check=True)
    assert {"run", "test", "lint", "bench", "soak"} <= {line.split()[0] for line in done.stdout.splitlines()}
