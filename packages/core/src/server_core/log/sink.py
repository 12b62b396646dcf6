"""Where log lines go: files, pipes, terminals, sockets, without ever waiting for them.

Owns: the file descriptors of log outputs, whole lines on them, and what is kept while one is blocked.
Must not know: what a line says.

Several processes write to one output. Lines stay whole because a file is opened with O_APPEND and
written in whole lines, and a pipe or terminal gets whole lines of at most PIPE_BUF octets per write
(POSIX makes those atomic). An output that takes nothing is retried later; beyond ``PENDING_LIMIT``
new lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import posix
import select
import socket
import stat
import time
from typing import Callable, List, Optional

PIPE_BUF: int = getattr(select, "PIPE_BUF", 512)  # 512 is what POSIX guarantees
FILE_WRITE = 256 * 1024  # octets of one write to a file
PENDING_LIMIT = 1024 * 1024  # octets kept while an output is blocked

# As the system has them. eventlet takes poll out of the module, and its write waits, for one greenlet at a time,
# and tries a pipe without a reader for ever.
_poll = getattr(select, "poll", None)
_select = select.select


class Sink:
    """An output for whole lines.

    Attributes:
        dropped: lines that were given up, since the sink was opened.
        line_limit: the longest line the output takes whole, in octets; 0 means any.
    """

    line_limit = 0
    _chunk = FILE_WRITE

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.dropped = 0
        self._pending: List[bytes] = []  # whole lines, but for a rest of the first
        self._pending_size = 0
        self._writing = False

    def write(self, data: bytes) -> None:
        """Take whole lines: write them now, keep what does not fit, drop what exceeds the limit."""
        if self._pending_size + len(data) > PENDING_LIMIT and self._pending:
            self.flush()
            if self._pending_size + len(data) > PENDING_LIMIT:
                self.dropped += data.count(b"\n")
                return
        self._pending.append(data)
        self._pending_size += len(data)
        self.flush()

    @property
    def pending(self) -> bool:
        """Whether the output is blocked and lines wait for it."""
        return bool(self._pending)

    def flush(self) -> bool:
        """Write what is kept as far as the output takes it; returns whether nothing is left.

        A signal's handler, or another thread, may come here while somebody writes: who writes goes on with all of it.
        """
        if self._writing:
            return False
        self._writing = True
        try:
            while self._pending:
                data = self._pending[0]
                written = self._write_some(data)
                if written <= 0:
                    return False
                self._pending_size -= written
                if written == len(data):
                    del self._pending[0]
                else:
                    self._pending[0] = data[written:]
            return True
        finally:
            self._writing = False

    def finish(self, seconds: float) -> None:
        """Flush, waiting up to ``seconds`` in all for a blocked output: the process is about to end.

        Where a signal's handler ends it, who was writing does not go on; rather a line twice than one not at all.
        """
        self._writing = False
        until = time.monotonic() + seconds
        if self.flush() or self.fd < 0 or _poll is None:
            return
        poller = _poll()
        poller.register(self.fd, select.POLLOUT)
        while poller.poll(max(0.0, until - time.monotonic()) * 1000) and not self.flush():
            if time.monotonic() >= until:
                return

    def reopen(self) -> None:
        """Open the output again, where it has a name."""

    def close(self) -> None:
        """Close the descriptor, if it is the sink's own."""

    def _write_some(self, data: bytes) -> int:
        """Write one piece of whole lines; returns the octets taken, 0 when the output is blocked.

        An output that is broken (disk full, reader gone) takes and loses everything.
        """
        piece = self._piece(data)
        try:
            return self._write(piece)
        except BlockingIOError:
            return 0
        except OSError:
            self.dropped += piece.count(b"\n")
            return len(piece)

    def _piece(self, data: bytes) -> bytes:
        if len(data) <= self._chunk:
            return data
        end = data.rfind(b"\n", 0, self._chunk) + 1
        return data[: end or (data.find(b"\n") + 1 or len(data))]

    def _write(self, data: bytes) -> int:
        return posix.write(self.fd, data)


class FileSink(Sink):
    """A file that several processes append to.

    Args:
        path: where it is; it is opened now, and its directory must exist.
        owner: (uid, gid) it is given to, so that workers without privileges can reopen it.
    """

    def __init__(self, path: str, owner: Optional[Callable[[int], None]] = None) -> None:
        self.path = os.path.abspath(path)
        self._owner = owner
        super().__init__(self._open())

    def _open(self) -> int:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            if self._owner is not None:
                self._owner(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def reopen(self) -> None:
        """Open the path again; a file that was renamed for rotation is left behind."""
        self.flush()
        fresh = self._open()
        os.dup2(fresh, self.fd, inheritable=False)  # the number stays, whoever holds it
        os.close(fresh)

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            self.flush()
            os.close(self.fd)
            self.fd = -1


class PipeSink(Sink):
    """A pipe or terminal, given as a descriptor that others use too.

    It is opened anew through /proc where that works, to be non-blocking on its own: the flag belongs to
    the open file, and setting it on a shared one breaks the other users. Elsewhere the descriptor is
    asked before each write whether it takes PIPE_BUF octets.
    """

    line_limit = PIPE_BUF
    _chunk = PIPE_BUF

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._shared = True
        with contextlib.suppress(OSError):  # no /proc, or the descriptor of another user
            self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            self._shared = False

    def _write(self, data: bytes) -> int:
        if self._shared and not _select([], [self.fd], [], 0)[1]:
            return 0
        return posix.write(self.fd, data)

    def close(self) -> None:
        """Close the descriptor if it was opened here."""
        if not self._shared and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class SocketSink(Sink):
    """A socket given as a descriptor, as systemd's journal gives standard output."""

    _chunk = PIPE_BUF

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._socket = socket.socket(fileno=os.dup(fd))

    def _write(self, data: bytes) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close the duplicate."""
        self._socket.close()


class SharedFileSink(Sink):
    """A file or device that standard output was redirected to."""


def standard_sink(fd: int) -> Sink:
    """Return the sink for an inherited descriptor (1 or 2), by what it is."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # closed by whoever started us
        return FileSink(os.devnull)
    if stat.S_ISSOCK(mode):
        return SocketSink(fd)
    if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(fd)):
        return PipeSink(fd)
    return SharedFileSink(fd)


class LineStream:
    """A text stream over a sink, for ``logging.StreamHandler`` and ``wsgi.errors``.

    ``write`` takes anything; what does not end a line waits for its end, so that lines stay whole.
    """

    encoding = "utf-8"

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._rest = ""

    def write(self, text: str) -> int:
        """Take text and pass on its whole lines; returns its length."""
        whole, newline, rest = (self._rest + text).rpartition("\n")
        self._rest = rest
        if newline:
            self.sink.write((whole + newline).encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Try again to write what a blocked output left."""
        self.sink.flush()

    def fileno(self) -> int:
        """Return the descriptor lines are written to."""
        return self.sink.fd

    def isatty(self) -> bool:
        """Whether a person reads the lines."""
        return os.isatty(self.sink.fd)
