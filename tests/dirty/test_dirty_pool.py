"""Dirty workers as real processes beside real HTTP workers: calls, reload, death, stop, memory."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List

import pytest

from control.scraping import metrics_address
from server_core.control.client import ControlClient
from server_core.supervise.groups import QUICK_DEATH
from server_dirty import regions
from support import ServerProcess, request, soak_seconds, until
from support.process import children_of

APP = """
import json, os, time
from server_dirty import DirtyApp, DirtyAppError, DirtyError, get_dirty_client, stash

VERSION = 1


class Heavy(DirtyApp):
    stashes = ["hits"]
    resources = {"gpu": 1}

    def init(self):
        open("inits", "a").write(f"{os.getpid()}\\n")

    def close(self):
        open("closes", "a").write(f"{os.getpid()}\\n")

    def pid(self):
        return os.getpid()

    def version(self):
        return VERSION

    def device(self):
        time.sleep(0.05)
        return self.devices["gpu"][0]

    def fail(self):
        raise RuntimeError("as asked")

    def echo(self, value, seconds=0):
        time.sleep(seconds)
        return value

    def repeat(self, value, times):
        for _ in range(times):
            yield value

    def grow(self):
        self.kept = bytearray(80 << 20)
        self.kept[::4096] = b"x" * len(self.kept[::4096])
        return len(self.kept)

    def count(self):
        try:
            for number in range(10**9):
                yield b"data: %d\\n\\n" % number
        finally:
            open("closed-streams", "a").write("1\\n")


class Single(DirtyApp):
    workers = 1

    def pid(self):
        time.sleep(0.02)
        return os.getpid()

    def pickles(self):
        return os.environ["SERVER_DIRTY_PICKLE"]

    def slow(self):
        while not os.path.exists("go"):
            time.sleep(0.01)


def app(environ, start_response):
    client = get_dirty_client(timeout=10)
    path = environ["PATH_INFO"].strip("/")
    if path == "stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return client.stream("app:Heavy", "count")
    try:
        if path == "hits":
            result = stash.increment("hits", "n")
        elif path == "single":
            result = client.execute("app:Single", "pid")
        elif path in ("slow", "pickles"):
            result = client.execute("app:Single", path)
        elif path.startswith("echo/"):
            result = client.execute("app:Heavy", "echo", path[5:], seconds=0.002)
        elif path.startswith("large/"):
            large = path[6:].encode() * 20_000
            result = path[6:] if client.execute("app:Heavy", "echo", large, seconds=0.002) == large else "mixed up"
        elif path.startswith("some/"):
            result = ",".join(client.stream("app:Heavy", "repeat", path[5:], 5))
            result = path[5:] if result == ",".join([path[5:]] * 5) else "mixed up"
        else:
            result = client.execute("app:Heavy", path)
        status = "200 OK"
    except DirtyError as error:
        result, status = type(error).__name__, "500 Error"
        if isinstance(error, DirtyAppError):
            result = "DirtyAppError"
    body = json.dumps(result).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
"""

DIRTY = ["app:app", "--dirty-app", "app:Heavy", "--dirty-workers", "2"]
BOOTED = 4  # one HTTP worker, two dirty ones, the stash


def ask(server: ServerProcess, path: str):
    answer = request((server.host, server.port), "GET", f"/{path}")
    assert answer.status == 200, answer.text
    return eval(answer.text, {"true": True, "false": False, "null": None})  # noqa: S307 - our own application's JSON


def lines(server: ServerProcess, name: str) -> List[str]:
    path = Path(server.cwd) / name
    return path.read_text().split() if path.exists() else []


def test_calls_are_answered_by_all_workers_of_the_pool():
    with ServerProcess(DIRTY, app=APP, workers=BOOTED) as server:
        assert ask(server, "echo/hello") == "hello"
        pids = set()
        until(lambda: pids.add(ask(server, "pid")) or len(lines(server, "inits")) == 2, what="both workers are loaded")
        assert {str(pid) for pid in pids} <= set(lines(server, "inits"))
    assert sorted(lines(server, "closes")) == []  # the directory is gone with the server


def test_every_worker_has_a_device_of_its_own():
    with ServerProcess([*DIRTY, "-k", "gthread", "--threads", "4"], app=APP, workers=BOOTED) as server:
        until(lambda: len(lines(server, "inits")) == 2, what="both workers are loaded")
        found = set()

        def collect() -> None:
            found.add(ask(server, "device"))

        def both() -> bool:
            threads = [threading.Thread(target=collect) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return found == {0, 1}

        until(both, what="both devices are seen")


def test_an_application_can_ask_for_fewer_workers():
    arguments = [*DIRTY, "--dirty-app", "app:Single"]
    with ServerProcess(arguments, app=APP, workers=BOOTED) as server:
        assert len({ask(server, "single") for _ in range(12)}) == 1


def test_a_reload_brings_new_code_and_keeps_the_stash():
    with ServerProcess(DIRTY, app=APP, workers=BOOTED) as server:
        assert ask(server, "version") == 1
        assert ask(server, "hits") == 1
        before = ask(server, "pid")
        (Path(server.cwd) / "app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        # A worker that was just told to leave may still answer the call it had accepted.
        until(lambda: len(lines(server, "closes")) == 2, what="the old workers are gone")
        assert ask(server, "version") == 22
        assert ask(server, "hits") == 2
        assert ask(server, "pid") != before


def _single(server: ServerProcess):
    """The worker that serves ``Single``, or the victim's error."""
    return eval(request((server.host, server.port), "GET", "/single").text, {})  # noqa: S307 - as ``ask``


def test_an_application_goes_when_its_last_worker_has_gone_and_a_failed_reload_takes_none_away():
    config = 'dirty_apps = ["app:Heavy", "app:Single"]\ndirty_workers = 2\n'
    with ServerProcess(["app:app"], app=APP, config=config, workers=BOOTED) as server:
        assert ask(server, "single") > 0
        broken = APP.replace("    def init(self):", "    def init(self):\n        raise RuntimeError('no model here')")
        (Path(server.cwd) / "app.py").write_text(broken)
        (Path(server.cwd) / "server.conf.py").write_text(config.replace(', "app:Single"', "") + "dirty_pickle = True\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload failed")
        victim = ask(server, "single")
        (Path(server.cwd) / "app.py").write_text(APP)
        os.kill(victim, signal.SIGKILL)
        until(lambda: _single(server) != victim, 10, "a successor is loaded")
        assert ask(server, "pickles") == "0"  # of the settings that are in use
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        missing = '"DirtyAppNotFoundError"'
        queues = [path for path in _unix_sockets(server) if path.parent.name.startswith("server-dirty-")]
        until(lambda: sum(path.exists() for path in queues) == 2, what="its queue is closed")
        assert request((server.host, server.port), "GET", "/single").text == missing
        assert ask(server, "echo/still") == "still"


def test_a_pool_that_a_reload_turns_off_is_missed_at_once_and_may_come_back():
    config = 'dirty_apps = ["app:Heavy"]\ndirty_workers = {}\n'
    with ServerProcess(["app:app"], app=APP, config=config.format(2), workers=BOOTED) as server:
        address = (server.host, server.port)
        until(lambda: len(lines(server, "inits")) == 2, what="both workers are loaded")
        assert ask(server, "echo/here") == "here"
        (Path(server.cwd) / "server.conf.py").write_text(config.format(0))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        until(lambda: len(lines(server, "closes")) == 2, what="the pool is gone")
        began = time.monotonic()
        assert "Error" in request(address, "GET", "/echo/lost").text
        assert time.monotonic() - began < 5  # of ten that the client would wait
        (Path(server.cwd) / "server.conf.py").write_text(config.format(1))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete", count=2)
        until(lambda: "here" in request(address, "GET", "/echo/here").text, what="the pool is back")


def test_a_killed_worker_is_replaced_and_the_stash_outlives_it():
    with ServerProcess(DIRTY, app=APP, workers=BOOTED) as server:
        assert ask(server, "hits") == 1
        victim = ask(server, "pid")
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(lines(server, "inits")) == 3, what="a successor is loaded")
        assert ask(server, "echo/again") == "again"
        assert ask(server, "hits") == 2


def test_the_pool_is_shown_and_scaled_by_control_commands():
    arguments = [*DIRTY, "--dirty-app", "app:Single", "--control-socket", "server.ctl"]
    with ServerProcess(arguments, app=APP, workers=BOOTED) as server:
        ask(server, "pid")
        with ControlClient(str(Path(server.cwd) / "server.ctl")) as control:

            def ready() -> Dict[str, int]:
                return {row["app"]: row["ready"] for row in control.call("dirty")["apps"]}

            until(lambda: ready() == {"app:Heavy": 2, "app:Single": 1}, what="all is loaded")
            assert control.call("dirty add") == {"added": 1, "previous": 2, "total": 3}
            until(lambda: ready()["app:Heavy"] == 3, what="one more serves")
            assert ready()["app:Single"] == 1
            assert control.call("dirty remove", 2) == {"removed": 2, "previous": 3, "total": 1}
            until(lambda: control.call("show dirty")["count"] == 1, what="one is left")


def test_the_health_of_each_application_is_shown_and_measured():
    arguments = [*DIRTY, "--dirty-app", "app:Single", "--dirty-queue", "1", "--control-socket", "server.ctl"]
    arguments += ["--metrics-bind", "127.0.0.1:0", "-k", "gthread", "--threads", "8"]
    with ServerProcess(arguments, app=APP, workers=BOOTED) as server:
        with ControlClient(str(Path(server.cwd) / "server.ctl")) as control:

            def row(name: str) -> Dict:
                return next(found for found in control.call("dirty")["apps"] if found["app"] == f"app:{name}")

            until(lambda: (row("Heavy")["ready"], row("Single")["ready"]) == (2, 1), what="all is loaded")
            assert (row("Heavy")["wanted"], row("Single")["wanted"]) == (2, 1)
            assert row("Heavy")["calls"] == 0
            ask(server, "echo/hello")
            assert request((server.host, server.port), "GET", "/fail").text == '"DirtyAppError"'
            until(lambda: row("Heavy")["calls"] == 2, what="the calls are counted")
            assert (row("Heavy")["failed"], row("Heavy")["last_error"]) == (1, "fail: RuntimeError: as asked")
            # One worker is busy, one call waits, and one too many is refused.
            callers = [threading.Thread(target=server.get, args=("/slow",)) for _ in range(2)]
            callers[0].start()
            until(lambda: row("Single")["busy"] == 1, what="one call runs")
            callers[1].start()
            until(lambda: row("Single")["queued"] == 1, what="one call waits")
            assert request((server.host, server.port), "GET", "/slow").text == '"DirtyBusyError"'
            assert row("Single")["refused"] == 1
            address = metrics_address(server)
            text = request(address, "GET", "/metrics").text
            assert 'server_dirty_calls_total{app="app:Heavy",outcome="failed"} 1' in text
            assert 'server_dirty_calls_refused_total{app="app:Single"} 1' in text
            assert 'server_dirty_queue{app="app:Single"} 1' in text
            assert 'server_dirty_workers{app="app:Heavy",state="ready"} 2' in text
            assert 'server_dirty_call_duration_seconds_count{app="app:Heavy"} 2' in text
            Path(server.cwd, "go").touch()
            for caller in callers:
                caller.join(10)
            # What a worker counted outlives it.
            pid = ask(server, "pid")
            until(lambda: row("Heavy")["calls"] == 3, what="the call is counted")
            os.kill(pid, signal.SIGKILL)
            until(lambda: len(lines(server, "inits")) == 3, what="a successor is loaded")
            assert row("Heavy")["calls"] == 3
            assert row("Heavy")["last_error"] == "fail: RuntimeError: as asked"
        words = [sys.executable, "-m", "server_cli.ctl", "-s", str(Path(server.cwd) / "server.ctl"), "dirty"]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=20)
        assert shown.returncode == 0
        assert "app:Heavy" in shown.stdout
        assert "LAST_ERROR" in shown.stdout


def test_a_start_can_be_stopped_while_an_application_hangs_as_it_is_imported(tmp_path):
    (tmp_path / "app.py").write_text("import time\nopen('imported', 'w').close()\ntime.sleep(600)\n")
    words = [sys.executable, "-m", "server_cli", "--dirty-app", "app:Heavy", "--dirty-workers", "1"]
    words += ["-b", "127.0.0.1:0", "app:application"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        until((tmp_path / "imported").exists)
        server.terminate()
        _, said = server.communicate(timeout=20)
    assert "importing the applications was given up: the server is told to stop" in said


def test_the_server_is_ready_when_every_application_is_loaded():
    slow = APP.replace("    workers = 1\n", "    workers = 1\n\n    def init(self):\n        wait()\n")
    slow += "\n\ndef wait():\n    while not os.path.exists('loaded'):\n        time.sleep(0.01)\n"
    arguments = ["app:app", "--dirty-app", "app:Single", "--dirty-app", "app:Heavy:1", "--dirty-workers", "2"]
    with ServerProcess([*arguments, "--metrics-bind", "127.0.0.1:0"], app=slow, workers=BOOTED) as server:
        until(lambda: len(lines(server, "inits")) == 1, what="one of the applications is loaded")
        address = metrics_address(server)
        answer = request(address, "GET", "/readyz")
        assert answer.status == 503
        assert "dirty applications are not loaded: app:Single" in answer.text
        Path(server.cwd, "loaded").touch()
        until(lambda: request(address, "GET", "/readyz").status == 200, what="it is ready")


def test_a_generator_is_closed_when_the_http_client_leaves():
    with ServerProcess(DIRTY, app=APP, workers=BOOTED) as server:
        import socket

        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        until(lambda: lines(server, "closed-streams") == ["1"], what="the generator is closed")
        assert ask(server, "echo/next") == "next"


def test_a_worker_over_its_memory_limit_is_replaced():
    config = "import server_core.worker\nserver_core.worker.MEMORY_INTERVAL = 0.5\n"
    with ServerProcess([*DIRTY, "--dirty-max-memory", "100m"], app=APP, config=config, workers=BOOTED) as server:
        assert ask(server, "grow") == 80 << 20
        server.wait_for_log("more than max_memory")
        until(lambda: len(lines(server, "inits")) >= 3, what="a successor is loaded")


def test_hooks_are_called_with_what_they_document():
    config = """
dirty_apps = ["app:Heavy"]
dirty_workers = 1

def note(text):
    open("hooks", "a").write(text + "\\n")

def on_dirty_starting(arbiter):
    note("starting")

def dirty_post_fork(arbiter, worker):
    note(f"fork:{worker.pid}")

def dirty_worker_init(worker):
    note(f"init:{worker.pid}")

def dirty_worker_exit(arbiter, worker):
    note(f"exit:{worker.pid}")
"""
    with ServerProcess(["app:app"], app=APP, config=config, workers=3) as server:
        pid = ask(server, "pid")
        until(
            lambda: {"starting", f"fork:{pid}", f"init:{pid}"} <= set(lines(server, "hooks")), what="hooks are called"
        )
        os.kill(pid, signal.SIGKILL)
        until(lambda: f"exit:{pid}" in lines(server, "hooks"), what="the exit hook is called")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dirty-app", "app:Missing"], "has no class 'Missing'"),
        (["--dirty-app", "nowhere:App"], "no module 'nowhere'"),
        (["--dirty-app", "app"], "expected MODULE:CLASS"),
        (["--dirty-app", "app:Heavy:9"], "at most dirty_workers (2)"),
        (["--dirty-app", "app:Heavy", "--dirty-app", "app:Heavy"], "each application once"),
    ],
)
def test_a_wrong_application_stops_the_start_with_one_clear_line(arguments, message):
    with ServerProcess(["app:app", "--dirty-workers", "2", *arguments], app=APP, wait=False, clean=False) as server:
        assert server.wait() != 0
        assert message in server.log
        assert "Traceback" not in server.log
        server.assert_nothing_left()


def test_an_application_that_fails_to_load_shows_its_traceback():
    broken = APP.replace("    def init(self):", "    def init(self):\n        raise RuntimeError('no model here')")
    with ServerProcess(DIRTY, app=broken, wait=False, clean=False) as server:
        assert server.wait() == 3
        assert "no model here" in server.log
        server.assert_nothing_left()


def test_the_sockets_are_private_and_gone_after_the_stop():
    with ServerProcess(DIRTY, app=APP, workers=BOOTED) as server:
        ask(server, "pid")
        (directory,) = {path.parent for path in _unix_sockets(server) if path.parent.name.startswith("server-dirty-")}
        assert directory.stat().st_uid == os.geteuid()
        assert oct(directory.stat().st_mode & 0o777) == "0o700"
        assert {oct(path.stat().st_mode & 0o777) for path in directory.iterdir()} == {"0o600"}
    assert not directory.exists()


def _unix_sockets(server: ServerProcess) -> List[Path]:
    """The paths of the unix sockets that the arbiter has open."""
    links = [os.readlink(link) for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.is_symlink()]
    rows = [line.split() for line in Path(f"/proc/{server.pid}/net/unix").read_text().splitlines()[1:]]
    return [Path(row[7]) for row in rows if len(row) == 8 and f"socket:[{row[6]}]" in links]


STORM = ["echo", "large", "some"]
KEPT_FILES = regions.KEPT // (256 * 1024)  # files of the size that the storm's large values need


def living(server: ServerProcess) -> List[int]:
    """The dirty workers that have been loaded and are there."""
    return [int(pid) for pid in lines(server, "inits") if Path(f"/proc/{pid}").exists()]


def descriptors(pid: int) -> List[str]:
    """What the descriptors of a process lead to."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


@pytest.mark.soak
def test_under_a_kill_storm_every_call_is_answered_or_fails_by_its_own_error():
    arguments = ["app:app", "--dirty-app", "app:Heavy", "--dirty-workers", "4", "--dirty-threads", "2"]
    arguments += ["-k", "gthread", "--threads", "16"]
    with ServerProcess(arguments, app=APP, workers=6) as server:
        until(lambda: len(lines(server, "inits")) == 4, what="all workers are loaded")
        counts: Dict[str, int] = {}
        wrong: List[str] = []
        deadline = time.monotonic() + soak_seconds()

        def call(number: int) -> None:
            serial = 0
            while time.monotonic() < deadline:
                serial += 1
                text = f"{number}-{serial}"
                answer = request((server.host, server.port), "GET", f"/{STORM[serial % len(STORM)]}/{text}")
                outcome = answer.text.strip('"')
                counts[outcome if answer.status == 500 else "answered"] = (
                    counts.get(outcome if answer.status == 500 else "answered", 0) + 1
                )
                if answer.status == 200 and outcome != text:
                    wrong.append(f"{text} -> {outcome}")

        callers = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for caller in callers:
            caller.start()
        chooser = random.Random(5)  # noqa: S311 - the same victims in every run
        loaded: Dict[int, float] = {}
        kills = 0
        while time.monotonic() < deadline:
            now = time.monotonic()
            loaded = {pid: loaded.get(pid, now) for pid in living(server)}
            # Those that die sooner count as broken, and their successors are held back: another matter.
            pids = [pid for pid, since in loaded.items() if now > since + 1.5 * QUICK_DEATH]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chooser.choice(pids), signal.SIGKILL)
                    kills += 1
            threading.Event().wait(0.3)
        for caller in callers:
            caller.join(30)
            assert not caller.is_alive()
        assert wrong == []
        assert set(counts) <= {"answered", "DirtyWorkerError"}, counts
        assert counts["answered"] > 20
        print(f"kill storm: {kills} killed, {counts}", file=sys.stderr)
        until(lambda: ask(server, "echo/after") == "after", what="the pool recovers")
        until(lambda: len(living(server)) == 4, what="all successors are loaded")
        assert len(descriptors(server.pid)) < 100
        for pid in children_of(server.pid):
            # What a process may keep for the next large value, and nothing for those that are over.
            kept = [name for name in descriptors(pid) if "memfd:server-dirty" in name]
            assert len(kept) <= KEPT_FILES, (pid, kept)
            assert len(descriptors(pid)) - len(kept) < 100
            assert Path(f"/proc/{pid}/maps").read_text().count("memfd:server-dirty") == 0
