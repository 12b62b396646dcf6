"""step(): every row of the signal table, every order of deaths, without a process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server_core.supervise import events as ev
from server_core.supervise.children import TRANSITIONS, ChildState, Happening
from server_core.supervise.state import SIGNALS
from support.supervision import World, logged, only

ROOT = Path(__file__).parents[3]
HTTP = ev.GroupPlan("http", 2)


def test_begin_starts_one_child_per_slot_and_tells_the_first_target() -> None:
    world = World(ev.GroupPlan("http", 3))
    actions = world.feed(ev.Begun())
    assert [spawn.slot for spawn in only(ev.Spawn, actions)] == [0, 1, 2]
    assert only(ev.SetTarget, actions) == [ev.SetTarget("http", 3, None)]


def test_ready_is_notified_once_by_the_first_child() -> None:
    world = World()
    world.begin()
    assert [note.message for note in only(ev.Notify, world.actions)] == ["READY=1\nSTATUS=Serving"]


# --- signals ----------------------------------------------------------------------------------


def test_every_row_of_the_signal_table_logs_the_signal_and_is_described() -> None:
    for name, (_, description) in SIGNALS.items():
        world = World().begin()
        assert logged(world.signal(name))[0] == f"Handling signal: {name.lower()}"
        assert description


def test_an_unknown_signal_changes_nothing() -> None:
    world = World().begin()
    assert not [action for action in world.signal("PWR") if not isinstance(action, ev.Log)]


def test_term_refuses_new_connections_and_lets_children_finish() -> None:
    world = World().begin()
    actions = world.signal("TERM")
    assert only(ev.RefuseNew, actions)
    assert world.kills("TERM") == [1, 2]
    assert not only(ev.CloseListeners, actions)


def test_term_closes_listeners_only_when_the_backlog_is_empty() -> None:
    world = World().begin()
    world.queued = 3
    world.signal("TERM")
    assert not only(ev.CloseListeners, world.tick(0.1))
    world.queued = 0
    assert only(ev.CloseListeners, world.tick(0.1))


def test_term_ends_with_exit_0_when_all_children_are_gone() -> None:
    world = World().begin()
    world.signal("TERM")
    world.exit(1)
    assert world.exit_code is None
    world.exit(2)
    assert world.exit_code == 0


def test_term_kills_who_exceeds_graceful_timeout() -> None:
    world = World(ev.GroupPlan("http", 1, graceful_timeout=5)).begin()
    world.signal("TERM")
    world.pass_time(4)
    assert world.kills("KILL") == []
    world.pass_time(2)
    assert world.kills("KILL") == [1]


@pytest.mark.parametrize("name", ["INT", "QUIT"])
def test_quick_stop_closes_at_once_and_sends_quit(name: str) -> None:
    world = World().begin()
    actions = world.signal(name)
    assert only(ev.CloseListeners, actions)
    assert world.kills("QUIT") == [1, 2]


@pytest.mark.parametrize("name", ["INT", "QUIT"])
def test_quick_stop_after_term_cuts_the_wait_to_two_seconds(name: str) -> None:
    world = World(ev.GroupPlan("http", 1, graceful_timeout=60)).begin()
    world.signal("TERM")
    world.signal(name)
    assert world.kills("QUIT") == [1]
    world.pass_time(3)
    assert world.kills("KILL") == [1]


def test_a_second_term_changes_nothing() -> None:
    world = World().begin()
    world.signal("TERM")
    before = list(world.killed)
    world.signal("TERM")
    assert world.killed == before


def test_usr1_reopens_logs_here_and_in_every_child() -> None:
    world = World().begin()
    assert only(ev.ReopenLogs, world.signal("USR1"))
    assert world.kills("USR1") == [1, 2]


def test_ttin_adds_a_worker_and_ttou_takes_one() -> None:
    world = World().begin()
    assert [spawn.slot for spawn in only(ev.Spawn, world.signal("TTIN"))] == [2]
    world.ready_all()
    assert only(ev.SetTarget, world.signal("TTOU")) == [ev.SetTarget("http", 2, 3)]
    assert world.kills("TERM") == [3]


def test_ttou_stops_at_one_worker() -> None:
    world = World(ev.GroupPlan("http", 1)).begin()
    assert not only(ev.SetTarget, world.signal("TTOU"))
    assert world.kills("TERM") == []


def test_a_child_of_its_own_socket_serves_on_for_connections_on_their_way() -> None:
    world = World(ev.GroupPlan("http", 2, settle=1.0)).begin()
    world.signal("TTOU")
    assert world.kills("TERM") == []
    world.pass_time(2)
    assert world.kills("TERM") == [2]


def test_ttin_stops_at_the_upper_bound() -> None:
    world = World(ev.GroupPlan("http", 2, most=2)).begin()
    assert not only(ev.Spawn, world.signal("TTIN"))


def test_winch_without_daemon_is_ignored() -> None:
    world = World().begin()
    world.signal("WINCH")
    assert world.kills("TERM") == []


def test_winch_as_a_daemon_stops_all_workers_and_ttin_brings_one_back() -> None:
    world = World(daemon=True).begin()
    world.signal("WINCH")
    assert world.kills("TERM") == [1, 2]
    world.exit_leaving()
    assert world.exit_code is None
    assert len(only(ev.Spawn, world.signal("TTIN"))) == 1


def test_usr2_starts_a_second_arbiter_once() -> None:
    world = World().begin()
    assert only(ev.Reexec, world.signal("USR2"))
    world.feed(ev.Upgraded(77))
    assert not only(ev.Reexec, world.signal("USR2"))


def test_usr2_is_refused_by_process_one_and_by_a_second_arbiter() -> None:
    assert not only(ev.Reexec, World(pid_one=True).begin().signal("USR2"))
    assert not only(ev.Reexec, World(is_upgrade=True).begin().signal("USR2"))


def test_stopping_beside_another_arbiter_leaves_the_sockets_to_it() -> None:
    world = World().begin()
    world.feed(ev.Upgraded(77))
    actions = world.signal("TERM")
    assert only(ev.CloseListeners, actions) == [ev.CloseListeners(shared=True)]
    assert not only(ev.RefuseNew, actions)
    assert [note.message for note in only(ev.Notify, actions)] == ["MAINPID=77"]


def test_a_second_arbiter_that_leaves_again_does_not_announce_the_end_of_the_service() -> None:
    world = World(is_upgrade=True).begin()
    assert not only(ev.Notify, world.signal("TERM"))
    world = World(is_upgrade=True).begin()
    world.feed(ev.ParentGone())
    assert [note.message for note in only(ev.Notify, world.signal("TERM"))] == ["STOPPING=1"]


def test_a_failed_upgrade_takes_everything_back() -> None:
    world = World().begin()
    world.feed(ev.Upgraded(77))
    assert only(ev.Resume, world.feed(ev.UpgradeEnded("it ended with 1")))
    assert only(ev.Reexec, world.signal("USR2"))


def test_a_second_arbiter_is_promoted_when_the_first_is_gone() -> None:
    world = World(is_upgrade=True).begin()
    assert only(ev.Promote, world.feed(ev.ParentGone()))
    assert only(ev.CloseListeners, world.signal("QUIT")) == [ev.CloseListeners(shared=False)]


# --- deaths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("child", [1, 2])
@pytest.mark.parametrize(("code", "signal"), [(0, 0), (1, 0), (255, 0), (3, 0), (4, 0), (0, 9), (0, 11), (0, 15)])
def test_a_ready_child_that_dies_is_replaced_at_once_in_its_slot(child: int, code: int, signal: int) -> None:
    world = World().begin()
    world.tick(5.0)
    spawned = only(ev.Spawn, world.exit(child, code, signal))
    assert [spawn.slot for spawn in spawned] == [child - 1]
    assert world.exit_code is None


def wait_for_boot(world: World) -> float:
    """Let time pass until a child boots. Return how long that took."""
    begun = world.now
    while not world.of_state("booting"):
        assert world.now < begun + 60
        world.tick(0.25)
    return world.now - begun


def test_children_that_die_in_a_row_are_started_with_growing_delay_and_it_is_said() -> None:
    world = World(ev.GroupPlan("http", 1))
    world.feed(ev.Begun())
    delays = []
    for _ in range(5):
        delays.append(wait_for_boot(world))
        actions = world.exit(world.of_state("booting")[0], signal=11)
    assert delays == [0.0, 0.0, 0.5, 1.0, 2.0]
    assert any("in a row" in line for line in logged(actions))


def test_a_long_life_forgives_earlier_deaths() -> None:
    world = World(ev.GroupPlan("http", 1))
    world.feed(ev.Begun())
    for _ in range(5):
        wait_for_boot(world)
        world.exit(world.of_state("booting")[0], signal=11)
    wait_for_boot(world)
    world.ready_all()
    world.pass_time(60)
    assert only(ev.Spawn, world.exit(world.of_state("ready")[0], signal=9))


@pytest.mark.parametrize("code", [3, 4])
def test_a_boot_failure_at_the_first_start_ends_the_server_with_its_code(code: int) -> None:
    world = World()
    world.feed(ev.Begun())
    actions = world.exit(1, code)
    assert only(ev.ReportBoot, actions) == [ev.ReportBoot(1)]
    assert world.kills("QUIT") == [2]
    more = world.exit(2, code)
    assert world.exit_code == code
    assert not only(ev.ReportBoot, more), "one traceback is enough"


def test_a_boot_failure_later_does_not_end_the_server() -> None:
    world = World().begin()
    world.tick(5.0)
    world.exit(1, signal=9)
    world.exit(world.of_state("booting")[0], 4)
    world.pass_time(2)
    assert world.exit_code is None
    assert world.of_state("booting")


def test_a_child_that_cannot_be_made_is_tried_again() -> None:
    world = World(ev.GroupPlan("http", 1))
    world.state.begun = True
    actions = world.feed(ev.Signalled("USR1"))
    child = only(ev.Spawn, actions)[0].child
    assert only(ev.Spawn, world.feed(ev.SpawnFailed(child, "no memory")))


def test_children_told_to_leave_before_they_exist_are_told_when_they_do() -> None:
    world = World()
    world.state.begun = True
    from server_core.supervise.state import step

    spawned = only(ev.Spawn, step(world.state, ev.Begun(), world.now))
    step(world.state, ev.Signalled("QUIT"), world.now)
    assert step(world.state, ev.ChildStarted(spawned[0].child, 5), world.now) == [ev.Kill(spawned[0].child, "QUIT")]


def test_a_stop_before_the_first_child_is_ready_waits_for_it_while_somebody_waits() -> None:
    world = World(ev.GroupPlan("http", 1, graceful_timeout=10))
    world.feed(ev.Begun())
    world.queued = 1
    world.signal("TERM")
    world.tick(0.1)
    assert world.kills("TERM") == []
    world.ready(1)
    assert world.kills("TERM") == [1]


def test_a_stop_before_the_first_child_is_ready_ends_at_once_when_nobody_waits() -> None:
    world = World(ev.GroupPlan("http", 1))
    world.feed(ev.Begun())
    world.signal("TERM")
    world.tick(0.1)
    assert world.kills("TERM") == [1]


def test_a_stop_waits_for_a_booting_child_no_longer_than_graceful_timeout() -> None:
    world = World(ev.GroupPlan("http", 1, graceful_timeout=3))
    world.feed(ev.Begun())
    world.queued = 1
    world.signal("TERM")
    world.pass_time(3)
    assert world.kills("TERM") == [1]


# --- timeouts ---------------------------------------------------------------------------------


def silence(world: World, child: int, seconds: float) -> None:
    """Let everybody but ``child`` beat."""
    for _ in range(int(seconds)):
        world.now += 1.0
        world.beats.update({other.number: world.now for other in world.state.children() if other.number != child})
        world.feed(ev.Ticked(dict(world.beats)))


def test_a_silent_child_is_reported_before_it_is_aborted_and_its_successor_is_ready_first() -> None:
    world = World(ev.GroupPlan("http", 2, timeout=10)).begin()
    silence(world, 1, 11)
    assert only(ev.DumpStacks, world.actions) == [ev.DumpStacks(1)]
    successor = world.of_state("booting")
    assert len(successor) == 1
    world.ready_all()
    assert world.kills("ABRT") == [], "not before it was reported"
    world.tick(0.5)
    assert only(ev.ReportSilence, world.actions) == [ev.ReportSilence(1, 10, booting=False)]
    assert world.kills("ABRT") == [1]
    world.tick(1.5)
    assert world.kills("KILL") == [1]


def test_a_silent_child_is_aborted_although_its_successor_does_not_get_ready() -> None:
    world = World(ev.GroupPlan("http", 1, timeout=10)).begin()
    silence(world, 1, 20)
    assert world.kills("ABRT") == [1]


def test_a_boot_that_takes_too_long_counts_as_boot_failure() -> None:
    world = World(ev.GroupPlan("http", 1, boot_timeout=20))
    world.feed(ev.Begun())
    world.pass_time(21)
    world.tick(0.5)
    assert only(ev.ReportSilence, world.actions) == [ev.ReportSilence(1, 20, booting=True)]
    assert world.kills("ABRT") == [1]
    world.exit(1, signal=6)
    assert world.exit_code == 3


def test_booting_is_not_silence() -> None:
    world = World(ev.GroupPlan("http", 1, timeout=5, boot_timeout=0))
    world.feed(ev.Begun())
    world.pass_time(600, beating=False)
    assert not only(ev.DumpStacks, world.actions)


def test_a_machine_that_slept_does_not_blame_the_children() -> None:
    world = World(ev.GroupPlan("http", 2, timeout=30)).begin()
    world.tick(1.0)
    world.tick(3600.0, beating=False)
    world.tick(1.0)
    assert not only(ev.DumpStacks, world.actions)


def test_timeout_zero_never_aborts() -> None:
    world = World(ev.GroupPlan("http", 1, timeout=0)).begin()
    world.pass_time(1000, beating=False)
    assert not only(ev.DumpStacks, world.actions)


# --- replacing --------------------------------------------------------------------------------


def test_a_retiring_child_serves_until_its_successor_is_ready() -> None:
    world = World().begin()
    spawned = only(ev.Spawn, world.feed(ev.ChildRetiring(2, "max_requests")))
    assert [spawn.slot for spawn in spawned] == [1]
    assert world.kills("TERM") == []
    world.ready_all()
    assert world.kills("TERM") == [2]


def test_a_replacement_can_be_asked_for() -> None:
    world = World().begin()
    world.feed(ev.ReplaceRequested(1))
    world.ready_all()
    assert world.kills("TERM") == [1]


# --- reload -----------------------------------------------------------------------------------


def test_a_rolling_reload_replaces_one_after_another_each_ready_first() -> None:
    world = World(ev.GroupPlan("http", 3)).begin()
    actions = world.reload()
    assert only(ev.UseConfig, actions) == [ev.UseConfig(2)]
    for slot in range(3):
        booting = world.of_state("booting")
        assert len(booting) == 1
        assert world.kills("TERM") == [1, 2, 3][:slot]
        world.ready(booting[0])
    assert world.kills("TERM") == [1, 2, 3]
    assert "Reload complete." in logged(world.actions)


def test_reload_strategy_all_starts_all_successors_together() -> None:
    world = World(ev.GroupPlan("http", 3, strategy="all")).begin()
    world.reload()
    assert len(world.of_state("booting")) == 3


def test_strategy_keep_leaves_children_alone_but_not_their_successors() -> None:
    stash = ev.GroupPlan("stash", 1, strategy="keep", rank=2)
    world = World(HTTP, stash).begin()
    kept = world.of_state("ready", group="stash")
    world.reload()
    world.ready_all()
    world.exit_leaving()
    assert world.of_state("ready", group="stash") == kept
    assert only(ev.DropConfigs, world.actions) == [ev.DropConfigs(2)]
    spawned = only(ev.Spawn, world.exit(kept[0], signal=9))
    assert [spawn.generation for spawn in spawned] == [2]


def test_old_settings_are_dropped_once_when_the_last_old_child_is_gone() -> None:
    world = World().begin()
    world.reload()
    world.ready_all()
    assert not only(ev.DropConfigs, world.actions)
    world.exit_leaving()
    world.tick(1.0)
    assert only(ev.DropConfigs, world.actions) == [ev.DropConfigs(2)]


def test_rejected_settings_change_nothing_and_are_explained() -> None:
    world = World().begin()
    world.signal("HUP")
    actions = world.feed(ev.ConfigRejected("workers: expected an integer >= 1, got 'many'"))
    assert "workers: expected" in logged(actions)[0]
    assert world.kills("TERM") == []
    assert only(ev.LoadConfig, world.signal("HUP")), "the next reload is tried"


@pytest.mark.parametrize("code", [3, 4])
def test_a_reload_whose_children_do_not_boot_keeps_the_old_ones(code: int) -> None:
    world = World().begin()
    world.reload()
    actions = world.exit(world.of_state("booting")[0], code)
    assert only(ev.UseConfig, actions) == [ev.UseConfig(1)]
    assert world.of_state("ready") == [1, 2]
    assert world.kills("TERM") == []
    assert world.exit_code is None


def test_a_failed_reload_brings_old_numbers_back() -> None:
    world = World().begin()
    world.reload(ev.GroupPlan("http", 5))
    actions = world.exit(world.of_state("booting")[0], 4)
    assert world.state.groups["http"].target == 2
    assert only(ev.SetTarget, actions) == [ev.SetTarget("http", 2, 5)], "sockets without workers get no connection"
    world.exit_leaving()
    assert len(world.children()) == 2


def test_children_killed_during_a_reload_do_not_fail_it() -> None:
    world = World().begin()
    world.reload()
    world.exit(world.of_state("booting")[0], signal=9)
    world.ready_all()
    assert "Reload complete." in logged(world.actions)


def test_children_that_crash_again_and_again_during_boot_fail_the_reload() -> None:
    world = World().begin()
    world.reload()
    for _ in range(20):
        for number in world.of_state("booting"):
            world.exit(number, signal=11)
        world.tick(1.0)
    assert world.of_state("ready") == [1, 2]
    assert world.state.generation == 1


def test_a_hup_during_a_reload_follows_it() -> None:
    world = World().begin()
    world.reload()
    assert not only(ev.LoadConfig, world.signal("HUP"))
    before = len(only(ev.LoadConfig, world.actions))
    world.ready_all()
    assert len(only(ev.LoadConfig, world.actions)) == before + 1


def test_a_hup_during_a_reload_that_fails_follows_it_too() -> None:
    world = World().begin()
    world.reload()
    world.signal("HUP")
    before = len(only(ev.LoadConfig, world.actions))
    world.exit(world.of_state("booting")[0], 4)
    assert len(only(ev.LoadConfig, world.actions)) == before + 1


def test_nothing_is_due_once_those_who_died_too_early_are_replaced() -> None:
    world = World(ev.GroupPlan("http", 1)).begin()
    world.exit(world.of_state("ready")[0], signal=9)
    world.ready_all()
    assert world.state.deadline(world.now) is None
    world.exit(world.of_state("ready")[0], signal=9)
    held = world.state.deadline(world.now)
    assert held is not None
    assert held > world.now
    world.pass_time(held - world.now + 1)
    world.ready_all()
    assert world.state.deadline(world.now) is None


def test_ttin_survives_a_reload_unless_the_number_was_changed() -> None:
    world = World().begin()
    world.signal("TTIN")
    world.ready_all()
    world.reload()
    assert world.state.groups["http"].target == 3
    world.ready_all()
    world.reload(ev.GroupPlan("http", 4))
    assert world.state.groups["http"].target == 4


def test_a_reload_brings_back_the_workers_that_winch_stopped() -> None:
    world = World(daemon=True).begin()
    world.signal("WINCH")
    world.exit_leaving()
    assert only(ev.SetTarget, world.reload()) == [ev.SetTarget("http", 2, 0)]


def test_a_reload_waits_for_nothing_after_early_deaths_of_old_workers() -> None:
    world = World(ev.GroupPlan("http", 1)).begin()
    world.exit(1, code=1)
    assert not only(ev.Spawn, world.exit(2, code=1)), "the third has to wait"
    assert len(only(ev.Spawn, world.reload())) == 1


def test_dropped_addresses_are_refused_only_when_a_new_child_is_ready() -> None:
    world = World().begin()
    world.reload()
    assert not only(ev.RefuseDropped, world.actions)
    world.ready_all()
    assert only(ev.RefuseDropped, world.actions) == [ev.RefuseDropped()]


# --- templates --------------------------------------------------------------------------------

PRELOAD = ev.GroupPlan("http", 2, template=True)


def test_a_template_is_ready_before_it_is_asked_for_workers() -> None:
    world = World(PRELOAD)
    spawned = only(ev.Spawn, world.feed(ev.Begun()))
    assert [(spawn.slot, spawn.template) for spawn in spawned] == [(-1, None)]
    spawned = only(ev.Spawn, world.ready(1))
    assert [(spawn.slot, spawn.template) for spawn in spawned] == [(0, 1), (1, 1)]


def test_a_reload_with_preload_makes_a_new_template_and_ends_the_old_one() -> None:
    world = World(PRELOAD).begin()
    template = world.reload()
    assert [spawn.slot for spawn in only(ev.Spawn, template)] == [-1]
    assert world.kills("TERM") == []
    new = world.of_state("booting")[0]
    world.ready_all()
    workers = [child for child in world.children() if child.ready and not child.is_template]
    assert {child.template for child in workers} == {new}
    assert 1 in world.kills("TERM"), "the old template is not needed any more"


def test_a_new_template_that_cannot_load_fails_the_reload() -> None:
    world = World(PRELOAD).begin()
    world.reload()
    world.exit(world.of_state("booting")[0], 4)
    assert world.of_state("ready") == [1, 2, 3]
    assert world.state.reload is None


def test_a_dead_template_is_replaced_and_its_workers_stay() -> None:
    world = World(PRELOAD).begin()
    world.tick(5.0)
    spawned = only(ev.Spawn, world.exit(1, signal=9))
    assert [spawn.slot for spawn in spawned] == [-1]
    assert world.of_state("ready") == [2, 3]


def test_workers_a_dead_template_did_not_deliver_are_ordered_again() -> None:
    from server_core.supervise.state import step

    world = World(PRELOAD)
    world.feed(ev.Begun())
    step(world.state, ev.ChildReady(1), world.now)  # two workers are ordered, and never delivered
    assert world.of_state("spawning") == [2, 3]
    world.exit(1, signal=9)
    world.ready_all()
    assert len([child for child in world.children() if child.ready and not child.is_template]) == 2


def test_a_template_leaves_after_its_workers() -> None:
    world = World(PRELOAD).begin()
    world.signal("TERM")
    assert world.kills("TERM") == [2, 3]
    world.exit_leaving()
    assert world.kills("TERM") == [2, 3, 1]
    world.exit_leaving()
    assert world.exit_code == 0


# --- several groups ---------------------------------------------------------------------------


def test_a_service_is_told_to_leave_when_the_http_workers_are_gone() -> None:
    world = World(HTTP, ev.GroupPlan("dirty", 1, rank=1)).begin()
    world.signal("TERM")
    assert world.kills("TERM") == [1, 2]
    world.exit_leaving()
    assert world.kills("TERM") == [1, 2, 3]
    world.exit_leaving()
    assert world.exit_code == 0


def test_a_service_that_a_reload_drops_ends_and_one_it_brings_begins() -> None:
    world = World(HTTP, ev.GroupPlan("dirty", 1, rank=1)).begin()
    world.reload(HTTP)
    world.ready_all()
    assert 3 in world.kills("TERM")
    world.exit_leaving()
    world.reload(HTTP, ev.GroupPlan("dirty", 2, rank=1))
    world.ready_all()
    assert len(world.of_state("ready", group="dirty")) == 2


def test_a_service_whose_failure_does_not_halt_lets_http_serve() -> None:
    world = World(HTTP, ev.GroupPlan("dirty", 1, rank=1, halts=False))
    world.feed(ev.Begun())
    world.exit(3, 4)
    assert world.exit_code is None
    assert world.kills("QUIT") == []


# --- the table --------------------------------------------------------------------------------


def test_every_state_but_the_last_can_be_left_and_every_happening_matters() -> None:
    left = {state for state, _ in TRANSITIONS}
    assert left == set(ChildState) - {ChildState.KILLED}
    assert {happening for _, happening in TRANSITIONS} == set(Happening)


def test_the_tables_of_the_documentation_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("draw_tables", ROOT / "tools" / "draw_tables.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.draw(tool.PAGE.read_text()) == tool.PAGE.read_text(), "run tools/draw_tables.py"


# --- random events ----------------------------------------------------------------------------

ENDINGS = [(0, 0), (1, 0), (3, 0), (4, 0), (0, 9), (0, 11)]


class Storm:
    """Interprets random numbers as events, and checks the invariants after each."""

    def __init__(self, plan: ev.GroupPlan) -> None:
        self.world = World(plan, ev.GroupPlan("service", 1, rank=1, halts=False))
        self.world.check = self.check
        self.most = plan.workers
        self.serving_before = 0
        self.world.feed(ev.Begun())

    def check(self, world: World) -> None:
        state = world.state
        group = state.groups["http"]
        self.most = max(self.most, group.target)
        seated = [child for child in group.workers if child.seated]
        assert len(seated) <= self.most + max(group.surge, self.most if group.plan.strategy == "all" else 1)
        assert len([child for child in group.templates if child.seated]) <= 2
        per_slot = [sum(child.slot == slot for child in seated) for slot in {child.slot for child in seated}]
        assert max(per_slot, default=0) <= 2
        told = [kill.child for kill in only(ev.Kill, world.actions) if kill.name in ("TERM", "QUIT")]
        world.actions.clear()
        if told and state.stop is None and group.target > 0 and self.serving_before > 0:
            assert group.ready_count > 0, "nobody serves although nobody died"
        self.serving_before = group.ready_count

    def act(self, kind: int, choice: int) -> None:
        world = self.world
        children = world.state.children()
        child = children[choice % len(children)].number if children else 0
        if kind == 0:
            world.signal(["HUP", "TTIN", "TTOU", "USR1", "WINCH", "USR2"][choice % 6])
        elif kind == 1 and world.state.loading:
            workers = 1 + choice % 4
            strategy = ["rolling", "all"][choice % 2]
            template = bool(choice % 3 == 0)
            adaptive = choice % 5 < 3
            plan = ev.GroupPlan("http", workers, strategy=strategy, template=template, most=6, adaptive=adaptive)
            world.feed(ev.ConfigLoaded(ev.Plan((plan, ev.GroupPlan("service", 1, rank=1, halts=False)))))
        elif kind == 2 and world.state.loading:
            world.feed(ev.ConfigRejected("no"))
        elif kind == 3:
            self.serving_before = 0  # a death may take the last one
            world.exit(child, *ENDINGS[choice % len(ENDINGS)])
        elif kind == 4:
            world.ready(child)
        elif kind == 5:
            world.feed(ev.ChildRetiring(child, "max_requests"))
        elif kind == 6:
            self.serving_before = 0  # silence ends serving, too
            world.tick(float(choice % 40), beating=choice % 2 == 0)
        elif kind == 7:
            for _ in range(choice % 80):  # a load for so many seconds
                world.now += 1.0
                world.feed(ev.LoadMeasured("http", choice % 3 / 2))
        else:
            world.ready_all()

    def finish(self) -> None:
        """TERM, and children that react to what they are told: the server must end."""
        world = self.world
        world.signal("TERM")
        for _ in range(400):
            if world.exit_code is not None:
                return
            for number in world.of_state("leaving", "aborting", "killed"):
                world.exit(number)
            world.tick(1.0)
        raise AssertionError("the server did not end")


@settings(max_examples=150, deadline=None)
@given(
    workers=st.integers(1, 4),
    strategy=st.sampled_from(["rolling", "all"]),
    template=st.booleans(),
    adaptive=st.booleans(),
    events=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 200)), max_size=60),
)
def test_random_events_keep_the_invariants_and_stop_always_ends(
    workers: int, strategy: str, template: bool, adaptive: bool, events: list[tuple[int, int]]
) -> None:
    storm = Storm(ev.GroupPlan("http", workers, strategy=strategy, template=template, most=6, adaptive=adaptive))
    for kind, choice in events:
        if storm.world.exit_code is not None:
            return
        storm.act(kind, choice)
    storm.finish()


@settings(max_examples=100, deadline=None)
@given(deaths=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(ENDINGS)), max_size=12))
def test_after_any_order_of_deaths_all_slots_are_served_again(deaths: list[tuple[int, tuple[int, int]]]) -> None:
    world = World(ev.GroupPlan("http", 3)).begin()
    for which, (code, signal) in deaths:
        children = world.children()
        world.exit(children[which % len(children)].number, code, signal) if children else world.tick(1.0)
    world.pass_time(120)
    world.ready_all()
    assert sorted(child.slot for child in world.children() if child.ready) == [0, 1, 2]
