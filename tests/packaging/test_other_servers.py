"""The tables of ``server migrate`` beside the real gunicorn and uvicorn, which are fetched and read, not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from server_cli.migrate import gunicorn, table, uvicorn

GUNICORN = """
import json, gunicorn.config as c
kinds = {"store_true": "flag", "store_const": "off", "append": "append", None: "value"}
print(json.dumps({
    s.name: [" ".join(s.cli or ()), "optional" if s.nargs == "?" else kinds[s.action]] for s in c.KNOWN_SETTINGS
}))
"""
UVICORN = """
import json, sys, uvicorn
options = [p for p in sys.modules["uvicorn.main"].main.params if p.param_type_name == "option"]
print(json.dumps({p.name: [p.opts[0], bool(p.secondary_opts), bool(p.is_flag), bool(p.multiple)] for p in options}))
"""


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import both from; ours stays what ``import gunicorn`` does not find."""
    folder = tmp_path_factory.mktemp("others")
    command = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary", ":all:", "-d", str(folder)]
    names = [f"gunicorn=={gunicorn.VERSION}.*", f"uvicorn=={uvicorn.VERSION}.*"]
    done = subprocess.run([*command, *names], capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"no index, or it has not {names}")
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    return folder / "site"


def told(site: Path, script: str) -> dict[str, list]:
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(done.stderr.splitlines()[-1])
    return dict(json.loads(done.stdout))


def test_the_table_of_gunicorn_is_that_of_the_real_one(fetched):
    real = told(fetched, GUNICORN)
    assert set(real) == set(gunicorn.BY_NAME)
    for name, (flags, takes) in real.items():
        row = gunicorn.BY_NAME[name]
        assert set(row.flags.split()) == set(flags.split()), name
        assert row.takes == takes or not flags, name


def test_the_table_of_uvicorn_is_that_of_the_real_one(fetched):
    real = told(fetched, UVICORN)
    real.pop("version", None)
    real.pop("app", None)
    flags = {row.flags: row for row in uvicorn.ROWS}
    assert {flag for flag, *_ in real.values()} == set(flags)
    for flag, pair, is_flag, multiple in real.values():
        takes = table.PAIR if pair else table.FLAG if is_flag else table.APPEND if multiple else table.VALUE
        assert flags[flag].takes == takes, flag
