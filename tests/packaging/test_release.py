"""What is published, and by which configuration and tags."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from support.distributions import OURS, ROOT

spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

PYTHONS = ("cp39", "cp310", "cp311", "cp312", "cp313")
COMPILED = ("http", "core", "workers-async", "dirty")


@pytest.mark.parametrize("package", COMPILED)
def test_cibuildwheel_builds_for_every_python_and_platform(package):
    pytest.importorskip("cibuildwheel")
    wanted = {f"{python}-{system}" for python in PYTHONS for system in ("manylinux_x86_64", "musllinux_x86_64")}
    listed = set()
    for platform, archs in (("linux", "x86_64"), ("macos", "x86_64,arm64")):
        options = ["--platform", platform, "--archs", archs, "--config-file", str(ROOT / "pyproject.toml")]
        command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", *options]
        command.append(str(ROOT / "packages" / package))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        listed |= set(done.stdout.split())
    assert wanted <= listed
    assert {name.partition("-")[0] for name in listed} == set(PYTHONS)
    assert {f"{python}-macosx_arm64" for python in PYTHONS} <= listed


def test_what_is_published_shows_well_on_an_index(pure_wheels):
    pytest.importorskip("twine")
    files = [str(path) for path in (*pure_wheels.glob("*.whl"), *pure_wheels.glob("*.tar.gz"))]
    assert len(files) == 2 * len(OURS)
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compiled_wheels_need_nothing_but_the_c_library(wheels):
    pytest.importorskip("auditwheel")
    for wheel in wheels.glob("*linux*.whl"):
        done = subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "manylinux" in done.stdout or "musllinux" in done.stdout, done.stdout


def make_package(folder: Path, version: str, changelog: str) -> Path:
    package = folder / "http"
    (package / "src" / "server_http").mkdir(parents=True)
    (package / "src" / "server_http" / "version.py").write_text(f'__version__ = "{version}"\n')
    (package / "CHANGELOG.md").write_text(changelog)
    return package


def test_a_release_needs_a_changelog_of_its_version_and_a_new_tag(tmp_path):
    package = make_package(tmp_path, "0.2.0", "# Changelog\n\n## 0.2.0 (2026-11-22)\n\n* One.\n\n## 0.1.0\n")
    assert release.problems(package, ["server-http-v0.1.0", "server-core-v0.2.0"]) == []
    assert "expected one above 0.2.0" in release.problems(package, ["server-http-v0.2.0"])[0]


@pytest.mark.parametrize("heading", ["0.1.9 (2026-11-01)", "0.2.0 (unreleased)"])
def test_a_release_without_its_changelog_is_refused(tmp_path, heading):
    package = make_package(tmp_path, "0.2.0", f"# Changelog\n\n## {heading}\n\n* One.\n")
    (problem,) = release.problems(package, [])
    assert problem.startswith("CHANGELOG.md: expected")


def test_each_package_has_a_tag_of_its_own():
    for name in OURS:
        folder = name.replace("server-", "", 1)
        done = subprocess.run(
            [sys.executable, str(ROOT / "tools" / "release.py"), folder], capture_output=True, text=True
        )
        assert done.stdout.startswith(f"{name}-v"), done.stderr
        assert done.returncode in (0, 1)


def test_every_package_has_what_a_release_shows():
    for name in OURS:
        folder = ROOT / "packages" / name.replace("server-", "", 1)
        assert (folder / "CHANGELOG.md").read_text().startswith(f"# Changelog of {name}\n")
        assert (folder / "README.md").read_text().startswith(f"# {name}\n")
        assert "MIT" in (folder / "LICENSE").read_text()


def test_every_package_says_which_pythons_it_is_built_for():
    tomllib = pytest.importorskip("tomllib")
    for name in OURS:
        path = ROOT / "packages" / name.replace("server-", "", 1) / "pyproject.toml"
        classifiers = tomllib.loads(path.read_text())["project"]["classifiers"]
        prefix = "Programming Language :: Python :: 3."
        named = ["cp3" + text[len(prefix) :] for text in classifiers if text.startswith(prefix)]
        assert named == list(PYTHONS), name
