"""The template process, with and without a subreaper, for every kind of worker."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys

import pytest

from lifecycle.apps import PID_APP
from lifecycle.test_zero_loss import ASGI
from support import KeepAliveLoad, ServerProcess, until

# The server on a system whose processes cannot adopt orphans.
NO_SUBREAPER = """
import server_core.process as process
process.become_subreaper = lambda: False
from server_cli.main import main
main()
"""


def test_without_a_subreaper_the_template_is_the_parent_and_reports_ends() -> None:
    program = [sys.executable, "-c", NO_SUBREAPER]
    with ServerProcess(["app:app", "-w", "2", "--preload"], app=PID_APP, program=program, workers=2) as server:
        victim = int(server.get().body)
        assert victim not in server.worker_pids(), "only the template is a child of the arbiter"
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log("was sent SIGKILL! Perhaps out of memory?")
        server.wait_for_log("Booting worker", count=3)
        with KeepAliveLoad((server.host, server.port)) as load:
            load.wait_for_answers(20)
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("Reload complete.")
            load.wait_for_answers(20)
        load.result.assert_no_error()


def test_without_a_subreaper_workers_of_a_killed_template_are_replaced() -> None:
    program = [sys.executable, "-c", NO_SUBREAPER]
    with ServerProcess(["app:app", "--preload"], app=PID_APP, program=program) as server:
        worker = int(server.get().body)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.wait_for_log("Booting worker", count=2)
        until(lambda: not os.path.exists(f"/proc/{worker}"))
        until(lambda: int(server.get().body) != worker)


@pytest.mark.parametrize("worker", ["gthread", "asgi", "gevent", "eventlet"])
def test_every_worker_class_is_forked_from_a_template_and_reloaded(worker: str) -> None:
    if worker in ("gevent", "eventlet") and importlib.util.find_spec(worker) is None:
        pytest.skip(f"{worker} is not installed")
    app = ASGI if worker == "asgi" else PID_APP
    with ServerProcess(["app:app", "-w", "2", "-k", worker, "--preload"], app=app, workers=2, timeout=60) as server:
        before = set(server.booted_pids())
        with KeepAliveLoad((server.host, server.port), keep_bodies=True) as load:
            load.wait_for_answers(20)
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("Reload complete.", timeout=30)
            until(lambda: not before & set(server.worker_pids()))
            load.wait_for_answers(20)
        load.result.assert_no_error()
