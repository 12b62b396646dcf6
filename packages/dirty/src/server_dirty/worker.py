"""The dirty worker: a supervised process that has applications loaded and runs their calls.

Owns: ``DirtyWorker``: loading, the threads that take calls, the watch over calls, leaving.
Must not know: who starts workers and why (the service and the arbiter), how a call is framed.

Every thread waits on the listening sockets itself and takes a call only when it has nothing to do, so
that a call goes to an idle worker without anybody in between; what waits, waits in the kernel.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import selectors
import socket
import sys
import threading
import time
import traceback
from typing import Any, Dict, List, Mapping, Optional, Sequence

from server_core.scoreboard.layout import RETIRE_RELOAD
from server_core.worker import Worker
from server_dirty import stash
from server_dirty.app import load_class
from server_dirty.running import AsyncLoop, CallRunner, RunningCall
from server_dirty.wire import Wire

OVERDUE = 1.0  # seconds after its deadline at which a call that still runs is reported and the worker replaced
TICK = 0.5  # seconds between two looks at the running calls, and between heartbeats


class AppListener:
    """The queue of one application: a listening unix socket that all of its workers share."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self.path = path
        self.socket = sock


class DirtyWorker(Worker):
    """One process of the pool.

    Args:
        listeners: the queues of the applications this worker serves.
        devices: its device numbers per application, ``{"module:Class": {"gpu": [0]}}``.
        threads: how many calls run at the same time.
        max_memory: resident octets above which a successor is asked for; 0 for never.
        others: as ``server_core.worker.Worker``; ``sockets`` and ``app`` are not used.
    """

    def __init__(
        self,
        age: int,
        ppid: int,
        listeners: Sequence[AppListener],
        devices: Mapping[str, Dict[str, List[int]]],
        threads: int,
        max_memory: int,
        timeout: float,
        cfg: Any,
        log: Any,
    ) -> None:
        super().__init__(age, ppid, (), None, timeout, cfg, log)
        self.max_memory = max_memory
        self.max_requests = sys.maxsize
        self.listeners = listeners
        self.devices = devices
        self.threads = threads
        self.apps: Dict[str, Any] = {}
        self._running: Dict[RunningCall, None] = {}
        self._loop = AsyncLoop()
        self._selector = selectors.DefaultSelector()
        self._leave_read, self._leave_write = -1, -1
        self._threads: List[threading.Thread] = []

    def load_wsgi(self) -> None:
        """Load the applications: what this worker is for."""
        for listener in self.listeners:
            self.log.debug("Loading dirty application %s", listener.path)
            app = load_class(listener.path)()
            if hasattr(type(app), "resources"):
                app.devices = dict(self.devices.get(listener.path, {}))
            init = getattr(app, "init", None)
            if init is not None:
                init()
            self.apps[listener.path] = app
            for table in getattr(app, "stashes", ()):
                stash.ensure(table)
        self.loaded()

    def loaded(self) -> None:
        """The applications are loaded: tell the user's hook."""
        self.cfg.dirty_worker_init(self)

    def run(self) -> None:
        """Serve calls until told to leave, then let running ones finish and close the applications."""
        self._leave_read, self._leave_write = os.pipe()
        self._selector.register(self.wakeup[0], selectors.EVENT_READ)
        for number in range(self.threads):
            thread = threading.Thread(target=self._serve_calls, args=(number,), name=f"dirty-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        while self.alive:
            self.notify()
            self._watch_once(TICK)
        self._finish()

    def _finish(self) -> None:
        self.stopping()
        os.close(self._leave_write)  # every thread's poller sees the end of the pipe
        deadline = time.monotonic() + self.cfg.dirty_graceful_timeout
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:
            self.notify()
            self._watch_once(0.05)
        self._close_apps()
        self._loop.close()
        if any(thread.is_alive() for thread in self._threads):
            logging.shutdown()
            os._exit(0)  # a call that never returns must not keep the process
        self._selector.close()
        os.close(self._leave_read)

    def _close_apps(self) -> None:
        for path, app in self.apps.items():
            close = getattr(app, "close", None)
            if close is None:
                continue
            try:
                close()
            except Exception:  # the other applications are closed all the same
                self.log.exception("Error closing dirty application %s", path)

    # --- the threads --------------------------------------------------------------------------

    def _serve_calls(self, number: int) -> None:
        limit = self.cfg.dirty_timeout or None
        runner = CallRunner(self.apps, self._loop, self.board.record(number), self._watch_call, limit)
        poller = _Poller([listener.socket for listener in self.listeners], self._leave_read)
        while self.alive:
            for descriptor in poller.wait():
                accepted = _accept(descriptor)
                if accepted is None:
                    continue
                wire = Wire(accepted)
                try:
                    runner.serve(wire)
                finally:
                    wire.close()
        poller.close()

    # --- the watch ----------------------------------------------------------------------------

    def _watch_call(self, running: RunningCall, begins: bool) -> None:
        """Note a call that begins or ends; called by the thread that runs it."""
        if begins:
            self._running[running] = None
            self._selector.register(running.wire.socket, selectors.EVENT_READ, running)
        else:
            self._running.pop(running, None)
            self._forget(running.wire.socket)

    def _watch_once(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                _drain(self.wakeup[0])
            elif key.data.wire.peer_gone():
                key.data.cancel()
                self._forget(key.fileobj)
        now = time.monotonic()
        for running in list(self._running):
            if running.context.deadline is not None and now > running.context.deadline:
                self._overdue(running, now)

    def _forget(self, fileobj: Any) -> None:
        # The watch, when a caller went, and the thread, when its call ended, may both come here.
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(fileobj)

    def _overdue(self, running: RunningCall, now: float) -> None:
        running.give_up()
        deadline = running.context.deadline or now
        if running.reported or now < deadline + OVERDUE:
            return
        running.reported = True
        frame = sys._current_frames().get(running.thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (no Python stack)\n"
        self.log.error(
            "Dirty call %s.%s runs for %.1f s, past its limit; the worker is replaced. Stack:\n%s",
            running.call.app_path,
            running.call.action,
            now - running.started,
            stack,
        )
        if not self.retiring:
            self.retire(RETIRE_RELOAD)


class _Poller:
    """Waits for a connection on any of the sockets; with epoll one connection wakes one waiter."""

    def __init__(self, sockets: Sequence[socket.socket], leave: int) -> None:
        self._by_fileno = {sock.fileno(): sock for sock in sockets}
        self._epoll: Optional[select.epoll] = None
        if hasattr(select, "EPOLLEXCLUSIVE"):
            self._epoll = select.epoll()
            for descriptor in self._by_fileno:
                self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            self._epoll.register(leave, select.EPOLLIN)
        else:
            self._poll = select.poll()
            for descriptor in [*self._by_fileno, leave]:
                self._poll.register(descriptor, select.POLLIN)

    def close(self) -> None:
        """Give the poller back."""
        if self._epoll is not None:
            self._epoll.close()

    def wait(self) -> List[socket.socket]:
        """Return the sockets on which a connection waits (one at a time keeps the order fair)."""
        ready = self._epoll.poll(maxevents=1) if self._epoll is not None else self._poll.poll()
        return [self._by_fileno[descriptor] for descriptor, _ in ready if descriptor in self._by_fileno]


def _accept(listener: socket.socket) -> Optional[socket.socket]:
    try:
        accepted, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None  # another worker was faster, or the caller gave up
    return accepted


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        pass
