"""A worker that cannot become what the settings say tells what was expected, in one line."""

from __future__ import annotations

import errno
import os

import pytest

from server_core import worker as worker_module
from server_core.settings import Settings
from server_core.worker import BootError, Worker


def refusing(error: OSError):
    def refuse(*_):
        raise error

    return refuse


@pytest.fixture
def worker():
    return Worker(1, os.getpid(), [], None, 30, Settings.make(cpu_affinity="99"), None)


def test_a_user_that_may_not_be_taken(worker, monkeypatch):
    monkeypatch.setattr(worker_module, "pin_to_cores", lambda *_: None)
    monkeypatch.setattr(
        worker_module, "take_identity", refusing(PermissionError(errno.EPERM, "Operation not permitted"))
    )
    with pytest.raises(BootError, match=r"user, group: expected a server that root started.*: Operation not permitted"):
        worker._init_identity()


def test_cores_that_are_not_there(worker, monkeypatch):
    monkeypatch.setattr(worker_module, "pin_to_cores", refusing(OSError(errno.EINVAL, "Invalid argument")))
    with pytest.raises(
        BootError, match="cpu_affinity: expected cores this process may use, got '99': Invalid argument"
    ):
        worker._init_identity()
