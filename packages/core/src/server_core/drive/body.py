"""Request bodies on their way to a WSGI application, and the room they may take.

Owns: ``SpoolBudget`` (what all spool files of a worker may hold), ``CollectedBody`` (taken on the application's
behalf, memory first, then a file) and ``StreamedBody`` (handed over as it arrives).
Must not know: connections, engines, who waits.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from io import SEEK_END, BytesIO
from typing import Any, Deque, Optional

from server_core.drive.streams import JOIN_MAX

#: Values of ``CollectedBody.write``.
TAKEN = 0
TOO_LARGE = 1
NO_ROOM = 2


class SpoolBudget:
    """The octets that all spool files of a worker hold together.

    Args:
        total: the bound, in octets; 0 = none.
        directory: where spool files are made; None for the system's choice.

    Attributes:
        shortage: why there was no room last, for the log.
    """

    def __init__(self, total: int, directory: Optional[str] = None) -> None:
        self.total = total
        self.directory = directory
        self.used = 0
        self.shortage = ""
        self._lock = threading.Lock()

    def take(self, octets: int) -> bool:
        """Reserve room for ``octets``; False when there is none."""
        with self._lock:
            if self.total and self.used + octets > self.total:
                self.shortage = f"spool_total ({self.total} bytes) is used up"
                return False
            self.used += octets
            return True

    def release(self, octets: int) -> None:
        """Give ``octets`` of room back."""
        with self._lock:
            self.used -= octets


class Spool:
    """One unnamed file, its room taken from a budget octet by octet. It is made when something is written."""

    __slots__ = ("budget", "file", "size")

    def __init__(self, budget: SpoolBudget) -> None:
        self.budget = budget
        self.file: Any = None
        self.size = 0

    def write(self, data: bytes) -> bool:
        """Append ``data``; False when budget, file system or process has no room, and nothing was written."""
        size = len(data)
        if not self.budget.take(size):
            return False
        written = 0
        try:
            if self.file is None:
                self.file = _unnamed_file(self.budget.directory)
            view = memoryview(data)
            while written < size:
                written += os.pwrite(self.file.fileno(), view[written:], self.size + written)
        except OSError as error:  # a full file system, or no descriptor left: the same as a budget without room
            self.budget.release(size)
            place = self.budget.directory or "the system's directory for temporary files"
            self.budget.shortage = f"cannot spool to {place}: {error.strerror}"
            return False
        self.size += size
        return True

    def clear(self) -> None:
        """Drop the content, which has been sent."""
        self.file.truncate(0)
        self.budget.release(self.size)
        self.size = 0

    def close(self) -> None:
        """Give file and room back. May be called twice."""
        if self.file is not None and not self.file.closed:
            self.file.close()
            self.budget.release(self.size)


def _unnamed_file(directory: Optional[str]) -> Any:
    import tempfile

    # Unbuffered: what is written can be sent by descriptor at once.
    return tempfile.TemporaryFile(buffering=0, prefix="server-", dir=directory)


class CollectedBody:
    """A body that is taken on the application's behalf.

    Args:
        memory: octets kept in memory; what is larger goes to a spool file as a whole.
        limit: octets of the largest body; 0 = none.
        budget: the worker's room for spool files.
    """

    __slots__ = ("_budget", "_limit", "_memory", "_parts", "_spool", "_stream", "size")

    def __init__(self, memory: int, limit: int, budget: SpoolBudget) -> None:
        self._memory = memory
        self._limit = limit
        self._budget = budget
        self._parts: Any = None
        self._spool: Optional[Spool] = None
        self._stream: Any = None
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take ``data``. Returns ``TAKEN``; or ``TOO_LARGE`` or ``NO_ROOM``, and nothing was taken."""
        size = self.size + len(data)
        if self._limit and size > self._limit:
            return TOO_LARGE
        if self._spool is None and size <= self._memory:
            if self._parts is None:
                self._parts = BytesIO(data)  # shares the octets until something else is written
            else:
                self._parts.seek(0, SEEK_END)
                self._parts.write(data)
                self._parts.seek(0)
        elif not self._write_spool(data):
            return NO_ROOM
        self.size = size
        return TAKEN

    def _write_spool(self, data: bytes) -> bool:
        spool = self._spool
        if spool is None:
            spool = Spool(self._budget)
            if self._parts is not None:
                if not spool.write(self._parts.getbuffer()):
                    spool.close()
                    return False
                self._parts = None
            self._spool = spool
        return spool.write(data)

    def input(self) -> Any:
        """Return the whole body as a binary stream at its start: ``wsgi.input``."""
        if self._spool is not None:
            # Another descriptor: an application may close its input, the room is given back by us.
            self._stream = os.fdopen(os.dup(self._spool.file.fileno()), "rb")
            self._stream.seek(0)
            return self._stream
        if self._parts is None:
            return BytesIO()
        return self._parts

    def close(self) -> None:
        """Give the spool file back. May be called twice."""
        if self._spool is not None:
            self._spool.close()
            if self._stream is not None:
                self._stream.close()


class StreamedBody:
    """A body that the application takes as it arrives. Its owner holds the connection's turn.

    ``credit`` of each part is returned by ``take`` when the part is used up, so that the engine
    receives more only when the application has taken what was there.
    """

    __slots__ = ("_offset", "_parts", "ended")

    def __init__(self) -> None:
        self._parts: Deque[Any] = deque()  # (data, credit), bounded by the engine's receive window
        self._offset = 0
        self.ended = False

    def write(self, data: bytes, credit: int) -> None:
        """Add a part that arrived."""
        parts = self._parts
        if parts and len(parts[-1][0]) + len(data) <= JOIN_MAX:
            last, owed = parts.pop()
            parts.append((b"".join((last, data)), owed + credit))
        else:
            parts.append((data, credit))

    def ready(self) -> bool:
        """Whether ``take`` has something to return, the end included."""
        return bool(self._parts) or self.ended

    def take(self, limit: int) -> Any:
        """Return up to ``limit`` octets and the credit to give back for them; ``(b"", 0)`` if there are none."""
        if not self._parts:
            return b"", 0
        data, credit = self._parts[0]
        start = self._offset
        if len(data) - start <= limit:
            self._parts.popleft()
            self._offset = 0
            return data[start:] if start else data, credit
        self._offset = start + limit
        return data[start : start + limit], 0

    def abandon(self) -> int:
        """Drop what is there; return the credit to give back for it."""
        credit: int = sum(part[1] for part in self._parts)
        self._parts.clear()
        self._offset = 0
        return credit
