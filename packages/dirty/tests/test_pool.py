"""The plan of a pool: what applications declare, read in a child that may hang."""

from __future__ import annotations

import os

import pytest

from server_core.errors import AppImportError
from server_dirty.pool import read_declarations

APP = """
from server_dirty import DirtyApp


class App(DirtyApp):
    workers = 2
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write the module ``declaring``."""
    monkeypatch.syspath_prepend(tmp_path)
    return (tmp_path / "declaring.py").write_text


def never():
    return False


def nothing():
    pass


def test_what_a_class_declares_is_read(module):
    module(APP)
    assert read_declarations(["declaring:App"], 60, never, nothing)["declaring:App"].workers == 2


def test_a_process_that_a_module_starts_may_outlive_the_reading(module):
    held, end = os.pipe()
    module(f"import os\nif os.fork() == 0:\n    os.close({end})\n    os.read({held}, 1)\n    os._exit(0)\n{APP}")
    found = read_declarations(["declaring:App"], 60, never, nothing)
    for descriptor in (held, end):
        os.close(descriptor)
    assert found["declaring:App"].workers == 2


def test_a_module_that_hangs_is_given_up_after_boot_timeout(module):
    module("import time\ntime.sleep(600)")
    with pytest.raises(AppImportError, match=r"longer than boot_timeout \(0\.2 s\)"):
        read_declarations(["declaring:App"], 0.2, never, nothing)


def test_a_module_that_hangs_is_given_up_when_the_server_is_to_stop(module):
    module("import time\ntime.sleep(600)")
    answers = iter([False, True, True])
    with pytest.raises(AppImportError, match="told to stop"):
        read_declarations(["declaring:App"], 0, lambda: next(answers), nothing)


def test_a_module_that_ends_its_process_is_an_error(module):
    module("import os\nos._exit(7)")
    with pytest.raises(AppImportError, match="ended the process"):
        read_declarations(["declaring:App"], 0, never, nothing)


def test_root_is_given_up_before_a_module_is_imported(module):
    module("import os\n" + APP.replace("workers = 2", "workers = int(os.environ['IDENTITY'])"))
    found = read_declarations(["declaring:App"], 60, never, lambda: os.environ.update(IDENTITY="7"))
    assert found["declaring:App"].workers == 7


def test_who_may_not_become_another_reads_all_the_same(module):
    def become():
        raise PermissionError(1, "not root")

    module(APP)
    assert read_declarations(["declaring:App"], 60, never, become)["declaring:App"].workers == 2
