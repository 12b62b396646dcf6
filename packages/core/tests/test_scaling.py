"""The rule of adaptive workers, against simulated loads: steps, spikes, ramps, oscillations, noise."""

from __future__ import annotations

import random
from typing import Callable, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server_core.supervise import events as ev
from server_core.supervise.scaling import FIT, GROW_ABOVE, SHRINK_SECONDS, Load, desired, remember
from support.supervision import World, logged, only

BOOT = 3  # seconds until a new worker is ready


class Simulation:
    """Workers under a load that is given in workers' worth of work, second by second."""

    def __init__(self, least: int = 1, most: int = 16) -> None:
        self.least, self.most = least, most
        self.target = least
        self.history: List[Load] = []
        self.changes: List[Tuple[int, int]] = []  # when, and to how many
        self.saturated = 0  # seconds in which the workers had no time left
        self.boots_until = 0

    def run(self, load: Callable[[int], float], seconds: int, begin: int = 0) -> Simulation:
        for second in range(begin, begin + seconds):
            work = load(second)
            self.saturated += work >= self.target
            if second < self.boots_until:
                continue
            remember(self.history, Load(float(second), min(work, float(self.target))))
            count = desired(self.history, self.target, self.least, self.most)
            assert self.least <= count <= self.most
            if count != self.target:
                if count > self.target:
                    self.boots_until = second + BOOT
                self.changes.append((second, count))
                self.target = count
                self.history.clear()
        return self


def test_a_light_load_leaves_the_least() -> None:
    assert Simulation(least=2).run(lambda _: 1.0, 600).changes == []


def test_a_step_up_is_followed_within_seconds_and_comes_to_rest() -> None:
    it = Simulation().run(lambda _: 5.0, 600)
    assert it.changes[-1][0] < 60
    assert [count for _, count in it.changes] == sorted(count for _, count in it.changes), "it never overshot"
    assert 5.0 / it.target <= GROW_ABOVE
    assert it.target <= 5.0 / FIT + 1


def test_a_step_down_is_followed_slowly_and_ends_at_the_least() -> None:
    it = Simulation().run(lambda _: 6.0, 300)
    peak, before = it.target, len(it.changes)
    it.run(lambda _: 0.1, 1800, begin=300)
    assert it.target == 1
    times = [when for when, _ in it.changes[before:]]
    assert times[0] >= 300 + SHRINK_SECONDS - 5
    assert all(later - earlier >= SHRINK_SECONDS for earlier, later in zip(times, times[1:]))
    steps = [peak, *(count for _, count in it.changes[before:])]
    assert all(new >= old - max(1, old // 4) for old, new in zip(steps, steps[1:]))


def test_a_spike_of_two_seconds_starts_nobody() -> None:
    assert Simulation(least=2).run(lambda second: 16.0 if second % 120 in (60, 61) else 0.6, 900).changes == []


@pytest.mark.parametrize("period", [2, 5, 10, 20, 40, 60])
def test_a_load_that_swings_faster_than_a_minute_is_served_for_its_peaks_and_not_followed(period: int) -> None:
    it = Simulation().run(lambda second: 5.0 if second % period < period / 2 else 0.5, 1800)
    assert all(later[1] > earlier[1] for earlier, later in zip(it.changes, it.changes[1:])), "only up"
    assert [when for when, _ in it.changes if when > 300] == []


def test_a_load_that_swings_slowly_is_followed_with_few_changes() -> None:
    it = Simulation().run(lambda second: 6.0 if second // 600 % 2 else 1.0, 3600)
    assert len(it.changes) <= 3 * 12
    for begin in range(0, 3600, 600):
        turns = [count for when, count in it.changes if begin <= when < begin + 600]
        assert turns in (sorted(turns), sorted(turns, reverse=True)), "one direction in each half"


def test_a_ramp_keeps_ahead_of_the_load() -> None:
    it = Simulation().run(lambda second: 10.0 * second / 1200, 1200)
    assert it.saturated <= 30


def test_noise_about_a_mean_comes_to_rest() -> None:
    chance = random.Random(7)  # noqa: S311 - the same numbers each time, no secret
    it = Simulation().run(lambda _: max(0.0, chance.gauss(4.0, 1.0)), 3600)
    assert len([when for when, _ in it.changes if when > 600]) <= 4


def test_an_overload_beyond_the_bound_stays_at_the_bound() -> None:
    it = Simulation(most=4).run(lambda _: 50.0, 600)
    assert it.target == 4


@settings(max_examples=60, deadline=None)
@given(work=st.floats(0.0, 30.0), least=st.integers(1, 4), begin=st.integers(1, 16))
def test_every_steady_load_comes_to_rest_where_it_fits(work: float, least: int, begin: int) -> None:
    it = Simulation(least=least)
    it.target = max(least, begin)
    it.run(lambda _: work, 2400)
    assert [when for when, _ in it.changes if when > 1500] == []
    assert it.target == it.most or work <= GROW_ABOVE * it.target
    directions = {later > earlier for earlier, later in zip([max(least, begin), *(c for _, c in it.changes)],
                                                            [c for _, c in it.changes])}  # fmt: skip
    assert len(directions) <= 1, "up and down under one load"


# --- in supervision ---------------------------------------------------------------------------------------------------

ADAPTIVE = ev.GroupPlan("http", 2, most=6, adaptive=True)


def busy(world: World, share: float, seconds: int) -> List[ev.Action]:
    """Let the workers be busy for some seconds."""
    found: List[ev.Action] = []
    for _ in range(seconds):
        found += world.tick(1.0)
        found += world.feed(ev.LoadMeasured("http", share))
    return found


def test_busy_workers_get_help_and_it_is_said_why() -> None:
    world = World(ADAPTIVE).begin()
    actions = busy(world, 1.0, 7)
    assert only(ev.SetTarget, actions) == [ev.SetTarget("http", 4, 2)]
    assert logged(actions) == ["http: from 2 to 4 children, who have work for 2.0."]
    assert [spawn.slot for spawn in only(ev.Spawn, actions)] == [2, 3]


def test_nothing_is_decided_before_the_new_workers_are_ready() -> None:
    world = World(ADAPTIVE).begin()
    busy(world, 1.0, 7)
    assert only(ev.SetTarget, busy(world, 1.0, 30)) == []
    world.ready_all()
    assert only(ev.SetTarget, busy(world, 1.0, 7)) == [ev.SetTarget("http", 6, 4)]


def test_without_the_setting_the_number_stays() -> None:
    world = World(ev.GroupPlan("http", 2, most=6)).begin()
    assert only(ev.SetTarget, busy(world, 1.0, 100)) == []


def test_idle_workers_leave_one_by_one_and_never_the_least() -> None:
    world = World(ADAPTIVE).begin()
    busy(world, 1.0, 7)
    world.ready_all()
    targets = [action.count for action in only(ev.SetTarget, busy(world, 0.0, 400))]
    assert targets == [3, 2]
    assert len(world.kills("TERM")) == 2


def test_what_an_operator_sets_is_kept_and_the_rule_goes_on_from_there() -> None:
    world = World(ADAPTIVE).begin()
    world.signal("TTIN")
    world.ready_all()
    assert only(ev.SetTarget, busy(world, 0.5, 50)) == []
    assert only(ev.SetTarget, busy(world, 0.1, 70)) == [ev.SetTarget("http", 2, 3)]
    world.signal("TTOU")
    assert only(ev.SetTarget, busy(world, 0.1, 200)) == [], "below the least nobody is added without need"
    assert only(ev.SetTarget, busy(world, 1.0, 7)) == [ev.SetTarget("http", 2, 1)]


def test_a_stop_a_reload_and_winch_are_not_disturbed() -> None:
    world = World(ADAPTIVE, daemon=True).begin()
    world.signal("HUP")
    assert only(ev.SetTarget, busy(world, 1.0, 20)) == []
    world.feed(ev.ConfigRejected("no"))
    world.signal("WINCH")
    world.exit_leaving()
    assert only(ev.SetTarget, busy(world, 1.0, 20)) == []
    world.signal("TERM")
    assert only(ev.SetTarget, busy(world, 1.0, 20)) == []


def test_a_reload_keeps_the_number_within_new_bounds_and_without_the_setting_returns_to_workers() -> None:
    world = World(ADAPTIVE).begin()
    busy(world, 1.0, 7)
    world.ready_all()
    assert world.state.groups["http"].target == 4
    world.reload(ev.GroupPlan("http", 2, most=3, adaptive=True))
    assert world.state.groups["http"].target == 3
    world.ready_all()
    world.exit_leaving()
    world.ready_all()
    world.reload(ev.GroupPlan("http", 2, most=3))
    assert world.state.groups["http"].target == 2
