"""The scoreboard: what every child tells all others, in shared memory.

Owns: the mapping and both its sides. Heartbeats, timeouts, metrics, control commands and adaptive
decisions all read it; there are no temporary files, no messages and no locks.
Must not know: processes, signals, sockets.
"""

from server_core.scoreboard.board import Scoreboard, SlotWriter, detached_slot, records_for, running_for, slots_for
from server_core.scoreboard.reader import Counters, Reader, RunningRequest, SlotView
from server_core.scoreboard.record import ThreadRecord

__all__ = [
    "Counters",
    "Reader",
    "RunningRequest",
    "Scoreboard",
    "SlotView",
    "SlotWriter",
    "ThreadRecord",
    "detached_slot",
    "records_for",
    "running_for",
    "slots_for",
]
