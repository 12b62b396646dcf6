"""Rates and percentiles of the last minutes, from a board that was written as workers do."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from server_core.control.history import COLUMNS, LENGTH, RECENT, History
from server_core.observe.families import Distribution, quantile
from server_core.observe.snapshot import GroupNumbers, Snapshot
from server_core.scoreboard import Scoreboard


class Server:
    """A server of one worker with one thread, and its history."""

    def __init__(self) -> None:
        self.board = Scoreboard(slots=4, threads=1)
        self.history = History()
        self.now = 100.0
        self.start_worker()

    def start_worker(self) -> None:
        self.index = self.board.claim(group=0, number=0, age=1, now=self.now)
        assert self.index is not None
        self.record = self.board.slot(self.index).record(0)

    def serve(self, count: int, seconds: float, status: int = 200) -> None:
        for _ in range(count):
            entry = self.record.begin("GET", b"/", self.now, 0.0)
            self.record.finish(entry, status, 10, self.now, self.now + seconds)

    def snapshot(self) -> Snapshot:
        http = GroupNumbers(
            name="http", needed=True, target=1, ready=1, states={"ready": 1}, capacity=1, busy=0.5, connections=3,
            connections_limit=0, most=0, memory={0: 100, 1: 200}, memory_limit=0,
            counters=self.board.reader().totals(0),
        )  # fmt: skip
        return Snapshot(uptime=self.now, draining=False, reloads=0, groups=(http,), queues={"a": 1, "b": 2}, backlog=9)

    def pass_second(self) -> Dict[str, Any]:
        self.now += 1.0
        self.history.add(self.snapshot(), self.now, 1000.0 + self.now)
        rows = self.history.rows()
        return dict(zip(COLUMNS, rows[-1])) if rows else {}

    def seen_now(self) -> Dict[str, Any]:
        return self.history.now(self.snapshot(), self.now, 1000.0 + self.now)


def test_a_second_has_its_rate_its_errors_and_its_percentiles():
    server = Server()
    assert server.pass_second() == {}  # one look tells nothing of a rate
    server.serve(90, 0.004)
    server.serve(10, 0.2, status=503)
    moment = server.pass_second()
    assert moment["rate"] == 100
    assert moment["errors"] == 10
    assert 0.0025 <= moment["p50"] <= 0.005
    assert 0.1 <= moment["p95"] <= 0.25
    assert moment["at"] == 1000.0 + server.now
    assert (moment["busy"], moment["connections"], moment["waiting"], moment["memory"]) == (0.5, 3, 3, 300)


def test_a_second_without_requests_has_no_percentiles():
    server = Server()
    server.serve(5, 0.1)
    server.pass_second()
    moment = server.pass_second()
    assert (moment["rate"], moment["p50"], moment["p99"], moment["queue_p95"]) == (0, None, None, None)


def test_now_is_the_mean_of_the_last_seconds():
    server = Server()
    server.pass_second()
    for _ in range(2 * RECENT):
        server.serve(7, 0.001)
        server.pass_second()
    assert server.seen_now()["rate"] == 7
    server.pass_second()
    assert 0 < server.seen_now()["rate"] < 7


def test_a_worker_that_is_replaced_takes_nothing_back():
    server = Server()
    server.pass_second()
    server.serve(20, 0.001)
    server.board.release(server.index)
    server.start_worker()
    server.serve(3, 0.001)
    assert server.pass_second()["rate"] == 23


def test_no_more_is_kept_than_is_shown():
    server = Server()
    for _ in range(LENGTH + 50):
        server.pass_second()
    assert len(server.history.rows()) == LENGTH


def test_it_is_due_once_a_second():
    server = Server()
    assert server.history.due(server.now)
    server.pass_second()
    assert not server.history.due(server.now + 0.05)
    assert server.history.due(server.now + 1.0)


@pytest.mark.parametrize(
    ("counts", "share", "wanted"),
    [
        ((0, 0, 0), 0.5, 0.0),
        ((10, 0, 0), 0.5, 0.5),
        ((10, 10, 0), 0.75, 1.5),
        ((10, 10, 0), 1.0, 2.0),
        ((0, 10, 0), 0.01, 1.01),
        ((0, 0, 10), 0.5, 2.0),  # above all bounds nothing more is known
        ((1, 0, 9), 0.95, 2.0),
    ],
)
def test_a_quantile_is_found_within_its_bucket(counts, share, wanted):
    assert quantile(Distribution((1.0, 2.0), counts, 0.0), share) == pytest.approx(wanted)
