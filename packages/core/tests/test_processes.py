"""Children that cannot be started: what was made for them goes, and the arbiter goes on."""

from __future__ import annotations

import gc
import os
from typing import Any, Callable, List

import pytest

from server_core.scoreboard import Scoreboard
from server_core.supervise import events as ev
from server_core.supervise import processes as module
from server_core.supervise.processes import Processes


class Arbiter:
    """What processes ask of an arbiter."""

    application_metrics = None

    def __init__(self) -> None:
        self.log = self
        self.watched: List[Any] = []

    def error(self, message: str, *args: object) -> None:
        """A line of the log."""

    def read_templates(self) -> None:
        """Not reached."""

    def watch(self, fileobj: Any, callback: Callable[[], None]) -> None:
        self.watched.append(fileobj)

    def unwatch(self, fileobj: Any) -> None:
        self.watched.remove(fileobj)


def test_a_template_that_cannot_be_forked_is_forgotten_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork(main: Callable[[], Any]) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(module, "fork", fork)
    arbiter = Arbiter()
    processes = Processes(arbiter, Scoreboard(2, 1, 1), {"http": None}, subreaper=True)
    gc.collect()  # descriptors of tests before this one
    before = len(os.listdir("/dev/fd"))
    (failed,) = processes.spawn(ev.Spawn(1, "http", -1, 1, None), None, None, 0.0)
    assert isinstance(failed, ev.SpawnFailed)
    processes.forget(1)
    assert arbiter.watched == []
    assert len(os.listdir("/dev/fd")) == before
