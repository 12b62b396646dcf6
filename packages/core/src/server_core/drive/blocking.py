"""A greenlet for each connection, and one for each HTTP/2 stream: the driver of the green workers.

Owns: ``BlockingServer`` (accepting, the once-a-second duties, draining) and ``BlockingSession`` (how one connection
reads, writes and waits).
Must not know: which library makes blocking calls cooperative. Only ``socket``, ``select``, ``threading`` and ``time``
are used, which the worker has patched before; with unpatched ones it runs on threads.

Sockets have no timeouts here. Deadlines are watched by one loop over the timer wheel, which ends a connection by
shutting its socket down: whoever is blocked on it wakes.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from time import monotonic
from typing import Any, Deque, Dict, List, Set, Tuple

from server_core.drive.accept import DECLINE_SECONDS, EXHAUSTED_SECONDS, Door, is_exhausted, is_shut, uneven
from server_core.drive.channel import Channel
from server_core.drive.duties import Duties
from server_core.drive.linger import Linger
from server_core.drive.phases import BROKEN, CLOSED, CLOSING, OPEN
from server_core.drive.session import Session
from server_core.drive.sockio import RECEIVE_OCTETS, WOULD_BLOCK, transmit
from server_core.drive.streams import report_unfinished, request_line
from server_core.drive.timers import GRANULARITY
from server_http.events import Warned
from server_http.fields import printable
from server_http.states import HTTP_2

#: How long a stream of several sleeps at most before it looks at its connection again, in seconds.
WAIT_SECONDS = 1.0


class OverdueError(BaseException):
    """Thrown into the greenlet of a request that outlasted ``request_timeout``; not for applications to catch."""


class BlockingSession(Session):
    """A connection whose calls block only the greenlet that makes them.

    Requests of a connection with one stream at a time (HTTP/1) are run by its own greenlet, between two reads.
    """

    __slots__ = ("_blocked_since", "_lock", "_todo", "_wanted")

    def __init__(self, driver: Any, sock: Any, connection: Any) -> None:
        super().__init__(driver, sock, connection, None)
        self._lock = threading.RLock()  # the turn: a greenlet's, where the library has patched it
        self._blocked_since = 0.0  # when whoever holds the turn began to write, and nothing has gone out
        self._todo: Deque[Channel] = deque()
        self._wanted = threading.Event()  # set when reading may go on

    # The greenlet of the connection ------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve the connection to its end."""
        try:
            while self.phase == OPEN:
                if self.readable and self.layer.want_read():  # a socket at its end would be read without a wait
                    self.pump()
                else:
                    self._wanted.wait(WAIT_SECONDS)
                    self._wanted.clear()
                while self._todo:
                    self.driver.run_request(self._todo.popleft())
        except Exception as error:
            self._defect(error)
        finally:
            self._finish()

    def pump(self) -> None:
        """Wait for octets and act on them."""
        try:
            data = self.sock.recv(RECEIVE_OCTETS)
        except OSError as error:
            self.enter()
            self.break_off(error)
            self.leave()
            return
        self.enter()
        try:
            if self.phase == OPEN:
                now = monotonic()
                self.note_arrival(now)
                self.feed(data, now)
        finally:
            self.leave()

    def add(self, channel: Channel) -> None:
        """Have the connection's own greenlet run a request."""
        self._todo.append(channel)

    def _finish(self) -> None:
        if self.phase == CLOSING and self.linger:
            self._linger()
        while self._todo:  # read, but nobody is left to answer
            self._todo.popleft().done()
        self.close()

    def _linger(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while select.select([self.sock], [], [], max(0.0, self.lingering.until - monotonic()))[0]:
                if self.lingering.discard(self.sock, self.fd):
                    break
        except OSError:  # the peer was faster
            return

    # What a Session does otherwise ---------------------------------------------------------------------------------

    def enter(self) -> None:
        """Take the turn, waiting for it."""
        self._lock.acquire()

    def try_enter(self) -> bool:
        """Take the turn unless a greenlet has it; returns whether it was taken."""
        return self._lock.acquire(False)

    def leave(self) -> None:
        """Give the turn back; deadlines and the end are for others to see."""
        if self.phase == OPEN:
            deadline = self.layer.deadline()
            if deadline is not None:
                self.driver.wheel.arm(self, deadline)
        elif self.phase < CLOSED:
            self._stop_reading()
        self._lock.release()

    def _write(self) -> bool:
        """Write what waits, all of it; return whether there was anything."""
        wrote = False
        while self.phase < BROKEN:
            segments = self.queue if self.queue is not None else self.layer.segments()
            if not segments:
                break
            if not self._blocked_since:
                self._blocked_since = monotonic()
                if self.phase == CLOSING:  # the layer is asked for no deadline any more
                    self.driver.wheel.arm(self, self._blocked_since + (self.driver.send_timeout or WAIT_SECONDS))
            try:
                count = transmit(self.sock, self.fd, segments, self.use_sendfile)  # a green socket may wait here, too
                if count == WOULD_BLOCK:
                    select.select([], [self.sock], [])
                    continue
            except OSError as error:
                self.break_off(error)
                return False
            self._blocked_since = 0.0
            self.layer.sent(count)
            wrote = True
        return wrote

    def read_more(self) -> None:
        """Credit was given back: the connection's greenlet may read on."""
        self._wanted.set()

    def _expire(self, now: float) -> None:
        if self.phase == CLOSING and self._blocked_since:
            self._check_reader(now)
            return
        if self.phase == CLOSING and self.linger:
            if now >= self.lingering.until:
                self._shut_down(socket.SHUT_RDWR)
            else:
                self.driver.wheel.arm(self, self.lingering.until)
            return
        deadline = self.layer.deadline()
        if self.phase != OPEN or deadline is None:
            return
        if deadline > now:
            self.driver.wheel.arm(self, deadline)
        else:
            self.driver.spawn(self._layer_expired)  # it may have to wait for the peer, and the loop must not

    def _check_reader(self, now: float) -> None:
        """Whoever holds the turn is blocked on a peer that does not read: give it ``send_timeout``, not less.

        The engine cannot be asked, and not each of its deadlines is an end.
        """
        timeout: float = self.driver.send_timeout
        since = self._blocked_since or now
        if timeout and now - since >= timeout:
            message = f"output: expected the peer to read within {timeout:g} s, got no progress"
            self.driver.warn(self, Warned(message))
            self._shut_down(socket.SHUT_RDWR)
        else:
            self.driver.wheel.arm(self, since + timeout if timeout else now + WAIT_SECONDS)

    def _layer_expired(self) -> None:
        """A deadline passed, in a greenlet of its own."""
        now = monotonic()
        if not self.try_enter():
            self._check_reader(now)
            return
        try:
            self.dispatch(self.layer.handle_timer(now), now)
            self.flush(now)
        except Exception as error:
            self._defect(error)
        finally:
            self.leave()

    def settle(self, now: float) -> None:
        """The connection's own greenlet sees to its end."""

    def _stop_reading(self) -> None:
        """Wake the greenlet that waits for octets; it then finds that there is nothing more to do.

        Where it is to linger the peer wakes it, by its end or by what it still sends, or else the timer: after
        SHUT_RD nobody could tell when the peer is through, and what it sends then would reset the connection.
        """
        self._wanted.set()
        if self.lent:
            return
        if self.phase != CLOSING or not self.linger:
            # Everything is written. A green close() takes effect when the greenlets that are ready have had their turn,
            # but the peer may wait for the end; unless it is to see a reset instead.
            resets = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER)
            self._shut_down(socket.SHUT_RD if resets else socket.SHUT_RDWR)
        elif self.lingering is None:
            self.lingering = Linger(monotonic())
            self.driver.wheel.arm(self, self.lingering.until)
            self._shut_down(socket.SHUT_WR)

    def _defect(self, error: Exception) -> None:
        """As a session does; the connection's own greenlet closes it."""
        super()._defect(error)
        self._stop_reading()

    def hang_up(self) -> None:
        """End the connection under whoever is blocked on it."""
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:  # it is closed already
            return


class BlockingServer(Duties):
    """The driver of a green worker.

    Args:
        worker: the worker.
        gateway: runs the application.
        openers: for each of ``worker.sockets``, what makes its connections.
        green: ``green.spawn(function, *args)`` starts a greenlet, ``green.current()`` is the one that runs, and
            ``green.soon(function, *args)`` calls a function from the loop, between two greenlets.
    """

    def __init__(self, worker: Any, gateway: Any, openers: List[Any], green: Any) -> None:
        super().__init__(worker, gateway, openers)
        self._green = green
        self.spawn = green.spawn
        self._current = green.current
        self._request_timeout: float = worker.cfg.request_timeout
        self._requests: Dict[Channel, Tuple[float, Any]] = {}  # since when they run, and the greenlet
        self.send_timeout: float = worker.cfg.send_timeout
        self._sessions: Set[BlockingSession] = set()
        self._running = 0  # streams in greenlets of their own
        self._room = threading.Semaphore(worker.cfg.worker_connections)
        self._doors = [Door(listener) for listener in worker.sockets]
        self._listeners: List[Any] = []  # cooperative twins of the worker's, one for each door

    # The loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the worker is told to leave, then finish what is there."""
        for door, opener in zip(self._doors, self.openers):
            listener = socket.socket(door.family, socket.SOCK_STREAM, 0, fileno=door.sock.dup().detach())
            self._listeners.append(listener)
            self.spawn(self._accept, listener, door, opener)
        while self.worker.alive:
            time.sleep(GRANULARITY)
            self._turn()
        self._drain()

    def _turn(self) -> None:
        now = monotonic()
        self.tick(now)
        for session in self.wheel.due(now):
            session.on_timer(now)

    def _drain(self) -> None:
        self.worker.stopping()
        now = monotonic()
        until = now + self.worker.drain_seconds()
        self._stop_accepting(now)
        for session in list(self._sessions):
            self.spawn(session.drain, now)  # each may have to wait for its peer
        while (self._sessions or self._running) and monotonic() < until:
            time.sleep(GRANULARITY / 5)
            self._turn()
        report_unfinished(self.log, self._sessions)
        for session in list(self._sessions):
            session.close()
        self.finish_log()

    def _stop_accepting(self, now: float) -> None:
        """Take what is in the backlog, then accept no more: nobody would serve what a greenlet accepts at the end."""
        for listener in self._listeners:
            listener.close()  # whoever is blocked on it wakes
        for door, opener in zip(self._doors, self.openers):
            for sock, info in door.take(max(0, self.worker_connections - len(self._sessions)), now):
                self._room.acquire(False)
                self._open(sock, opener.open(info, now))

    def _accept(self, listener: Any, door: Door, opener: Any) -> None:
        """Take connections from one listener, as long as the worker lives and has room."""
        board = self.worker.board
        while self.worker.alive:
            self._room.acquire()
            if self.shared and uneven(len(self._sessions), board.fewest_connections()):
                time.sleep(DECLINE_SECONDS)
            try:
                sock, address = listener.accept()
            except OSError as error:
                self._room.release()
                if is_exhausted(error):
                    self.log.error("accept: expected a free descriptor, got: %s", error.strerror)  # noqa: TRY400 - as is
                    time.sleep(EXHAUSTED_SECONDS)
                elif is_shut(error):
                    return
                else:
                    time.sleep(DECLINE_SECONDS)  # of one connection; should it last, others get their turn
                continue
            self._open(sock, opener.open(door.admit(sock, address), monotonic()))

    def _open(self, sock: Any, connection: Any) -> None:
        """Begin with a connection, in a greenlet of its own."""
        session = BlockingSession(self, sock, connection)
        self._sessions.add(session)
        self.worker.board.connections(len(self._sessions))
        session.enter()
        session.leave()  # its first deadline
        self.spawn(session.serve)

    def beat(self, now: float) -> None:
        """The worker is alive; say how much of its time it has used."""
        super().beat(now)
        self.worker.board.busy(time.process_time())
        if self._request_timeout:
            self._end_overdue(now)

    def post(self, session: BlockingSession) -> None:
        """Nobody has to look: whoever gives the turn back has seen to the deadlines."""

    def forget(self, session: BlockingSession) -> None:
        """``session`` is about to close its socket."""
        self._sessions.discard(session)
        self.worker.board.connections(len(self._sessions))
        self._room.release()

    # Requests ----------------------------------------------------------------------------------------------------

    def submit(self, channel: Channel) -> None:
        """Run a request: where several streams share a connection, in a greenlet of its own."""
        if channel.request.version == HTTP_2:
            self._running += 1
            self.spawn(self._run_stream, channel)
        else:
            channel.session.add(channel)

    def _run_stream(self, channel: Channel) -> None:
        try:
            self.run_request(channel)
        finally:
            self._running -= 1

    def run_request(self, channel: Channel) -> None:
        """Run one request; nothing that an application raises ends a greenlet of the server."""
        if channel.lost:
            channel.done()
            return
        self._requests[channel] = (monotonic(), self._current())
        try:
            self.gateway.run(channel, self.record)
        except OverdueError:
            self.log.debug("Ended %s %s", channel.request.method, channel.request.target)
        except BaseException as error:  # SystemExit and the timeouts of gevent are not meant for the server
            uri = printable(channel.request.target)
            self.log.error("Error handling request %s", uri, exc_info=error)  # noqa: TRY400 - it is given
        finally:
            del self._requests[channel]

    def requests(self) -> Dict[Any, str]:
        """Return the greenlets that run requests, with the request, the oldest first."""
        return {greenlet: request_line(channel) for channel, (_, greenlet) in self._requests.items()}

    def _end_overdue(self, now: float) -> None:
        """End the requests that have run for longer than ``request_timeout``."""
        late = [channel for channel, (began, _) in self._requests.items() if began < now - self._request_timeout]
        for channel in late:
            self.spawn(self._end_request, channel)  # the answer may have to wait for its peer

    def _end_request(self, channel: Channel) -> None:
        session = channel.session
        if channel.lost or channel not in self._requests:
            return
        if session.try_enter():
            try:
                if not channel.finished:
                    self.overdue(channel, monotonic())
            finally:
                session.leave()
        else:  # its greenlet holds the turn, blocked on a peer that does not read
            session.hang_up()
        self._green.soon(self._interrupt, channel)

    def _interrupt(self, channel: Channel) -> None:
        """Called from the loop: end the greenlet's request, unless it has ended meanwhile."""
        if channel in self._requests:
            self._requests[channel][1].throw(OverdueError())

    def streams(self, channel: Channel) -> bool:
        """Every body goes to the application as it arrives: waiting costs nothing here."""
        return True

    def wait_writable(self, channel: Channel, spools: bool) -> bool:
        """Block until the stream has room. Nobody ever waits for this greenlet, so nothing is spooled."""
        while channel.full():
            self._wait(channel)
        return True

    def wait_readable(self, channel: Channel) -> None:
        """Block until something of the body may have come."""
        if channel.request.version == HTTP_2:
            if not (channel.body.ready() or channel.lost):
                self._wait(channel)
        elif channel.session.phase == OPEN:
            channel.session.pump()
        else:
            channel.lose()

    def _wait(self, channel: Channel) -> None:
        channel.waiter = threading.Event()
        channel.waiter.wait(WAIT_SECONDS)
        channel.waiter = None

    def wake(self, channel: Channel) -> None:
        """Wake the greenlet that waits for ``channel``."""
        if channel.waiter is not None:
            channel.waiter.set()
