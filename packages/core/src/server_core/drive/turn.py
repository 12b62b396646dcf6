"""The lock by which threads take turns at a connection.

Owns: ``make_turn``.
Must not know: what the turn is about (``drive.session``).

Python's own ``RLock`` does the same; but its ``acquire`` reads its arguments by name, which costs more than all that a
thread does between two requests.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, attr-defined"

from __future__ import annotations

import threading
from typing import Any

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]


class Turn:
    """A lock that its holder may take again. Compiled only."""

    __slots__ = ("_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._owner = 0  # the thread that holds it
        self._depth = 0  # how often
        self._lock = PyThread_allocate_lock()
        if self._lock == cython.NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        if self._lock != cython.NULL:
            PyThread_free_lock(self._lock)

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock, waiting for it if ``blocking``; returns whether it was taken."""
        thread = PyThread_get_thread_ident()
        if self._owner == thread and self._depth:
            self._depth += 1
            return True
        lock = self._lock
        if not PyThread_acquire_lock(lock, NOWAIT_LOCK):
            if not blocking:
                return False
            with cython.nogil:
                PyThread_acquire_lock(lock, WAIT_LOCK)
        self._owner = thread
        self._depth = 1
        return True

    def release(self) -> None:
        """Give the lock back, as often as it was taken. Only its holder may."""
        self._depth -= 1
        if not self._depth:
            PyThread_release_lock(self._lock)


def make_turn() -> Any:
    """Return a lock with ``acquire(blocking=True)`` and ``release()`` that its holder may take again."""
    return Turn() if cython.compiled else threading.RLock()
