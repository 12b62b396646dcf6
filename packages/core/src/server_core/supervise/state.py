"""What the arbiter decides: ``step(state, event, now) -> actions``.

Owns: the phases of the server, the table of signals, reloads, upgrades, stopping, and what follows
from the life and death of a child. It changes ``state`` and returns orders.
Must not know: processes, signals, clocks, files. It is tested by scripts.
"""

# ruff: noqa: ARG001 - the functions of a table have one signature

from __future__ import annotations

import signal as signals
from typing import Callable, Dict, List, Optional, Tuple, Type

from server_core.errors import EXIT_APP_LOAD, EXIT_OK, EXIT_WORKER_BOOT
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
    Begun,
    ChildExited,
    ChildReady,
    ChildRetiring,
    ChildStarted,
    CloseListeners,
    ConfigLoaded,
    ConfigRejected,
    DropConfigs,
    DumpStacks,
    Event,
    Exit,
    Forget,
    Kill,
    LoadConfig,
    Log,
    Notify,
    ParentGone,
    Plan,
    Promote,
    Reexec,
    RefuseDropped,
    RefuseNew,
    ReopenLogs,
    ReplaceRequested,
    ReportBoot,
    ReportSilence,
    Resume,
    ScaleRequested,
    SetTarget,
    Signalled,
    SpawnFailed,
    Ticked,
    Upgraded,
    UpgradeEnded,
    UseConfig,
)
from server_core.supervise.groups import QUICK_DEATH, Counter, Group, Reconciler, death_line

QUICK_LIMIT = 10.0  # seconds of a quick stop, when graceful_timeout is longer
ESCALATED_LIMIT = 2.0  # seconds left when INT or QUIT follow TERM
SLEPT = 5.0  # a gap between ticks (seconds) after which heartbeats are given time again
RELOAD_FAILURES = 3  # deaths during boot, other than reported ones, that end a reload


class Reload:
    """A reload that is going on: from ``previous`` to the current generation.

    ``plans`` are the plans and targets to return to when it fails.
    """

    __slots__ = ("failures", "plans", "previous")

    def __init__(self, previous: int, groups: Dict[str, Group]) -> None:
        self.previous = previous
        self.plans = {name: (group.plan, group.target) for name, group in groups.items()}
        self.failures = 0


class Stop:
    """The server is stopping; it will exit with ``code``."""

    __slots__ = ("closed", "code", "deadline", "graceful")

    def __init__(self, graceful: bool, code: int) -> None:
        self.graceful = graceful
        self.code = code
        self.deadline: Optional[float] = None  # for everybody, when it is cut short
        self.closed = False


class State:
    """Everything that supervision knows.

    Attributes:
        groups: by name.
        generation: the settings and code in use; grows with each reload.
        reload: the reload that is going on, or None.
        loading: settings have been asked for and did not arrive yet.
        reload_again: HUP came during a reload.
        stop: not None while the server stops.
        upgraded: process id of the second arbiter, or None.
        is_upgrade: we are the second arbiter ourselves.
        pid_one: an exec could not hand over, because nobody may leave process 1.
        announced: READY was sent.
    """

    def __init__(self, plan: Plan, is_upgrade: bool = False, pid_one: bool = False) -> None:
        self.next_number = Counter()
        self.daemon = plan.daemon
        self.generation = 1
        self.last_generation = 1
        self.kept = (1, 1)  # the last and the current generation when others were dropped
        self.groups: Dict[str, Group] = {group.name: Group(group, 1) for group in plan.groups}
        self.begun = False
        self.reload: Optional[Reload] = None
        self.loading = False
        self.reload_again = False
        self.stop: Optional[Stop] = None
        self.upgraded: Optional[int] = None
        self.is_upgrade = is_upgrade
        self.pid_one = pid_one
        self.announced = False
        self.exited = False
        self.last_tick: Optional[float] = None
        self.awake_since = 0.0

    @property
    def shares_listeners(self) -> bool:
        """Whether another arbiter has the same sockets."""
        return self.upgraded is not None or self.is_upgrade

    def child(self, number: int) -> Optional[Child]:
        """Return the living child of that number."""
        for group in self.groups.values():
            if number in group.children:
                return group.children[number]
        return None

    def children(self) -> List[Child]:
        """Return all living children, oldest first."""
        found = [child for group in self.groups.values() for child in group.children.values()]
        return sorted(found, key=lambda child: child.number)

    def deadline(self) -> Optional[float]:
        """Return when ``step`` wants to be called next, monotonic seconds; ticks come anyway."""
        times = [child.deadline for child in self.children() if child.deadline is not None]
        times += [group.hold_until for group in self.groups.values() if group.failures]
        return min(times) if times else None


def step(state: State, event: Event, now: float) -> List[Action]:
    """Take one event, change ``state``, and return what is to be done, in order.

    Args:
        state: changed in place.
        event: what happened.
        now: monotonic seconds.
    """
    actions = _EVENTS[type(event)](state, event, now)
    actions += _expire(state, now)
    if state.stop is not None:
        actions += _continue_stop(state, now)
    elif state.begun:
        for group in state.groups.values():
            actions += Reconciler(group, state.next_number, now).run()
        actions += _finish_reload(state, now)
    return actions


# --- signals ------------------------------------------------------------------------------------


def _on_signal(state: State, event: Signalled, now: float) -> List[Action]:
    row = SIGNALS.get(event.name)
    if row is None:
        return [Log("debug", f"Ignoring signal: {event.name.lower()}")]
    # The level is gunicorn's: tools wait for these lines.
    return [Log("info", f"Handling signal: {event.name.lower()}"), *row[0](state, now)]


def _graceful_stop(state: State, now: float) -> List[Action]:
    return _begin_stop(state, now, graceful=True, code=EXIT_OK)


def _quick_stop(state: State, now: float) -> List[Action]:
    return _begin_stop(state, now, graceful=False, code=EXIT_OK)


def _hang_up(state: State, now: float) -> List[Action]:
    if state.stop is not None:
        return []
    if state.loading or state.reload is not None:
        state.reload_again = True
        return [Log("info", "A reload is going on; the next one follows it.")]
    state.loading = True
    return [Log("info", "Hang up: Master"), Notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}"), LoadConfig()]


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
    return _scale(state, _first(state), _first(state).target + 1)


def _fewer(state: State, now: float) -> List[Action]:
    return _scale(state, _first(state), _first(state).target - 1)


def _terminal_resized(state: State, now: float) -> List[Action]:
    if not state.daemon:
        return [Log("debug", "SIGWINCH ignored. Not daemonized")]
    group = _first(state)
    before, group.target = group.target, 0
    return [Log("info", "graceful stop of workers"), SetTarget(group.plan.name, 0, before)]


def _first(state: State) -> Group:
    """The group that TTIN, TTOU and WINCH are about: the first, that is, the HTTP workers."""
    return next(iter(state.groups.values()))


def _scale(state: State, group: Group, count: int) -> List[Action]:
    most = group.plan.most
    if state.stop is not None or count < 1 or (most and count > most):
        return []
    before, group.target = group.target, count
    return [] if before == count else [SetTarget(group.plan.name, count, before)]


SignalRow = Tuple[Callable[[State, float], List[Action]], str]

SIGNALS: Dict[str, SignalRow] = {
    "TERM": (_graceful_stop, "graceful stop: workers finish what they have"),
    "INT": (_quick_stop, "quick stop"),
    "QUIT": (_quick_stop, "quick stop"),
    "HUP": (_hang_up, "reload: new settings and code, new workers ready before old ones leave"),
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


def _on_replace(state: State, event: ReplaceRequested, now: float) -> List[Action]:
    return _on_retiring(state, ChildRetiring(event.child, "asked for"), now)


def _on_retiring(state: State, event: ChildRetiring, now: float) -> List[Action]:
    child = state.child(event.child)
    if child is not None:
        child.retiring = child.retiring or event.reason
    return []


# --- life and death of a child ------------------------------------------------------------------


def _on_started(state: State, event: ChildStarted, now: float) -> List[Action]:
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


def _on_ready(state: State, event: ChildReady, now: float) -> List[Action]:
    child = state.child(event.child)
    if child is None or not child.meet(Happening.BECAME_READY):
        return []
    group = state.groups[child.group]
    child.ready_at = now
    if child.is_template:
        return []
    first = child.generation not in group.proven
    group.proven.add(child.generation)
    if first and state.reload is not None and group is _first(state):
        return [RefuseDropped()]
    if state.announced or state.stop is not None:
        return []
    state.announced = True
    return [Notify("READY=1\nSTATUS=Serving")]


def _on_spawn_failed(state: State, event: SpawnFailed, now: float) -> List[Action]:
    child = state.child(event.child)
    if child is None:
        return []
    return [Log("error", f"Cannot start a worker: {event.reason}"), *_bury(state, child, now, died_early=True)]


def _on_exited(state: State, event: ChildExited, now: float) -> List[Action]:
    child = state.child(event.child)
    if child is None:
        return []
    name = _signal_name(event.signal)
    line = death_line(child, event.code, name)
    actions: List[Action] = [line] if line is not None else []
    booted = child.ready_at is not None
    if child.boot_failed:
        event = ChildExited(event.child, EXIT_WORKER_BOOT)
    elif child.state not in (ChildState.SPAWNING, ChildState.BOOTING, ChildState.READY):
        return actions + _bury(state, child, now, died_early=False)
    if not booted and event.code in (EXIT_WORKER_BOOT, EXIT_APP_LOAD):
        actions += [ReportBoot(child.number), *_boot_failure(state, child, event.code, now)]
    elif not booted and state.reload is not None and _unproven_reload(state, child):
        state.reload.failures += 1
        if state.reload.failures >= RELOAD_FAILURES:
            actions += _fail_reload(state, child, now)
    early = child.ready_at is None or now - child.ready_at < QUICK_DEATH
    return actions + _bury(state, child, now, died_early=early)


def _unproven_reload(state: State, child: Child) -> bool:
    """Whether ``child`` belongs to a reload that has not yet had a ready child in its group."""
    return (
        state.reload is not None
        and child.generation == state.generation
        and child.generation not in state.groups[child.group].proven
    )


def _signal_name(number: int) -> str:
    if not number:
        return ""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _bury(state: State, child: Child, now: float, died_early: bool) -> List[Action]:
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
    if _unproven_reload(state, child):
        return _fail_reload(state, child, now)
    if group.plan.halts and not group.proven:
        reason = "App failed to load." if code == EXIT_APP_LOAD else "Worker failed to boot."
        return [Log("error", reason), *_begin_stop(state, now, graceful=False, code=code)]
    return []


# --- timeouts -----------------------------------------------------------------------------------


def _on_tick(state: State, event: Ticked, now: float) -> List[Action]:
    if state.last_tick is not None and now - state.last_tick > SLEPT:
        state.awake_since = now  # the machine slept: so did the children
    state.last_tick = now
    actions: List[Action] = []
    for child in state.children():
        actions += _check_silence(state, child, event.beats.get(child.number, now), now)
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


def _expire(state: State, now: float) -> List[Action]:
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
    return [Log("error", f"Worker (pid:{child.pid}) cannot be killed."), *_bury(state, child, now, died_early=False)]


_OVERDUE: Dict[ChildState, Callable[[State, Child, float], List[Action]]] = {
    ChildState.SILENT: _report_silence,
    ChildState.CONDEMNED: _abort,
    ChildState.LEAVING: _kill,
    ChildState.ABORTING: _kill,
    ChildState.KILLED: _give_up,
}

# --- reload -------------------------------------------------------------------------------------


def _on_config(state: State, event: ConfigLoaded, now: float) -> List[Action]:
    state.loading = False
    if state.stop is not None:
        return []
    state.reload = Reload(state.generation, state.groups)
    state.last_generation += 1
    state.generation = state.last_generation
    state.daemon = event.plan.daemon
    actions: List[Action] = [UseConfig(state.generation)]
    wanted = {plan.name: plan for plan in event.plan.groups}
    for name, plan in wanted.items():
        group = state.groups.setdefault(name, Group(plan, state.generation))
        before, old = group.target, group.plan
        # TTIN and TTOU stay in force unless the number itself was changed, or WINCH stopped them all.
        group.target = plan.workers if plan.workers != old.workers or not before else before
        group.plan, group.generation = plan, state.generation
        group.failures, group.hold_until = 0, 0.0
        if group.target != before:
            actions.append(SetTarget(name, group.target, before))
    for name in set(state.groups) - set(wanted):
        state.groups[name].target = 0
        actions.append(SetTarget(name, 0, None))
    return actions


def _on_rejected(state: State, event: ConfigRejected, now: float) -> List[Action]:
    state.loading = False
    state.reload_again = False
    return [
        Log("error", f"Reload refused, the old settings stay: {event.reason}"),
        Notify("READY=1\nSTATUS=Serving; the last reload was refused"),
    ]


def _fail_reload(state: State, child: Child, now: float) -> List[Action]:
    """Children of the new generation do not boot: the old generation stays and serves."""
    reload = state.reload
    if reload is None:
        return []
    state.reload = None
    state.reload_again = False
    state.generation = reload.previous
    for name, group in state.groups.items():
        group.generation = reload.previous
        if name in reload.plans:
            group.plan, group.target = reload.plans[name]
        else:
            group.target = 0
        group.failures, group.hold_until = 0, 0.0
    return [
        Log("error", "Reload failed: a new worker could not boot. The old workers stay."),
        UseConfig(reload.previous),
        Notify("READY=1\nSTATUS=Serving; the last reload failed"),
    ]


def _finish_reload(state: State, now: float) -> List[Action]:
    actions: List[Action] = []
    if state.reload is not None and all(group.settled() for group in state.groups.values()):
        state.reload = None
        actions += [Log("info", "Reload complete."), Notify("READY=1\nSTATUS=Serving")]
    if state.reload is None:
        actions += _dismiss_old_templates(state, now)
        if state.reload_again:
            state.reload_again = False
            actions += _hang_up(state, now)
    if state.reload is None and not state.loading:
        old = [child for child in state.children() if child.generation != state.generation]
        if not old and state.kept != (state.last_generation, state.generation):
            state.kept = (state.last_generation, state.generation)
            actions.append(DropConfigs(state.generation))
    return actions


def _dismiss_old_templates(state: State, now: float) -> List[Action]:
    actions: List[Action] = []
    for group in state.groups.values():
        for child in group.templates:
            busy = any(worker.template == child.number for worker in group.workers if worker.pid is None)
            unneeded = child.generation != group.generation or not group.plan.template
            if unneeded and child.seated and not busy:
                actions += group.dismiss(child, now)
    return actions


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


# --- stop ---------------------------------------------------------------------------------------


def _begin_stop(state: State, now: float, graceful: bool, code: int) -> List[Action]:
    if state.stop is not None:
        return _escalate(state, now) if not graceful else []
    state.stop = Stop(graceful, code)
    state.reload = None
    for group in state.groups.values():
        group.stopping = True
    # Another arbiter, older or younger, goes on with the same sockets.
    farewell = Notify("STOPPING=1" if state.upgraded is None else f"MAINPID={state.upgraded}")
    if not graceful or state.shares_listeners:
        state.stop.closed = True
        return [farewell, CloseListeners(state.shares_listeners)]
    return [farewell, RefuseNew()]


def _escalate(state: State, now: float) -> List[Action]:
    """INT or QUIT while stopping: those who still finish are cut short."""
    if state.stop is None:
        return []
    state.stop.graceful = False
    actions: List[Action] = []
    if not state.stop.closed:
        state.stop.closed = True
        actions.append(CloseListeners(state.shares_listeners))
    state.stop.deadline = now + ESCALATED_LIMIT
    for child in state.children():
        if child.state is ChildState.LEAVING:
            child.deadline = min(child.deadline or state.stop.deadline, state.stop.deadline)
            if child.pid is not None:
                actions.append(Kill(child.number, "QUIT"))
    return actions


def _continue_stop(state: State, now: float) -> List[Action]:
    """Tell the next rank to leave, and exit when nobody is left."""
    stop = state.stop
    if stop is None or state.exited:
        return []
    actions: List[Action] = []
    alive = [group for group in state.groups.values() if group.children]
    if not alive:
        if not stop.closed:
            stop.closed = True
            actions.append(CloseListeners(state.shares_listeners))
        state.exited = True
        return [*actions, Exit(stop.code)]
    rank = min(group.plan.rank for group in alive)
    for group in alive:
        if group.plan.rank == rank or not stop.graceful:
            actions += _stop_group(stop, group, now)
    return actions


def _stop_group(stop: Stop, group: Group, now: float) -> List[Action]:
    # A template may be the parent of the workers (where there is no subreaper), so it leaves last.
    leaving = group.workers or group.templates
    actions: List[Action] = []
    for child in [child for child in leaving if child.seated]:
        actions += group.dismiss(child, now, "TERM" if stop.graceful else "QUIT")
        if not stop.graceful and child.deadline is not None:
            limit = now + min(group.plan.graceful_timeout, QUICK_LIMIT)
            child.deadline = min(child.deadline, stop.deadline or limit)
    return actions


_EVENTS: Dict[Type[Event], Callable[..., List[Action]]] = {
    Begun: _on_begun,
    Signalled: _on_signal,
    ChildStarted: _on_started,
    SpawnFailed: _on_spawn_failed,
    ChildReady: _on_ready,
    ChildRetiring: _on_retiring,
    ChildExited: _on_exited,
    Ticked: _on_tick,
    ConfigLoaded: _on_config,
    ConfigRejected: _on_rejected,
    Upgraded: _on_upgraded,
    UpgradeEnded: _on_upgrade_ended,
    ParentGone: _on_parent_gone,
    ScaleRequested: _on_scale,
    ReplaceRequested: _on_replace,
}
