"""The build hook of the packages with hot modules: Cython makes extension modules of them for the wheel.

Owns: when to compile (a C compiler that finds Python's headers, and ``SERVER_ACCEL``), how (Cython's
pure-Python mode, the same ``.py`` file), and the check a compiled module makes of its source.
Must not know: which modules are hot. Each package lists its own under
``[tool.hatch.build.hooks.custom] modules`` in its ``pyproject.toml``.

``SERVER_ACCEL=require`` fails where nothing can be compiled, ``SERVER_ACCEL=0`` ships pure Python, and unset
compiles where possible and says so where not. Editable installs are interpreted: a stale extension module
would hide an edited source. Nothing is written into the source tree.

One file serves every package; in a package it is a link, in an sdist a copy.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Iterator

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD_REQUIREMENTS = ["Cython>=3.3", "setuptools>=69"]  # the first that shares functions and errors between modules

# annotation_typing: annotations would become exact C checks, and refuse an application's subclasses of str.
DIRECTIVES = {"language_level": "3", "annotation_typing": False, "auto_pickle": False}

COMPILE_FLAGS = ["-O2", "-g0"]

# What Cython adds to every module it makes (functions, classes, errors), once for each package.
SHARED = "_cython_shared"

PROBE = "#include <Python.h>\nint main(void) { return PY_VERSION_HEX == 0; }\n"

GUARD = """

from server_http import _compiled as _compiled_guard
_compiled_guard.check_source(__name__, __file__, "{checksum}")
"""


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled modules to a wheel, and this file to an sdist."""

    def dependencies(self) -> list[str]:
        """What a build needs beside hatchling: nothing where nothing will be compiled."""
        compiles = self.target_name == "wheel" and accel() != "0" and compiler_problem() is None
        return BUILD_REQUIREMENTS if compiles else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a temporary directory and include the result."""
        if self.target_name == "sdist":
            included = build_data["force_include"]
            included.pop(os.path.join(self.root, "hatch_build.py"), None)  # the link, which would dangle in an archive
            included[os.path.realpath(__file__)] = "hatch_build.py"
            return
        if version == "editable" or not self.config["modules"] or not self._wanted():
            return
        self.work = tempfile.mkdtemp(prefix="server-build-")
        extensions = compile_modules(Path(self.root, "src"), self.config["modules"], Path(self.work))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(extensions)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary directory."""
        shutil.rmtree(getattr(self, "work", ""), ignore_errors=True)

    def _wanted(self) -> bool:
        """Whether to compile; says so when a compiler is missing, and raises when one is required."""
        wish = accel()
        problem = compiler_problem() if wish != "0" else "SERVER_ACCEL=0"
        if problem is None:
            return True
        if wish == "require":
            raise RuntimeError(f"SERVER_ACCEL: expected a C compiler because of 'require', got: {problem}")
        self.app.display_warning(f"{self.metadata.name}: pure Python, hot modules are not compiled ({problem})")
        return False


def accel() -> str:
    """The value of ``SERVER_ACCEL``: '', '0' or 'require'."""
    value = os.environ.get("SERVER_ACCEL", "")
    if value not in ("", "0", "require"):
        raise ValueError(f"SERVER_ACCEL: expected 'require', '0' or nothing, got {value!r} (from the environment)")
    return value


def compiler_problem() -> str | None:
    """Why no extension module can be compiled here, or None when a probe compiles."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(command[0]) is None:
        return f"no C compiler {command[0]!r}"
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text(PROBE)
        include = sysconfig.get_paths()["include"]
        probe = [*command, "-I", include, "-c", str(source), "-o", str(source.with_suffix(".o"))]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"{command[0]!r} cannot compile against {include}/Python.h"


def compile_modules(sources: Path, modules: list[str], work: Path) -> dict[str, str]:
    """Compile ``modules`` below ``sources``.

    Returns:
        For each extension module made, its path and its place in the wheel.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    tree = work / "src"
    shutil.copytree(sources, tree, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"))
    extensions = []
    for module in modules:
        path = Path(*module.split(".")).with_suffix(".py")
        add_guard(tree / path)
        extensions.append(Extension(module, [str(path)], extra_compile_args=COMPILE_FLAGS))
    shared = f"{modules[0].partition('.')[0]}.{SHARED}"
    extensions.append(Extension(shared, [shared.replace(".", os.sep) + ".c"], extra_compile_args=COMPILE_FLAGS))
    options = cython_options(shared, memoryviews=any("[::1]" in path.read_text() for path in tree.rglob("*.pxd")))
    with working_directory(tree):
        command = build_ext(Distribution({"ext_modules": cythonize(extensions, **options)}))
        command.build_lib = str(work / "lib")
        command.build_temp = str(work / "tmp")
        command.parallel = os.cpu_count()
        command.ensure_finalized()
        command.run()
    made = sorted(Path(work, "lib").rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")))
    if len(made) != len(extensions):
        raise RuntimeError(f"compiled modules: expected {[*modules, shared]}, got {[str(path) for path in made]}")
    return {str(path): path.relative_to(work / "lib").as_posix() for path in made}


def cython_options(shared: str, memoryviews: bool) -> dict[str, Any]:
    """How Cython compiles the modules of a package, and the one that they share, which it makes.

    Args:
        shared: name of the shared module. memoryviews: whether a module declares one; their code is most of it.
    """
    return {
        "compiler_directives": DIRECTIVES,
        "include_path": ["."],
        "module_name": shared,  # the others are named by their paths
        "shared_utility_qualified_name": shared,
        "shared_utility_features_disabled": [] if memoryviews else ["MemoryView"],
    }


def add_guard(source: Path) -> None:
    """Let the compiled module refuse a source that is not the one it was made of."""
    content = source.read_bytes()
    checksum = f"{binascii.crc32(content):08x}-{len(content)}"  # as server_http._compiled.checksum, which checks it
    with source.open("a") as stream:
        stream.write(GUARD.format(checksum=checksum))


@contextlib.contextmanager
def working_directory(path: Path) -> Iterator[None]:
    """Run a block in ``path``: the names Cython puts into tracebacks are relative to it."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
