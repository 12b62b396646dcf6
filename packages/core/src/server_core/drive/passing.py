"""Idle connections of a busy worker go to an idle one.

Owns: ``PassedConnections`` (a queue of sockets that workers with the same listeners share) and ``Helper`` (the thread
that uses it while the application keeps a ``sync`` worker's only thread).
Must not know: protocols beyond "this connection is idle", WSGI.

Only cleartext HTTP/1 connections go, between two requests, with the new octets still in the kernel: then an engine
that is made afresh knows all there is to know. TLS, HTTP/2, a PROXY prefix and an application that holds the
interpreter lock all the time keep their connections where they are.

A socket in the queue belongs to nobody: whichever worker is idle first takes it, the one it came from included.
"""

from __future__ import annotations

import socket
import threading
import time
from time import monotonic
from typing import Any, Optional, Tuple

from server_core.drive.phases import OPEN
from server_core.drive.poller import READ
from server_core.drive.session import Session

#: Seconds between two looks at the connections while the application keeps the thread.
LOOK_SECONDS = 0.005
#: Looks without any request after which the helper parks.
QUIET_LOOKS = 100
#: Octets of what is said with a socket: an address and the number of a listener.
NOTE_OCTETS = 512

Passed = Tuple[Any, int, Optional[Tuple[str, int]]]


class PassedConnections:
    """A queue of sockets, made before the workers are forked and inherited by all of them.

    Args:
        doors: what the listeners are, and what is spoken there: the same for all who share the queue.
    """

    def __init__(self, doors: Any) -> None:
        self.doors = doors
        self._in, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._in.setblocking(False)
        self._out.setblocking(False)

    def close(self) -> None:
        """Let go of it in this process."""
        self._in.close()
        self._out.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable while a socket waits."""
        return self._out.fileno()

    def put(self, sock: Any, listener: int, client: Optional[Tuple[str, int]]) -> bool:
        """Queue a socket; False when the queue is full.

        Args:
            sock: the socket; a copy of its descriptor travels.
            listener: the number of the listener it was accepted from.
            client: the address of its other end.
        """
        import json  # few servers are ever so busy

        note = json.dumps([listener, client]).encode("utf-8")
        try:
            socket.send_fds(self._in, [note], [sock.fileno()])
        except OSError:  # full; whatever else is wrong, the connection stays where it is
            return False
        return True

    def take(self) -> Optional[Passed]:
        """Return a socket that waits, the number of its listener and its client; None when another was faster."""
        try:
            note, fds, _flags, _address = socket.recv_fds(self._out, NOTE_OCTETS, 1)
        except BlockingIOError:
            return None
        if not fds:
            return None
        import json

        listener, client = json.loads(note)
        return socket.socket(fileno=fds[0]), listener, None if client is None else (client[0], client[1])


class Helper:
    """A thread that passes idle connections on while a request keeps the thread of the loop.

    The loop's thread and this one never touch the loop at the same time: the helper acts with ``guard`` held and
    only while ``running_since`` is set; the loop clears that first and then, if ``helping``, waits for the guard.

    Args:
        reactor: the loop.
        passed: where connections go.
        seconds: how long a request runs before the helper steps in.
    """

    def __init__(self, reactor: Any, passed: PassedConnections, seconds: float) -> None:
        self.running_since = 0.0
        self.helping = False
        self.parked = True
        self._reactor = reactor
        self._passed = passed
        self._seconds = seconds
        self._guard = threading.Lock()
        self._signal = threading.Lock()
        self._signal.acquire()
        self._started = False  # a worker that nobody asked anything needs no thread

    # Called by the loop's thread -----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """A request begins to run."""
        self.running_since = now
        if self.parked:
            self.parked = False
            self._wake()

    def end(self) -> None:
        """The thread is the loop's again."""
        self.running_since = 0.0
        if self.helping:
            with self._guard:
                return

    def _wake(self) -> None:
        if self._started:
            self._signal.release()
            return
        self._started = True
        threading.Thread(target=self._run, name="handover", daemon=True).start()

    # The helper ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        quiet = 0
        while True:
            time.sleep(self._seconds)
            since = self.running_since
            quiet = 0 if since else quiet + 1
            if since and monotonic() - since >= self._seconds:
                self._help(since)
            elif quiet > QUIET_LOOKS:
                quiet = 0
                self._park()

    def _park(self) -> None:
        self.parked = True
        if self.running_since:  # a request began meanwhile and may not have seen it
            self.parked = False
            self._signal.acquire(False)
            return
        self._signal.acquire()

    def _help(self, since: float) -> None:
        """Look at the connections until the request is over."""
        self.helping = True
        while True:
            with self._guard:
                if self.running_since != since:
                    break
                self._look()
            time.sleep(LOOK_SECONDS)
        self.helping = False

    def _look(self) -> None:
        reactor = self._reactor
        for fd, mask in reactor.take_unseen() + reactor.poller.wait(0.0):
            session = reactor.sessions.get(fd)
            if session is not None and not (mask & READ and self._pass(session)):
                # The change was reported to us and will not be again: the loop hears of it later.
                session.missed |= mask
                reactor.post(session)

    def _pass(self, session: Session) -> bool:
        if session.phase != OPEN or session.channels or not session.connection.plain or session.gone:
            return False
        idle = getattr(session.engine, "idle", None)
        if idle is None or not idle():
            return False
        listener = self._reactor.listener_of(session)
        if not self._passed.put(session.sock, listener, session.connection.info.client):
            return False
        session.abandon()
        return True
