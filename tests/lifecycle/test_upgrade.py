"""USR2: a second arbiter takes over, or does not, and nobody notices."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.apps import PID_APP
from support import KeepAliveLoad, ServerProcess, processes_marked, request, until
from support.process import children_of

SUCCESSOR = re.compile(r"A second arbiter was started \(pid:(\d+)\)")


def successor_of(server: ServerProcess) -> int:
    found = SUCCESSOR.search(server.wait_for_log(SUCCESSOR)[0])
    assert found
    return int(found.group(1))


def pid_in(path: os.PathLike[str]) -> int:
    with open(path) as file:
        return int(file.read())


def test_upgrade_moves_to_the_second_arbiter_without_losing_a_request() -> None:
    arguments = ["app:app", "-w", "2", "--pid", "server.pid"]
    with ServerProcess(arguments, app=PID_APP, workers=2, clean=False) as server:
        with KeepAliveLoad((server.host, server.port)) as load:
            load.wait_for_answers(20)
            server.send_signal(signal.SIGUSR2)
            successor = successor_of(server)
            server.wait_for_log("Booting worker", count=4)
            assert pid_in(server.cwd / "server.pid") == server.pid
            assert pid_in(server.cwd / "server.pid.2") == successor
            load.wait_for_answers(20)
            assert server.stop() == 0
            load.wait_for_answers(50)
            until(lambda: pid_in(server.cwd / "server.pid") == successor, what="promotion")
        load.result.assert_no_error()
        server.wait_for_log("Master has been promoted.")
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")
        assert not (server.cwd / "server.pid").exists()


def test_upgrade_with_a_unix_socket_keeps_its_file_until_the_last_arbiter_ends() -> None:
    with ServerProcess(["app:app"], app=PID_APP, bind="unix:server.sock", clean=False) as server:
        path = str(server.cwd / "server.sock")
        server.send_signal(signal.SIGUSR2)
        successor = successor_of(server)
        server.wait_for_log("Booting worker", count=2)
        server.stop()
        assert request(path).status == 200
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")
        assert not os.path.exists(path)


def test_an_address_that_the_successor_has_no_more_is_closed_when_it_is_promoted() -> None:
    old, new = "bind = ['unix:server.sock', 'unix:old.sock']\n", "bind = ['unix:server.sock']\n"
    with ServerProcess(["app:app"], app=PID_APP, bind=None, config=old, clean=False) as server:
        (server.cwd / "server.conf.py").write_text(new)
        server.send_signal(signal.SIGUSR2)
        successor = successor_of(server)
        server.wait_for_log("Booting worker", count=2)
        assert request(str(server.cwd / "old.sock")).status == 200
        server.stop()
        server.wait_for_log("Master has been promoted.")
        until(lambda: not (server.cwd / "old.sock").exists(), what="the old address is gone")
        assert request(str(server.cwd / "server.sock")).status == 200
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")


def test_a_successor_does_not_inherit_what_the_settings_of_the_first_arbiter_set() -> None:
    old, new = "raw_env = ['SECRET=old', 'KEPT=old']\n", "raw_env = ['KEPT=new']\n"
    app = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr((os.environ.get("SECRET"), os.environ.get("KEPT"))).encode()]
"""
    with ServerProcess(["app:app"], app=app, config=old, clean=False) as server:
        assert server.get("/").body == b"('old', 'old')"
        (server.cwd / "server.conf.py").write_text(new)
        server.send_signal(signal.SIGUSR2)
        successor = successor_of(server)
        server.wait_for_log("Booting worker", count=2)
        server.stop()
        assert server.get("/").body == b"(None, 'new')"
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")


def test_a_successor_starts_where_the_first_arbiter_was_started(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release / "sub").mkdir(parents=True)
        text = f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{release}']\n"
        (tmp_path / release / "sub" / "app.py").write_text(text)
    current = tmp_path / "current"
    current.symlink_to("1")
    arguments = ["app:app", "--chdir", "sub"]
    with ServerProcess(arguments, cwd=current, env={"PWD": str(current)}, clean=False) as server:
        assert server.get("/").body == b"1"
        (tmp_path / "next").symlink_to("2")
        os.replace(tmp_path / "next", current)
        server.send_signal(signal.SIGUSR2)
        successor = successor_of(server)
        server.wait_for_log("Booting worker", count=2)
        server.stop()
        assert server.get("/").body == b"2"
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="tells senders apart by their credentials")
def test_the_service_manager_is_told_the_new_main_process_before_the_old_one_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(20)
        told: list[tuple[int, str]] = []

        def wait_for(pid: int, message: str) -> None:
            while (pid, message) not in told:
                data, credentials, _flags, _address = manager.recvmsg(4096, socket.CMSG_SPACE(12))
                sender = struct.unpack("iii", credentials[0][2])[0]
                told.extend((sender, line) for line in data.decode().splitlines())

        # The variables as systemd sets them: WATCHDOG_PID names the process it started.
        program = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$0" -m server_cli "$@"', sys.executable]
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        with ServerProcess(["app:app"], app=PID_APP, env=env, program=program, clean=False) as server:
            wait_for(server.pid, "READY=1")
            wait_for(server.pid, "WATCHDOG=1")
            server.send_signal(signal.SIGUSR2)
            successor = successor_of(server)
            wait_for(successor, "READY=1")
            assert server.stop() == 0
            wait_for(server.pid, f"MAINPID={successor}")
            assert (server.pid, "STOPPING=1") not in told
            told.clear()
            wait_for(successor, "WATCHDOG=1")
            os.kill(successor, signal.SIGTERM)
            wait_for(successor, "STOPPING=1")
            until(lambda: not processes_marked(server.mark), what="the successor ended")


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*UNSHARE, "true"], stderr=subprocess.DEVNULL).returncode == 0
    )


@pytest.mark.skipif(not can_unshare(), reason="needs a process id namespace of its own")
def test_process_one_refuses_an_upgrade_and_serves_on() -> None:
    program = [*UNSHARE, sys.executable, "-m", "server_cli"]
    with ServerProcess(["app:app"], app=PID_APP, program=program, clean=False) as server:
        arbiter = children_of(server.pid)[0]
        os.kill(arbiter, signal.SIGUSR2)
        server.wait_for_log("USR2 ignored: process 1 cannot hand over to a successor.")
        assert server.get().status == 200
        assert len(server.booted_pids()) == 1
        os.kill(arbiter, signal.SIGTERM)
        assert server.wait() == 0


def test_a_second_arbiter_that_cannot_start_leaves_the_first_serving() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config="workers = 1\n") as server:
        (server.cwd / "server.conf.py").write_text("workers = 'many'\n")
        server.send_signal(signal.SIGUSR2)
        server.wait_for_log("The second arbiter is gone")
        assert server.get().status == 200
        (server.cwd / "server.conf.py").write_text("workers = 1\n")
        server.send_signal(signal.SIGUSR2)
        server.wait_for_log(SUCCESSOR, count=2)
        successor = int(SUCCESSOR.findall(server.log)[-1])
        server.wait_for_log("Booting worker", count=2)
        # Rollback: the operator stops the new one.
        os.kill(successor, signal.SIGTERM)
        server.wait_for_log("The second arbiter is gone", count=2)
        with KeepAliveLoad((server.host, server.port)) as load:
            load.wait_for_answers(20)
        load.result.assert_no_error()
