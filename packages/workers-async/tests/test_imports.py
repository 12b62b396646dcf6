"""The order in which modules are imported."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import server_workers_async

# Compiled modules import one another's types before they have any of their own, so a circle shows in the first import.
IMPORT_EACH_FIRST = """
import importlib, os, sys

failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(name, error)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    failed += [name] * (os.waitpid(child, 0)[1] != 0)
sys.exit(len(failed))
"""


def test_each_module_can_be_the_first_that_is_imported():
    names = [f"server_workers_async.{module.name}" for module in pkgutil.iter_modules(server_workers_async.__path__)]
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH_FIRST, *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "server_workers_async.session" in names
