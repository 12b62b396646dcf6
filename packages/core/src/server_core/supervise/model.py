"""What supervision knows: the groups, the generation in use, a reload or a stop that is going on.

Owns: ``State``.
Must not know: how it changes (state, lives, reload, stop).
"""

from __future__ import annotations

from typing import Dict, List, Optional

from server_core.scoreboard.layout import ENDING, SERVING, STARTING
from server_core.supervise.children import Child
from server_core.supervise.events import Plan
from server_core.supervise.groups import Counter, Group


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
    """The server is stopping since ``began``; it will exit with ``code``.

    ``queued`` is how many connections wait in the backlog, None until that was looked at.
    """

    __slots__ = ("began", "closed", "code", "deadline", "graceful", "queued")

    def __init__(self, graceful: bool, code: int, now: float) -> None:
        self.graceful = graceful
        self.code = code
        self.began = now
        self.queued: Optional[int] = None
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

    def readiness(self) -> int:
        """Return whether requests should be sent here: STARTING, SERVING or ENDING of the scoreboard's layout.

        While another arbiter has the same sockets the end of this one is not the end of the service.
        """
        if self.stop is not None and not self.shares_listeners:
            return ENDING
        needed = [group for group in self.groups.values() if group.plan.halts and group.target > 0]
        return SERVING if all(group.ready_count for group in needed) and self.begun else STARTING

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

    def deadline(self, now: float) -> Optional[float]:
        """Return when ``step`` wants to be called next, monotonic seconds; ticks come anyway."""
        times = [child.deadline for child in self.children() if child.deadline is not None]
        times += [group.hold_until for group in self.groups.values() if group.hold_until > now]
        return min(times) if times else None

    @property
    def first_group(self) -> Group:
        """The HTTP workers: what TTIN, TTOU and WINCH are about."""
        return next(iter(self.groups.values()))
