"""The shared mapping, and its writing side: the arbiter's board and a child's slot.

Owns: ``Scoreboard`` (claim, release, fold) and ``SlotWriter``.
Must not know: processes and signals; ``now`` and process ids are given.

The mapping is made before anything is forked, so that all descendants share it. There are no locks
and no messages: every cell has one writer, and readers take what they find.
"""

from __future__ import annotations

import mmap
from typing import Any, Dict, Optional

from server_core.scoreboard import layout
from server_core.scoreboard.layout import (
    AGE,
    BOOTING,
    BUSY,
    CAPACITY,
    CELL,
    CONNECTIONS,
    ENTRY_CELLS,
    ENTRY_SEQUENCE,
    FLOATS,
    FREE,
    GROUP,
    HEARTBEAT,
    HIGH_WATER,
    MEMORY,
    NUMBER,
    PID,
    READINESS,
    RECORD_CELLS,
    RETIRE,
    SERVING,
    SLOT_CELLS,
    STARTED,
    STATE,
    STATUS,
    TARGET,
    THREADS_USED,
    Layout,
)
from server_core.scoreboard.reader import Reader
from server_core.scoreboard.record import RunningTable, ThreadRecord

DEFAULT_SLOTS = 256
DEFAULT_THREADS = 64
DEFAULT_RUNNING = 64


def slots_for(workers: int) -> int:
    """Return how many slots a server of ``workers`` children gets: room to grow and to reload."""
    return max(DEFAULT_SLOTS, 4 * workers)


def records_for(threads: int) -> int:
    """Return how many thread records a slot gets: one of the loop, and room to raise ``threads`` in a reload."""
    return max(DEFAULT_THREADS, 2 * threads + 1)


def running_for(threads: int) -> int:
    """Return how many entries the table of running requests gets: one for each thread, also after a reload."""
    return max(DEFAULT_RUNNING, 2 * threads)


class Scoreboard:
    """The mapping. The arbiter claims a slot before it forks and releases it when the child is gone.

    Args:
        slots: how many children can live at once.
        threads: thread records of each slot; threads above share them (see ``SlotWriter.record``).
        running: entries in each slot's table of running requests.
    """

    def __init__(
        self, slots: int = DEFAULT_SLOTS, threads: int = DEFAULT_THREADS, running: int = DEFAULT_RUNNING
    ) -> None:
        self.layout = Layout(slots, threads, running)
        # Pages that are never touched cost nothing, so the size is no reason to be frugal.
        self._mapping = mmap.mmap(-1, self.layout.size)
        self.octets = memoryview(self._mapping)
        self.cells = self.octets.cast("Q")
        self.floats = self.octets.cast("d")

    def claim(self, group: int, number: int, age: int, now: float) -> Optional[int]:
        """Take a free slot for a child that is about to be started.

        Args:
            group: the number of the child's group, below ``layout.GROUPS``.
            number: its stable slot number within the group.
            age: its position in the sequence of all children.
            now: monotonic seconds.

        Returns the index, or None when every slot is taken.
        """
        for index in range(self.layout.slots):
            base = self.layout.slot(index)
            if self.cells[base + STATE] == FREE:
                self._clear(index)
                self.cells[base + NUMBER] = number
                self.cells[base + GROUP] = group
                self.cells[base + AGE] = age
                self.floats[base + STARTED] = now
                self.floats[base + HEARTBEAT] = now
                self.cells[base + STATE] = BOOTING
                self.cells[HIGH_WATER] = max(self.cells[HIGH_WATER], index + 1)
                return index
        return None

    def set_pid(self, index: int, pid: int) -> None:
        """Note the process that lives in slot ``index``."""
        self.cells[self.layout.slot(index) + PID] = pid

    def set_target(self, workers: int) -> None:
        """Note how many workers are wanted."""
        self.cells[TARGET] = workers

    def set_readiness(self, readiness: int) -> None:
        """Note whether requests should be sent here: STARTING, SERVING or ENDING of ``layout``."""
        self.cells[READINESS] = readiness

    def release(self, index: int) -> None:
        """Fold the counters of a dead child into its group's total, once, and free the slot."""
        base = self.layout.slot(index)
        if self.cells[base + STATE] == FREE:
            return
        total = self.layout.totals_at + self.cells[base + GROUP] * RECORD_CELLS
        for thread in range(self.cells[base + THREADS_USED]):
            record = self.layout.record(index, thread)
            for cell in range(RECORD_CELLS):
                if cell in FLOATS:
                    self.floats[total + cell] += self.floats[record + cell]
                else:
                    self.cells[total + cell] += self.cells[record + cell]
        # What the child was answering when it died ended without an answer.
        self.cells[total + STATUS] += self.reader().counters(index).running
        self._clear(index)

    def slot(self, index: int) -> SlotWriter:
        """Return the writing side of one child, to be used in that child only."""
        return SlotWriter(self, index)

    def reader(self) -> Reader:
        """Return the reading side, for the arbiter, control commands and metrics."""
        return Reader(self.layout, self.octets, self.cells, self.floats)

    def _clear(self, index: int) -> None:
        base = self.layout.slot(index)
        used = self.cells[base + THREADS_USED]
        self.cells[base + STATE] = FREE
        for cell in range(base, base + SLOT_CELLS + used * RECORD_CELLS):
            self.cells[cell] = 0
        # A killed child leaves odd sequence numbers behind; even ones say that nothing runs.
        for entry in range(self.layout.running):
            at = self.layout.entry(index, entry) + ENTRY_SEQUENCE
            if self.cells[at] & 1:
                self.cells[at] += 1


class SlotWriter:
    """One child's place on the board. Only that child writes here.

    Attributes:
        index: the place on the board.
        number: the stable slot number within the group, kept by a replacement.
    """

    def __init__(self, board: Scoreboard, index: int) -> None:
        self.board = board
        self.index = index
        base = board.layout.slot(index)
        self.number: int = board.cells[base + NUMBER]
        self._header = board.cells[base : base + SLOT_CELLS]
        self._floats = board.floats[base : base + SLOT_CELLS]
        self._records: Dict[int, ThreadRecord] = {}
        entries = board.layout.entry(index, 0)
        end = entries + board.layout.running * ENTRY_CELLS
        self._table = RunningTable(
            board.cells[entries:end], board.octets[entries * CELL : end * CELL], board.layout.running
        )

    def beat(self, now: float) -> None:
        """The child is alive at ``now`` (monotonic seconds)."""
        self._floats[HEARTBEAT] = now

    def last_beat(self) -> float:
        """Return when the child was last alive, monotonic seconds."""
        return float(self._floats[HEARTBEAT])

    def set_state(self, state: int) -> None:
        """Enter a state of ``layout``: BOOTING, READY or STOPPING."""
        self._header[STATE] = state

    def retire(self, reason: int) -> None:
        """Ask for a successor, for a reason of ``layout``; the child serves until it is told to stop."""
        self._header[RETIRE] = reason

    def connections(self, n: int) -> None:
        """The child has ``n`` open client connections."""
        self._header[CONNECTIONS] = n

    def open_connections(self) -> memoryview:
        """Return the one cell that ``connections`` writes, for a loop that counts them often."""
        return self._header[CONNECTIONS : CONNECTIONS + 1]

    def memory(self, octets: int) -> None:
        """The child's resident memory, in octets."""
        self._header[MEMORY] = octets

    def capacity(self, threads: int) -> None:
        """The child runs a request in each of ``threads``; 0 = any number, in a loop that tells ``busy``."""
        self._header[CAPACITY] = threads

    def busy(self, seconds: float) -> None:
        """The processor time that a child with a loop has used so far."""
        self._floats[BUSY] = seconds

    def readiness(self) -> int:
        """Return whether requests should be sent to this server, as the arbiter sees it."""
        return int(self.board.cells[READINESS])

    def record(self, thread_index: int) -> ThreadRecord:
        """Return the record of a thread of this child, numbered from 0.

        A thread above the board's number of records shares one with another: a count may then be
        lost when both write at once, nothing else happens.
        """
        index = thread_index % self.board.layout.threads
        record = self._records.get(index)
        if record is None:
            base = self.board.layout.record(self.index, index)
            end = base + RECORD_CELLS
            record = ThreadRecord(self.board.cells[base:end], self.board.floats[base:end], self._table)
            self._records[index] = record
            self._header[THREADS_USED] = max(self._header[THREADS_USED], index + 1)
        return record

    def fewest_connections(self) -> int:
        """Return the lowest number of open connections among the other ready children of the group.

        A worker that has more may leave a new connection to them. Without another ready child the
        result is this child's own number.
        """
        board = self.board
        group = self._header[GROUP]
        fewest: Any = None
        for index in range(board.cells[HIGH_WATER]):
            base = board.layout.slot(index)
            if index != self.index and board.cells[base + STATE] == layout.READY and board.cells[base + GROUP] == group:
                n = board.cells[base + CONNECTIONS]
                if fewest is None or n < fewest:
                    fewest = n
        return int(self._header[CONNECTIONS] if fewest is None else fewest)


def detached_slot() -> SlotWriter:
    """Return a slot on a board of its own, for a worker that no arbiter started."""
    board = Scoreboard(slots=1)
    board.claim(group=0, number=0, age=0, now=0.0)
    board.set_readiness(SERVING)
    return board.slot(0)
