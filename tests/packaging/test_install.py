"""The wheels in clean environments: what comes along, and that it serves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Dict, List

import pytest

from support import ServerProcess
from support.distributions import Environment, make_environment, third_parties

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served by " + environ["SERVER_SOFTWARE"].encode()]
"""
ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http", scope["type"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"served by " + scope["scheme"].encode()})
"""
MINOR_VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]

# The lowest releases that the extras allow; the last for 3.9 are far above them.
LOWEST = {"uvloop": "0.17.0", "h2": "4.1.0"}


def serves_wsgi(environment: Environment) -> None:
    """One request through the console script, with the default worker."""
    with ServerProcess(["app:app"], app=WSGI, program=[str(environment.path / "bin" / "server")]) as server:
        answer = server.get("/")
        assert (answer.status, answer.text[:9]) == (200, "served by")


def serves_asgi(environment: Environment) -> None:
    """One request through ``python -m``, with the asgi worker."""
    with ServerProcess(["app:app", "-k", "asgi"], app=ASGI, python=environment.python) as server:
        answer = server.get("/")
        assert (answer.status, answer.text) == (200, "served by http")


def compiled_in(environment: Environment) -> Dict[str, bool]:
    script = (
        "from server_http._compiled import compiled_modules as c\n"
        "for name in ('server_http', 'server_core'): print(name, bool(c(name)))"
    )
    done = subprocess.run([environment.python, "-c", script], capture_output=True, text=True, check=True)
    return {name: value == "True" for name, value in map(str.split, done.stdout.splitlines())}


def test_the_bare_server_brings_three_distributions_and_serves_wsgi(wheels, environment):
    environment.install("--find-links", wheels, "server-cli")
    assert sorted(environment.installed()) == ["server-cli", "server-core", "server-http"]
    print(f"server-cli: {environment.size('server-cli', 'server-core', 'server-http') / 1024:.0f} KiB installed")
    serves_wsgi(environment)


def test_the_bare_server_says_what_brings_the_asgi_worker(wheels, environment, tmp_path):
    environment.install("--find-links", wheels, "server-cli")
    (tmp_path / "app.py").write_text(ASGI)
    command = [str(environment.path / "bin" / "server"), "app:app", "-k", "asgi", "-b", "127.0.0.1:0"]
    done = subprocess.run(command, cwd=str(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "pip install 'server-cli[asgi]'" in done.stdout + done.stderr


def test_the_asgi_extra_brings_the_worker_and_uvloop_and_serves(wheels, environment, tmp_path):
    others = third_parties(tmp_path / "others", environment, ["uvloop"])
    environment.install("--find-links", wheels, "--find-links", others, "server-cli[asgi]")
    installed = sorted(environment.installed())
    assert installed == ["server-cli", "server-core", "server-http", "server-workers-async", "uvloop"]
    ours = environment.size(*[name for name in installed if name.startswith("server-")])
    print(f"server-cli[asgi]: {ours / 1024:.0f} KiB ours, {environment.size('uvloop') / 1024:.0f} KiB uvloop")
    serves_asgi(environment)
    serves_wsgi(environment)


def test_the_asgi_worker_serves_without_uvloop(pure_wheels, environment):
    environment.install("--find-links", pure_wheels, "server-cli", "server-workers-async")
    assert "uvloop" not in environment.installed()
    serves_asgi(environment)


@pytest.mark.parametrize("compiled", ["server_core", "server_http"])
def test_compiled_and_interpreted_packages_work_together(wheels, pure_wheels, tmp_path, environment, compiled):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for wheel in pure_wheels.glob("*.whl"):
        chosen = wheels if wheel.name.startswith(compiled) else pure_wheels
        (source,) = chosen.glob(wheel.name.split("-")[0] + "-*.whl")
        shutil.copy(source, mixed)
    if any(wheel.name.endswith("none-any.whl") for wheel in mixed.glob(f"{compiled}-*")):
        pytest.skip("no C compiler")
    environment.install("--find-links", mixed, "server-cli", "server-workers-async")
    assert compiled_in(environment) == {name: name == compiled for name in ("server_http", "server_core")}
    serves_wsgi(environment)
    serves_asgi(environment)


def interpreters() -> List[str]:
    """Each interpreter found of a supported version, by path; of a minor version the first."""
    found = {}
    candidates = [shutil.which(f"python{minor}") for minor in MINOR_VERSIONS]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/*/bin/python")))
    for path in filter(None, candidates):
        script = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", script], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() in MINOR_VERSIONS:
            found.setdefault(done.stdout.strip(), path)
    return [found[minor] for minor in MINOR_VERSIONS if minor in found]


@pytest.mark.parametrize("python", interpreters())
def test_every_interpreter_serves_from_installed_wheels(pure_wheels, tmp_path, python):
    environment = make_environment(tmp_path / "venv", python)
    oldest = "python3.9" in python or "/3.9." in python
    wanted = [f"{name}=={version}" for name, version in LOWEST.items()] if oldest else list(LOWEST)
    others = third_parties(tmp_path / "others", environment, wanted)
    options = ["--find-links", pure_wheels, "--find-links", others]
    environment.install(*options, "server-cli[asgi,http2]", *wanted)
    print(f"{python}: {environment.installed()}")
    serves_wsgi(environment)
    serves_asgi(environment)
