"""Frames on a unix socket, with shared memory beside them.

Owns: one end of a connection of one call (``Wire``), the check of the peer.
Must not know: what a call means, threads, event loops.

A ``Wire`` never blocks. Its steps are generators that yield ``READ`` or ``WRITE`` whenever the socket
is not ready; ``run_blocking`` and ``run_async`` are the two ways to wait for that, so that the logic
of a call stands once for threads and for asyncio.
"""

from __future__ import annotations

import array
import asyncio
import os
import select
import socket
import struct
import time
from typing import Any, Generator, List, Optional, TypeVar, Union

from server_dirty import frames, regions
from server_dirty.errors import DirtyConnectionError, DirtyProtocolError, DirtyTimeoutError

READ, WRITE = 1, 2
RECEIVE_SIZE = 16 * 1024  # octets of one read
MOST_RECEIVED = 1 << 20  # octets of one read when a frame is known to be large

_CREDENTIALS = struct.Struct("3i")  # process, user, group
_DESCRIPTOR_SPACE = socket.CMSG_SPACE(4)
_TRUNCATED = int(socket.MSG_CTRUNC)  # a plain number: this is asked for every read

T = TypeVar("T")
Steps = Generator[int, None, T]


class Wire:
    """One end of the connection of one call.

    Args:
        sock: a connected unix stream socket; the wire owns it from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.socket = sock
        self._reader = frames.FrameReader()
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
                    sent = self._send_part(data, descriptor)
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

    def _send_part(self, view: Union[bytes, memoryview], descriptor: int) -> int:
        if descriptor < 0:
            return self.socket.send(view)
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
        if wait and self._reader.idle():
            yield READ
        while True:
            found = self._reader.next_frame()
            if found is not None:
                return self._frame(*found)
            try:
                data = self._receive_part()
            except (BlockingIOError, InterruptedError):
                yield READ
                continue
            if not data:
                if self._reader.idle():
                    return None
                raise ConnectionResetError("the peer closed in the middle of a frame")
            found = self._reader.whole(data)
            if found is not None:
                return self._frame(*found)
            self._reader.feed(data)

    def _frame(self, kind: int, payload: bytes, shared: int) -> frames.Frame:
        return frames.Frame(kind, payload, self._take_region(shared) if shared else None)

    def _receive_part(self) -> bytes:
        data, ancillary, flags, _ = self.socket.recvmsg(
            max(RECEIVE_SIZE, min(self._reader.wanted(), MOST_RECEIVED)), _DESCRIPTOR_SPACE
        )
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


def check_peer(sock: socket.socket) -> None:
    """Refuse a peer of another user (root excepted). Raises PermissionError."""
    if not hasattr(socket, "SO_PEERCRED"):
        return  # the socket's directory (0700) is the guard there
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid != 0 and uid != os.geteuid():
        raise PermissionError(f"peer: expected user {os.geteuid()}, got {uid}")


def connect(path: str) -> socket.socket:
    """Return a socket connected to ``path``; raises BlockingIOError when its queue is full."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def run_blocking(steps: Steps[T], sock: socket.socket, deadline: Optional[float] = None) -> T:
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


def _wait(sock: socket.socket, wanted: int, deadline: Optional[float]) -> None:
    timeout = None if deadline is None else deadline - time.monotonic()
    if timeout is not None and timeout <= 0:
        raise DirtyTimeoutError("the call did not end in time")
    if not hasattr(select, "poll"):  # macOS builds without it, and eventlet, which patches select only
        select.select([sock] if wanted == READ else [], [sock] if wanted == WRITE else [], [], timeout)
        return
    poller = select.poll()
    poller.register(sock, select.POLLIN if wanted == READ else select.POLLOUT)
    poller.poll(None if timeout is None else max(1, int(timeout * 1000)))


async def run_async(steps: Steps[T], sock: socket.socket, deadline: Optional[float] = None) -> T:
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
