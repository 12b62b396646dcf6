"""The six packages move one by one: a patch release works with the siblings before it.

And where the contract for plugins differs, the server says so instead of trying.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Callable

import pytest

from support import ServerProcess
from support.distributions import OURS, ROOT, Environment, run

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""
FOLDERS = {name: name.replace("server-", "") for name in OURS}


def rebuild(name: str, target: Path, change: Callable[[str, str], str]) -> Path:
    """Build one package, pure, from a copy of its sources to which ``change(file name, text)`` was applied."""
    source = target / "source"
    shutil.copytree(ROOT / "packages" / FOLDERS[name], source, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for path in source.rglob("*.py"):
        text = change(path.name, path.read_text())
        path.write_text(text)
    run([sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", target, source], SERVER_ACCEL="0")
    return target


def patched(_name: str, text: str) -> str:
    """The next patch release."""
    return re.sub(r'__version__ = "(.*)\.(\d+)"', lambda found: f'__version__ = "{found[1]}.{int(found[2]) + 1}"', text)


def another_contract(_name: str, text: str) -> str:
    """The next contract for plugins."""
    return text.replace("\nAPI = 1 ", "\nAPI = 2 ")


@pytest.mark.parametrize("name", OURS)
def test_a_patch_release_of_one_package_works_with_the_others_as_they_were(pure_wheels, tmp_path, environment, name):
    newer = rebuild(name, tmp_path, patched)
    names = ["server-cli", "server-workers-async", name]
    options = ["--find-links", pure_wheels, "--find-links", newer]
    if name == "server-dirty":
        options += ["--no-deps"]
        names += ["server-core", "server-http"]
    environment.install(*options, *names)
    assert {path.name for path in newer.glob("*.whl")} == {
        f"{name.replace('-', '_')}-{environment.installed()[name]}-py3-none-any.whl"
    }
    serves(environment)


def serves(environment: Environment) -> None:
    """One request to each gateway."""
    for options in (["app:app"], ["app:asgi", "-k", "asgi"]):
        with ServerProcess(options, app=APP, python=environment.python) as server:
            assert server.get("/").text == "hello"


def test_a_core_with_another_contract_refuses_a_worker_and_names_both_numbers(pure_wheels, tmp_path, environment):
    newer = rebuild("server-core", tmp_path, lambda name, text: another_contract(name, patched(name, text)))
    environment.install("--find-links", pure_wheels, "--find-links", newer, "server-cli", "server-workers-async")
    server = ServerProcess(["app:asgi", "-k", "asgi"], app=APP, python=environment.python, wait=False, clean=False)
    with server:
        assert server.wait() != 0
        assert "expected plugin API 2, got 1" in server.log
        assert "Traceback" not in server.log
