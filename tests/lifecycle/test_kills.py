"""kill -9, on workers and on the arbiter."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time

import pytest

from lifecycle.apps import PID_APP
from support import KeepAliveLoad, ServerProcess, until


def test_a_killed_worker_is_replaced_and_the_others_lose_no_request() -> None:
    with ServerProcess(["app:app", "-w", "3"], app=PID_APP, workers=3) as server:
        victim = int(server.get().body)
        with KeepAliveLoad((server.host, server.port), keep_bodies=True) as load:
            load.wait_for_answers(50)
            began = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            server.wait_for_log("Booting worker", count=4)
            replaced_after = time.monotonic() - began
            load.wait_for_answers(50)
        # A request inside the killed worker may fail, one per connection at most; all else is answered.
        assert len(load.result.errors) <= 4
        server.wait_for_log("was sent SIGKILL! Perhaps out of memory?")
        assert replaced_after < 5.0, "at once, not at the end of a delay"


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_killing_the_arbiter_leaves_no_worker_behind_not_even_one_stuck_in_the_application(preload: list[str]) -> None:
    server = ServerProcess(["app:app", "-w", "2", *preload], app=PID_APP, workers=2, clean=False)
    with server, server.client() as client:
        client.send(b"GET /?spin=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: any(cpu_ticks(pid) > 20 for pid in server.worker_pids()), what="a worker spins")
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.assert_nothing_left()


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[11])


def test_a_killed_template_is_replaced_and_its_workers_serve_on() -> None:
    with ServerProcess(["app:app", "--preload"], app=PID_APP) as server:
        worker = int(server.get().body)
        template = next(pid for pid in server.worker_pids() if pid != worker)
        os.kill(template, signal.SIGKILL)
        until(lambda: len(server.worker_pids()) == 2 and template not in server.worker_pids())
        assert int(server.get().body) == worker


def test_a_worker_that_keeps_dying_is_started_with_growing_delay_and_it_is_said() -> None:
    app = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with ServerProcess(["app:app"], app=app) as server:
        server.wait_for_log("died in a row; next start in 0.5 s")
        server.wait_for_log("died in a row; next start in 1 s")


def test_max_requests_replaces_workers_and_loses_nothing() -> None:
    with ServerProcess(["app:app", "--max-requests", "20"], app=PID_APP) as server:
        with KeepAliveLoad((server.host, server.port), keep_bodies=True) as load:
            load.wait_for(lambda result: len(result.bodies) >= 4, timeout=20)
        load.result.assert_no_error()
        server.wait_for_log("Autorestarting worker after current request.")


def test_max_memory_replaces_a_worker() -> None:
    app = (
        PID_APP
        + "ballast = []\nserve = app\ndef app(e, s):\n    ballast.append(b'x' * 1000000)\n    return serve(e, s)\n"
    )
    with ServerProcess(["app:app"], app=app, config="max_memory = '60m'\n") as server:
        before = int(server.get().body)
        with KeepAliveLoad((server.host, server.port)) as load:
            server.wait_for_log("more than max_memory", timeout=20)
            server.wait_for_log("Booting worker", count=2)
        load.result.assert_no_error()
        until(lambda: before not in server.worker_pids())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the limits of another process")
def test_an_arbiter_without_a_free_descriptor_serves_on_and_starts_the_worker_when_there_is_one() -> None:
    with ServerProcess(["app:app"], app=PID_APP) as server:
        used = {int(name) for name in os.listdir(f"/proc/{server.pid}/fd")}
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        lowest_free = min(set(range(len(used) + 1)) - used)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log("Cannot start a worker: cannot make its report file: Too many open files")
        assert server.get().status == 200
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        server.wait_for_log("Booting worker", count=2, timeout=20)
        assert server.get().status == 200
