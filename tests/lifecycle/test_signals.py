"""Signals to the arbiter, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

import pytest

from lifecycle.apps import PID_APP
from server_core.scoreboard import records_for
from support import KeepAliveLoad, ServerProcess, free_port, request, until


def pid_of(server: ServerProcess) -> int:
    return int(server.get().body)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_server_ends_with_status_0_and_leaves_nothing(number: int) -> None:
    with ServerProcess(["app:app", "-w", "2"], app=PID_APP, workers=2) as server:
        pid_of(server)
        assert server.stop(number) == 0
        assert f"Handling signal: {signal.Signals(number).name[3:].lower()}" in server.log
        assert "Shutting down: Master" in server.log
        server.assert_nothing_left()


# A program that holds all signals back and becomes the server.
HOLDING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.executable, [sys.executable, "-m", "server_cli", *sys.argv[1:]])
"""


def test_signals_come_that_the_starting_program_held_back() -> None:
    with ServerProcess(["app:app"], app=PID_APP, program=[sys.executable, "-c", HOLDING]) as server:
        before = pid_of(server)
        server.send_signal(signal.SIGHUP)
        until(lambda: pid_of(server) != before)
        assert server.stop() == 0


def test_term_lets_a_running_request_finish() -> None:
    with ServerProcess(["app:app"], app=PID_APP) as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/?sleep=1")))
        asking.start()
        until(lambda: is_busy(server))
        assert server.stop() == 0
        asking.join()
        assert answers[0].status == 200


def is_busy(server: ServerProcess) -> bool:
    """Whether the only worker has taken the connection: its socket is open in that process."""
    worker = server.worker_pids()[0]
    links = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
    return sum(link.startswith("socket:") for link in links) > 1


def test_quit_does_not_wait_for_a_running_request() -> None:
    with ServerProcess(["app:app", "--graceful-timeout", "30"], app=PID_APP) as server, server.client() as client:
        client.send(b"GET /?sleep=20 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: is_busy(server))
        assert server.stop(signal.SIGQUIT, timeout=10) == 0


def test_ttin_and_ttou_change_the_number_of_workers() -> None:
    with ServerProcess(["app:app"], app=PID_APP) as server:
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log("Booting worker", count=2)
        until(lambda: len(server.worker_pids()) == 2)
        server.send_signal(signal.SIGTTOU)
        until(lambda: len(server.worker_pids()) == 1)
        server.send_signal(signal.SIGTTOU)
        assert pid_of(server)
        assert len(server.worker_pids()) == 1


def test_usr1_reopens_the_log_files() -> None:
    with ServerProcess(["app:app", "--access-logfile", "access.log"], app=PID_APP) as server:
        pid_of(server)
        log = server.cwd / "access.log"
        until(lambda: log.exists() and log.read_text().count("GET"))
        log.rename(server.cwd / "access.log.1")
        server.send_signal(signal.SIGUSR1)
        until(log.exists)
        until(lambda: pid_of(server) and log.read_text().count("GET"))


def test_usr1_keeps_the_log_file_when_it_cannot_be_opened_again() -> None:
    with ServerProcess(
        ["app:app", "--access-logfile", "logs/access.log"], app=PID_APP, files={"logs/keep": ""}
    ) as server:
        pid = pid_of(server)
        (server.cwd / "logs").rename(server.cwd / "moved")
        server.send_signal(signal.SIGUSR1)
        server.wait_for_log("going on with the file that was open")
        log = server.cwd / "moved" / "access.log"
        before = log.read_text().count("GET")
        assert pid_of(server) == pid
        until(lambda: log.read_text().count("GET") > before)


@pytest.mark.parametrize("preload", [[], ["--preload"]])
@pytest.mark.parametrize("strategy", ["rolling", "all"])
def test_hup_replaces_all_workers_with_new_code_and_loses_nothing(preload: list[str], strategy: str) -> None:
    arguments = ["app:app", "-w", "2", "--reload-strategy", strategy, *preload]
    with ServerProcess(arguments, app=PID_APP, workers=2) as server:
        before = set(server.booted_pids())
        with KeepAliveLoad((server.host, server.port), keep_bodies=True) as load:
            load.wait_for_answers(20)
            (server.cwd / "app.py").write_text(PID_APP.replace('b"%d" %', 'b"new %d" %'))
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("Reload complete.")
            until(lambda: not before & set(server.worker_pids()), what="old workers are gone")
            load.wait_for_answers(20)
        load.result.assert_no_error()
        assert server.get().body.startswith(b"new "), "the code was loaded afresh"
        server.wait_for_log("Hang up: Master")


def test_hup_with_a_broken_config_keeps_the_old_one_and_says_why() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config="workers = 1\n") as server:
        before = pid_of(server)
        (server.cwd / "server.conf.py").write_text("workers = 'many'\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("workers: expected")
        assert pid_of(server) == before


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_hup_with_an_application_that_does_not_load_keeps_the_old_workers(preload: list[str]) -> None:
    with ServerProcess(["app:app", *preload], app=PID_APP) as server:
        before = pid_of(server)
        (server.cwd / "app.py").write_text("raise RuntimeError('broken on purpose')")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload failed")
        assert "RuntimeError: broken on purpose" in server.log
        assert pid_of(server) == before
        (server.cwd / "app.py").write_text(PID_APP)
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        until(lambda: pid_of(server) != before)


def test_hup_changes_the_number_of_workers_and_the_addresses() -> None:
    first, second = free_port(), free_port()
    config = f"bind = '127.0.0.1:{first}'\n"
    with ServerProcess(["app:app"], app=PID_APP, config=config, bind=None) as server:
        pid_of(server)
        (server.cwd / "server.conf.py").write_text(f"bind = '127.0.0.1:{second}'\nworkers = 2\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        server.wait_for_log("Booting worker", count=3)
        assert request(("127.0.0.1", second)).status == 200
        until(lambda: refused(first), what="the old address is closed")


def refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_reload_with_more_threads_than_the_scoreboard_counts_is_refused_with_the_remedy() -> None:
    config = "worker_class = 'gthread'\nthreads = {}\n"
    with ServerProcess(["app:app"], app=PID_APP, config=config.format(2)) as server:
        (server.cwd / "server.conf.py").write_text(config.format(63))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        (server.cwd / "server.conf.py").write_text(config.format(64))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(
            "threads: expected at most 63 in a reload, got 64 (from server.conf.py); restart the server"
        )
        assert server.get().status == 200
        assert len(server.booted_pids()) == 2


def test_threads_beyond_the_usual_number_are_counted_from_the_start_on() -> None:
    assert records_for(2) == records_for(31) == 64
    assert records_for(200) > 200
