"""What the arbiter decides: ``step(state, event, now) -> actions``.

Owns: ``step``, the table of signals, scaling and upgrades. It changes ``state`` and returns orders; the
larger matters have files of their own (lives, reload, stopping, groups).
Must not know: processes, signals, clocks, files. It is tested by scripts.
"""

# ruff: noqa: ARG001 - the functions of a table have one signature

from __future__ import annotations

from typing import Callable, Dict, List, Tuple, Type

from server_core.errors import EXIT_OK
from server_core.supervise.events import (
    Action,
    Begun,
    ChildExited,
    ChildReady,
    ChildRetiring,
    ChildStarted,
    ConfigLoaded,
    ConfigRejected,
    Event,
    Kill,
    LoadMeasured,
    Log,
    ParentGone,
    Promote,
    Reexec,
    ReopenLogs,
    ReplaceRequested,
    Resume,
    ScaleRequested,
    SetTarget,
    Signalled,
    SpawnFailed,
    Ticked,
    Upgraded,
    UpgradeEnded,
)
from server_core.supervise.groups import Group, Reconciler
from server_core.supervise.lives import expire_deadlines, on_exited, on_ready, on_spawn_failed, on_started, on_tick
from server_core.supervise.model import State
from server_core.supervise.reload import finish_reload, hang_up, on_config, on_rejected
from server_core.supervise.scaling import Load, desired, recent, remember
from server_core.supervise.stopping import begin_stop, continue_stop


def step(state: State, event: Event, now: float) -> List[Action]:
    """Take one event, change ``state``, and return what is to be done, in order.

    Args:
        state: changed in place.
        event: what happened.
        now: monotonic seconds.
    """
    actions = _EVENTS[type(event)](state, event, now)
    actions += expire_deadlines(state, now)
    if state.stop is not None:
        actions += continue_stop(state, now)
    elif state.begun:
        for group in state.groups.values():
            actions += Reconciler(group, state.next_number, now).run()
        actions += finish_reload(state, now)
    return actions


# --- signals ------------------------------------------------------------------------------------


def _on_signal(state: State, event: Signalled, now: float) -> List[Action]:
    row = SIGNALS.get(event.name)
    if row is None:
        return [Log("debug", f"Ignoring signal: {event.name.lower()}")]
    # The level is gunicorn's: tools wait for these lines.
    return [Log("info", f"Handling signal: {event.name.lower()}"), *row[0](state, now)]


def _graceful_stop(state: State, now: float) -> List[Action]:
    return begin_stop(state, now, graceful=True, code=EXIT_OK)


def _quick_stop(state: State, now: float) -> List[Action]:
    return begin_stop(state, now, graceful=False, code=EXIT_OK)


def _reopen(state: State, now: float) -> List[Action]:
    return [ReopenLogs(), *(Kill(child.number, "USR1") for child in state.children() if child.pid is not None)]


def _upgrade(state: State, now: float) -> List[Action]:
    if state.stop is not None:
        return []
    if state.pid_one:
        return [Log("warning", "USR2 ignored: process 1 cannot hand over to a successor.")]
    if state.upgraded is not None:
        return [Log("warning", "USR2 signal ignored. Child exists.")]
    if state.is_upgrade:
        return [Log("warning", "USR2 signal ignored. Parent exists.")]
    return [Reexec()]


def _more(state: State, now: float) -> List[Action]:
    return _scale(state, state.first_group, state.first_group.target + 1)


def _fewer(state: State, now: float) -> List[Action]:
    return _scale(state, state.first_group, state.first_group.target - 1)


def _terminal_resized(state: State, now: float) -> List[Action]:
    if not state.daemon:
        return [Log("debug", "SIGWINCH ignored. Not daemonized")]
    group = state.first_group
    before, group.target = group.target, 0
    return [Log("info", "graceful stop of workers"), SetTarget(group.plan.name, 0, before)]


def _scale(state: State, group: Group, count: int) -> List[Action]:
    most = group.plan.most
    if state.stop is not None or count < 1 or (most and count > most):
        return []
    before, group.target = group.target, count
    group.loads.clear()  # what the old number had to do says little of the new one
    return [] if before == count else [SetTarget(group.plan.name, count, before)]


SignalRow = Tuple[Callable[[State, float], List[Action]], str]

SIGNALS: Dict[str, SignalRow] = {
    "TERM": (_graceful_stop, "graceful stop: workers finish what they have"),
    "INT": (_quick_stop, "quick stop"),
    "QUIT": (_quick_stop, "quick stop"),
    "HUP": (hang_up, "reload: new settings and code, new workers ready before old ones leave"),
    "USR1": (_reopen, "reopen log files"),
    "USR2": (_upgrade, "start a second arbiter from the files as they are now"),
    "TTIN": (_more, "one worker more"),
    "TTOU": (_fewer, "one worker less"),
    "WINCH": (_terminal_resized, "as a daemon: stop the workers, keep the arbiter"),
}

# --- start, scale, replace ----------------------------------------------------------------------


def _on_begun(state: State, event: Begun, now: float) -> List[Action]:
    state.begun = True
    return [SetTarget(group.plan.name, group.target, None) for group in state.groups.values()]


def _on_scale(state: State, event: ScaleRequested, now: float) -> List[Action]:
    group = state.groups.get(event.group)
    return [] if group is None else _scale(state, group, event.count)


def _on_load(state: State, event: LoadMeasured, now: float) -> List[Action]:
    """Follow the load, unless something else is going on or an operator stopped all workers (WINCH)."""
    group = state.groups.get(event.group)
    if group is None or not group.plan.adaptive:
        return []
    ready, target = group.ready_count, group.target
    if state.stop is not None or state.loading or state.reload is not None or not 0 < target <= ready:
        group.loads.clear()
        return []
    remember(group.loads, Load(now, event.share * ready))
    count = desired(group.loads, target, group.plan.workers, group.plan.most)
    if count == target:
        return []
    why = f"{group.plan.name}: from {target} to {count} children, who have work for {recent(group.loads):.1f}."
    return [Log("info", why), *_scale(state, group, count)]


def _on_replace(state: State, event: ReplaceRequested, now: float) -> List[Action]:
    return _on_retiring(state, ChildRetiring(event.child, "asked for"), now)


def _on_retiring(state: State, event: ChildRetiring, now: float) -> List[Action]:
    child = state.child(event.child)
    if child is not None:
        child.retiring = child.retiring or event.reason
    return []


# --- upgrade ------------------------------------------------------------------------------------


def _on_upgraded(state: State, event: Upgraded, now: float) -> List[Action]:
    state.upgraded = event.pid
    return [Log("info", f"A second arbiter was started (pid:{event.pid}).")]


def _on_upgrade_ended(state: State, event: UpgradeEnded, now: float) -> List[Action]:
    state.upgraded = None
    actions: List[Action] = [Log("warning", f"The second arbiter is gone: {event.reason}")]
    return actions if state.stop is not None else [*actions, Resume()]


def _on_parent_gone(state: State, event: ParentGone, now: float) -> List[Action]:
    state.is_upgrade = False
    return [Log("info", "Master has been promoted."), Promote()]


_EVENTS: Dict[Type[Event], Callable[..., List[Action]]] = {
    Begun: _on_begun,
    Signalled: _on_signal,
    ChildStarted: on_started,
    SpawnFailed: on_spawn_failed,
    ChildReady: on_ready,
    ChildRetiring: _on_retiring,
    ChildExited: on_exited,
    Ticked: on_tick,
    ConfigLoaded: on_config,
    ConfigRejected: on_rejected,
    Upgraded: _on_upgraded,
    UpgradeEnded: _on_upgrade_ended,
    ParentGone: _on_parent_gone,
    ScaleRequested: _on_scale,
    LoadMeasured: _on_load,
    ReplaceRequested: _on_replace,
}
