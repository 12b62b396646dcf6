"""Life and death of a child: started, ready, silent, overdue, gone.

Owns: what follows from a fact about one child.
Must not know: signals, how many children there should be.
"""

# ruff: noqa: ARG001 - the functions of a table have one signature

from __future__ import annotations

import signal as signals
from typing import Callable, Dict, List

from server_core.errors import EXIT_APP_LOAD, EXIT_WORKER_BOOT
from server_core.supervise.children import (
    ABORT_WAIT,
    CONDEMNED_WAIT,
    KILL_WAIT,
    STACKS_WAIT,
    Child,
    ChildState,
    Happening,
)
from server_core.supervise.events import (
    Action,
    ChildExited,
    ChildReady,
    ChildStarted,
    CloseListeners,
    DumpStacks,
    Forget,
    Kill,
    Log,
    Notify,
    RefuseDropped,
    ReportBoot,
    ReportSilence,
    SpawnFailed,
    Ticked,
)
from server_core.supervise.groups import QUICK_DEATH, death_line
from server_core.supervise.model import State
from server_core.supervise.reload import fail_reload, unproven_reload
from server_core.supervise.stopping import begin_stop

SLEPT = 5.0  # a gap between ticks (seconds) after which heartbeats are given time again
RELOAD_FAILURES = 3  # deaths during boot, other than reported ones, that end a reload


def on_started(state: State, event: ChildStarted, now: float) -> List[Action]:
    """A child's process exists: it boots, or leaves when it was dismissed before it had one."""
    child = state.child(event.child)
    if child is None:
        return []
    child.pid = event.pid
    if child.state is ChildState.LEAVING:  # dismissed before its process existed
        return [Kill(child.number, "TERM" if state.stop is None or state.stop.graceful else "QUIT")]
    if child.state is ChildState.KILLED:
        return [Kill(child.number, "KILL")]
    child.meet(Happening.STARTED)
    return []


def on_ready(state: State, event: ChildReady, now: float) -> List[Action]:
    """A child has said that it serves: the first of all, and of a reload, changes more than itself."""
    child = state.child(event.child)
    if child is None or not child.meet(Happening.BECAME_READY):
        return []
    group = state.groups[child.group]
    child.ready_at = now
    if child.is_template:
        return []
    first = child.generation not in group.proven
    group.proven.add(child.generation)
    if first and state.reload is not None and group is state.first_group:
        return [RefuseDropped()]
    if state.announced or state.stop is not None:
        return []
    state.announced = True
    return [Notify("READY=1\nSTATUS=Serving")]


def on_spawn_failed(state: State, event: SpawnFailed, now: float) -> List[Action]:
    """A child got no process: it is buried, as one that died early."""
    child = state.child(event.child)
    if child is None:
        return []
    return [Log("error", f"Cannot start a worker: {event.reason}"), *bury(state, child, now, died_early=True)]


def on_exited(state: State, event: ChildExited, now: float) -> List[Action]:
    """A child's process has ended: say how, and decide what follows for the first start or a reload."""
    child = state.child(event.child)
    if child is None:
        return []
    name = _signal_name(event.signal)
    line = death_line(child, event.code, name)
    actions: List[Action] = [line] if line is not None else []
    booted = child.ready_at is not None
    if child.state not in (ChildState.SPAWNING, ChildState.BOOTING, ChildState.READY):
        return actions + bury(state, child, now, died_early=child.boot_failed)
    if not booted and event.code in (EXIT_WORKER_BOOT, EXIT_APP_LOAD):
        actions += [ReportBoot(child.number), *_boot_failure(state, child, event.code, now)]
    elif not booted and state.reload is not None and unproven_reload(state, child):
        state.reload.failures += 1
        if state.reload.failures >= RELOAD_FAILURES:
            actions += fail_reload(state, child, now)
    early = child.ready_at is None or now - child.ready_at < QUICK_DEATH
    return actions + bury(state, child, now, died_early=early)


def _signal_name(number: int) -> str:
    if not number:
        return ""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def bury(state: State, child: Child, now: float, died_early: bool) -> List[Action]:
    """Forget a child that is gone; after an early death (``died_early``) its group may have to wait before the next."""
    group = state.groups[child.group]
    del group.children[child.number]
    actions: List[Action] = [Forget(child.number)]
    if child.is_template:
        # Children it was asked for and did not deliver do not exist.
        for lost in [c for c in group.workers if c.template == child.number and c.pid is None]:
            del group.children[lost.number]
            actions.append(Forget(lost.number))
    if not died_early:
        if child.ready_at is not None:
            group.failures = 0
        return actions
    delay = group.hold_after_death(now)
    if delay is not None and state.stop is None:
        actions.append(
            Log("warning", f"{group.failures} children of {child.group!r} died in a row; next start in {delay:g} s.")
        )
    return actions


def _boot_failure(state: State, child: Child, code: int, now: float) -> List[Action]:
    """A child said that it cannot boot: the first start or the reload has failed."""
    group = state.groups[child.group]
    if state.stop is not None:
        return []
    if unproven_reload(state, child):
        return fail_reload(state, child, now)
    if group.plan.halts and not group.proven:
        reason = "App failed to load." if code == EXIT_APP_LOAD else "Worker failed to boot."
        return [Log("error", reason), *begin_stop(state, now, graceful=False, code=code)]
    return []


# --- timeouts -----------------------------------------------------------------------------------


def on_tick(state: State, event: Ticked, now: float) -> List[Action]:
    """Time has passed: look for silent children, and close a stopping server's listeners when nobody waits there."""
    if state.last_tick is not None and now - state.last_tick > SLEPT:
        state.awake_since = now  # the machine slept: so did the children
    state.last_tick = now
    actions: List[Action] = []
    for child in state.children():
        actions += _check_silence(state, child, event.beats.get(child.number, now), now)
    if state.stop is not None:
        state.stop.queued = event.queued
    if state.stop is not None and state.stop.graceful and not state.stop.closed and not event.queued:
        state.stop.closed = True
        actions.append(CloseListeners(state.shares_listeners))
    return actions


def _check_silence(state: State, child: Child, beat: float, now: float) -> List[Action]:
    plan = state.groups[child.group].plan
    since = max(beat, state.awake_since)
    limit = plan.timeout
    if child.state is ChildState.BOOTING:
        since, limit = child.started, plan.boot_timeout
    elif child.state is not ChildState.READY or child.is_template:
        return []
    if not limit or now - since <= limit:
        return []
    child.meet(Happening.FELL_SILENT, now + STACKS_WAIT)
    child.boot_failed = child.ready_at is None
    return [DumpStacks(child.number)]


def expire_deadlines(state: State, now: float) -> List[Action]:
    """After each event: do what is due with children that had to have reported, left or ended by ``now``."""
    actions: List[Action] = []
    for child in state.children():
        if child.deadline is not None and child.deadline <= now:
            actions += _OVERDUE[child.state](state, child, now)
    return actions


def _report_silence(state: State, child: Child, now: float) -> List[Action]:
    child.meet(Happening.REPORTED, now + CONDEMNED_WAIT)
    plan = state.groups[child.group].plan
    limit = plan.timeout if child.ready_at is not None else plan.boot_timeout
    actions: List[Action] = [ReportSilence(child.number, limit, booting=child.boot_failed)]
    if child.boot_failed or state.stop is not None:
        child.meet(Happening.DISMISSED, now + ABORT_WAIT)
        actions.append(Kill(child.number, "ABRT"))
    if child.boot_failed:
        actions += _boot_failure(state, child, EXIT_WORKER_BOOT, now)
    return actions


def _abort(state: State, child: Child, now: float) -> List[Action]:
    child.meet(Happening.OVERDUE, now + ABORT_WAIT)
    return [Kill(child.number, "ABRT")]


def _kill(state: State, child: Child, now: float) -> List[Action]:
    child.meet(Happening.OVERDUE, now + KILL_WAIT)
    if child.pid is None:
        return []
    return [Log("warning", f"Worker (pid:{child.pid}) did not leave in time; killing it."), Kill(child.number, "KILL")]


def _give_up(state: State, child: Child, now: float) -> List[Action]:
    """The system does not end the process (it hangs in the kernel); nothing more can be done."""
    return [Log("error", f"Worker (pid:{child.pid}) cannot be killed."), *bury(state, child, now, died_early=False)]


_OVERDUE: Dict[ChildState, Callable[[State, Child, float], List[Action]]] = {
    ChildState.SILENT: _report_silence,
    ChildState.CONDEMNED: _abort,
    ChildState.LEAVING: _kill,
    ChildState.ABORTING: _kill,
    ChildState.KILLED: _give_up,
}
