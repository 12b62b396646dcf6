"""What is known of each application: its calls, errors and times, counted where they happen.

Owns: ``HealthBoard``, a mapping that the arbiter shares with its dirty workers, and ``Meter``, which writes one
application's numbers in one worker.
Must not know: workers' processes, calls, who reads. Times of errors are seconds of the epoch, given by the caller.

As on the scoreboard a cell has one writer, a worker; within the worker a lock keeps its threads apart.
"""

from __future__ import annotations

import mmap
import threading
from typing import Dict, List, NamedTuple, Optional, Tuple

from server_core.scoreboard.layout import LATENCY_BOUNDS, LATENCY_BUCKETS
from server_core.scoreboard.record import latency_bucket

ROWS = 512  # workers that can live at once
APPS = 64  # applications of one server, over all its reloads
CELLS = 64  # of eight octets, in a record

# How a call ended: cells of a record.
ANSWERED, FAILED, TIMED_OUT, CANCELLED = range(4)
OUTCOMES = ("answered", "failed", "timed_out", "cancelled")
_LOADED, _RUNNING = 4, 5
_SECONDS, _ERROR_AT = 6, 7  # floats
_ERROR_SEQUENCE, _ERROR_SIZE = 8, 9  # the sequence is odd while the text is written
_LATENCY = 10
_TEXT = _LATENCY + LATENCY_BUCKETS
ERROR_TEXT = (CELLS - _TEXT) * 8  # octets kept of an error's text
_COUNTERS = [ANSWERED, FAILED, TIMED_OUT, CANCELLED, *range(_LATENCY, _LATENCY + LATENCY_BUCKETS)]
BOUNDS = LATENCY_BOUNDS


class AppNumbers(NamedTuple):
    """The numbers of one application.

    Attributes:
        outcomes: how many calls ended in each way of ``OUTCOMES``.
        seconds: their durations together.
        latency: how many durations fell in each bucket of ``BOUNDS``, the last above all.
        ready: workers that have it loaded.
        busy: workers that are running a call of it.
        running: calls that run.
        error: the text of the last error, empty when there was none.
        error_at: when that was, seconds of the epoch.
    """

    outcomes: Tuple[int, ...]
    seconds: float
    latency: Tuple[int, ...]
    ready: int
    busy: int
    running: int
    error: str
    error_at: float


class HealthBoard:
    """The mapping; made in the arbiter before it starts workers.

    A row belongs to one worker from ``claim`` to ``release``; what a worker counted is kept when it is gone.
    """

    def __init__(self) -> None:
        # Pages that are never touched cost nothing.
        self._octets = memoryview(mmap.mmap(-1, (ROWS + 1) * APPS * CELLS * 8))
        self._cells = self._octets.cast("Q")
        self._floats = self._octets.cast("d")
        self._numbers: Dict[str, int] = {}
        self._rows: List[int] = []

    def add(self, path: str) -> None:
        """Count an application too. Raises ValueError when there are too many."""
        if path not in self._numbers:
            if len(self._numbers) >= APPS:
                raise ValueError(f"dirty_apps: expected at most {APPS} applications, got {path} beside them")
            self._numbers[path] = len(self._numbers)

    def claim(self) -> Optional[int]:
        """Return a row for a new worker; None when none is free: its calls are not counted then."""
        row = next((row for row in range(ROWS) if row not in self._rows), None)
        if row is not None:
            self._rows.append(row)
        return row

    def release(self, row: Optional[int]) -> None:
        """The worker of ``row`` is gone: keep what it counted, free the row."""
        if row not in self._rows:
            return
        self._rows.remove(row)
        for number in self._numbers.values():
            self._fold(self._at(row, number), self._at(ROWS, number))

    def meter(self, row: Optional[int], path: str) -> Meter:
        """Return the writing side of one application in one worker."""
        if row is None:
            return self.detached()
        start = self._at(row, self._numbers[path]) * 8
        return Meter(self._octets[start : start + CELLS * 8])

    @staticmethod
    def detached() -> Meter:
        """Return a meter that nobody reads."""
        return Meter(memoryview(bytearray(CELLS * 8)))

    def read(self, path: str) -> AppNumbers:
        """Return the numbers of an application, those of workers that are gone included."""
        number = self._numbers[path]
        living = [self._at(row, number) for row in self._rows]
        places = [*living, self._at(ROWS, number)]
        error, error_at = max((self._error(at) for at in places), key=lambda found: found[1])
        return AppNumbers(
            outcomes=tuple(sum(self._cells[at + cell] for at in places) for cell in range(len(OUTCOMES))),
            seconds=sum(self._floats[at + _SECONDS] for at in places),
            latency=tuple(sum(self._cells[at + _LATENCY + n] for at in places) for n in range(LATENCY_BUCKETS)),
            ready=sum(self._cells[at + _LOADED] for at in living),
            busy=sum(self._cells[at + _RUNNING] > 0 for at in living),
            running=sum(self._cells[at + _RUNNING] for at in living),
            error=error,
            error_at=error_at,
        )

    def _at(self, row: int, number: int) -> int:
        return (row * APPS + number) * CELLS

    def _error(self, at: int) -> Tuple[str, float]:
        for _ in range(3):  # a worker that writes just now, or was killed as it wrote
            before = self._cells[at + _ERROR_SEQUENCE]
            start = (at + _TEXT) * 8
            text = bytes(self._octets[start : start + min(ERROR_TEXT, self._cells[at + _ERROR_SIZE])])
            found = text.decode(errors="ignore"), self._floats[at + _ERROR_AT]
            if not before & 1 and before == self._cells[at + _ERROR_SEQUENCE]:
                return found
        return "", 0.0

    def _fold(self, at: int, total: int) -> None:
        for cell in _COUNTERS:
            self._cells[total + cell] += self._cells[at + cell]
        self._floats[total + _SECONDS] += self._floats[at + _SECONDS]
        error, error_at = self._error(at)
        if error_at > self._floats[total + _ERROR_AT]:
            Meter(self._octets[total * 8 : (total + CELLS) * 8]).note(error, error_at)
        for cell in range(at, at + CELLS):
            self._cells[cell] = 0


class Meter:
    """The numbers of one application in one worker; its threads share it."""

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets
        self._cells = octets.cast("Q")
        self._floats = octets.cast("d")
        self._lock = threading.Lock()

    def loaded(self, ready: bool) -> None:
        """The application serves in this worker, or does not any more."""
        self._cells[_LOADED] = ready

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._cells[_RUNNING] += 1

    def finish(self, outcome: int, seconds: float, error: str, now: float) -> None:
        """A call ended: how, after how long, and with which error; ``now`` is in seconds of the epoch."""
        with self._lock:
            self._cells[_RUNNING] -= 1
            self._cells[outcome] += 1
            self._floats[_SECONDS] += seconds
            self._cells[_LATENCY + latency_bucket(seconds)] += 1
            if error:
                self.note(error, now)

    def note(self, error: str, now: float) -> None:
        """Keep an error's text as the last one."""
        text = error.encode()[:ERROR_TEXT]
        self._cells[_ERROR_SEQUENCE] += 1
        self._octets[_TEXT * 8 : _TEXT * 8 + len(text)] = text
        self._cells[_ERROR_SIZE] = len(text)
        self._floats[_ERROR_AT] = now
        self._cells[_ERROR_SEQUENCE] += 1
