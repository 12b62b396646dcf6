"""Socket activation and notifications."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from server_core.systemd import Notifier, take_passed_sockets


def test_passed_sockets_are_taken_once_and_by_the_process_they_are_meant_for() -> None:
    environ = {"LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin", "HOME": "/"}
    assert take_passed_sockets(environ, 42) == [(3, "web"), (4, "admin")]
    assert environ == {"HOME": "/"}
    assert take_passed_sockets(environ, 42) == []


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": "42", "LISTEN_FDS": "x"}]
)
def test_sockets_of_others_are_left_alone(environ: dict[str, str]) -> None:
    assert take_passed_sockets(dict(environ), 42) == []


def test_sockets_without_names_are_taken() -> None:
    assert take_passed_sockets({"LISTEN_PID": "42", "LISTEN_FDS": "1"}, 42) == [(3, "")]


@pytest.mark.parametrize("abstract", [False, True])
def test_notifications_arrive(tmp_path: Path, abstract: bool) -> None:
    name = f"@server-notify-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert notifier
        assert notifier.send("READY=1\nSTATUS=Serving") is None
        assert manager.recv(100) == b"READY=1\nSTATUS=Serving"


def test_without_a_manager_nothing_is_sent_and_a_deaf_one_is_reported(tmp_path: Path) -> None:
    assert Notifier({}).send("READY=1") is None
    problem = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).send("READY=1")
    assert problem is not None
    assert "cannot notify" in problem


def test_the_watchdog_is_served_at_half_its_interval_when_it_is_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "4000000"}).watchdog_interval == 2.0
    assert Notifier({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_interval == 2.0
    assert Notifier({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}).watchdog_interval is None
    assert Notifier({}).watchdog_interval is None
