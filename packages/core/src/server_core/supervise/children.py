"""One supervised process and the states it goes through.

Owns: ``Child``, its states and the table of their transitions.
Must not know: how many children there should be (groups), who may replace whom.
"""

from __future__ import annotations

import enum
from typing import Dict, FrozenSet, Mapping, Optional, Tuple

STACKS_WAIT = 0.3  # seconds for a silent child to write its stacks
CONDEMNED_WAIT = 5.0  # seconds a silent child may live on while its successor boots
ABORT_WAIT = 1.0  # seconds from ABRT to KILL
KILL_WAIT = 10.0  # seconds after which a killed process that does not go is given up


class ChildState(enum.Enum):
    """Where a child stands."""

    SPAWNING = "spawning"  # ordered, the process may not exist yet
    BOOTING = "booting"  # loads the application
    READY = "ready"  # serves
    SILENT = "silent"  # no heartbeat; its stacks are being written
    CONDEMNED = "condemned"  # reported; lives until its successor is ready
    LEAVING = "leaving"  # told to finish
    ABORTING = "aborting"  # sent ABRT
    KILLED = "killed"  # sent KILL


class Happening(enum.Enum):
    """What can happen to a child."""

    STARTED = "started"
    BECAME_READY = "became ready"
    FELL_SILENT = "fell silent"
    REPORTED = "reported"
    DISMISSED = "dismissed"
    OVERDUE = "overdue"


S, H = ChildState, Happening

# A pair that is not here changes nothing: a child that was told to leave and then becomes ready leaves,
# and a silent one is not dismissed before it was reported.
TRANSITIONS: Mapping[Tuple[ChildState, Happening], ChildState] = {
    (S.SPAWNING, H.STARTED): S.BOOTING,
    (S.BOOTING, H.BECAME_READY): S.READY,
    (S.BOOTING, H.FELL_SILENT): S.SILENT,
    (S.READY, H.FELL_SILENT): S.SILENT,
    (S.SILENT, H.REPORTED): S.CONDEMNED,
    (S.SPAWNING, H.DISMISSED): S.LEAVING,
    (S.BOOTING, H.DISMISSED): S.LEAVING,
    (S.READY, H.DISMISSED): S.LEAVING,
    (S.CONDEMNED, H.DISMISSED): S.ABORTING,
    (S.CONDEMNED, H.OVERDUE): S.ABORTING,
    (S.LEAVING, H.OVERDUE): S.KILLED,
    (S.ABORTING, H.OVERDUE): S.KILLED,
}

# States of children that hold a slot; the others are on their way out.
SEATED: FrozenSet[ChildState] = frozenset({S.SPAWNING, S.BOOTING, S.READY, S.SILENT, S.CONDEMNED})


class Child:
    """One supervised process.

    Attributes:
        number: our name for it; also its age, since numbers grow.
        group: the name of its group.
        slot: its stable slot number, -1 for a template.
        generation: the settings and code it was started from.
        template: the child that forks it, None when the arbiter does.
        pid: its process id once it exists.
        started: monotonic seconds of the order to start it.
        ready_at: when it became ready, None before.
        deadline: when its state is overdue, None for never.
        retiring: why it asked for a successor, ``""`` when it did not.
        boot_failed: it was given up before it was ready.
        surplus_since: when its slot was given up, None while the slot is wanted.
    """

    __slots__ = (
        "boot_failed", "deadline", "generation", "group", "number", "pid", "ready_at", "retiring", "slot",
        "started", "state", "surplus_since", "template",
    )  # fmt: skip

    def __init__(
        self, number: int, group: str, slot: int, generation: int, template: Optional[int], now: float
    ) -> None:
        self.number = number
        self.group = group
        self.slot = slot
        self.generation = generation
        self.template = template
        self.state = ChildState.SPAWNING
        self.pid: Optional[int] = None
        self.started = now
        self.ready_at: Optional[float] = None
        self.deadline: Optional[float] = None
        self.retiring = ""
        self.boot_failed = False
        self.surplus_since: Optional[float] = None

    def __repr__(self) -> str:
        return f"<Child {self.number} {self.group}/{self.slot} gen {self.generation} {self.state.value}>"

    @property
    def is_template(self) -> bool:
        """Whether this child forks others instead of serving."""
        return self.slot < 0

    @property
    def seated(self) -> bool:
        """Whether it holds its slot."""
        return self.state in SEATED

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.state is ChildState.READY

    def meet(self, happening: Happening, deadline: Optional[float] = None) -> bool:
        """Change the state by the table. Return whether it changed; ``deadline`` is the new state's."""
        state = TRANSITIONS.get((self.state, happening))
        if state is None:
            return False
        self.state = state
        self.deadline = deadline
        return True


Children = Dict[int, Child]
