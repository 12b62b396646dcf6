"""The busy share: of threads, of loops, of children that come and go."""

from __future__ import annotations

import pytest

from server_core.scoreboard import Scoreboard, SlotWriter
from server_core.scoreboard import layout as at
from server_core.scoreboard.busy import BusyMeter


class Board:
    """A board with children that are ready."""

    def __init__(self) -> None:
        self.board = Scoreboard(slots=8)
        self.meter = BusyMeter(self.board.reader())
        self.ages = 0

    def child(self, threads: int, group: int = 0) -> SlotWriter:
        self.ages += 1
        index = self.board.claim(group, 0, self.ages, 0.0)
        assert index is not None
        slot = self.board.slot(index)
        slot.capacity(threads)
        slot.set_state(at.READY)
        return slot


def serve(slot: SlotWriter, began: float, ended: float, thread: int = 0) -> None:
    record = slot.record(thread)
    record.finish(record.begin("GET", b"/", began), 200, 0, began, ended)


def test_nobody_is_busy_before_anything_was_seen() -> None:
    world = Board()
    assert (world.meter.share(0), world.meter.latest(0), world.meter.of(0)) == (0.0, 0.0, 0.0)
    world.child(1)
    world.meter.look(1.0)
    assert (world.meter.share(0), world.meter.latest(0), world.meter.of(0)) == (0.0, 0.0, 0.0)


def test_threads_are_busy_while_they_are_in_requests_also_in_one_that_still_runs() -> None:
    world = Board()
    slot = world.child(2)
    world.meter.look(10.0)
    serve(slot, 10.0, 10.5)
    slot.record(1).begin("GET", b"/long", 10.0)
    world.meter.look(11.0)
    assert world.meter.share(0) == pytest.approx(0.75)
    world.meter.look(12.0)
    assert world.meter.latest(0) == pytest.approx(0.5)
    assert world.meter.of(slot.index) == pytest.approx(0.625)


def test_a_loop_is_busy_as_far_as_it_uses_the_processor_and_never_more_than_wholly() -> None:
    world = Board()
    slot = world.child(0)
    world.meter.look(1.0)
    slot.busy(0.25)
    world.meter.look(2.0)
    assert world.meter.share(0) == pytest.approx(0.25)
    slot.busy(9.0)
    world.meter.look(3.0)
    assert world.meter.latest(0) == 1.0


def test_the_share_of_a_group_is_the_mean_of_its_own_children() -> None:
    world = Board()
    busy, idle, other = world.child(1), world.child(4), world.child(1, group=1)
    world.meter.look(0.0)
    serve(busy, 0.0, 1.0)
    serve(other, 0.0, 0.5)
    world.meter.look(1.0)
    assert world.meter.share(0) == pytest.approx(0.5)
    assert world.meter.share(1) == pytest.approx(0.5)
    assert world.meter.of(idle.index) == 0.0


def test_a_child_that_came_during_the_window_counts_from_its_first_look() -> None:
    world = Board()
    world.child(1)
    world.meter.look(0.0)
    world.meter.look(3.0)
    late = world.child(1)
    world.meter.look(4.0)
    serve(late, 4.0, 5.0)
    world.meter.look(5.0)
    assert world.meter.of(late.index) == pytest.approx(1.0)
    assert world.meter.share(0) == pytest.approx(0.5)


def test_a_successor_in_the_same_place_starts_anew() -> None:
    world = Board()
    old = world.child(1)
    world.meter.look(0.0)
    serve(old, 0.0, 5.0)
    world.meter.look(5.0)
    world.board.release(old.index)
    new = world.child(1)
    assert new.index == old.index
    world.meter.look(6.0)
    assert world.meter.of(new.index) == 0.0


def test_only_the_window_counts() -> None:
    world = Board()
    slot = world.child(1)
    world.meter.look(0.0)
    serve(slot, 0.0, 1.0)
    for second in range(1, 20):
        world.meter.look(float(second))
    assert world.meter.share(0) == 0.0
