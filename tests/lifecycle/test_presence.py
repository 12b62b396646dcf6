"""Pid file, control socket and metrics: whose they are through upgrades, rollbacks and reloads."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

from lifecycle.apps import PID_APP
from server_core.control.client import ControlClient
from support import ServerProcess, processes_marked, request, until

SUCCESSOR = re.compile(r"A second arbiter was started \(pid:(\d+)\)")


def config(port: int) -> str:
    return f"pidfile = 'server.pid'\ncontrol_socket = 'server.ctl'\nmetrics_bind = '127.0.0.1:{port}'\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answering(server: ServerProcess, path: str) -> int:
    """The process that answers at a control socket."""
    with ControlClient(str(server.cwd / path)) as control:
        return int(control.call("show stats")["pid"])


def pid_in(path: Path) -> int:
    return int(path.read_text())


def metrics_are_served(port: int) -> bool:
    try:
        return bool(request(("127.0.0.1", port), "GET", "/metrics").status == 200)
    except OSError:
        return False


def upgraded(server: ServerProcess, count: int) -> int:
    server.send_signal(signal.SIGUSR2)
    found = SUCCESSOR.search(server.wait_for_log(SUCCESSOR, count=count)[-1])
    assert found
    server.wait_for_log("Booting worker", count=1 + count)
    return int(found.group(1))


def test_all_of_it_comes_back_after_a_rollback_and_passes_at_an_upgrade() -> None:
    port = free_port()
    with ServerProcess(["app:app"], app=PID_APP, config=config(port), clean=False) as server:
        first = server.pid
        second = upgraded(server, 1)
        until((server.cwd / "server.ctl.2").exists, what="the control socket of the second arbiter")
        assert (answering(server, "server.ctl"), answering(server, "server.ctl.2")) == (first, second)
        assert (pid_in(server.cwd / "server.pid"), pid_in(server.cwd / "server.pid.2")) == (first, second)
        assert metrics_are_served(port)

        os.kill(second, signal.SIGTERM)
        server.wait_for_log("The second arbiter is gone")
        assert answering(server, "server.ctl") == first
        assert pid_in(server.cwd / "server.pid") == first
        assert metrics_are_served(port)
        assert sorted(path.name for path in server.cwd.glob("server.*")) == [
            "server.conf.py",
            "server.ctl",
            "server.pid",
        ]

        third = upgraded(server, 2)
        assert server.stop() == 0
        server.wait_for_log("Master has been promoted.")
        until(lambda: answering(server, "server.ctl") == third, what="the control socket passed on")
        assert pid_in(server.cwd / "server.pid") == third
        until(lambda: metrics_are_served(port), what="metrics passed on")
        os.kill(third, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the third arbiter ended")
        assert [path.name for path in server.cwd.glob("server.*")] == ["server.conf.py"]


def test_a_reload_brings_back_what_was_removed() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config=config(free_port())) as server:
        pidfile, control = server.cwd / "server.pid", server.cwd / "server.ctl"
        until(control.exists)
        pidfile.unlink()
        control.unlink()
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        assert pid_in(pidfile) == server.pid
        assert answering(server, "server.ctl") == server.pid


def test_a_reload_is_answered_before_the_control_socket_is_another() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config="control_socket = 'server.ctl'\n") as server:
        until((server.cwd / "server.ctl").exists)
        (server.cwd / "server.conf.py").write_text("control_socket = 'other.ctl'\n")
        with ControlClient(str(server.cwd / "server.ctl")) as control:
            assert control.call("reload") == {"status": "reloading"}
        server.wait_for_log("Reload complete")
        assert answering(server, "other.ctl") == server.pid


def test_a_reload_to_a_metrics_address_in_use_is_refused_and_a_promotion_without_one_serves_on() -> None:
    port = free_port()
    with socket.socket() as other, ServerProcess(["app:app"], app=PID_APP, config=config(port), clean=False) as server:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (server.cwd / "server.conf.py").write_text(config(other.getsockname()[1]))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Address already in use")
        until(lambda: server.get().status == 200)
        assert metrics_are_served(port), "the old address, because the new one cannot be had"

        successor = upgraded(server, 1)  # which reads the file with the address that is taken
        assert server.stop() == 0
        server.wait_for_log("Master has been promoted.")
        until(lambda: server.get().status == 200)
        os.kill(successor, signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the successor ended")
