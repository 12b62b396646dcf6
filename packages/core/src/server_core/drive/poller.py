"""Readiness of file descriptors, edge-triggered wherever the system can do it.

Owns: the system's interface (epoll, kqueue, poll) and the meaning of ``READ``, ``WRITE`` and ``GONE``.
Must not know: connections and listeners.

A descriptor is registered once for its lifetime. A *stream* is reported when its state changes: its owner
remembers what is ready until an operation would block, so that a request costs no registration call. A
*listener* is reported as long as it is ready, unless it is muted. ``woke`` is when the last ``wait`` had something to
report, monotonic seconds, and ``full`` that it could not report all.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, attr-defined"

from __future__ import annotations

import os
import select
from typing import Any, Dict, List, Tuple

from server_core.drive.clock import monotonic

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

READ = 1
WRITE = 2
#: The peer closed or the connection broke: read until the end, a short read does not mean "empty".
GONE = 4

#: Events taken from the system at a time: bounds how long the first of them waits for the last.
MAX_EVENTS = 256

Ready = List[Tuple[int, int]]

_bsd: Any = select  # names that exist on the BSDs only


class EpollPoller:
    """Linux."""

    #: Whether ``rearm`` does anything.
    rearms = False

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        self._stream_mask = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
        self.woke = 0.0
        self.full = False

    def add_stream(self, fd: int) -> None:
        """Report changes of ``fd`` from now on, its state now included."""
        self._epoll.register(fd, self._stream_mask)

    def add_listener(self, fd: int) -> None:
        """Report ``fd`` while something can be read."""
        self._epoll.register(fd, select.EPOLLIN)

    def mute(self, fd: int, muted: bool) -> None:
        """Stop or resume reporting the listener ``fd``."""
        self._epoll.modify(fd, 0 if muted else select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Forget ``fd``, which stays open."""
        self._epoll.unregister(fd)

    def closing(self, fd: int) -> None:
        """``fd`` is about to be closed. The system forgets it by itself."""

    def rearm(self, fd: int, mask: int) -> None:
        """Tell that ``fd`` would have blocked for ``mask``. Edge-triggered systems know."""

    def wait(self, seconds: float) -> Ready:
        """Return ``(fd, mask)`` of what is ready, waiting up to ``seconds`` (-1 = without limit)."""
        if cython.compiled:
            return self._wait(seconds)
        reports = self._epoll.poll(seconds, MAX_EVENTS)
        self.woke = monotonic()
        self.full = len(reports) == MAX_EVENTS
        return [(fd, _mask(flags)) for fd, flags in reports]

    def _wait(self, seconds: float) -> Ready:
        """``wait`` without Python's objects of what is reported. Compiled only."""
        milliseconds = -1 if seconds < 0 else int(ceil(seconds * 1000))
        with cython.nogil:
            count = epoll_reports(self._fd, self._reports, MAX_EVENTS, milliseconds)
            problem = errno
            self.woke = clock_seconds()  # before the interpreter's lock is waited for
        self.full = count == MAX_EVENTS
        PyErr_CheckSignals()
        if count < 0 and problem != EINTR:
            raise OSError(problem, os.strerror(problem))
        return [(self._reports[index].fd, _mask(self._reports[index].flags)) for index in range(count)]

    def close(self) -> None:
        """Give the system's object back."""
        self._epoll.close()


def _mask(flags: int) -> int:
    """Return what epoll's flags mean. They are the same as ours in READ only by chance."""
    return (flags & 1) | ((flags & 4) >> 1) | (5 if flags & 0x2018 else 0)


class KqueuePoller:
    """macOS and the BSDs."""

    rearms = False

    def __init__(self) -> None:
        self._kqueue = _bsd.kqueue()
        self.woke = 0.0
        self.full = False

    def _change(self, fd: int, read: int, flags: int) -> None:
        filters = (_bsd.KQ_FILTER_READ,) if read else (_bsd.KQ_FILTER_READ, _bsd.KQ_FILTER_WRITE)
        self._kqueue.control([_bsd.kevent(fd, kind, flags) for kind in filters], 0, 0)

    def add_stream(self, fd: int) -> None:
        """Report changes of ``fd`` from now on, its state now included."""
        self._change(fd, 0, _bsd.KQ_EV_ADD | _bsd.KQ_EV_CLEAR)

    def add_listener(self, fd: int) -> None:
        """Report ``fd`` while something can be read."""
        self._change(fd, 1, _bsd.KQ_EV_ADD)

    def mute(self, fd: int, muted: bool) -> None:
        """Stop or resume reporting the listener ``fd``."""
        self._change(fd, 1, _bsd.KQ_EV_DISABLE if muted else _bsd.KQ_EV_ENABLE)

    def remove(self, fd: int) -> None:
        """Forget ``fd``, which stays open."""
        for read in (1, 0):
            try:
                self._change(fd, read, _bsd.KQ_EV_DELETE)
            except FileNotFoundError:
                continue

    def closing(self, fd: int) -> None:
        """``fd`` is about to be closed. The system forgets it by itself."""

    def rearm(self, fd: int, mask: int) -> None:
        """Tell that ``fd`` would have blocked for ``mask``. Edge-triggered systems know."""

    def wait(self, seconds: float) -> Ready:
        """Return ``(fd, mask)`` of what is ready, waiting up to ``seconds`` (-1 = without limit)."""
        ready = []
        events = self._kqueue.control(None, MAX_EVENTS, None if seconds < 0 else seconds)
        self.woke = monotonic()
        self.full = len(events) == MAX_EVENTS
        for event in events:
            mask = READ if event.filter == _bsd.KQ_FILTER_READ else WRITE
            if event.flags & _bsd.KQ_EV_EOF:
                mask |= READ | GONE
            ready.append((event.ident, mask))
        return ready

    def close(self) -> None:
        """Give the system's object back."""
        self._kqueue.close()


class PollPoller:
    """Any POSIX system: level-triggered ``poll``, made edge-like by reporting a state once until ``rearm``."""

    rearms = True

    def __init__(self) -> None:
        self._poll = select.poll()
        self._streams: Dict[int, int] = {}
        self.woke = 0.0
        self.full = False

    def add_stream(self, fd: int) -> None:
        """Report changes of ``fd`` from now on, its state now included."""
        self._streams[fd] = select.POLLIN | select.POLLOUT
        self._poll.register(fd, self._streams[fd])

    def add_listener(self, fd: int) -> None:
        """Report ``fd`` while something can be read."""
        self._poll.register(fd, select.POLLIN)

    def mute(self, fd: int, muted: bool) -> None:
        """Stop or resume reporting the listener ``fd``."""
        self._poll.modify(fd, 0 if muted else select.POLLIN)

    def remove(self, fd: int) -> None:
        """Forget ``fd``, which stays open."""
        self._streams.pop(fd, None)
        self._poll.unregister(fd)

    def closing(self, fd: int) -> None:
        """``fd`` is about to be closed."""
        if self._streams.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def rearm(self, fd: int, mask: int) -> None:
        """Tell that ``fd`` would have blocked for ``mask``: report it again when it no longer would."""
        wanted = self._streams.get(fd)
        if wanted is not None:
            wanted |= (select.POLLIN if mask & READ else 0) | (select.POLLOUT if mask & WRITE else 0)
            self._streams[fd] = wanted
            self._poll.register(fd, wanted)

    def wait(self, seconds: float) -> Ready:
        """Return ``(fd, mask)`` of what is ready, waiting up to ``seconds`` (-1 = without limit)."""
        ready = []
        reports = self._poll.poll(None if seconds < 0 else seconds * 1000)
        self.woke = monotonic()
        for fd, flags in reports:
            mask = (READ if flags & select.POLLIN else 0) | (WRITE if flags & select.POLLOUT else 0)
            if flags & (select.POLLHUP | select.POLLERR):
                mask |= READ | GONE
            if fd in self._streams:
                self._reported(fd, flags)
            ready.append((fd, mask))
        return ready

    def _reported(self, fd: int, flags: int) -> None:
        if flags & (select.POLLHUP | select.POLLERR):
            # These cannot be masked; the owner has been told, and closes.
            self._poll.unregister(fd)
            self._streams.pop(fd)
        else:
            self._streams[fd] &= ~flags
            self._poll.register(fd, self._streams[fd])

    def close(self) -> None:
        """Nothing is held."""


def make_poller() -> Any:
    """Return the best poller of this system."""
    if hasattr(select, "epoll"):
        return EpollPoller()
    if hasattr(select, "kqueue"):
        return KqueuePoller()
    return PollPoller()
