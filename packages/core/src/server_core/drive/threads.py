"""A pool of threads that run requests, and the reactor that feeds it (``gthread``).

Owns: ``Pool``: one queue, its threads, who is woken and when; ``PooledReactor``: how a thread waits for its client.
Must not know: WSGI, protocols.

A thread serves a request to its end, the response included, and hands the connection back by giving up its turn:
no call of the system is needed for that. Threads are woken one by one: whoever takes a request and sees another
behind it wakes the next thread, so that a burst of short requests is served by few threads and a long one holds
up nobody. A thread that is woken needs the interpreter's lock first, and has it when the one before it waits for
something or is through; until then nobody else is woken, to wait for the lock as well.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Any, Deque, Dict, List, Optional

from server_core.drive.channel import Channel
from server_core.drive.reactor import Reactor
from server_core.drive.turn import make_turn
from server_http.fields import printable

#: How long a thread sleeps at most before it looks at its stream again, in seconds.
WAIT_SECONDS = 1.0
#: How late the system may end a wait of a request's thread, in nanoseconds; 50,000 unless somebody says so.
TIMER_SLACK = 1000


class PoolThread:
    """One thread of the pool.

    Attributes:
        signal: a lock that is held while there is nothing to tell; its release wakes the thread.
        channel: its request, or None.
    """

    def __init__(self, pool: Pool, index: int, record: Any) -> None:
        self.signal = threading.Lock()
        self.signal.acquire()
        self.channel: Optional[Channel] = None
        self.record = record
        self.pool = pool
        self.thread = threading.Thread(target=self._run, name=f"request-{index}", daemon=True)

    def _run(self) -> None:
        pool = self.pool
        pool.own(self)
        sharpen_timers()
        while True:
            channel = pool.next(self)
            if channel is None:
                return
            self.channel = channel
            try:
                pool.serve(channel, self.record)
            finally:
                self.channel = None

    def wake(self) -> None:
        """Wake the thread; several calls before it wakes are one."""
        try:
            self.signal.release()
        except RuntimeError:  # released already
            return


def sharpen_timers() -> None:
    """Have the waits of the calling thread end when they are over (Linux).

    The system ends them up to 50 us late, to wake less often. To a thread that waits 1 ms in each request that is a
    twentieth of what it could do.
    """
    with suppress(OSError), open(f"/proc/{threading.get_native_id()}/timerslack_ns", "w") as slack:
        slack.write(str(TIMER_SLACK))


class Pool:
    """Threads and their queue.

    Args:
        gateway: runs a request.
        board: the worker's place on the scoreboard; each thread has a record of its own.
        threads: how many.
        log: the logger.

    Attributes:
        jobs: requests that wait for a thread.
    """

    def __init__(self, gateway: Any, board: Any, threads: int, log: Any) -> None:
        self.jobs: Deque[Channel] = deque()
        self._put = self.jobs.append
        self._take = self.jobs.popleft
        self._gateway = gateway
        self._log = log
        self._idle: List[PoolThread] = []
        self._spooling: Dict[Channel, PoolThread] = {}  # they could go on into a spool if others wait
        self._local = threading.local()
        self._coming = False  # a thread was woken and has not looked at the queue yet
        self._stopping = False
        # Record 0 is the loop's.
        self.threads = [PoolThread(self, index, board.record(index + 1)) for index in range(threads)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self.threads:
            thread.thread.start()

    def stop(self) -> None:
        """Let the threads end; those that are in a request end with the process."""
        self._stopping = True
        for thread in self.threads:
            thread.wake()

    # The queue. Every step is one operation that the interpreter does at once, so that no lock is needed: a thread
    # first says that it is idle and then looks once more; whoever submits first adds and then looks for the idle.

    def submit(self, channel: Channel) -> None:
        """Queue a request; a thread takes it as soon as one is free."""
        self._put(channel)
        self.wake_one()

    def wake_one(self) -> None:
        """Wake an idle thread unless one is on its way, which will see to the next when it is there.

        Without an idle thread, have one that waits for its reader go on into a spool.
        """
        if self._coming:
            return
        idle = self._idle
        while idle:
            try:
                thread = idle.pop()
            except IndexError:  # another was faster
                break
            self._coming = True
            thread.wake()
            return
        if self._spooling:
            self._rouse_spooling()

    def _rouse_spooling(self) -> None:
        try:
            _channel, thread = self._spooling.popitem()
        except KeyError:
            return
        thread.wake()

    def next(self, thread: PoolThread) -> Any:
        """Return the next request for ``thread``, waiting for it; None at the end."""
        while not self._stopping:
            if not self.jobs:
                self._sleep(thread)
                continue
            try:
                channel = self._take()
            except IndexError:  # another was faster
                continue
            if self.jobs:
                self.wake_one()
            return channel
        return None

    def _sleep(self, thread: PoolThread) -> None:
        self._idle.append(thread)
        if self.jobs or self._stopping:
            try:
                self._idle.remove(thread)
            except ValueError:
                pass  # somebody is about to wake it
            else:
                return
        thread.signal.acquire()
        self._coming = False

    def serve(self, channel: Channel, record: Any) -> None:
        """Run one request; nothing that an application raises ends a thread."""
        if channel.lost:
            channel.done()
            return
        try:
            self._gateway.run(channel, record)
        except BaseException as error:  # SystemExit of an application is not meant for the server
            self._log.error("Error handling request %s", printable(channel.request.target), exc_info=error)

    # Threads that wait in the middle of a request --------------------------------------------------------------------

    def own(self, thread: PoolThread) -> None:
        """Called by each thread when it begins."""
        self._local.thread = thread

    def current(self) -> PoolThread:
        """Return the calling thread."""
        thread: PoolThread = self._local.thread
        return thread

    def pressed(self) -> bool:
        """Whether requests wait and no thread is free."""
        return bool(self.jobs) and not self._idle

    def sleep_with(self, channel: Channel, spools: bool) -> None:
        """Block the calling thread until ``channel`` is woken or the pool needs the thread."""
        thread: PoolThread = channel.waiter
        if spools:
            self._spooling[channel] = thread
            if self.pressed():
                self._spooling.pop(channel, None)
                return
        thread.signal.acquire(timeout=WAIT_SECONDS)
        self._spooling.pop(channel, None)

    def stuck(self, now: float, seconds: float) -> bool:
        """Whether no thread is free and one has been at its request for longer than ``seconds``."""
        if not seconds or self._idle:
            return False
        channels = [thread.channel for thread in self.threads]
        return any(channel is not None and 0.0 < channel.began < now - seconds for channel in channels)

    def overdue(self, now: float, seconds: float) -> List[Channel]:
        """Return the unanswered requests that have run for longer than ``seconds``."""
        found = []
        for thread in self.threads:
            channel = thread.channel
            if channel is None or channel.finished or channel.lost:
                continue
            if 0.0 < channel.began < now - seconds:
                found.append(channel)
        return found


class PooledReactor(Reactor):
    """Requests run in the threads of a pool (``gthread``)."""

    def __init__(self, worker: Any, gateway: Any, openers: List[Any]) -> None:
        super().__init__(worker, gateway, openers)
        self._timeout_seconds: float = worker.cfg.timeout
        self._request_timeout: float = worker.cfg.request_timeout
        self._streaming: Dict[Channel, None] = {}
        # One thread stays free of requests whose client decides how long they take.
        self._streaming_max: int = worker.cfg.threads - 1
        worker.board.capacity(worker.cfg.threads)
        self.pool = Pool(gateway, worker.board, worker.cfg.threads, worker.log)
        self.pool.start()

    def make_turn(self) -> Any:
        """Return a lock: threads and loop take turns at a connection. It is entered again by whoever holds it."""
        return make_turn()

    def submit(self, channel: Channel) -> None:
        """Hand the request to the pool."""
        self.pool.submit(channel)

    def streams(self, channel: Channel) -> bool:
        """Stream bodies that are large or of unknown length, while enough threads are left for others."""
        length = channel.request.content_length
        if length is not None and length <= self.body_buffer:
            return False
        if len(self._streaming) >= self._streaming_max:
            return False
        self._streaming[channel] = None
        return True

    def closed(self, channel: Channel, event: Any, now: float) -> None:
        """The stream of ``channel`` is over."""
        if self._streaming:
            self._streaming.pop(channel, None)
        Reactor.closed(self, channel, event, now)  # named, which compiled is a call in C

    def has_ready(self) -> bool:
        """Nothing runs in the thread of the loop, which therefore never hurries."""
        return False

    def is_busy(self) -> bool:
        """Whether requests wait for a thread."""
        return self.pool.pressed()

    def run_ready(self) -> None:
        """Nothing runs in the thread of the loop."""

    def beat(self, now: float) -> None:
        """The worker is alive, unless all of its threads hang."""
        if not self.pool.stuck(now, self._timeout_seconds):
            super().beat(now)
        if self._request_timeout:
            for channel in self.pool.overdue(now, self._request_timeout):
                self._end_overdue(channel, now)

    def _end_overdue(self, channel: Channel, now: float) -> None:
        """Answer in the application's place; its thread cannot be ended."""
        session = channel.session
        session.enter()
        try:
            if not channel.finished and not channel.lost:
                self.overdue(channel, now)
        finally:
            session.leave()

    def wait_writable(self, channel: Channel, spools: bool) -> bool:
        """Block the calling thread until the stream has room; False = go on into a spool, others wait."""
        pool = self.pool
        channel.waiter = pool.current()
        try:
            while channel.full():
                if spools and pool.pressed():
                    return False
                pool.sleep_with(channel, spools)
        finally:
            channel.waiter = None
        return True

    def wait_readable(self, channel: Channel) -> None:
        """Block the calling thread until something of its body may have come."""
        channel.waiter = self.pool.current()
        try:
            if not (channel.body.ready() or channel.lost):
                self.pool.sleep_with(channel, False)
        finally:
            channel.waiter = None

    def wake(self, channel: Channel) -> None:
        """Wake the thread that waits for ``channel``."""
        waiter = channel.waiter
        if waiter is not None:
            waiter.wake()

    def close(self) -> None:
        """Close what is left, and let the threads end."""
        super().close()
        self.pool.stop()
