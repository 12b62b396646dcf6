"""The loop of the WSGI workers: one thread owns every connection; the application runs where a subclass says.

Owns: waiting, accepting, timers, the once-a-second duties, the worker's bounds, draining at a stop.
Must not know: WSGI (the gateway), protocols (the engines), what happens on one connection (``session``).
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any, Deque, Dict, List, Optional, Tuple

from server_core.drive.accept import Acceptor
from server_core.drive.channel import Channel
from server_core.drive.clock import monotonic
from server_core.drive.duties import Duties
from server_core.drive.passing import Helper
from server_core.drive.phases import CLOSED
from server_core.drive.poller import READ, make_poller
from server_core.drive.session import Session
from server_core.drive.streams import report_unfinished

#: How long requests run in the thread of the loop before it looks at its connections again.
ROUND_SECONDS = 0.005


class Reactor(Duties):
    """The loop. A subclass says where requests run and how a thread of theirs waits.

    Args:
        worker: the worker, for its listeners, settings, log, heartbeat and place on the scoreboard.
        gateway: runs the application (``drive.wsgi.Gateway``).
        openers: for each of ``worker.sockets``, what makes its connections (``drive.connection.Opener``).
    """

    def __init__(self, worker: Any, gateway: Any, openers: List[Any]) -> None:
        super().__init__(worker, gateway, openers)
        self.poller = make_poller()
        self.rearms = self.poller.rearms
        self.sessions: Dict[int, Session] = {}
        self._board = worker.board
        self._open_connections = worker.board.open_connections()
        self.acceptors = [Acceptor(listener, self.poller, self.shared, self.log) for listener in worker.sockets]
        self._openers = dict(zip((acceptor.fd for acceptor in self.acceptors), openers))
        self._doors = list(self.acceptors)  # by the numbers that workers tell one another; also while it drains
        self._listening = {acceptor.fd: acceptor for acceptor in self.acceptors}
        #: What the poller reported and nobody has looked at yet. While a request runs in between, its octets are still
        #: in the kernel, and the connection can be passed on.
        self.unseen: List[Tuple[int, int]] = []
        self._seen = 0  # how many of them have been looked at
        self._posted: Deque[Session] = deque()
        self._knocking: List[Acceptor] = []  # of listeners at which a connection waits
        self._asleep = False
        self._passed: Any = worker.passed
        self._passed_fd: int = -1 if worker.passed is None else worker.passed.fileno()
        self._declines = False  # without room what other workers pass on is left to the next
        if worker.passed is not None:
            self.poller.add_listener(self._passed_fd)
        self._alarms = [fd for fd in (worker.wakeup[0], worker.lifeline) if fd is not None and fd >= 0]
        for fd in self._alarms:
            self.poller.add_listener(fd)

    # The loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the worker is told to leave, then finish what is there."""
        while self.worker.alive:
            self.turn()
            self.run_ready()
        self.drain()
        self.close()

    def turn(self) -> None:
        """Wait for something to happen and act on it, except for running requests in this thread."""
        now = monotonic()
        self._asleep = True
        called = now
        timeout = 0.0 if self._posted or self.has_ready() else self._timeout(now)
        behind = self.poller.full or self._seen < len(self.unseen)
        happened = self.poller.wait(timeout)
        self._asleep = False
        now = monotonic()
        self.arrivals.polled(called, self.poller.woke, behind)
        if self._logs_access or now >= self.next_tick:
            self.tick(now)
        self.unseen.extend(happened)
        now = self._look_at_unseen(now)
        if self._posted:
            self._look_at_posted(now)
        # After the reads: a deadline that passed while the loop was busy is not the fault of who sent in time.
        for session in self.wheel.due(now):
            session.on_timer(now)
        for acceptor in self.acceptors:
            acceptor.unmute(now)
        if self._knocking:
            self._accept(now)
            self._look_at_unseen(now)

    def _look_at_unseen(self, now: float) -> float:
        """Act on what the poller reported, and on connections that were opened; returns the time."""
        sessions = self.sessions
        while self._seen < len(self.unseen):  # a request that waits for its reader, or the helper, goes on in here
            fd, mask = self.unseen[self._seen]
            self._seen += 1
            session = sessions.get(fd)
            if session is not None:
                if not session.watched:
                    self._meet(session, now)
                else:
                    session.on_ready(mask, now)
                now = self.run_at_once(now)
                if not session.watched:
                    self._watch(session)
            elif fd in self._listening:
                self._knocking.append(self._listening[fd])
            elif fd in self._alarms:
                self._alarm(fd)
            elif fd == self._passed_fd:
                self._take_passed(now)
        self.take_unseen()
        return now

    def take_unseen(self) -> List[Tuple[int, int]]:
        """Remove and return what the poller reported and nobody has looked at."""
        rest = self.unseen[self._seen :]
        self.unseen = []
        self._seen = 0
        return rest

    def _timeout(self, now: float) -> float:
        until = self.next_tick
        due = self.wheel.deadline()
        if due is not None and due < until:
            until = due
        for acceptor in self.acceptors:
            if acceptor.muted_until and acceptor.muted_until < until:
                until = acceptor.muted_until
        if self._logs_access:
            due = self.gateway.log_deadline()
            if due is not None and due < until:
                until = due
        return until - now if until > now else 0.0

    def _alarm(self, fd: int) -> None:
        """A signal arrived, a thread posted something, or the arbiter is gone."""
        try:
            if not os.read(fd, 512):
                self.worker.alive = False
        except BlockingIOError:
            pass

    # Sessions posted by other threads ----------------------------------------------------------------------------

    def post(self, session: Session) -> None:
        """Have the loop look at ``session``. Called by any thread."""
        if session.queued:
            return
        session.queued = True
        self._posted.append(session)
        if self._asleep:
            self._asleep = False
            self.rouse()

    def rouse(self) -> None:
        """Wake the loop."""
        with suppress(BlockingIOError):  # it is full, so the loop will wake
            os.write(self.worker.wakeup[1], b"\0")

    def _look_at_posted(self, now: float) -> None:
        for _ in range(len(self._posted)):
            session = self._posted.popleft()
            session.queued = False
            session.on_ready(0, now)
            if not session.watched:
                self._watch(session)

    # Accepting -----------------------------------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        knocking, self._knocking = self._knocking, []
        board = self._board
        for acceptor in knocking:
            if acceptor.muted_until:
                continue
            own = len(self.sessions)
            fewest = board.fewest_connections() if self.shared else own
            opener = self._openers[acceptor.fd]
            for sock, info in acceptor.accept(now, self.worker_connections - own, self.is_busy(), own, fewest):
                self._open(sock, opener.open(info, now))

    def _open(self, sock: Any, connection: Any) -> None:
        """Begin with a connection; its request is often there already, so it counts as reported."""
        session = Session(self, sock, connection, self.make_turn())
        self.sessions[session.fd] = session
        self._open_connections[0] = len(self.sessions)
        self.unseen.append((session.fd, READ))

    def _meet(self, session: Session, now: float) -> None:
        """Look at a new connection; what is not its own request to be run at once must not keep the poller from it."""
        others = self.has_ready()
        session.on_ready(READ, now)
        if others or not self.has_ready():
            self._watch(session)

    def _watch(self, session: Session) -> None:
        """Have the poller report a connection from now on; one that was served and closed at once it never hears of."""
        if session.phase != CLOSED:
            session.watched = True
            self.poller.add_stream(session.fd)

    def _take_passed(self, now: float) -> bool:
        """Another worker, or this one, was busy and passed a connection on; returns whether there was one to take."""
        if self._passed is None:
            return False
        if len(self.sessions) >= self.worker_connections:
            self._declines = True
            self.poller.mute(self._passed_fd, True)
            return False
        passed = self._passed.take()
        if passed is None:
            return False
        sock, number, client = passed
        door = self._doors[number]
        info = door.admit(sock, client)
        info.draining = not self.worker.alive
        self._open(sock, self._openers[door.fd].open(info, now))
        return True

    def _take_forgotten(self) -> bool:
        """Nothing is left to do: take a connection that was passed on and that nobody took."""
        now = monotonic()
        taken = self._take_passed(now)
        self._look_at_unseen(now)
        return taken

    def listener_of(self, session: Session) -> int:
        """Return the number of the listener that ``session`` was accepted from."""
        server = session.connection.info.server
        return next(number for number, door in enumerate(self._doors) if door.server == server)

    def forget(self, session: Session) -> None:
        """``session`` is about to close its socket."""
        if session.watched:
            self.poller.closing(session.fd)
        del self.sessions[session.fd]
        self._open_connections[0] = len(self.sessions)
        if self._declines:
            self._declines = False
            self.poller.mute(self._passed_fd, False)

    # Draining ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take what waits in the backlog, finish every request, and wait for idle clients as long as they may idle.

        What busy workers pass on is still taken: all others may have left.
        """
        self.worker.stopping()
        now = monotonic()
        until = now + self.worker.drain_seconds()
        for acceptor in self.acceptors:
            for sock, info in acceptor.take(max(0, self.worker_connections - len(self.sessions)), now):
                self._open(sock, self._openers[acceptor.fd].open(info, now))
            if not acceptor.muted_until:
                self.poller.remove(acceptor.fd)
            del self._listening[acceptor.fd]
        self.acceptors = []
        now = self._look_at_unseen(now)
        for session in list(self.sessions.values()):
            session.drain(now)
        while (self.sessions or self.has_ready() or self._take_forgotten()) and monotonic() < until:
            self.next_tick = min(self.next_tick, until)  # the loop sleeps no longer than that
            self.turn()
            self.run_ready()

    def close(self) -> None:
        """Close what is left."""
        report_unfinished(self.log, self.sessions.values())
        for session in list(self.sessions.values()):
            session.close()
        self.poller.close()
        self.finish_log()

    # Where requests run ----------------------------------------------------------------------------------------------

    def make_turn(self) -> Any:
        """Return the turn of a new session: a lock, or None where one thread does everything."""
        raise NotImplementedError

    def streams(self, channel: Channel) -> bool:
        """Whether the body of a request goes to the application as it arrives."""
        raise NotImplementedError

    def has_ready(self) -> bool:
        """Whether ``run_ready`` has something to do, so that the loop must not sleep."""
        raise NotImplementedError

    def is_busy(self) -> bool:
        """Whether a new connection is better left to another worker."""
        return self.has_ready()

    def run_ready(self) -> None:
        """Serve requests in this thread, where that is the way."""
        raise NotImplementedError

    def run_at_once(self, now: float) -> float:
        """Serve what a connection just brought before looking at the next; returns the time."""
        return now

    def wait_writable(self, channel: Channel, spools: bool) -> bool:
        """Block the application until its stream has room; False = go on into a spool, others wait."""
        raise NotImplementedError

    def wait_readable(self, channel: Channel) -> None:
        """Block the application until something of its body may have come."""
        raise NotImplementedError

    def wake(self, channel: Channel) -> None:
        """Wake the application that waits in ``wait_*``."""
        raise NotImplementedError


class ReadyQueue:
    """Requests that are ready to be run, in their order. Each knows the one behind it."""

    __slots__ = ("_last", "first")

    def __init__(self) -> None:
        self.first: Optional[Channel] = None
        self._last: Optional[Channel] = None

    def put(self, channel: Channel) -> None:
        """Add a request."""
        if self.first is None:
            self.first = channel
        else:
            self._last.behind = channel  # type: ignore[union-attr]  # there is one when there is a first
        self._last = channel

    def take(self) -> Optional[Channel]:
        """Remove and return the first; None when there is none."""
        channel = self.first
        if channel is not None:
            self.first = channel.behind
            channel.behind = None
            if self.first is None:
                self._last = None  # a request that is over is not kept until the next
        return channel


class InlineReactor(Reactor):
    """Requests run in the thread of the loop, one after another (``sync``)."""

    def __init__(self, worker: Any, gateway: Any, openers: List[Any]) -> None:
        super().__init__(worker, gateway, openers)
        self._ready = ReadyQueue()
        self._nested = False
        self._helper: Any = None
        worker.board.capacity(1)
        if worker.passed is not None:
            self._helper = Helper(self, worker.passed, worker.cfg.busy_handover)

    def make_turn(self) -> None:
        """One thread does everything."""
        return

    def submit(self, channel: Channel) -> None:
        """Run it when this turn is over."""
        self._ready.put(channel)

    def streams(self, channel: Channel) -> bool:
        """The only thread cannot wait for a body: each is taken as a whole."""
        return False

    def has_ready(self) -> bool:
        """Whether requests wait to be run."""
        return self._ready.first is not None

    def run_ready(self) -> None:
        """Run the requests of this turn; stop early when they take long."""
        ready = self._ready
        gateway = self.gateway
        helper = self._helper
        until = 0.0
        while True:
            channel = ready.take()
            if channel is None:
                return
            if channel.lost:
                channel.done()
                continue
            if helper is not None:
                helper.begin(monotonic())
            try:
                now = gateway.run(channel, self.record)
            finally:
                if helper is not None:
                    helper.end()
            channel.session.settle(now)
            if now >= self.next_tick:
                self.tick(now)  # however many requests wait, the worker is alive while each of them ends
            until = until or channel.began + ROUND_SECONDS
            if now > until:
                return

    def wait_writable(self, channel: Channel, spools: bool) -> bool:
        """Move octets of all connections until this one has room, or another request wants the thread."""
        if not channel.session.watched:
            self._watch(channel.session)
        channel.session.settle(monotonic())
        while channel.full():
            if spools and self.has_ready():
                return False
            self.turn_without_requests()
        return True

    def run_at_once(self, now: float) -> float:
        """Serve what a connection just brought: one behind a slow request had better stay in the kernel."""
        if self._nested or not self.has_ready():
            return now
        self.run_ready()
        return monotonic()

    def turn_without_requests(self) -> None:
        """A turn in the middle of a request: the requests that become ready wait."""
        before, self._ready = self._ready, ReadyQueue()
        self._nested = True
        if self._helper is not None:
            self._helper.end()
        try:
            self.turn()
        finally:
            if self._helper is not None:
                self._helper.begin(monotonic())
            self._ready, later = before, self._ready
            channel = later.take()
            while channel is not None:
                before.put(channel)
                channel = later.take()
            self._nested = False

    def wait_readable(self, channel: Channel) -> None:
        """Never called: bodies are taken as a whole."""
        raise RuntimeError("body: expected all of it before the application runs, got a request for more")

    def wake(self, channel: Channel) -> None:
        """Nobody else could wait."""
