"""USR2: a second arbiter takes over, or does not, and nobody notices."""

from __future__ import annotations

import os
import re
import signal

from lifecycle.apps import PID_APP
from support import KeepAliveLoad, ServerProcess, processes_marked, request, until

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
        assert "Master has been promoted." in server.log
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
