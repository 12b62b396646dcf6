"""A group of children that is kept at its number: who is started, replaced, told to leave.

Owns: ``Group`` and its reconciliation, the one place where children are ordered or dismissed while
the server runs.
Must not know: signals, reloads as such (only that a generation is current), other groups.

Reconciliation compares what is with what should be: every slot below the target has one seated child
of the current generation that did not ask for a successor. Whatever differs is changed one step
further, and a child is told to leave only when its successor is ready.
"""

from __future__ import annotations

from typing import Dict, List, Optional

from server_core.supervise.children import (
    ABORT_WAIT,
    Child,
    Children,
    ChildState,
    Happening,
)
from server_core.supervise.events import Action, GroupPlan, Kill, Log, Spawn
from server_core.supervise.scaling import Load

QUICK_DEATH = 1.0  # seconds after becoming ready within which a death counts as a failure to start
HOLD_FIRST = 0.5  # seconds before the second start in a row; doubles
HOLD_MOST = 30.0


class Group:
    """The children of one kind.

    Attributes:
        plan: how the group is kept.
        target: how many children are wanted now.
        generation: what new children are started from.
        failures: children in a row that did not live.
        hold_until: no child is started before, monotonic seconds.
        proven: generations of which a child has been ready.
        stopping: nothing is started any more.
        loads: what the children had to do since ``target`` changed (``scaling``).
    """

    def __init__(self, plan: GroupPlan, generation: int) -> None:
        self.plan = plan
        self.target = plan.workers
        self.generation = generation
        self.children: Children = {}
        self.failures = 0
        self.hold_until = 0.0
        self.proven: set[int] = set()
        self.stopping = False
        self.loads: List[Load] = []

    @property
    def surge(self) -> int:
        """How many successors may exist beside the children they replace."""
        return max(1, self.target) if self.plan.strategy == "all" else 1

    @property
    def workers(self) -> List[Child]:
        """All children that are not templates, oldest first."""
        return [child for child in self.children.values() if not child.is_template]

    @property
    def templates(self) -> List[Child]:
        """All templates, oldest first."""
        return [child for child in self.children.values() if child.is_template]

    @property
    def ready_count(self) -> int:
        """How many children serve."""
        return sum(child.ready for child in self.workers)

    def current(self, child: Child) -> bool:
        """Whether ``child`` is of the generation in use, or of a group that outlives generations."""
        return child.generation == self.generation or self.plan.strategy == "keep"

    def outdated(self, child: Child) -> bool:
        """Whether ``child`` is to be replaced."""
        given_up = child.state in (ChildState.SILENT, ChildState.CONDEMNED) and not child.boot_failed
        return not self.current(child) or bool(child.retiring) or given_up

    def settled(self) -> bool:
        """Whether every slot is served by the current generation, and by nobody else."""
        seated = [child for child in self.workers if child.seated]
        return len(seated) == self.target and all(child.ready and self.current(child) for child in seated)

    def hold_after_death(self, now: float) -> Optional[float]:
        """A child died too early. Return the delay before the next start, None for none."""
        self.failures += 1
        if self.failures < 2:
            return None
        delay = min(HOLD_MOST, HOLD_FIRST * 2.0 ** (self.failures - 2))
        self.hold_until = now + delay
        return delay

    def dismiss(self, child: Child, now: float, signal: str = "TERM") -> List[Action]:
        """Tell ``child`` to leave: by ``signal``, one that was given up by ABRT."""
        if child.state is ChildState.CONDEMNED:
            child.meet(Happening.DISMISSED, now + ABORT_WAIT)
            return [Kill(child.number, "ABRT")]
        if not child.meet(Happening.DISMISSED, now + self.plan.graceful_timeout):
            return []
        # A child whose process does not exist yet is told as soon as it does.
        return [] if child.pid is None else [Kill(child.number, signal)]


class Reconciler:
    """One pass over one group.

    Args:
        group: what is to be reconciled.
        next_number: returns the number of the next child.
        now: monotonic seconds.
    """

    def __init__(self, group: Group, next_number: Counter, now: float) -> None:
        self.group = group
        self.next_number = next_number
        self.now = now
        self.actions: List[Action] = []

    def run(self) -> List[Action]:
        """Change the group one step towards what it should be; return what is to be done."""
        group = self.group
        if group.stopping:
            return []
        self._dismiss_outdated_boots()
        seats = self._seats()
        for slot in sorted(slot for slot in seats if slot >= group.target):
            self._empty(seats[slot])
        for slot in range(group.target):
            self._hand_over(seats.get(slot, []))
        if self._spawner_ready():
            self._fill(self._seats())
        return self.actions

    def _seats(self) -> Dict[int, List[Child]]:
        seats: Dict[int, List[Child]] = {}
        for child in self.group.workers:
            if child.seated:
                seats.setdefault(child.slot, []).append(child)
        return seats

    def _dismiss_outdated_boots(self) -> None:
        """A child of another generation that does not serve yet is not needed."""
        for child in list(self.group.children.values()):
            if not self.group.current(child) and child.state in (
                ChildState.SPAWNING,
                ChildState.BOOTING,
            ):
                self._dismiss(child)

    def _empty(self, children: List[Child]) -> None:
        """A slot above the target: its children leave, but never the last that serves."""
        for child in children:
            if child.surplus_since is None:
                child.surplus_since = self.now
            others = self.group.ready_count - child.ready
            settled = self.now - child.surplus_since >= self.group.plan.settle
            if not child.ready or (settled and (others > 0 or self.group.target == 0)):
                self._dismiss(child)

    def _hand_over(self, children: List[Child]) -> None:
        """When the newest child of a slot is ready, the older ones leave."""
        for child in children:
            child.surplus_since = None
        if len(children) > 1 and children[-1].ready:
            for child in children[:-1]:
                self._dismiss(child)

    def _fill(self, seats: Dict[int, List[Child]]) -> None:
        """Start children for empty slots, and successors as far as the surge allows."""
        group = self.group
        successors = sum(len(children) - 1 for children in seats.values())
        for slot in range(group.target):
            children = seats.get(slot, [])
            if not children:
                self._spawn(slot)
            elif len(children) == 1 and group.outdated(children[0]):
                if successors < group.surge and len(group.workers) < 2 * group.target + group.surge:
                    successors += self._spawn(slot)
                elif children[0].state is ChildState.CONDEMNED:
                    # No room for a successor beside it, and it serves nobody.
                    self._dismiss(children[0])

    def _spawner_ready(self) -> bool:
        """Whether children can be started; orders a template when one is needed."""
        if not self.group.plan.template:
            return True
        templates = self._current_templates()
        if not templates and self.group.target > 0:
            self._spawn(-1)
        return any(child.ready for child in templates)

    def _current_templates(self) -> List[Child]:
        return [child for child in self.group.templates if self.group.current(child) and child.seated]

    def _spawn(self, slot: int) -> bool:
        group = self.group
        if self.now < group.hold_until:
            return False
        template = next((child.number for child in self._current_templates() if child.ready), None)
        child = Child(self.next_number(), group.plan.name, slot, group.generation, template, self.now)
        group.children[child.number] = child
        self.actions.append(Spawn(child.number, group.plan.name, slot, group.generation, child.template))
        return True

    def _dismiss(self, child: Child) -> None:
        self.actions += self.group.dismiss(child, self.now)


class Counter:
    """Numbers that grow by one, beginning with 1."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> int:
        self.last += 1
        return self.last


def death_line(child: Child, code: int, signal_name: str) -> Optional[Log]:
    """Return what the log says about the end of ``child``, None when it was asked to leave and did."""
    who = f"{'Template' if child.is_template else 'Worker'} (pid:{child.pid})"
    if signal_name:
        if child.state in (ChildState.KILLED, ChildState.ABORTING):
            return Log("warning", f"{who} was sent {signal_name}!")
        hint = " Perhaps out of memory?" if signal_name == "SIGKILL" else ""
        level = {"SIGKILL": "error", "SIGTERM": "info"}.get(signal_name, "warning")
        return Log(level, f"{who} was sent {signal_name}!{hint}")
    if code != 0 and child.state is not ChildState.ABORTING:
        return Log("error", f"{who} exited with code {code}.")
    return None
