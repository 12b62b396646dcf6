"""Socket files, and who is at the other end of a private socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
import types
from pathlib import Path

import pytest

from server_core.control import server as control
from server_core.unix_sockets import ABSENT, LEFT, SERVED, check_peer, file_identity, file_state


def listening(path: Path, queue: int = 5) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(queue)
    return sock


def test_a_socket_file_is_absent_served_or_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert file_state(str(path)) == ABSENT
    with listening(path):
        assert file_state(str(path)) == SERVED
    assert file_state(str(path)) == LEFT


def test_a_link_to_nothing_is_absent(tmp_path: Path) -> None:
    (tmp_path / "s").symlink_to(tmp_path / "gone")
    assert file_state(str(tmp_path / "s")) == ABSENT


def test_a_socket_whose_queue_is_full_is_served(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listening(tmp_path / "s", 0), socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(path)
        assert file_state(path) == SERVED


def test_of_what_cannot_be_known_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="expected a socket or nothing at this path, got another kind of file"):
        file_state(str(tmp_path / "file"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="expected a stream socket that nobody serves") as caught:
            file_state(str(tmp_path / "s"))
    assert caught.value.errno == errno.EPROTOTYPE


def test_the_control_socket_takes_no_place_of_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "server.ctl"
    path.write_text("precious")
    said = []
    arbiter = types.SimpleNamespace(log=types.SimpleNamespace(warning=lambda text, *args: said.append(text % args)))
    cfg = types.SimpleNamespace(control_socket=str(path), control_socket_mode=0o600)
    assert control.open_control(arbiter, cfg, "") is None
    assert said == [f"No control socket at {path}: expected a socket or nothing at this path, got another kind of file"]
    assert path.read_text() == "precious"


def test_a_file_at_another_s_place_is_another(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert file_identity(str(path)) is None
    with listening(path):
        ours = file_identity(str(path))
        os.rename(path, tmp_path / "moved")
        assert file_identity(str(tmp_path / "moved")) == ours
        path.symlink_to(tmp_path / "moved")
        assert file_identity(str(path)) not in (None, ours), "a link to it is not it"


class Peer:
    """A connection whose peer is of a user."""

    def __init__(self, user: int) -> None:
        self.user = user

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        return struct.pack("3i", 1, self.user, 1)[:size]


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_only_the_user_and_root_are_let_in() -> None:
    check_peer(Peer(1000), 1000)
    check_peer(Peer(0), 1000)
    with pytest.raises(PermissionError, match=r"^peer: expected user 1000, got 1001$"):
        check_peer(Peer(1001), 1000)
    here, there = socket.socketpair()
    with here, there:
        check_peer(here, os.geteuid())


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_the_control_socket_says_nothing_to_another_s_process(tmp_path: Path) -> None:
    made = control.ControlServer.__new__(control.ControlServer)
    assert made._welcome(Peer(os.geteuid() + 1)) is None
