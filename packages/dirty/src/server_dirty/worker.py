"""The dirty worker: a supervised process that has applications loaded and runs their calls.

Owns: ``DirtyWorker``: loading, the threads that take calls, the watch over calls, leaving.
Must not know: who starts workers and why (the service and the arbiter), how a call is framed, where hosts run it.

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
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from server_core import plugins
from server_core.scoreboard.layout import RETIRE_FAILED
from server_core.worker import Worker
from server_dirty import stash
from server_dirty.health import Meter
from server_dirty.host import Backend, Host, Seat
from server_dirty.running import CallRunner, RunningCall
from server_dirty.wire import SystemSocket, Wire, accept

OVERDUE = 1.0  # seconds after its deadline at which a call that still runs is reported and the worker replaced
ACCEPT_PAUSE = 0.1  # seconds after a call that could not be accepted
TICK = 0.25  # seconds between two looks at the running calls, and between heartbeats
BUSY_TICK = 0.05  # the same while calls run
WATCHED_FROM = 0.02  # seconds a call runs before its caller is watched: most have ended, and watching costs as much


class AppListener:
    """The queue of one application: a listening unix socket that all of its workers share."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self.path = path
        self.socket = sock


class DirtyWorker(Worker):
    """One process of the pool.

    Args:
        seats: the applications this worker serves, with the queue of each.
        meters: where the calls of each application are counted.
        max_memory: resident octets above which a successor is asked for; 0 for never.
        backend: the name of the backend that runs the applications.
        row: the worker's row on the health board, for the service that made it.
        others: as ``server_core.worker.Worker``; ``sockets`` and ``app`` are not used.
    """

    def __init__(
        self,
        age: int,
        ppid: int,
        seats: Sequence[Tuple[AppListener, Seat]],
        meters: Mapping[str, Meter],
        max_memory: int,
        backend: str,
        row: Optional[int],
        timeout: float,
        cfg: Any,
        log: Any,
    ) -> None:
        super().__init__(age, ppid, (), None, timeout, cfg, log)
        self.max_memory = max_memory
        self.max_requests = sys.maxsize
        self.row = row
        self._seats = seats
        self._meters = meters
        self._backend_name = backend
        self._backend: Optional[Backend] = None
        self.hosts: Dict[str, Host] = {}
        self._running: Dict[RunningCall, None] = {}
        self._selector = selectors.DefaultSelector()
        self._leave_read, self._leave_write = -1, -1
        self._threads: List[threading.Thread] = []

    serves_http = False

    @property
    def paths(self) -> List[str]:
        """The applications this worker serves."""
        return [listener.path for listener, _ in self._seats]

    def load_wsgi(self) -> None:
        """Load the applications: what this worker is for."""
        self._backend = plugins.load(plugins.DIRTY_BACKENDS, self._backend_name)(self.cfg, self.log, self._lost)
        for listener, seat in self._seats:
            self.log.debug("Loading dirty application %s", listener.path)
            self.hosts[listener.path] = self._backend.open(seat)
            for table in seat.declaration.stashes:
                stash.ensure(table)
            self._meters[listener.path].loaded(True)
        self.loaded()

    def loaded(self) -> None:
        """The applications are loaded: tell the user's hook."""
        self.cfg.dirty_worker_init(self)

    def resident(self) -> int:
        """Return the resident octets of the applications, in whichever processes they are."""
        elsewhere = sum(host.memory() for host in self.hosts.values())
        return elsewhere or super().resident()

    def _lost(self, reason: str) -> None:
        """A host can answer no more: ask for a successor and leave. Called from any thread."""
        if not self.alive:
            return
        self.log.error("%s; the worker is replaced.", reason)
        self._leave()

    def _leave(self) -> None:
        """Ask for a successor and do not wait for it."""
        self.retire(RETIRE_FAILED)
        self.alive = False
        os.write(self.wakeup[1], b"!")

    def run(self) -> None:
        """Serve calls until told to leave, then let running ones finish and close the applications."""
        self._leave_read, self._leave_write = os.pipe()
        self._selector.register(self.wakeup[0], selectors.EVENT_READ)
        threads = max((seat.threads for _, seat in self._seats), default=0)
        self.board.capacity(threads)
        for number in range(threads):
            thread = threading.Thread(target=self._serve_calls, args=(number,), name=f"dirty-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        while self.alive:
            self.notify()
            self._watch_once(BUSY_TICK if self._running else TICK)
        self._finish()

    def _finish(self) -> None:
        self.stopping()
        for meter in self._meters.values():
            meter.loaded(False)
        os.close(self._leave_write)  # every thread's poller sees the end of the pipe
        deadline = time.monotonic() + self.cfg.dirty_graceful_timeout
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:
            self.notify()
            self._watch_once(0.05)
        self._close_hosts()
        if any(thread.is_alive() for thread in self._threads):
            logging.shutdown()
            os._exit(0)  # a call that never returns must not keep the process
        self._selector.close()
        os.close(self._leave_read)

    def _close_hosts(self) -> None:
        for path, host in self.hosts.items():
            try:
                host.close()
            except Exception:  # the other applications are closed all the same
                self.log.exception("Error closing dirty application %s", path)
        if self._backend is not None:
            self._backend.close()

    # --- the threads --------------------------------------------------------------------------

    def _serve_calls(self, number: int) -> None:
        limit = self.cfg.dirty_timeout or None
        runner = CallRunner(self.hosts, self._meters, self.board.record(number), self._watch_call, limit)
        poller = _Poller([listener.socket for listener, _ in self._seats], self._leave_read)
        try:
            while self.alive:
                for descriptor in poller.wait():
                    self._serve_one(descriptor, runner)
        except BaseException as error:  # a worker with a thread less would go on and be slow
            self._lost(f"A thread for dirty calls has failed: {error!r}")
            raise
        finally:
            poller.close()

    def _serve_one(self, listener: socket.socket, runner: CallRunner) -> None:
        accepted = self._accept(listener)
        if accepted is None:
            return
        wire = Wire(accepted)
        try:
            runner.serve(wire)
        finally:
            wire.close()

    def _accept(self, listener: socket.socket) -> Optional[SystemSocket]:
        try:
            return accept(listener)
        except (BlockingIOError, ConnectionAbortedError):
            return None  # another worker was faster, or the caller gave up
        except OSError as error:  # no descriptor or memory is left: those that run calls will give some back
            self.log.warning("Cannot accept a dirty call: %s", error)
            time.sleep(ACCEPT_PAUSE)
            return None

    # --- the watch ----------------------------------------------------------------------------

    def _watch_call(self, running: RunningCall, begins: bool) -> None:
        """Note a call that begins or ends; called by the thread that runs it."""
        if begins:
            self._running[running] = None
        else:
            self._running.pop(running, None)
            running.ended = True
            if running.watched:
                self._forget(running.wire.socket)

    def _watch_once(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                _drain(self.wakeup[0])
            elif key.data.wire.peer_gone():
                key.data.context.cancel()
                self._forget(key.fileobj)
        now = time.monotonic()
        for running in list(self._running):
            if not running.watched and now > running.started + WATCHED_FROM:
                self._look_after(running)
            if running.context.deadline is not None and now > running.context.deadline:
                self._overdue(running, now)

    def _look_after(self, running: RunningCall) -> None:
        """See from now on when the caller hangs up."""
        running.watched = True
        with contextlib.suppress(KeyError, ValueError, OSError):  # the call ends at this moment
            self._selector.register(running.wire.socket, selectors.EVENT_READ, running)
        if running.ended:  # its thread may have looked before this did
            self._forget(running.wire.socket)

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
        self.log.error(
            "Dirty call %s.%s runs for %.1f s, past its limit; the worker is replaced. Stack:\n%s",
            running.arrival.app_path,
            running.arrival.action,
            now - running.started,
            running.host.stack(running.context),
        )
        if self._backend is not None and self._backend.scarce:
            self._leave()  # the successor needs the place of what hangs
        elif not self.retiring:
            self.retire(RETIRE_FAILED)


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


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        pass
