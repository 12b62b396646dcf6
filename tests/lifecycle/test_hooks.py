"""Hooks, slots and identities of real workers."""

from __future__ import annotations

import os
import pwd
import signal
import time

import pytest

from lifecycle.apps import PID_APP
from support import ServerProcess, request, until

HOOKS = """
import os
SERVER = ("cfg", "log", "pid", "num_workers", "WORKERS", "LISTENERS", "worker_age", "address", "app", "reexec_pid",
          "master_pid", "START_CTX")
WORKER = ("pid", "age", "ppid", "cfg", "log", "app", "nr", "max_requests", "alive", "booted", "aborted", "sockets",
          "tmp", "slot")
def note(name, server=None, worker=None):
    for owner, names in ((server, SERVER), (worker, WORKER)):
        if owner is not None:
            missing = [attribute for attribute in names if not hasattr(owner, attribute)]
            assert not missing, missing
    with open("hooks.log", "a") as file:
        file.write(f"{name} {os.getpid()}\\n")
def on_starting(server): assert server.cfg.workers; note("on_starting")
def when_ready(server):
    note("when_ready", server)
    assert (server.num_workers, server.address[0][0]) == (1, "127.0.0.1")
    assert os.environ["SERVER_SOFTWARE"].startswith("server/")
def on_reload(server): note("on_reload", server)
def pre_fork(server, worker): note("pre_fork", server, worker)
def post_fork(server, worker): note("post_fork", server, worker)
def post_worker_init(worker): note("post_worker_init", None, worker)
def worker_int(worker):
    served = worker.nr
    worker.nr += 7  # gunicorn's workers count there
    note(f"worker_int:{worker.nr - served}", None, worker)
def worker_exit(server, worker): note("worker_exit", server, worker)
def child_exit(server, worker): note("child_exit", server, worker)
def nworkers_changed(server, new, old): note(f"nworkers_changed:{new}:{old}", server)
def on_exit(server): note("on_exit", server)
"""


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_hooks_are_called_in_their_process_and_order(preload: list[str]) -> None:
    with ServerProcess(["app:app", *preload], app=PID_APP, config=HOOKS) as server:
        worker = int(server.get().body)
        server.stop(signal.SIGQUIT)
        calls = [line.split() for line in (server.cwd / "hooks.log").read_text().splitlines()]
    arbiter = [name for name, pid in calls if int(pid) == server.pid]
    inside = [name for name, pid in calls if int(pid) == worker]
    assert inside == ["post_fork", "post_worker_init", "worker_int:7", "worker_exit"]
    expected = ["on_starting", "when_ready", "nworkers_changed:1:None", "pre_fork", "child_exit", "on_exit"]
    if preload:
        expected.remove("pre_fork")  # it runs where the application is
        assert [name for name, pid in calls if int(pid) not in (server.pid, worker)] == ["pre_fork"]
    assert arbiter == expected


def test_reload_and_scaling_hooks() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config=HOOKS) as server:
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        server.send_signal(signal.SIGTTIN)
        until(lambda: "nworkers_changed:2:1" in (server.cwd / "hooks.log").read_text())
        assert "on_reload" in (server.cwd / "hooks.log").read_text()


CATCHING_APP = """
import time
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    print("busy", flush=True)
    try:
        time.sleep(20)
    except Exception:
        time.sleep(20)
    return []
"""


@pytest.mark.parametrize(("number", "hook"), [(signal.SIGABRT, "worker_abort"), (signal.SIGQUIT, "worker_int")])
def test_a_worker_leaves_though_its_last_hook_raises_into_the_application(number: int, hook: str) -> None:
    config = f"def {hook}(worker):\n    raise RuntimeError('no such hook')\n"
    with ServerProcess(["app:app"], app=CATCHING_APP, config=config) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log("busy")
        server.send_signal(number, server.booted_pids()[0])
        server.wait_for_log(f"Exception in the {hook} hook")
        server.wait_for_log("Booting worker", count=2)
        server.send_signal(signal.SIGQUIT)


SLOT_APP = """
import os
def app(environ, start_response):
    body = f"{os.environ['SERVER_WORKER_SLOT']} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_every_worker_has_a_slot_that_its_replacement_keeps(preload: list[str]) -> None:
    config = "def post_fork(server, worker):\n    worker.log.info('slot %d is pid %d', worker.slot, worker.pid)\n"
    with ServerProcess(["app:app", "-w", "2", *preload], app=SLOT_APP, config=config, workers=2) as server:
        slots = slots_of(server, 2)
        assert sorted(slots) == [0, 1]
        os.kill(slots[1], signal.SIGKILL)
        replaced = slots_of(server, 3)
        assert replaced[0] == slots[0]
        assert replaced[1] != slots[1]
        slot, pid = server.get().body.split()
        assert replaced[int(slot)] == int(pid)
        server.send_signal(signal.SIGHUP)
        assert sorted(slots_of(server, 5)) == [0, 1]


def slots_of(server: ServerProcess, count: int) -> dict[int, int]:
    """The latest process of each slot, when ``count`` workers were started."""
    lines = server.wait_for_log(" is pid ", count=count)
    return {int(line.split()[-4]): int(line.split()[-1]) for line in lines}


def test_cores_are_given_by_slot() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")
    text = f"{cores[1]};{cores[0]}"
    with ServerProcess(["app:app", "-w", "2", "--cpu-affinity", text], app=PID_APP, workers=2) as server:
        until(lambda: len(server.worker_pids()) == 2)
        server.get()
        given = {tuple(os.sched_getaffinity(pid)) for pid in server.worker_pids()}
        until(lambda: {tuple(os.sched_getaffinity(pid)) for pid in server.worker_pids()} == {(cores[0],), (cores[1],)})
        assert len(given) <= 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_workers_give_up_root_and_still_die_with_the_arbiter(preload: list[str]) -> None:
    nobody = pwd.getpwnam("nobody")
    arguments = ["app:app", "-u", "nobody", "-g", str(nobody.pw_gid), *preload]
    server = ServerProcess(arguments, app=PID_APP, bind="unix:s", clean=False)
    os.chmod(server.cwd, 0o755)  # noqa: S103 - the worker has to enter it as somebody else
    with server:
        worker = server.booted_pids()[0]
        until(lambda: os.stat(f"/proc/{worker}").st_uid == nobody.pw_uid, what="the worker changed its user")
        with open(f"/proc/{worker}/status") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert set(fields["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(fields["Groups"].split()) <= {str(nobody.pw_gid)}, "no group of root is left"
        assert (server.cwd / "s").stat().st_uid == nobody.pw_uid
        server.send_signal(signal.SIGKILL)
        server.wait()
        until(lambda: not os.path.exists(f"/proc/{worker}"), what="the worker is gone")


def test_environment_variables_are_set_and_changed_by_a_reload() -> None:
    app = PID_APP.replace('b"%d" % os.getpid()', 'os.environ.get("COLOUR", "none").encode()')
    with ServerProcess(["app:app"], app=app, config="raw_env = ['COLOUR=red']\n") as server:
        assert server.get().body == b"red"
        (server.cwd / "server.conf.py").write_text("raw_env = []\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        until(lambda: server.get().body == b"none")


def test_a_daemon_detaches_and_is_stopped_by_its_pid_file() -> None:
    arguments = ["app:app", "-D", "--pid", "server.pid", "--error-logfile", "error.log"]
    with ServerProcess(arguments, app=PID_APP, bind="unix:s", wait=False, clean=False) as server:
        assert server.wait() == 0
        until(lambda: (server.cwd / "server.pid").exists())
        until(lambda: "Booting worker" in (server.cwd / "error.log").read_text())
        pid = int((server.cwd / "server.pid").read_text())
        assert os.getsid(pid) != os.getsid(0)
        assert request(str(server.cwd / "s")).status == 200  # a worker that still boots leaves without a word
        os.kill(pid, signal.SIGWINCH)
        until(lambda: "Worker exiting" in (server.cwd / "error.log").read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not (server.cwd / "server.pid").exists())
        server.assert_nothing_left()


def test_the_service_manager_is_told(tmp_path: object) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0server-test-{os.getpid()}-notify")
        manager.settimeout(10)
        env = {"NOTIFY_SOCKET": f"@server-test-{os.getpid()}-notify", "WATCHDOG_USEC": "2000000"}
        with ServerProcess(["app:app"], app=PID_APP, env=env) as server:
            told = manager_hears(manager, b"READY=1")
            server.send_signal(signal.SIGHUP)
            told += manager_hears(manager, b"RELOADING=1")
            told += manager_hears(manager, b"READY=1")
            told += manager_hears(manager, b"WATCHDOG=1")
            server.stop()
            manager_hears(manager, b"STOPPING=1")
        assert any(b"MONOTONIC_USEC=" in message for message in told)


def manager_hears(manager: object, wanted: bytes) -> list[bytes]:
    """Receive until a message begins with ``wanted``; all that came. The watchdog's come for ever."""
    heard: list[bytes] = []
    ends = time.monotonic() + 20
    while not heard or not heard[-1].startswith(wanted):
        assert time.monotonic() < ends, f"expected {wanted!r}, heard {heard}"
        heard.append(manager.recv(1000))  # type: ignore[attr-defined]
    return heard
