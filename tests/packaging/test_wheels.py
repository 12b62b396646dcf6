"""What is in the wheels and sdists of the six distributions."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import List

import pytest

from support.distributions import OURS, ROOT, hatch_build, make_environment, run

HOT = ["server_http", "server_core", "server_workers_async", "server_dirty"]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

needs_compiler = pytest.mark.skipif(
    shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None, reason="no C compiler"
)


def names_in(wheel: Path) -> List[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def wheel_of(directory: Path, package: str) -> Path:
    (found,) = directory.glob(f"{package}-*.whl")
    return found


def test_all_six_are_built_as_wheel_and_sdist_by_one_command(pure_wheels):
    for name in OURS:
        assert len(list(pure_wheels.glob(f"{name.replace('-', '_')}-*"))) == 2


@needs_compiler
@pytest.mark.parametrize("package", HOT)
def test_a_wheel_with_hot_modules_holds_them_compiled_and_as_source(wheels, package):
    wheel = wheel_of(wheels, package)
    names = names_in(wheel)
    shared = f"{package}/_cython_shared{SUFFIX}"  # what Cython adds to all of them, which has no source
    compiled = [name for name in names if name.endswith(SUFFIX) and name != shared]
    assert compiled
    assert shared in names
    assert [name for name in compiled if name[: -len(SUFFIX)] + ".py" not in names] == []
    assert "none-any" not in wheel.name


def test_no_wheel_holds_c_sources_or_declarations(wheels, pure_wheels):
    for wheel in [*wheels.glob("*.whl"), *pure_wheels.glob("*.whl")]:
        assert [name for name in names_in(wheel) if name.endswith((".c", ".pxd", ".pyc"))] == []


def test_every_wheel_says_that_it_is_typed(wheels):
    for name in OURS:
        package = name.replace("-", "_")
        assert f"{package}/py.typed" in names_in(wheel_of(wheels, package))


def test_without_acceleration_every_wheel_fits_every_machine(pure_wheels):
    wheels = sorted(pure_wheels.glob("*.whl"))
    assert len(wheels) == len(OURS)
    assert [wheel.name for wheel in wheels if not wheel.name.endswith("py3-none-any.whl")] == []


def test_without_a_compiler_the_build_ships_pure_python_and_says_so(tmp_path):
    text = hatch_build(tmp_path, "-t", "wheel", CC="/no/such/cc")
    assert "server-http: pure Python" in text
    assert "no C compiler '/no/such/cc'" in text
    assert wheel_of(tmp_path, "server_http").name.endswith("py3-none-any.whl")


def test_without_a_compiler_a_required_acceleration_fails_the_build(tmp_path):
    with pytest.raises(AssertionError, match="expected a C compiler because of 'require'"):
        hatch_build(tmp_path, "-t", "wheel", CC="/no/such/cc", SERVER_ACCEL="require")


def test_an_unknown_wish_for_acceleration_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="SERVER_ACCEL: expected 'require', '0' or nothing, got 'yes'"):
        hatch_build(tmp_path, "-t", "wheel", SERVER_ACCEL="yes")


@pytest.mark.parametrize("package", HOT)
def test_a_wheel_can_be_built_from_the_sdist(pure_wheels, tmp_path, package):
    (sdist,) = pure_wheels.glob(f"{package}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        hooks = [member for member in archive.getmembers() if member.name.endswith("/hatch_build.py")]
    assert [hook.isfile() for hook in hooks] == [True]
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", tmp_path, sdist]
    run(command, SERVER_ACCEL="0")
    assert names_in(wheel_of(tmp_path, package))


@needs_compiler
def test_a_compiled_module_refuses_an_edited_source(wheels, tmp_path):
    environment = make_environment(tmp_path / "venv")
    environment.install(wheel_of(wheels, "server_http"))
    (source,) = environment.path.glob("lib/*/site-packages/server_http/fields.py")
    source.write_text(source.read_text() + "\n# edited\n")
    with pytest.raises(AssertionError, match=r"ImportError: server_http\.fields: expected the source it was compiled"):
        run([environment.python, "-c", "import server_http.fields"])


def test_an_editable_install_is_interpreted(tmp_path):
    environment = make_environment(tmp_path / "venv")
    run([*environment.pip, "install", "-qq", "--no-deps", "-e", ROOT / "packages" / "http"])
    script = "from server_http._compiled import compiled_modules as c; print(c('server_http'))"
    assert run([environment.python, "-c", script]).strip() == "[]"
