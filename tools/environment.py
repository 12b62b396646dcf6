"""Make the virtual environments that the Makefile uses, from this checkout.

Owns: which environment holds which of the six packages (editable or as wheels) and which tools, and whether
it is still up to date. Runs with CPython 3.9 or later and its standard library alone.
Must not know: what is done in an environment.

Our six distributions are always named by path, never by name alone: no index is asked for them. Third-party
packages come from whatever index pip is configured for.

    python3 tools/environment.py run        .venv            wheels, compiled where there is a C compiler
    python3 tools/environment.py dev        .venv-dev        editable, interpreted; test, lint and docs tools
    python3 tools/environment.py compiled   .venv-compiled   wheels, compiled or an error; test tools
    python3 tools/environment.py measured   .venv-measured   wheels, compiled or an error; what benchmarks serve
    python3 tools/environment.py wheels     build/           wheels of all six, in one folder
    python3 tools/environment.py dist       dist/            what is published: wheels and sdists
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
BUILD_TOOLS = ["hatchling>=1.26", "Cython>=3.3", "setuptools>=69"]
SOURCES = (".py", ".pxd", ".toml", ".md", ".html")
PIP = "pip>=25.1"  # the first that reads dependency groups

# In the order of their layers. Values: the extras that a full environment has.
PACKAGES = {
    "http": "http2,websocket",
    "core": "reload,setproctitle,metrics,otel",
    "workers-async": "uvloop",
    "workers-green": "gevent,eventlet",
    "dirty": "redis",
    "cli": "top",
}


class Environment(NamedTuple):
    """What an environment is made of."""

    path: str
    editable: bool
    full: bool  # with the extras above
    groups: Tuple[str, ...]  # dependency groups of the root pyproject.toml
    accel: str  # what is asked of its wheels, as SERVER_ACCEL


ENVIRONMENTS = {
    "run": Environment(".venv", False, False, (), ""),
    "dev": Environment(".venv-dev", True, True, ("test", "ray", "lint", "docs", "release"), ""),
    "compiled": Environment(".venv-compiled", False, True, ("test", "cython"), "require"),
    "measured": Environment(".venv-measured", False, True, ("bench",), "require"),
}


def main(arguments: List[str]) -> int:
    """Make what is named on the command line, and say where it is."""
    folders = {"wheels": gather_wheels, "dist": build_distributions}
    names = [*ENVIRONMENTS, *folders]
    if len(arguments) != 1 or arguments[0] not in names:
        print(f"environment: expected one of {names}, got {arguments}", file=sys.stderr)
        return 2
    name = arguments[0]
    BUILD.mkdir(exist_ok=True)
    try:
        with (BUILD / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another make may be at the same environment
            print(folders[name]() if name in folders else make(ENVIRONMENTS[name]))
    except subprocess.CalledProcessError as error:
        print(f"environment: {' '.join(map(str, error.cmd))} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


def make(environment: Environment) -> Path:
    """Make the environment where it is missing or stale.

    Returns:
        Its directory.
    """
    path = ROOT / environment.path
    recipe = [ROOT / "pyproject.toml", *(ROOT / "packages" / name / "pyproject.toml" for name in PACKAGES)]
    requirements = [path.read_text().split("\n[tool.")[0] for path in recipe]  # settings of tools come last
    wanted = fingerprint([], [sys.version, repr(environment), *requirements])
    if state_of(path).get("recipe") != wanted:
        make_venv(path)
        remember(path, recipe="")
        install_all(path, environment)
        remember(path, recipe=wanted)
    elif not environment.editable:
        refresh(path, environment)
    return path


def install_all(path: Path, environment: Environment) -> None:
    """Install the packages with their requirements, and the tools, in one resolution."""
    arguments: List[str] = []
    if environment.editable:
        sources = {name: ROOT / "packages" / name for name in PACKAGES}
    else:
        sources = build_wheels(environment.accel)
    for name, extras in PACKAGES.items():
        target = f"{sources[name]}[{extras}]" if environment.full and extras else str(sources[name])
        arguments += ["--editable", target] if environment.editable else [target]
    for group in environment.groups:
        arguments += ["--group", f"{ROOT / 'pyproject.toml'}:{group}"]
    pip(path, "install", *arguments)
    remember(path, stamps=[stamp_of(source) for source in sources.values()])


def refresh(path: Path, environment: Environment) -> None:
    """Put newly built wheels in place of older ones."""
    wheels = list(build_wheels(environment.accel).values())
    known = state_of(path)["stamps"]
    changed = [str(wheel) for wheel in wheels if stamp_of(wheel) not in known]
    if changed:
        pip(path, "install", "--force-reinstall", "--no-deps", "--no-index", *changed)
        remember(path, stamps=[stamp_of(wheel) for wheel in wheels])


def stamp_of(path: Path) -> str:
    """Tells one build of a wheel from the next, which has the same version."""
    return f"{path} {path.stat().st_mtime_ns}"


def build_wheels(accel: str) -> Dict[str, Path]:
    """Build the wheel of each package whose files have changed since its last build, side by side.

    Args:
        accel: ``require`` raises where hot modules cannot be compiled; otherwise pure Python will do.
    """
    tools = build_environment()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wheels = dict(zip(PACKAGES, pool.map(lambda name: build_wheel(tools, name), PACKAGES)))
    if accel == "require" and wheels["http"].name.endswith("none-any.whl"):
        raise SystemExit("environment: expected a C compiler, got none; build/http-wheel.log has more")
    return wheels


def build_wheel(tools: Path, name: str) -> Path:
    """The wheel of one package, from the cache where nothing has changed."""
    source = ROOT / "packages" / name
    target = BUILD / f"wheels{sys.version_info[0]}{sys.version_info[1]}" / name
    files = [path for path in source.rglob("*") if path.suffix in SOURCES and "tests" not in path.parts]
    accel = os.environ.get("SERVER_ACCEL", "")
    wanted = fingerprint([*files, ROOT / "tools" / "hatch_build.py"], [os.environ.get("CC", ""), accel])
    if state_of(target).get("recipe") != wanted or not list(target.glob("*.whl")):
        shutil.rmtree(target, ignore_errors=True)
        hatchling(tools, source, "wheel", target, accel)
        remember(target, recipe=wanted)
    return next(target.glob("*.whl"))


def gather_wheels() -> Path:
    """All six wheels in one folder, for ``pip --find-links``; one that is right stays as it is: others may read it."""
    folder = BUILD / f"wheels{sys.version_info[0]}{sys.version_info[1]}"
    target = folder / "all"
    wheels = list(build_wheels("").values())
    stamps = [stamp_of(wheel) for wheel in wheels]
    if state_of(folder).get("gathered") != stamps or not target.exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for wheel in wheels:
            shutil.copy(wheel, target)
        remember(folder, gathered=stamps)
    return target


def build_distributions() -> Path:
    """What is published of each package, in ``dist``: its sdist, and beside compiled wheels one for every machine."""
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(gather_wheels(), target)
    for name in PACKAGES:
        hatchling(build_environment(), ROOT / "packages" / name, "sdist", target, "")
        hatchling(build_environment(), ROOT / "packages" / name, "wheel", target, "0")
    return target


def build_environment() -> Path:
    """The environment with hatchling and Cython; no other environment needs them."""
    path = ROOT / ".venv-build"
    wanted = fingerprint([], [sys.version, *BUILD_TOOLS])
    if state_of(path).get("recipe") != wanted:
        make_venv(path)
        pip(path, "install", *BUILD_TOOLS)
        remember(path, recipe=wanted)
    return path


def hatchling(tools: Path, source: Path, kind: str, target: Path, accel: str) -> None:
    """Run the build backend in ``source``."""
    command = [str(tools / "bin" / "python"), "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    log = BUILD / f"{source.name}-{kind}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run(
            command, cwd=source, env={**os.environ, "SERVER_ACCEL": accel}, stdout=stream, stderr=subprocess.STDOUT
        )
    text = log.read_text()
    if done.returncode:
        print(text, file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    for line in text.splitlines():
        if "pure Python" in line:
            print(line, file=sys.stderr)


def make_venv(path: Path) -> None:
    """An empty environment of this interpreter at ``path``, with a pip that is new enough."""
    print(f"environment: making {path.name} (first time, or its recipe has changed)", file=sys.stderr)
    shutil.rmtree(path, ignore_errors=True)
    venv.create(path, with_pip=True, symlinks=True)
    pip(path, "install", "--upgrade", PIP)


def pip(path: Path, *arguments: str) -> None:
    """Run an environment's pip; it prints errors only."""
    command = [str(path / "bin" / "python"), "-m", "pip", *arguments, "-qq", "--disable-pip-version-check"]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def fingerprint(files: Iterable[Path], words: Iterable[str]) -> str:
    """A digest of the content of ``files`` and of ``words``."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    for word in words:
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()


def state_of(path: Path) -> Dict[str, Any]:
    """What was remembered of an environment; empty when there is none."""
    stamp = path / ".state.json"
    return dict(json.loads(stamp.read_text())) if stamp.exists() else {}


def remember(path: Path, **state: object) -> None:
    """Note the state of an environment in it."""
    (path / ".state.json").write_text(json.dumps({**state_of(path), **state}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
