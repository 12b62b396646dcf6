"""Building the six distributions, and clean environments to install them into.

Owns: ``hatch build --all``, environments that no index of our names reaches (ours come from wheels with
``--no-index``, third parties from a folder that was filled first), and wheels of made-up packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 400

OURS = ["server-http", "server-core", "server-workers-async", "server-workers-green", "server-dirty", "server-cli"]


def run(command: Sequence[object], **environment: str) -> str:
    """Run a command to its end; its output. A failure shows the output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SERVER_", "PYTHONPATH"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=str(ROOT),
        env={**env, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BUILD_SECONDS,
    )
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{text}"
    return text


def hatch_build(target: Path, *options: str, **environment: str) -> str:
    """Build all six into ``target``."""
    pytest.importorskip("hatch")
    return run([sys.executable, "-m", "hatch", "build", "--all", *options, target], **environment)


class Environment(NamedTuple):
    """A clean virtual environment.

    Attributes:
        pip: the command that installs into it. The tests' own pip does it where it can: making one takes seconds.
    """

    path: Path
    pip: List[str]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.path / "bin" / "python")

    def install(self, *arguments: object) -> None:
        """Install without any index."""
        run([*self.pip, "install", "-qq", "--no-index", *arguments])

    def installed(self) -> Dict[str, str]:
        """Names and versions of what is installed, pip and setuptools aside."""
        script = (
            "import importlib.metadata as m\n"
            "for d in m.distributions(): print(d.metadata['Name'].lower().replace('_', '-'), d.version)"
        )
        pairs = dict(line.split() for line in run([self.python, "-c", script]).splitlines())
        return {name: version for name, version in pairs.items() if name not in ("pip", "setuptools")}

    def size(self, *names: str) -> int:
        """Octets of the installed files of distributions."""
        script = (
            "import importlib.metadata as m, sys\n"
            "for name in sys.argv[1:]:\n"
            "    files = [f.locate() for f in m.files(name) if f.suffix != '.pyc']\n"
            "    print(sum(f.stat().st_size for f in files if f.exists()))"
        )
        return sum(map(int, run([self.python, "-c", script, *names]).split()))


def make_environment(path: Path, python: str = sys.executable) -> Environment:
    """A clean environment of an interpreter."""
    own = str(path / "bin" / "python")
    if python == sys.executable:
        venv.create(path, symlinks=True)
        return Environment(path, [sys.executable, "-m", "pip", "--python", own])
    run([python, "-m", "venv", path])
    return Environment(path, [own, "-m", "pip"])


def third_parties(target: Path, environment: Environment, requirements: List[str]) -> Path:
    """Fill a folder with third-party wheels for an environment; nothing of ours is named here."""
    assert not [name for name in requirements if name.startswith("server-")]
    run([*environment.pip, "download", "-qq", "--only-binary", ":all:", "-d", target, *requirements])
    return target


def make_wheel(
    target: Path,
    name: str,
    *,
    version: str = "1.0",
    entry_points: str = "",
    modules: Optional[Mapping[str, str]] = None,
) -> Path:
    """Write the wheel of a made-up package: its modules as text, and the text of ``entry_points.txt``."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    files = dict(modules or {})
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = entry_points
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    wheel = target / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
