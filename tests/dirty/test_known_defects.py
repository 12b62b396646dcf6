"""What goes wrong with gunicorn's dirty workers, and must not here, with real processes."""

from __future__ import annotations

import datetime
import os
import threading
import uuid
from pathlib import Path

import pytest

from server_dirty import DirtyClient, DirtyTimeoutError, stash
from support import ServerProcess, until

APP = """
import os, threading, time
from server_dirty import DirtyApp


class Heavy(DirtyApp):
    stashes = ["declared"]

    def init(self):
        self.meeting = threading.Barrier(3)
        open("inits", "a").write(f"{os.getpid()}\\n")

    def meet(self):
        return self.meeting.wait(20)  # only three calls at the same time ever leave

    def hang(self):
        threading.Event().wait()

    def value(self, value):
        return value


def app(environ, start_response):
    start_response("200 OK", [])
    return [os.environ["SERVER_DIRTY_DIR"].encode()]
"""
HEAVY = "app:Heavy"
BOOTED = 3  # one HTTP worker, one dirty, the stash


@pytest.fixture(scope="module")
def server():
    arguments = ["app:app", "--dirty-app", HEAVY, "--dirty-workers", "1", "--dirty-threads", "4"]
    arguments += ["--dirty-timeout", "0", "--dirty-graceful-timeout", "1"]
    with ServerProcess(arguments, app=APP, workers=BOOTED) as started:
        until(lambda: len(inits(started)) == 1, 20, "the worker is loaded")
        yield started


@pytest.fixture
def directory(server):
    return server.get("/").text


def inits(server):
    path = Path(server.cwd) / "inits"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_threads_run_calls_at_the_same_time(directory):
    places = []
    callers = [
        threading.Thread(target=lambda: places.append(DirtyClient(directory, timeout=30).execute(HEAVY, "meet")))
        for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert sorted(places) == [0, 1, 2]


def test_a_missing_key_gives_the_default_and_errors_of_the_stash_keep_their_type(directory):
    client = stash.StashClient(directory)
    assert client.get("nowhere", "nothing", "default") == "default"
    with pytest.raises(stash.StashTableNotFoundError):
        client.info("nowhere")


def test_an_idle_worker_without_a_timeout_does_nothing(server):
    (pid,) = inits(server)
    before = cpu_ticks(pid)
    threading.Event().wait(1.0)
    assert cpu_ticks(pid) - before < os.sysconf("SC_CLK_TCK") / 4


def test_declared_tables_exist_before_the_first_call(directory):
    assert stash.StashClient(directory).exists("declared")


@pytest.mark.parametrize(
    "value",
    [
        2**80, -(2**70), {1, "a"}, frozenset((1,)), (1, (2,)), {"a": [(1, 2)]}, {1: "not a str"},
        datetime.datetime(2024, 2, 29, 12, 30, 1, 5, datetime.timezone.utc), datetime.date(2024, 2, 29),
        datetime.timedelta(days=-1, seconds=3), uuid.UUID(int=7), b"x" * 1_000_000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_come_back_as_they_were(directory, value):
    back = DirtyClient(directory, timeout=30).execute(HEAVY, "value", value)
    assert back == value
    assert type(back) is type(value)


def test_a_call_that_never_returns_costs_its_worker_not_the_pool(server, directory):
    (pid,) = inits(server)
    with pytest.raises(DirtyTimeoutError):
        DirtyClient(directory, timeout=0.5).execute(HEAVY, "hang")
    server.wait_for_log("past its limit", timeout=20)
    assert "in hang" in server.log
    until(lambda: len(inits(server)) == 2, 20, "a successor is loaded")
    until(lambda: not Path(f"/proc/{pid}").exists(), 20, "the worker with the stuck thread is gone")
    assert DirtyClient(directory, timeout=30).execute(HEAVY, "value", 1) == 1
