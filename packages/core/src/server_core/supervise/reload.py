"""A reload: new settings and code take over, or the old ones stay.

Owns: the beginning, the failure and the completion of a reload.
Must not know: how children are replaced (groups): it makes another generation current.
"""

# ruff: noqa: ARG001 - the functions of a table have one signature

from __future__ import annotations

from typing import List

from server_core.supervise.children import Child
from server_core.supervise.events import (
    Action,
    ConfigLoaded,
    ConfigRejected,
    DropConfigs,
    GroupPlan,
    LoadConfig,
    Log,
    Notify,
    SetTarget,
    UseConfig,
)
from server_core.supervise.groups import Group
from server_core.supervise.model import Reload, State


def hang_up(state: State, now: float) -> List[Action]:
    """HUP has come: load the settings again, or remember to when a reload is going on."""
    if state.stop is not None:
        return []
    if state.loading or state.reload is not None:
        state.reload_again = True
        return [Log("info", "A reload is going on; the next one follows it.")]
    state.loading = True
    return [Log("info", "Hang up: Master"), Notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}"), LoadConfig()]


def unproven_reload(state: State, child: Child) -> bool:
    """Whether ``child`` belongs to a reload that has not yet had a ready child in its group."""
    return (
        state.reload is not None
        and child.generation == state.generation
        and child.generation not in state.groups[child.group].proven
    )


def on_config(state: State, event: ConfigLoaded, now: float) -> List[Action]:
    """The new settings are good: another generation becomes current, and groups get their new plans."""
    state.loading = False
    if state.stop is not None:
        return []
    state.reload = Reload(state.generation, state.groups)
    state.last_generation += 1
    state.generation = state.last_generation
    state.daemon = event.plan.daemon
    actions: List[Action] = [UseConfig(state.generation)]
    for plan in event.plan.groups:
        group = state.groups.setdefault(plan.name, Group(plan, state.generation))
        actions += _follow(group, plan, state.generation)
    for name in set(state.groups) - {plan.name for plan in event.plan.groups}:
        state.groups[name].target = 0
        actions.append(SetTarget(name, 0, None))
    return actions


def _follow(group: Group, plan: GroupPlan, generation: int) -> List[Action]:
    """Keep ``group`` by another plan, with children of another generation."""
    before, group.target = group.target, _target(group, plan)
    group.loads.clear()
    group.plan, group.generation = plan, generation
    group.failures, group.hold_until = 0, 0.0
    return [SetTarget(plan.name, group.target, before)] if group.target != before else []


def _target(group: Group, plan: GroupPlan) -> int:
    """Return how many children ``group`` is to have when ``plan`` takes the place of its own."""
    before, old = group.target, group.plan
    if plan.adaptive:
        return max(plan.workers, min(plan.most, before))
    # TTIN and TTOU stay in force unless the number itself was changed, or WINCH stopped them all.
    return plan.workers if old.adaptive or plan.workers != old.workers or not before else before


def on_rejected(state: State, event: ConfigRejected, now: float) -> List[Action]:
    """The new settings cannot be used: everything stays as it is."""
    state.loading = False
    state.reload_again = False
    return [
        Log("error", f"Reload refused, the old settings stay: {event.reason}"),
        Notify("READY=1\nSTATUS=Serving; the last reload was refused"),
    ]


def fail_reload(state: State, child: Child, now: float) -> List[Action]:
    """Children of the new generation do not boot: the old generation stays and serves."""
    reload = state.reload
    if reload is None:
        return []
    state.reload = None
    state.generation = reload.previous
    actions: List[Action] = [
        UseConfig(reload.previous),  # first: the line belongs in the log that is in force now
        Log("error", "Reload failed: a new worker could not boot. The old workers stay."),
    ]
    for name, group in state.groups.items():
        group.generation = reload.previous
        before, group.target = group.target, 0
        if name in reload.plans:
            group.plan, group.target = reload.plans[name]
        group.failures, group.hold_until = 0, 0.0
        if group.target != before:
            actions.append(SetTarget(name, group.target, before))
    return [*actions, Notify("READY=1\nSTATUS=Serving; the last reload failed")]


def finish_reload(state: State, now: float) -> List[Action]:
    """After each event: end a reload whose groups have settled, let go of what was before, begin the one that waits."""
    actions: List[Action] = []
    if state.reload is not None and all(group.settled() for group in state.groups.values()):
        state.reload = None
        actions += [Log("info", "Reload complete."), Notify("READY=1\nSTATUS=Serving")]
    if state.reload is None:
        actions += _dismiss_old_templates(state, now)
        if state.reload_again:
            state.reload_again = False
            actions += hang_up(state, now)
    if state.reload is None and not state.loading:
        old = [child for child in state.children() if not state.groups[child.group].current(child)]
        if not old and state.kept != (state.last_generation, state.generation):
            state.kept = (state.last_generation, state.generation)
            actions.append(DropConfigs(state.generation))
    return actions


def _dismiss_old_templates(state: State, now: float) -> List[Action]:
    actions: List[Action] = []
    for group in state.groups.values():
        for child in group.templates:
            busy = any(worker.template == child.number for worker in group.workers if worker.pid is None)
            unneeded = not group.current(child) or not group.plan.template
            if unneeded and child.seated and not busy:
                actions += group.dismiss(child, now)
    return actions
