"""The numbers of a server at one moment.

Owns: ``Snapshot`` and how it is read from the arbiter and the scoreboard.
Must not know: how numbers are shown or sent.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Mapping, Tuple

from server_core.scoreboard.reader import Counters
from server_core.supervise.services import HTTP
from server_http.record import Record, fresh


class GroupNumbers(Record):
    """One group of children; ``states`` counts them by state, ``memory`` is resident octets by slot.

    ``needed`` says whether requests can be answered only while some of them are ready. ``busy`` is the share of their
    time (``scoreboard.busy``), ``most`` how many children there may be; a limit of 0 is none.
    """

    name: str
    needed: bool
    target: int
    ready: int
    states: Mapping[str, int]
    capacity: int
    busy: float
    connections: int
    connections_limit: int
    most: int
    memory: Mapping[int, int]
    memory_limit: int
    counters: Counters


class Snapshot(Record):
    """All numbers of one moment. ``queues`` holds what waits in each listener's queue, ``backlog`` its limit."""

    uptime: float
    draining: bool
    reloads: int
    groups: Tuple[GroupNumbers, ...]
    queues: Mapping[str, int]
    backlog: int
    exits: Mapping[Tuple[str, str], int] = fresh(factory=dict)  # (group, cause) -> count
    unready: Tuple[str, ...] = ()  # what services wait for
    refused_series: int = 0  # of the application's metrics
    logged: Tuple[int, ...] = ()  # messages of the arbiter itself, by LOG_LEVELS

    @property
    def http(self) -> GroupNumbers:
        """The HTTP workers."""
        return self.groups[0]

    def is_ready(self) -> bool:
        """Whether requests should be sent here: workers serve, every needed group has some, nothing stops."""
        if self.draining or self.unready:
            return False
        return all(group.ready > 0 for group in self.groups if group.needed and group.target > 0)


def take(arbiter: Any) -> Snapshot:
    """Read everything once."""
    state = arbiter.state
    return Snapshot(
        uptime=time.monotonic() - arbiter.started_at,
        draining=state.stop is not None,
        reloads=state.generation - 1,
        groups=tuple(_group(arbiter, number, name) for name, number in arbiter.group_numbers().items()),
        backlog=arbiter.cfg.backlog,
        queues={str(listener): listener.queued() for listener in arbiter.LISTENERS},
        exits=dict(arbiter.exits),
        unready=tuple(filter(None, (service.unready(arbiter) for service in arbiter.services()))),
        refused_series=_refused_series(arbiter),
        logged=tuple(getattr(arbiter.log, "logged", ())),  # a logger class need not be ours
    )


def _refused_series(arbiter: Any) -> int:
    if arbiter.application_metrics is None:
        return 0
    return int(arbiter.application_metrics.refused(child.index for child in arbiter.processes.living.values()))


def _group(arbiter: Any, number: int, name: str) -> GroupNumbers:
    group = arbiter.state.groups[name]
    reader = arbiter.board.reader()
    states: Dict[str, int] = {}
    slots = []
    for child in group.workers:
        states[child.state.value] = states.get(child.state.value, 0) + 1
        process = arbiter.processes.living.get(child.number)
        if process is not None:
            slots.append((child.slot, reader.slot(process.index)))
    return GroupNumbers(
        name=name,
        needed=group.plan.halts,
        target=group.target,
        ready=group.ready_count,
        states=states,
        capacity=group.ready_count * (arbiter.cfg.threads if name == HTTP else 1),
        busy=arbiter.busy.share(number),
        connections=sum(slot.connections for _, slot in slots),
        connections_limit=group.ready_count * arbiter.cfg.worker_connections if name == HTTP else 0,
        most=group.plan.most,
        memory={place: slot.memory for place, slot in slots},
        memory_limit=arbiter.cfg.max_memory if name == HTTP else 0,
        counters=reader.totals(number),
    )
