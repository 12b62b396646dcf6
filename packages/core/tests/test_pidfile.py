"""The pid file."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from server_core.errors import ConfigError
from server_core.pidfile import Pidfile
from server_core.supervise.presence import Presence


def test_a_pid_file_is_written_renamed_and_removed(tmp_path: Path) -> None:
    file = Pidfile(str(tmp_path / "a.pid.2"))
    file.create(4711)
    assert (tmp_path / "a.pid.2").read_text() == "4711\n"
    file.rename(str(tmp_path / "a.pid"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pid"]
    file.unlink()
    assert not list(tmp_path.iterdir())


def test_a_pid_file_of_a_living_process_is_respected(tmp_path: Path) -> None:
    (tmp_path / "a.pid").write_text(f"{os.getppid()}\n")
    with pytest.raises(ConfigError, match=f"already running as process {os.getppid()}"):
        Pidfile(str(tmp_path / "a.pid")).create(os.getpid())


@pytest.mark.parametrize("text", ["", "nonsense", "0", "-1", "4194305"])
def test_a_stale_pid_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.pid").write_text(text)
    Pidfile(str(tmp_path / "a.pid")).create(os.getpid())
    assert (tmp_path / "a.pid").read_text() == f"{os.getpid()}\n"


def test_a_process_that_nobody_waits_for_has_ended(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / "a.pid").write_text(f"{ended.pid}\n")
    Pidfile(str(tmp_path / "a.pid")).create(os.getpid())
    ended.wait()
    assert (tmp_path / "a.pid").read_text() == f"{os.getpid()}\n"


def test_a_pid_file_that_is_no_longer_ours_stays(tmp_path: Path) -> None:
    file = Pidfile(str(tmp_path / "a.pid"))
    file.create(os.getpid())
    (tmp_path / "a.pid").write_text("1\n")
    file.unlink()
    assert (tmp_path / "a.pid").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        Pidfile(str(tmp_path / "no" / "a.pid")).create(1)


class Stuck(Pidfile):
    """One whose folder was mounted read-only meanwhile."""

    def unlink(self) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


class Arbiter:
    """The log of an arbiter."""

    def __init__(self) -> None:
        self.log = self
        self.errors: list[str] = []

    def error(self, message: str, *arguments: object) -> None:
        self.errors.append(message % arguments)


def test_a_file_that_cannot_be_removed_ends_no_server() -> None:
    arbiter = Arbiter()
    presence = Presence(arbiter)
    presence.pidfile = Stuck("server.pid")
    presence.close()
    assert arbiter.errors == ["pidfile: cannot remove 'server.pid': Read-only file system"]
