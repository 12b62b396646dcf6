"""Which build runs: the compiled modules, or their sources where those are preferred."""

from __future__ import annotations

import subprocess
import sys

import pytest

from server_http import _compiled

SCRIPT = """
from server_http import _compiled
_compiled.prefer_sources("server_http")
from server_http import negotiate, uwsgi
from server_http.h1 import engine, scan
print(_compiled.loaded_modules("server_http"), engine.__file__)
"""


def test_preferred_sources_are_what_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("[] ")
    assert done.stdout.rstrip().endswith("engine.py")


def test_an_edited_source_beside_a_compiled_module_is_refused(tmp_path) -> None:
    source = tmp_path / "scan.py"
    source.write_text("one = 1\n")
    extension = str(tmp_path / "scan.so")
    expected = _compiled.checksum(source.read_bytes())
    _compiled.check_source("server_http.h1.scan", extension, expected)
    source.write_text("one = 2\n")
    with pytest.raises(ImportError, match="expected the source it was compiled from"):
        _compiled.check_source("server_http.h1.scan", extension, expected)
    source.unlink()
    _compiled.check_source("server_http.h1.scan", extension, expected)
