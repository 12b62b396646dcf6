"""Servers that cannot start: one readable reason, the exit code, nothing left behind."""

from __future__ import annotations

import socket

import pytest

from lifecycle.apps import PID_APP
from support import ServerProcess, free_port

BROKEN = {
    "raises": ("raise RuntimeError('broken on purpose')", "app:app", 4, "RuntimeError: broken on purpose"),
    "syntax": ("def app(:", "app:app", 4, "SyntaxError"),
    "no module": ("", "nothere:app", 4, "nothere"),
    "no attribute": ("", "app:nothere", 4, "nothere"),
    "not callable": ("app = 5", "app:app", 4, "app"),
}


@pytest.mark.parametrize("preload", [[], ["--preload"]])
@pytest.mark.parametrize("case", BROKEN)
def test_an_application_that_does_not_load_ends_the_server_with_4(case: str, preload: list[str]) -> None:
    text, target, code, reason = BROKEN[case]
    arguments = [target, "-w", "3", "--pid", "server.pid", *preload]
    with ServerProcess(arguments, app=text, bind="unix:server.sock", wait=False) as server:
        assert server.wait() == code
        assert server.log.count("Traceback") <= 1
        assert reason in server.log
        assert "App failed to load." in server.log
        server.assert_nothing_left()
        assert not (server.cwd / "server.pid").exists()
        assert not (server.cwd / "server.sock").exists()


def test_a_hook_that_fails_in_the_worker_ends_the_server_with_3() -> None:
    config = "def post_worker_init(worker):\n    raise ValueError('hook broken')\n"
    with ServerProcess(["app:app", "-w", "2"], app=PID_APP, config=config, wait=False) as server:
        assert server.wait() == 3
        assert server.log.count("ValueError: hook broken") == 1
        assert "Worker failed to boot." in server.log


def test_a_port_in_use_is_said_and_tried_again_and_ends_with_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with ServerProcess(["app:app", "--pid", "server.pid"], app=PID_APP, bind=bind, wait=False) as server:
            assert server.wait() == 1
            assert f"{bind}: cannot listen: Address already in use" in server.log
            assert "trying again" in server.log
            assert "Traceback" not in server.log
            assert not (server.cwd / "server.pid").exists()


def test_a_port_that_becomes_free_is_taken() -> None:
    taken = socket.socket()
    with taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with ServerProcess(["app:app"], app=PID_APP, bind=bind, wait=False) as server:
            server.wait_for_log("trying again")
            taken.close()
            server.wait_for_log("Booting worker")


@pytest.mark.parametrize("hook", ["on_starting", "when_ready", "pre_fork"])
def test_a_hook_that_fails_in_the_arbiter_is_shown(hook: str) -> None:
    config = f"def {hook}(server, *more):\n    raise ValueError('hook broken')\n"
    with ServerProcess(["app:app"], app=PID_APP, config=config, wait=False, clean=hook != "pre_fork") as server:
        server.wait_for_log("ValueError: hook broken")
        if hook != "pre_fork":
            assert server.wait() != 0
            server.assert_nothing_left()


def test_a_second_server_with_the_same_pid_file_does_not_start() -> None:
    with ServerProcess(["app:app", "--pid", "server.pid"], app=PID_APP) as server:
        arguments = ["app:app", "--pid", str(server.cwd / "server.pid")]
        with ServerProcess(arguments, app=PID_APP, bind=f"127.0.0.1:{free_port()}", wait=False) as second:
            assert second.wait() == 1
            assert f"already running as process {server.pid}" in second.log
        assert (server.cwd / "server.pid").read_text() == f"{server.pid}\n"
        server.stop()
        assert not (server.cwd / "server.pid").exists()


def test_loading_longer_than_timeout_is_not_a_hang() -> None:
    app = "import time; time.sleep(3)\n" + PID_APP
    with ServerProcess(["app:app", "--timeout", "1"], app=app) as server:
        assert server.get(timeout=20).status == 200
        assert "TIMEOUT" not in server.log


def test_loading_longer_than_boot_timeout_is_reported_with_the_stack_and_ends_with_3() -> None:
    app = "import time\ndef load_model():\n    time.sleep(60)\nload_model()\n"
    with ServerProcess(["app:app", "--boot-timeout", "1"], app=app, wait=False) as server:
        assert server.wait() == 3
        assert "WORKER BOOT TIMEOUT" in server.log
        assert "in load_model" in server.log
