"""The reading side of the scoreboard: for the arbiter, control commands and metrics.

Owns: ``Reader`` and the values it returns.
Must not know: how they are shown. Reading takes no lock: numbers of a live child may be a moment apart.
"""

from __future__ import annotations

import struct
from typing import Any, Iterator, List, Mapping, Tuple

from server_core.scoreboard.layout import (
    AGE,
    BEGAN,
    BUSY,
    CAPACITY,
    CELL,
    CODES,
    CONNECTIONS,
    ENTRY_BODY,
    ENTRY_SEQUENCE,
    ENTRY_TEXT,
    ERRORS,
    FREE,
    GROUP,
    HEARTBEAT,
    HIGH_WATER,
    LATENCY,
    LATENCY_BUCKETS,
    LOG_LEVELS,
    LOGGED,
    MEMORY,
    NUMBER,
    OVERFLOW,
    PID,
    QUEUE,
    QUEUED_SECONDS,
    RECEIVED,
    RECORD_CELLS,
    REFUSED,
    RETIRE,
    SECONDS,
    SENT,
    SHED,
    STARTED,
    STATE,
    STATUS,
    STATUS_CLASSES,
    STATUS_CODES,
    TARGET,
    THREADS_USED,
    WEBSOCKETS,
    Layout,
)
from server_http.fields import printable
from server_http.record import Record

_BODY = struct.Struct(f"=dQ{ENTRY_TEXT}s")
_READ_ATTEMPTS = 3  # an entry that changes so often is no longer the request that was asked about


class Counters(Record):
    """Sums over threads, slots or a whole group.

    ``statuses`` counts responses by class (other, 1xx .. 5xx), ``codes`` those of ``layout.STATUS_CODES`` one by one,
    ``latency`` by the buckets of ``layout.LATENCY_BOUNDS``; ``seconds`` is the sum of the durations. ``queue`` and
    ``queued_seconds`` are the same of the time that requests waited for the application; ``shed`` ones never got there.
    ``logged`` counts messages of the error log by ``layout.LOG_LEVELS``.
    """

    began: int
    sent: int
    received: int
    seconds: float
    overflow: int
    errors: int
    websockets: int
    refused: int
    statuses: Tuple[int, ...]
    codes: Mapping[int, int]
    latency: Tuple[int, ...]
    queue: Tuple[int, ...]
    queued_seconds: float
    shed: int
    logged: Tuple[int, ...]

    @property
    def finished(self) -> int:
        """Requests that ended, with or without a response."""
        return sum(self.statuses)

    @property
    def running(self) -> int:
        """Requests begun and not ended."""
        return self.began - self.finished


class SlotView(Record):
    """One child as the board shows it. Times are monotonic seconds."""

    index: int
    pid: int
    number: int
    group: int
    age: int
    state: int
    retire: int
    heartbeat: float
    started: float
    connections: int
    memory: int
    capacity: int


class RunningRequest(Record):
    """A request that a child is answering. ``began`` is monotonic seconds; the text may be cut."""

    text: str
    began: float


class Reader:
    """Takes values from a board. One per process that reads."""

    def __init__(self, layout: Layout, octets: Any, cells: Any, floats: Any) -> None:
        self._layout = layout
        self._octets = octets
        self._cells = cells
        self._floats = floats

    def target(self) -> int:
        """Return how many workers are wanted."""
        return int(self._cells[TARGET])

    def slot(self, index: int) -> SlotView:
        """Return what is known of the child in slot ``index``."""
        cells, floats, base = self._cells, self._floats, self._layout.slot(index)
        return SlotView(
            index=index,
            pid=cells[base + PID],
            number=cells[base + NUMBER],
            group=cells[base + GROUP],
            age=cells[base + AGE],
            state=cells[base + STATE],
            retire=cells[base + RETIRE],
            heartbeat=floats[base + HEARTBEAT],
            started=floats[base + STARTED],
            connections=cells[base + CONNECTIONS],
            memory=cells[base + MEMORY],
            capacity=cells[base + CAPACITY],
        )

    def slots(self) -> List[SlotView]:
        """Return every child that lives, in the order of their places."""
        return [self.slot(index) for index in self._live()]

    def busy_seconds(self, index: int, now: float) -> float:
        """Return how long the child in slot ``index`` has been at work so far.

        With threads: the sum over them of the time spent in the application, of running requests up to ``now``. With
        a loop: the processor time of the process.
        """
        base = self._layout.slot(index)
        if not self._cells[base + CAPACITY]:
            return float(self._floats[base + BUSY])
        records = (self._layout.record(index, thread) for thread in range(self._threads(index)))
        finished = sum(self._floats[record + SECONDS] for record in records)
        return float(finished + sum(max(0.0, now - request.began) for request in self.running(index)))

    def counters(self, index: int) -> Counters:
        """Return the sums over the threads of the child in slot ``index``."""
        return self._sum([self._layout.record(index, thread) for thread in range(self._threads(index))])

    def totals(self, group: int) -> Counters:
        """Return the sums of a group: of its living children and of all that are gone."""
        records = [self._layout.totals_at + group * RECORD_CELLS]
        for index in self._live():
            if self._cells[self._layout.slot(index) + GROUP] == group:
                records += [self._layout.record(index, thread) for thread in range(self._threads(index))]
        return self._sum(records)

    def running(self, index: int) -> List[RunningRequest]:
        """Return the requests that the child in slot ``index`` is answering, oldest first."""
        found = []
        for entry in range(self._layout.running):
            request = self._entry(self._layout.entry(index, entry))
            if request is not None:
                found.append(request)
        return sorted(found, key=lambda request: request.began)

    def _entry(self, base: int) -> Any:
        cells = self._cells
        for _ in range(_READ_ATTEMPTS):
            sequence = cells[base + ENTRY_SEQUENCE]
            if not sequence & 1:
                return None
            began, length, text = _BODY.unpack_from(self._octets, (base + ENTRY_BODY) * CELL)
            if cells[base + ENTRY_SEQUENCE] == sequence:
                return RunningRequest(printable(text[: min(length, ENTRY_TEXT)]), began)
        return None

    def _live(self) -> Iterator[int]:
        for index in range(self._cells[HIGH_WATER]):
            if self._cells[self._layout.slot(index) + STATE] != FREE:
                yield index

    def _threads(self, index: int) -> int:
        return int(self._cells[self._layout.slot(index) + THREADS_USED])

    def _sum(self, records: List[int]) -> Counters:
        # Whole records at once: a server with many threads has hundreds of them.
        rows = [self._cells[record : record + RECORD_CELLS].tolist() for record in records]
        totals = [sum(column) for column in zip(*rows)] or [0] * RECORD_CELLS
        total = totals.__getitem__
        codes = dict(zip(STATUS_CODES, totals[CODES:]))
        return Counters(
            began=total(BEGAN),
            sent=total(SENT),
            received=total(RECEIVED),
            seconds=sum(self._floats[record + SECONDS] for record in records),
            overflow=total(OVERFLOW),
            errors=total(ERRORS),
            websockets=total(WEBSOCKETS),
            refused=total(REFUSED),
            statuses=tuple(
                total(STATUS + i) + sum(count for status, count in codes.items() if status // 100 == i)
                for i in range(STATUS_CLASSES)
            ),
            codes=codes,
            latency=tuple(total(LATENCY + i) for i in range(LATENCY_BUCKETS)),
            queue=tuple(total(QUEUE + i) for i in range(LATENCY_BUCKETS)),
            queued_seconds=sum(self._floats[record + QUEUED_SECONDS] for record in records),
            shed=total(SHED),
            logged=tuple(total(LOGGED + i) for i in range(len(LOG_LEVELS))),
        )
