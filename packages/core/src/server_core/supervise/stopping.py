"""How the server stops: who is told to leave, in which order, and when it is over.

Owns: the graceful and the quick stop.
Must not know: why it stops.
"""

from __future__ import annotations

from typing import List

from server_core.supervise.children import ChildState
from server_core.supervise.events import Action, CloseListeners, Exit, Kill, Notify, RefuseNew
from server_core.supervise.groups import Group
from server_core.supervise.model import State, Stop

QUICK_LIMIT = 10.0  # seconds of a quick stop, when graceful_timeout is longer
ESCALATED_LIMIT = 2.0  # seconds left when INT or QUIT follow TERM


def begin_stop(state: State, now: float, graceful: bool, code: int) -> List[Action]:
    """Stop, gracefully or quickly, to exit with ``code``; a quick stop overtakes a graceful one that is going on."""
    if state.stop is not None:
        return _escalate(state, now) if not graceful else []
    state.stop = Stop(graceful, code, now)
    state.reload = None
    for group in state.groups.values():
        group.stopping = True
    if not graceful or state.shares_listeners:
        # Another arbiter, older or younger, goes on with the same sockets.
        state.stop.closed = True
        return [*_farewell(state), CloseListeners(state.shares_listeners)]
    return [*_farewell(state), RefuseNew()]


def _farewell(state: State) -> List[Action]:
    """Tell the service manager who goes on; a second arbiter that leaves again changes nothing for it."""
    if state.is_upgrade:
        return []
    return [Notify("STOPPING=1" if state.upgraded is None else f"MAINPID={state.upgraded}")]


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


def continue_stop(state: State, now: float) -> List[Action]:
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


def _awaited(stop: Stop, group: Group, now: float) -> bool:
    """Whether a booting child is the only one that can answer who waits in the backlog."""
    if not stop.graceful or stop.closed or stop.queued == 0 or group.ready_count:
        return False
    going_on = now < stop.began + group.plan.graceful_timeout
    booting = any(child.state in (ChildState.SPAWNING, ChildState.BOOTING) for child in group.workers)
    return going_on and booting and group.plan.rank == 0


def _stop_group(stop: Stop, group: Group, now: float) -> List[Action]:
    if _awaited(stop, group, now):
        return []
    # A template may be the parent of the workers (where there is no subreaper), so it leaves last.
    leaving = group.workers or group.templates
    actions: List[Action] = []
    for child in [child for child in leaving if child.seated]:
        actions += group.dismiss(child, now, "TERM" if stop.graceful else "QUIT")
        if not stop.graceful and child.deadline is not None:
            limit = now + min(group.plan.graceful_timeout, QUICK_LIMIT)
            child.deadline = min(child.deadline, stop.deadline or limit)
    return actions
