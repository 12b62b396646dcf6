"""Where everything stands in the scoreboard's mapping, in cells of eight octets.

Owns: sizes, offsets, and the numbers that stand for states and status classes.
Must not know: who writes or reads a cell.

The mapping is: a header, then the totals of children that are gone (one record per group), then the
slots. A slot is its own header, its thread records, and its table of running requests. A cell has
one writer; eight aligned octets are stored at once, so a reader never sees half a number.
"""

from __future__ import annotations

from typing import Tuple

CELL = 8  # octets

# The header of the board
HEADER_CELLS = 64
HIGH_WATER = 0  # slots at and above this index were never used
TARGET = 1  # workers wanted, written by the arbiter
READINESS = 2  # whether requests should be sent here, written by the arbiter

# What READINESS says
STARTING = 0
SERVING = 1
ENDING = 2
READINESS_NAMES = ("starting", "ready", "stopping")

# Groups of children: HTTP workers, then services
GROUPS = 16

# The header of a slot; the arbiter writes the first four, the child the others
SLOT_CELLS = 64
PID = 0
NUMBER = 1  # the stable slot number within the group
GROUP = 2
AGE = 3
STATE = 8
HEARTBEAT = 9  # monotonic seconds (float)
STARTED = 10  # monotonic seconds (float)
CONNECTIONS = 11  # open client connections
THREADS_USED = 12  # thread records at and above this index were never used
RETIRE = 13  # why the child asks for a successor (Retire)
MEMORY = 14  # resident octets, as the child last saw them
CAPACITY = 15  # requests the child runs at once, one in each thread; 0 = a loop runs any number
BUSY = 16  # seconds of processor time of a child with a loop, as it last saw them (float)

# States of a child (STATE)
FREE = 0
BOOTING = 1
READY = 2
STOPPING = 3

# Reasons why a child asks for a successor (RETIRE); 0 while it does not
RETIRE_REQUESTS = 1
RETIRE_MEMORY = 2
RETIRE_FAILED = 3
RETIRE_NAMES = ("", "max_requests", "max_memory", "failure")

# A thread record: counters with one writer
RECORD_CELLS = 104
BEGAN = 0
SENT = 1  # octets of response bodies
RECEIVED = 2  # octets of request bodies
SECONDS = 3  # sum of the durations (float)
OVERFLOW = 4  # requests that found the table of running requests full
ERRORS = 5  # exceptions of the application
WEBSOCKETS = 6  # WebSocket connections opened
REFUSED = 7  # requests refused: malformed, or with a body there is no room for
STATUS = 8  # six classes: other, 1xx .. 5xx; of what has no cell of its own below
STATUS_CLASSES = 6
LATENCY = 16  # one counter per bound, and one above the last

CODES = 32  # one counter per status of STATUS_CODES
QUEUE = 80  # queue time by the bounds of LATENCY
QUEUED_SECONDS = 96  # sum of the queue times that were above the first bound (float)
SHED = 97  # requests refused because requests waited for too long
LOGGED = 98  # messages of the error log, one counter per level of LOG_LEVELS; written by the child's main loop
LOG_LEVELS = ("critical", "error", "warning", "exception")

FLOATS = frozenset((SECONDS, QUEUED_SECONDS))  # all other cells of a record are integers

# The statuses that are counted one by one; the others only by their class.
STATUS_CODES: Tuple[int, ...] = (
    101, 200, 201, 202, 203, 204, 205, 206, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409,
    410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505,
)  # fmt: skip


def _cells_of_statuses() -> bytes:
    cells = bytearray(STATUS + (status // 100 if status < 100 * STATUS_CLASSES else 0) for status in range(1000))
    for number, status in enumerate(STATUS_CODES):
        cells[status] = CODES + number
    return bytes(cells)


STATUS_CELL: bytes = _cells_of_statuses()  # the cell that counts a status

# Upper bounds of the latency histogram, seconds
LATENCY_BOUNDS: Tuple[float, ...] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
LATENCY_BUCKETS = len(LATENCY_BOUNDS) + 1

# An entry of the table of running requests: a sequence number (odd while a request runs), when it
# began, the length of its text, the text. Four cache lines.
ENTRY_CELLS = 32
ENTRY_SEQUENCE = 0
ENTRY_BODY = 1
ENTRY_TEXT = (ENTRY_CELLS - 3) * CELL  # octets of text kept


class Layout:
    """The offsets of one board.

    Args:
        slots: how many children can live at once.
        threads: thread records of each slot.
        running: entries in each slot's table of running requests.
    """

    __slots__ = ("entries_at", "running", "size", "slot_cells", "slots", "slots_at", "threads", "totals_at")

    def __init__(self, slots: int, threads: int, running: int) -> None:
        self.slots = slots
        self.threads = threads
        self.running = running
        self.totals_at = HEADER_CELLS
        self.slots_at = self.totals_at + GROUPS * RECORD_CELLS
        self.entries_at = SLOT_CELLS + threads * RECORD_CELLS  # from the start of a slot
        self.slot_cells = self.entries_at + running * ENTRY_CELLS
        self.size = (self.slots_at + slots * self.slot_cells) * CELL

    def slot(self, index: int) -> int:
        """Return the first cell of slot ``index``."""
        return self.slots_at + index * self.slot_cells

    def record(self, index: int, thread: int) -> int:
        """Return the first cell of a thread record of slot ``index``."""
        return self.slot(index) + SLOT_CELLS + thread * RECORD_CELLS

    def entry(self, index: int, entry: int) -> int:
        """Return the first cell of an entry of slot ``index``'s table of running requests."""
        return self.slot(index) + self.entries_at + entry * ENTRY_CELLS
