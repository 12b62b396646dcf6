"""The ``asgi`` worker: one event loop, all connections of the process on it.

Owns: ``AsgiWorker``: boot with lifespan, the ticks of the loop, and the order of a stop.
Must not know: what happens on a connection.

A stop goes through these steps: what waits in the backlog is accepted; every stream that asked learns of it
(``server.shutdown``, ``lifespan.shutdown.notice``); connections answer what they have and take no more; WebSockets are
closed with 1012, one after another over the first half of the drain time; at the deadline what still runs is ended;
lifespan shutdown comes last.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from time import monotonic
from typing import Any, Coroutine, Dict, List, Optional, Set

from server_core.drive.streams import report_unfinished
from server_core.drive.timers import GRANULARITY
from server_core.stacks import Stack
from server_core.worker import BootError, Worker
from server_core.workers.openers import make_openers, prepare_openers
from server_workers_async.accept import Entrance
from server_workers_async.hangup import find_hung_up
from server_workers_async.lifespan import Lifespan, LifespanError
from server_workers_async.loops import check_loop, import_loop, new_loop
from server_workers_async.service import Service
from server_workers_async.waiting import stacks_of_tasks

#: Seconds between two looks at everything that is not urgent: heartbeat, Date, clients that left.
TICK = 1.0
#: The part of what is left of ``graceful_timeout`` that lifespan shutdown leaves to the end of the process, and its
#: bound in seconds.
END_SHARE = 0.1
END_MAX = 1.0
#: Seconds that lifespan shutdown gets although nothing is left.
SHUTDOWN_MIN = 0.1
#: The part of the drain time over which WebSockets are closed.
CLOSING_SPREAD = 0.5
#: Seconds that cancelled applications have to end.
CANCEL_WAIT = 1.0


class AsgiWorker(Worker):
    """Serves an ASGI application on asyncio, uvloop or a loop of the operator's choice."""

    server_api = 1  # the plugin contract this class is written for
    ready_before_run = False
    gateway = "asgi"
    ends_requests = True
    reserve_max = 3.0  # lifespan shutdown is in it, and ending what still runs
    connect_protocols = (b"websocket",)  # what an extended CONNECT may ask for

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:  # noqa: ARG003 - the signature is given
        """Raises ConfigError when the event loop is not installed."""
        check_loop(cfg.asgi_loop)

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what all workers of these settings share."""
        prepare_openers(cfg)
        import_loop(cfg.asgi_loop)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._service: Optional[Service] = None
        self._entrances: List[Entrance] = []
        self._defaults: Set[Any] = set()  # whose Date is to be kept right
        self._stop: Optional[asyncio.Event] = None
        self._own: Optional[asyncio.Task[Any]] = None  # the worker's task
        self._second = 0
        self._look_at = 0.0

    # Life ------------------------------------------------------------------------------------------------------------

    @property
    def asgi(self) -> Any:
        """The application, under the name that hooks know."""
        return self.wsgi

    def run(self) -> None:
        """Serve until ``alive`` is False. Raises BootError when the application's lifespan does not start."""
        loop = new_loop(self.cfg.asgi_loop)
        self._loop = loop
        asyncio.set_event_loop(loop)
        clean = False
        try:
            loop.run_until_complete(self._serve())
            clean = True
        finally:
            if clean:
                self._close(loop)
            else:
                _forget_tasks(loop)  # leaving at once: nobody is told of what was still running

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._own = asyncio.current_task()
        for fd in (self.wakeup[0], self.lifeline):
            if fd is not None:
                loop.add_reader(fd, self._on_alarm, fd)
        cfg = self.cfg
        lifespan = Lifespan(self.wsgi, cfg.asgi_lifespan, self.log)
        ticking = loop.call_later(TICK, self._tick)  # the heartbeat begins before the application has started
        try:
            await lifespan.startup(cfg.asgi_lifespan_startup_timeout)
        except LifespanError as error:
            raise BootError(str(error)) from error
        finally:
            ticking.cancel()
        service = self._service = Service(self, self.wsgi, loop)
        service.state = lifespan.state
        self._open_listeners(service)
        self.ready()
        self._tick()
        if self.alive:
            await self._stop.wait()
        until = monotonic() + self.grace_left()
        await self._drain(service, lifespan)
        service.lanes.close()
        await asyncio.sleep(0)  # an application may wait for all tasks at its shutdown
        left = until - monotonic()
        left = max(SHUTDOWN_MIN, left - min(left * END_SHARE, END_MAX))
        await lifespan.shutdown(cfg.asgi_lifespan_shutdown_timeout or left)

    def _open_listeners(self, service: Service) -> None:
        cfg = self.cfg
        shared = cfg.multiprocess and not cfg.reuse_port
        for listener, opener in zip(self.sockets, make_openers(self)):
            self._defaults.add(opener.config.defaults)
            self._entrances.append(Entrance(service, listener, opener, cfg.worker_connections, shared))

    # The loop's duties -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Expire timers often while there are any, and look at everything else once a second."""
        loop = self._loop
        assert loop is not None  # noqa: S101 - for the type checker: ``run`` made it
        now = monotonic()
        service = self._service
        armed = False
        if service is not None:
            service.expire(now)
            armed = service.wheel.deadline() is not None
        if now >= self._look_at:
            self._look_at = now + TICK - GRANULARITY / 2
            self._look(now)
        loop.call_later(GRANULARITY if armed else TICK, self._tick)
        if not self.alive:
            self._on_stop()

    def _look(self, now: float) -> None:
        self.notify()
        self.board.busy(time.process_time())
        seconds = int(time.time())
        if seconds != self._second:
            self._second = seconds
            for defaults in self._defaults:
                defaults.set_date(seconds)
        service = self._service
        if service is None:
            return
        for session, reset in find_hung_up(service.watched):
            session.on_hung_up(reset, now)
        if service.request_timeout:
            service.end_overdue(now)
        for listener in self.sockets:
            tls = getattr(listener, "tls", None)
            if tls is not None:
                for notice in tls.refresh(now):
                    getattr(self.log, notice.level)(notice.message)

    def connection_closed(self) -> None:
        """A connection is over: there may be room for another."""
        service = self._service
        if service is not None and not service.draining and len(service.connections) == self.cfg.worker_connections - 1:
            self._look_again()

    def _look_again(self) -> None:
        for entrance in self._entrances:
            entrance.look_again()

    def waiting_stacks(self) -> List[Stack]:
        """Return where the tasks of the loop stand, those of requests first."""
        if self._loop is None:
            return []
        requests: Dict[Any, str] = {}
        hidden = [self._own]
        if self._service is not None:
            requests = self._service.requests()
            hidden += [lane.task for lane in self._service.lanes.idle]
        return stacks_of_tasks(self._loop, requests, hidden)

    # Signals ---------------------------------------------------------------------------------------------------------

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: finish and leave."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            # Where the loop keeps the wake-up descriptor for itself (uvloop), this is what wakes it.
            self._loop.call_soon_threadsafe(self._on_stop)

    def _on_alarm(self, fd: int) -> None:
        """A signal arrived, whose handler has run, or the arbiter is gone."""
        with suppress(BlockingIOError):
            if not os.read(fd, 4096):
                self.alive = False
                asyncio.get_running_loop().remove_reader(fd)
        if not self.alive:
            self._on_stop()

    def _on_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()

    # Stop ------------------------------------------------------------------------------------------------------------

    async def _drain(self, service: Service, lifespan: Lifespan) -> None:
        """Answer what is here; end what still runs at the deadline."""
        loop = service.loop
        time_left = self.drain_seconds()
        self.stopping()
        service.draining = True
        service.notice.announce(loop.time() + time_left)
        lifespan.notice()
        # In callbacks: an application cannot be started from within a task, which this is.
        for entrance in self._entrances:
            loop.call_soon(entrance.stop, context=service.context)
        loop.call_soon(_drain_sessions, service, context=service.context)
        await asyncio.sleep(0)
        closing = loop.create_task(_close_websockets(service, time_left * CLOSING_SPREAD))
        await _within(_served_all(service), time_left)
        closing.cancel()
        if service.connections or service.tasks:
            await self._end(service, max(0.0, self.grace_left()) / 2)

    async def _end(self, service: Service, patience: float) -> None:
        """The drain time is over: cancel what runs, end its streams, close."""
        service.ending = True
        report_unfinished(self.log, service.connections)
        if service.tasks:
            for task in list(service.tasks):
                task.cancel()
            await asyncio.wait(list(service.tasks), timeout=patience)
            await asyncio.sleep(0)  # what they said at last is written in this turn
        for session in list(service.connections):
            session.close()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what the application left running, and the loop."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_WAIT))
        loop.run_until_complete(loop.shutdown_asyncgens())
        _forget_tasks(loop)
        asyncio.set_event_loop(None)
        self._loop = None  # a TERM that comes again wakes no loop that is closed
        loop.close()
        self.log.flush()


def _drain_sessions(service: Service) -> None:
    """Have every connection answer what is there, which may begin requests behind one that has just been answered."""
    now = monotonic()
    for session in list(service.connections):
        session.drain(now)


async def _served_all(service: Service) -> None:
    """Wait until no connection and no task is left. After the last one there may come another, out of the backlog."""
    idle = asyncio.Event()
    service.on_idle = idle.set
    while service.connections or service.tasks:
        idle.clear()
        await idle.wait()


async def _close_websockets(service: Service, seconds: float) -> None:
    """Close WebSockets one after another, so that their clients do not all come back at one moment."""
    sockets = [
        channel
        for session in list(service.connections)
        for channel in session.channels.values()
        if channel.is_websocket
    ]
    for channel in sockets:
        channel.restart_service()
        await asyncio.sleep(seconds / len(sockets))


async def _within(wait: Coroutine[Any, Any, Any], seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(wait, seconds)


def _forget_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Do not complain about tasks that never end: the process is leaving."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio.gather does
