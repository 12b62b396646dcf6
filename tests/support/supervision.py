"""A world for ``step`` without processes: children that start, serve and end by script."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Type, TypeVar

from server_core.supervise import events as ev
from server_core.supervise.children import Child
from server_core.supervise.model import State
from server_core.supervise.state import step

A = TypeVar("A")


class World:
    """Feeds events to ``step`` and keeps what it orders.

    Orders are carried out in the simplest way: spawned children exist at once; they become ready, or
    end, when the test says so, or by ``automatic`` behaviour.
    """

    def __init__(self, *plans: ev.GroupPlan, daemon: bool = False, **state: bool) -> None:
        self.plan = ev.Plan(plans or (ev.GroupPlan("http", 2),), daemon)
        self.state = State(self.plan, **state)
        self.now = 100.0
        self.actions: List[ev.Action] = []
        self.pids = iter(range(1000, 1_000_000))
        self.beats: Dict[int, float] = {}
        self.queued = 0
        self.killed: List[ev.Kill] = []
        self.exit_code: Optional[int] = None
        self.check: Callable[[World], None] = lambda world: None

    def begin(self) -> World:
        """Start, and let all children become ready."""
        self.feed(ev.Begun())
        self.ready_all()
        return self

    def feed(self, event: ev.Event) -> List[ev.Action]:
        """Feed one event, start what is ordered, return the actions of this event only."""
        actions = step(self.state, event, self.now)
        self.actions += actions
        for action in actions:
            if isinstance(action, ev.Kill):
                self.killed.append(action)
            if isinstance(action, ev.Exit):
                self.exit_code = action.code
        self.check(self)
        found = list(actions)
        for action in actions:
            if isinstance(action, ev.Spawn):
                self.beats[action.child] = self.now
                found += self.feed(ev.ChildStarted(action.child, next(self.pids)))
        return found

    def signal(self, name: str) -> List[ev.Action]:
        return self.feed(ev.Signalled(name))

    def tick(self, seconds: float = 0.0, beating: bool = True) -> List[ev.Action]:
        """Let time pass; with ``beating`` every child is alive at its end."""
        self.now += seconds
        if beating:
            self.beats = {child.number: self.now for child in self.state.children()}
        return self.feed(ev.Ticked(dict(self.beats), self.queued))

    def pass_time(self, seconds: float, beating: bool = True) -> List[ev.Action]:
        """Let time pass in ticks of one second."""
        found: List[ev.Action] = []
        for _ in range(int(seconds)):
            found += self.tick(1.0, beating)
        return found

    def ready(self, child: int) -> List[ev.Action]:
        self.beats[child] = self.now
        return self.feed(ev.ChildReady(child))

    def ready_all(self) -> None:
        """Make children ready until nobody boots."""
        while True:
            booting = self.of_state("booting")
            if not booting:
                return
            self.ready(booting[0])

    def exit(self, child: int, code: int = 0, signal: int = 0) -> List[ev.Action]:
        return self.feed(ev.ChildExited(child, code, signal))

    def exit_leaving(self) -> None:
        """Let every child that was told to leave do so."""
        for number in self.of_state("leaving", "aborting", "killed"):
            self.exit(number)

    def reload(self, *plans: ev.GroupPlan) -> List[ev.Action]:
        """HUP, and settings that are valid."""
        return self.signal("HUP") + self.feed(ev.ConfigLoaded(ev.Plan(plans or self.plan.groups, self.plan.daemon)))

    # --- looking ------------------------------------------------------------------------------

    def children(self, group: str = "http") -> List[Child]:
        return [child for child in self.state.children() if child.group == group]

    def of_state(self, *names: str, group: Optional[str] = None) -> List[int]:
        return [
            child.number
            for child in self.state.children()
            if child.state.value in names and group in (None, child.group)
        ]

    def kills(self, name: str) -> List[int]:
        return [kill.child for kill in self.killed if kill.name == name]


def only(kind: Type[A], actions: List[ev.Action]) -> List[A]:
    """Return the actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]


def logged(actions: List[ev.Action]) -> List[str]:
    """Return the texts of log actions."""
    return [action.message for action in only(ev.Log, actions)]
