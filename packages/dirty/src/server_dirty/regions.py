"""Memory files for large buffers, which belong to one process at a time.

Owns: making them, writing to them, mapping them, and keeping those that are free for the next call.
Must not know: frames, sockets; ``wire`` passes the descriptors on.

Who sends a descriptor gives its file away: the sender closes it, the receiver maps it, and when the last view of the
mapping is gone the file is free for the receiver's own next large value. So buffers that go there and back cost one
copy each way and, once some files are there, no new memory: the kernel takes longer to find pages than to copy.
Nothing outlives the processes: a file is gone with its last descriptor.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading
from typing import Callable, Dict, List, Sequence, Tuple

from server_dirty.errors import DirtyProtocolError

KEPT = 32 * 1024 * 1024  # octets of free files that a process keeps
SMALLEST = 64 * 1024  # octets of a file; larger ones are powers of two, so that they fit again

_SEALS = getattr(fcntl, "F_SEAL_SHRINK", 2) | getattr(fcntl, "F_SEAL_GROW", 4)
_HAS_SEALS = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")


class _Free:
    """The free files of this process, by size.

    Files come back when a mapping is collected, at any point of any code, so nothing here may wait: when another thread
    is at it, a file is closed or made instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: Dict[int, List[int]] = {}
        self._kept = 0
        self.generation = 0

    def take(self, size: int) -> int:
        """Return the descriptor of a file of ``size`` octets, or -1."""
        if not self._lock.acquire(blocking=False):
            return -1
        try:
            files = self._files.get(size)
            if not files:
                return -1
            self._kept -= size
            return files.pop()
        finally:
            self._lock.release()

    def give(self, descriptor: int, size: int) -> None:
        """Keep a file, or close it when there are enough."""
        if not self._lock.acquire(blocking=False):
            os.close(descriptor)
            return
        try:
            if self._kept + size > KEPT:
                os.close(descriptor)
                return
            self._files.setdefault(size, []).append(descriptor)
            self._kept += size
        finally:
            self._lock.release()

    def drop(self, descriptor: int, close: Callable[[int], None] = os.close) -> None:
        """Close a file that must not be used again."""
        close(descriptor)

    def before_fork(self) -> None:
        """Parent and child will see the same pages: what is mapped now is never used again by either."""
        self.generation += 1

    def after_fork(self) -> None:
        """In the child: the free files are the parent's."""
        for files in self._files.values():
            for descriptor in files:
                os.close(descriptor)
        self._files.clear()
        self._kept = 0
        self._lock = threading.Lock()


_free = _Free()
os.register_at_fork(before=_free.before_fork, after_in_child=_free.after_fork)


class _Mapping(mmap.mmap):
    """A mapping whose file becomes free when nobody looks at it any more."""

    free = _free  # held here, because the last of them may go after the module's names
    descriptor = -1
    file_size = 0
    generation = 0

    def __del__(self) -> None:
        if self.descriptor < 0:
            return
        self.close()
        if self.generation == self.free.generation:
            self.free.give(self.descriptor, self.file_size)
        else:
            self.free.drop(self.descriptor)


def write(buffers: Sequence[memoryview], places: Sequence[Tuple[int, int]], size: int) -> int:
    """Return the descriptor of a file with ``buffers`` at the offsets of ``places``; the caller closes it.

    Args:
        size: octets that are used of the file.
    """
    rounded = max(SMALLEST, 1 << (size - 1).bit_length())
    descriptor = _free.take(rounded)
    if descriptor < 0:
        descriptor = _make(rounded)
    try:
        for view, (offset, _) in zip(buffers, places):
            _write_all(descriptor, view, offset)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make(size: int) -> int:
    if not hasattr(os, "memfd_create"):
        descriptor, path = tempfile.mkstemp(prefix="server-dirty-")
        os.unlink(path)
        os.ftruncate(descriptor, size)
        return descriptor
    descriptor = os.memfd_create("server-dirty", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    if _HAS_SEALS:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _write_all(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def read(descriptor: int, size: int) -> memoryview:
    """Return the first ``size`` octets of a file that arrived; its descriptor is this function's from now on.

    Raises:
        DirtyProtocolError: the file is smaller, or its size may change while it is mapped.
    """
    try:
        found = _checked_size(descriptor, size)
        mapping = _Mapping(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        raise DirtyProtocolError(f"shared memory: expected a memory file, got {error}") from error
    except BaseException:
        os.close(descriptor)
        raise
    mapping.descriptor, mapping.file_size, mapping.generation = descriptor, found, _free.generation
    return memoryview(mapping)


def _checked_size(descriptor: int, size: int) -> int:
    found = os.fstat(descriptor).st_size
    if found < size:
        raise DirtyProtocolError(f"shared memory: expected {size} octets, got {found}")
    if _HAS_SEALS and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise DirtyProtocolError("shared memory: expected a file sealed against changes of its size, got another")
    return found
