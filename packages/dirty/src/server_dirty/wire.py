"""Frames on a unix socket, with shared memory beside them.

Owns: one end of a connection of one call (``Wire``).
Must not know: what a call means, threads, event loops.

A ``Wire`` never blocks. Its steps are generators that yield ``READ`` or ``WRITE`` whenever the socket
is not ready; ``run_blocking`` and ``run_async`` are the two ways to wait for that, so that the logic
of a call stands once for threads and for asyncio.
"""

from __future__ import annotations

import _socket
import array
import asyncio
import os
import select
import socket
import time
from typing import Any, Generator, List, Optional, TypeVar, Union

from server_dirty import frames, regions
from server_dirty.errors import DirtyConnectionError, DirtyProtocolError, DirtyTimeoutError

READ, WRITE = 1, 2
RECEIVE_SIZE = 16 * 1024  # octets of one read
MOST_RECEIVED = 1 << 20  # octets of one read when a frame is known to be large

_DESCRIPTOR_SPACE = socket.CMSG_SPACE(4)
# Plain numbers, as they are asked for every call.
_TRUNCATED = int(socket.MSG_CTRUNC)
_UNIX, _STREAM = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_NONBLOCKING = int(getattr(socket, "SOCK_NONBLOCK", 0))

# What ``socket.socket`` is made from: nothing here waits in a socket, so nothing needs more, under green libraries too.
SystemSocket = _socket.socket

T = TypeVar("T")
Steps = Generator[int, None, T]


class Wire:
    """One end of the connection of one call.

    Args:
        sock: a connected unix stream socket; the wire owns it from now on.
    """

    __slots__ = ("_descriptors", "_reader", "socket")

    def __init__(self, sock: SystemSocket) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.socket = sock
        self._reader: Optional[frames.FrameReader] = None  # made when a frame comes in pieces
        self._descriptors: List[int] = []

    def close(self) -> None:
        """Close the socket and every descriptor that arrived and was not used."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self.socket.close()

    def send(self, outgoing: frames.Outgoing) -> Steps[None]:
        """Send a frame. Raises OSError when the peer has gone."""
        descriptor = regions.write(outgoing.buffers, outgoing.places, outgoing.shared) if outgoing.shared else -1
        try:
            data: Union[bytes, memoryview] = outgoing.data
            while True:
                try:
                    sent = self.socket.send(data) if descriptor < 0 else self._send_with(descriptor, data)
                except (BlockingIOError, InterruptedError):
                    yield WRITE
                    continue
                if descriptor >= 0:
                    os.close(descriptor)
                    descriptor = -1
                if sent == len(data):
                    return
                data = memoryview(data)[sent:]
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _send_with(self, descriptor: int, view: Union[bytes, memoryview]) -> int:
        rights = array.array("i", [descriptor])
        return self.socket.sendmsg([view], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def receive(self, wait: bool = False) -> Steps[Optional[frames.Frame]]:
        """Return the next frame, or None when the peer has closed between two frames.

        Args:
            wait: nothing can have arrived yet.

        Raises:
            DirtyProtocolError: what arrived is not a frame.
            ConnectionError: the peer closed in the middle of one.
        """
        reader = self._reader
        if wait and (reader is None or reader.idle()):
            yield READ
        found = None if reader is None else reader.next_frame()
        while found is None:
            try:
                data = self._receive_part(RECEIVE_SIZE if reader is None else reader.wanted())
            except (BlockingIOError, InterruptedError):
                yield READ
                continue
            if not data:
                if reader is None or reader.idle():
                    return None
                raise ConnectionResetError("the peer closed in the middle of a frame")
            if reader is None:
                found = frames.whole(data)
                if found is not None:
                    break
                reader = self._reader = frames.FrameReader()
            reader.feed(data)
            found = reader.next_frame()
        kind, payload, shared = found
        return frames.Frame(kind, payload, self._take_region(shared) if shared else None)

    def _receive_part(self, wanted: int) -> bytes:
        size = RECEIVE_SIZE if wanted <= RECEIVE_SIZE else min(wanted, MOST_RECEIVED)
        data, ancillary, flags, _ = self.socket.recvmsg(size, _DESCRIPTOR_SPACE)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(content[: len(content) // 4 * 4])
                self._descriptors.extend(received)
        if flags & _TRUNCATED:
            raise DirtyProtocolError("frame: expected one descriptor, got more (or the descriptor table is full)")
        return data

    def _take_region(self, size: int) -> memoryview:
        """Map the memory file that came with a frame; it lives as long as a view of it does."""
        if not self._descriptors:
            raise DirtyProtocolError("frame: expected a descriptor for its shared octets, got none")
        return regions.read(self._descriptors.pop(0), size)

    def peer_gone(self) -> bool:
        """Whether the peer has closed its end; it never sends after its call, so any end counts."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True


def connect(path: str) -> SystemSocket:
    """Return a socket connected to ``path``; raises BlockingIOError when its queue is full."""
    sock = SystemSocket(_UNIX, _STREAM | _NONBLOCKING)
    try:
        if not _NONBLOCKING:
            sock.setblocking(False)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def accept(listener: socket.socket) -> SystemSocket:
    """Return a connection that waits; raises what ``socket.accept`` raises."""
    # The system's accept, without the enumerations that socket.accept() builds for each call.
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]
    return SystemSocket(_UNIX, _STREAM, 0, descriptor)


def run_blocking(steps: Steps[T], sock: SystemSocket, deadline: Optional[float] = None) -> T:
    """Run ``steps`` in this thread (or greenlet), waiting for the socket with poll.

    Args:
        deadline: monotonic seconds after which ``DirtyTimeoutError`` is raised, or None.
    """
    try:
        wanted = next(steps)
        while True:
            _wait(sock, wanted, deadline)
            wanted = next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    finally:
        steps.close()


def _wait(sock: SystemSocket, wanted: int, deadline: Optional[float]) -> None:
    timeout = None if deadline is None else deadline - time.monotonic()
    if timeout is not None and timeout <= 0:
        raise DirtyTimeoutError("the call did not end in time")
    if not hasattr(select, "poll"):  # macOS builds without it, and eventlet, which patches select only
        select.select([sock] if wanted == READ else [], [sock] if wanted == WRITE else [], [], timeout)
        return
    poller = select.poll()
    poller.register(sock, select.POLLIN if wanted == READ else select.POLLOUT)
    poller.poll(None if timeout is None else max(1, int(timeout * 1000)))


async def run_async(steps: Steps[T], sock: SystemSocket, deadline: Optional[float] = None) -> T:
    """Run ``steps`` on the running event loop. Arguments and errors as ``run_blocking``."""
    loop = asyncio.get_running_loop()
    try:
        wanted = next(steps)
        while True:
            timeout = None if deadline is None else deadline - time.monotonic()
            if timeout is not None and timeout <= 0:
                raise DirtyTimeoutError("the call did not end in time")
            await _wait_async(loop, sock.fileno(), wanted, timeout)
            wanted = next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    finally:
        steps.close()


async def _wait_async(loop: asyncio.AbstractEventLoop, descriptor: int, wanted: int, timeout: Optional[float]) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_reader, loop.remove_reader) if wanted == READ else (loop.add_writer, loop.remove_writer)
    add(descriptor, _set_ready, ready)
    timer = None if timeout is None else loop.call_later(timeout, _set_ready, ready)
    try:
        await ready
    finally:
        remove(descriptor)
        if timer is not None:
            timer.cancel()


def _set_ready(ready: asyncio.Future[Any]) -> None:
    if not ready.done():
        ready.set_result(None)


def unreachable(path: str, error: OSError) -> DirtyConnectionError:
    """Return the error for a pool that cannot be reached at ``path``."""
    return DirtyConnectionError(
        f"dirty pool: expected a listening socket at {path}, got {error.strerror or error}", {"socket_path": path}
    )
