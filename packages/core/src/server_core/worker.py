"""What every worker is: its boot, its signals, its heartbeat and what it tells the arbiter.

Owns: ``Worker``, the base class with the contract that worker classes written for gunicorn rely on.
Must not know: connections and requests (drivers), how and why workers are started (supervise).
"""

from __future__ import annotations

import os
import posix
import signal
import sys
import time
from typing import Any, Iterable, List, Optional, Sequence, Tuple

from server_core.process import (
    close_on_exec,
    end_with_parent,
    pin_to_cores,
    resident_memory,
    set_handler,
    take_identity,
)
from server_core.scoreboard import SlotWriter, detached_slot
from server_core.scoreboard.layout import (
    LOGGED,
    READY,
    RETIRE_MEMORY,
    RETIRE_NAMES,
    RETIRE_REQUESTS,
    STOPPING,
)
from server_core.stacks import Stack

MEMORY_INTERVAL = 5.0  # seconds between two looks at the resident memory
#: The part of ``graceful_timeout`` that is kept for the end of a worker, at most ``Worker.reserve_max`` seconds.
RESERVE = 0.2
LOG_INTERVAL = 1.0  # seconds between two tries to write what a blocked error log kept
SLOT_VARIABLE = "SERVER_WORKER_SLOT"


class BootError(Exception):
    """A worker cannot begin to serve; its text is reported as it is, without a traceback."""


class Heartbeat:
    """The heartbeat under the name and with the methods of gunicorn's ``worker.tmp``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def notify(self) -> None:
        """The worker is alive."""
        self._worker.board.beat(time.monotonic())

    def last_update(self) -> float:
        """Return when the worker was last alive, monotonic seconds."""
        return self._worker.board.last_beat()

    def close(self) -> None:
        """Nothing is to be closed: the scoreboard belongs to the arbiter."""


class _NoHooks:
    """The hooks of a worker that has none."""

    @staticmethod
    def pre_fork(server: Any, worker: Any) -> None:
        """Nothing, as the others."""

    post_fork = worker_exit = pre_fork

    @staticmethod
    def post_worker_init(worker: Any) -> None:
        """Nothing, as the others."""

    worker_int = worker_abort = post_worker_init


class Worker:
    """One worker process.

    Args:
        age: the worker's place in the sequence of all workers.
        ppid: the process id of the arbiter.
        sockets: the listeners to serve.
        app: the application object, whose ``wsgi()`` loads and returns the callable.
        timeout: seconds within which ``notify`` must be called.
        cfg: the settings.
        log: the logger.

    Attributes:
        slot: the stable slot number, 0..N-1, which a replacement keeps.
        board: the worker's place on the scoreboard.
        pid: the process id; ``"[booting]"`` before the fork, as in gunicorn.
        nr: requests served.
        max_requests: requests after which a successor is asked for, jitter included.
        max_memory: resident octets above which a successor is asked for; 0 for never.
        alive: False means leave.
        told_at: when TERM came, monotonic seconds; 0.0 before.
        leaving: a signal says to leave at once; the SystemExit that follows is meant for the process.
        booted: the worker is ready, or was.
        aborted: the arbiter gave the worker up (set in the arbiter).
        wakeup: read and write end of a pipe; readable when a signal arrived.
        lifeline: descriptor that becomes readable when the arbiter is gone, or None.
        doorbell: descriptor by which the arbiter is told to look at the scoreboard, or None.
    """

    SIGNALS: Sequence[int] = [
        signal.SIGABRT, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1,
        signal.SIGUSR2, signal.SIGWINCH, signal.SIGCHLD,
    ]  # fmt: skip

    # A class whose loop has to start something first (lifespan) sets this to False and calls ready().
    ready_before_run = True
    # Whether the hooks of HTTP workers, and the reloader, are for this class; those of other services have their own.
    serves_http = True
    # Whether ``request_timeout`` ends a request of this worker.
    ends_requests = False
    # Seconds of ``graceful_timeout`` that are kept, at most, for what comes after the requests: hooks, logs.
    reserve_max = 1.0

    def __init__(
        self, age: int, ppid: int, sockets: Sequence[Any], app: Any, timeout: float, cfg: Any, log: Any
    ) -> None:
        self.age = age
        self.pid: Any = "[booting]"
        self.ppid = ppid
        self.sockets = sockets
        self.app = app
        self.timeout = timeout
        self.cfg = cfg
        self.log = log
        self.slot = 0
        self.alive = True
        self.leaving = False
        self.told_at = 0.0
        self.booted = False
        self.aborted = False
        self.reloader: Any = None
        self.wsgi: Any = None
        self.counter: Any = None  # what counts the requests that are served, where a driver of ours does
        self._served = 0
        self.max_requests = cfg.max_requests + _jitter(cfg) if cfg.max_requests > 0 else sys.maxsize
        self.max_memory = cfg.max_memory
        self.tmp = Heartbeat(self)
        self.wakeup: Tuple[int, int] = (-1, -1)
        self.lifeline: Optional[int] = None
        self.doorbell: Optional[int] = None
        self.report_fd: Optional[int] = None
        self.retiring = 0
        self._board: Optional[SlotWriter] = None
        self._memory_due = 0.0
        self._log_due = 0.0
        self._logged = list(getattr(log, "logged", ()))  # by the arbiter until now

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    @property
    def hooks(self) -> Any:
        """The settings as hooks, or what calls none when this is no HTTP worker."""
        return self.cfg if self.serves_http else _NoHooks

    @property
    def nr(self) -> int:
        """How many requests the worker has served; a worker with a loop of its own counts here, as gunicorn's do."""
        return self._served if self.counter is None else int(self.counter.served)

    @nr.setter
    def nr(self, served: int) -> None:
        if self.counter is None:
            self._served = served
        else:
            self.counter.served = served

    @property
    def PIPE(self) -> Tuple[int, int]:  # noqa: N802 - gunicorn's name
        """gunicorn's name for ``wakeup``."""
        return self.wakeup

    @property
    def wait_fds(self) -> List[Any]:
        """The listeners and the read end of ``wakeup``: what a loop waits for."""
        return [*self.sockets, self.wakeup[0]]

    @property
    def board(self) -> SlotWriter:
        """The worker's place on the scoreboard; a private one when no arbiter gave any."""
        if self._board is None:
            self._board = detached_slot()
        return self._board

    @board.setter
    def board(self, board: SlotWriter) -> None:
        self._board = board

    # --- boot -------------------------------------------------------------------------------

    def init_process(self) -> None:
        """Become a worker, load the application, and run.

        A subclass that overrides this ends by calling it. It returns when the worker leaves.
        """
        self.pid = os.getpid()
        self._init_environment()
        self._init_identity()
        self._init_wakeup()
        self.init_signals()
        self.notify()
        self.load_wsgi()
        self._start_reloader()
        self.hooks.post_worker_init(self)
        if self.ready_before_run:
            self.ready()
        self.run()

    def _init_environment(self) -> None:
        variables = self.cfg.env
        if variables:
            os.environ.update(variables)
        os.environ[SLOT_VARIABLE] = str(self.slot)

    def _init_identity(self) -> None:
        try:
            pin_to_cores(self.cfg.cpu_affinity, self.slot)
        except OSError as error:
            raise BootError(
                f"cpu_affinity: expected cores this process may use, got {self.cfg.cpu_affinity!r}: {error.strerror}"
            ) from None
        try:
            take_identity(self.cfg.uid, self.cfg.gid, self.cfg.initgroups)
        except PermissionError as error:
            raise BootError(
                f"user, group: expected a server that root started, who alone may become user {self.cfg.uid} and group "
                f"{self.cfg.gid}, got one of user {os.geteuid()} and group {os.getegid()}: {error.strerror}"
            ) from None
        # Only now: a change of user id clears the parent-death signal.
        end_with_parent(self.ppid)

    def _start_reloader(self) -> None:
        """With ``reload`` on, the first worker watches the files for all."""
        if self.cfg.reload and self.slot == 0 and self.serves_http:
            from server_core import reloader

            self.reloader = reloader.start(self)

    def _init_wakeup(self) -> None:
        self.wakeup = os.pipe()
        for fd in self.wakeup:
            os.set_blocking(fd, False)
            close_on_exec(fd)

    def init_signals(self) -> None:
        """Install the handlers. A subclass with a loop of its own may replace this."""
        for number in self.SIGNALS:
            set_handler(number, signal.SIG_DFL)
        set_handler(signal.SIGTERM, self.handle_exit)
        set_handler(signal.SIGQUIT, self.handle_quit)
        set_handler(signal.SIGINT, self.handle_quit)
        set_handler(signal.SIGWINCH, self.handle_winch)
        set_handler(signal.SIGUSR1, self.handle_usr1)
        set_handler(signal.SIGABRT, self.handle_abort)
        # Interrupted system calls are to be resumed, so that the application does not see EINTR.
        signal.siginterrupt(signal.SIGTERM, False)
        signal.siginterrupt(signal.SIGUSR1, False)
        signal.set_wakeup_fd(self.wakeup[1], warn_on_full_buffer=False)

    def load_wsgi(self) -> None:
        """Load the application. Raises AppImportError."""
        self.wsgi = self.app.wsgi()

    def ready(self) -> None:
        """The worker is about to serve: tell the arbiter."""
        self.booted = True
        self.notify()
        self.board.set_state(READY)
        self._ring()

    # --- life -------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until ``alive`` is False."""
        raise NotImplementedError

    def notify(self) -> None:
        """The worker is alive; to be called at least every ``timeout`` seconds."""
        now = time.monotonic()
        self.board.beat(now)
        if now >= self._memory_due:
            self._memory_due = now + MEMORY_INTERVAL
            self._watch_memory()
        if now >= self._log_due:
            self._log_due = now + LOG_INTERVAL
            self.log.retry()
            self.count_messages()

    def count_messages(self) -> None:
        """Bring what the logger counted to the scoreboard."""
        for level, count in enumerate(getattr(self.log, "logged", ())):  # a logger class need not be ours
            if count > self._logged[level]:
                self.board.record(0).count(LOGGED + level, count - self._logged[level])
                self._logged[level] = count

    def _watch_memory(self) -> None:
        resident = self.resident()
        self.board.memory(resident)
        if 0 < self.max_memory < resident and not self.retiring:
            self.log.info(
                "Worker uses %d MiB, more than max_memory (%d MiB): asking for a successor.",
                resident >> 20,
                self.max_memory >> 20,
            )
            self.retire(RETIRE_MEMORY)

    def resident(self) -> int:
        """Return the resident octets that count as this worker's."""
        return resident_memory()

    def retire_for_requests(self) -> None:
        """``max_requests`` is reached: ask for a successor, once."""
        if not self.retiring:
            self.log.info("Autorestarting worker after current request.")
            self.retire(RETIRE_REQUESTS)

    def retire(self, reason: int) -> None:
        """Ask the arbiter for a successor and serve on until it says leave.

        Without an arbiter the worker leaves by itself.

        Args:
            reason: ``RETIRE_REQUESTS`` or ``RETIRE_MEMORY`` of the scoreboard's layout.
        """
        self.retiring = reason
        if self.doorbell is None:
            self.log.info("Worker leaves: %s", RETIRE_NAMES[reason])
            self.alive = False
            return
        self.board.retire(reason)
        self._ring()

    def stopping(self) -> None:
        """The worker left its accepting state and finishes what it has."""
        self.board.set_state(STOPPING)

    def _ring(self) -> None:
        if self.doorbell is None:
            return
        try:
            posix.write(self.doorbell, b"!")  # that of os waits with eventlet, for one greenlet at a time
        except BlockingIOError:
            pass  # it is full, so the arbiter will look anyway
        except BrokenPipeError:
            self.alive = False  # no arbiter is left

    def waiting_stacks(self) -> Iterable[Stack]:
        """Return where what waits in this worker without a thread stands, tasks or greenlets: first of requests.

        Called in the main thread by a signal's handler, wherever the loop is. A class with such things overrides it.
        """
        return ()

    @classmethod
    def waits_in_threads(cls) -> bool:
        """Whether nothing waits without a thread."""
        return cls.waiting_stacks is Worker.waiting_stacks

    # --- signals ----------------------------------------------------------------------------

    def grace_left(self) -> float:
        """Return how much of ``graceful_timeout`` is left, in seconds: then the arbiter kills.

        The arbiter counts from when it said TERM; a request may have kept the worker from hearing of it.
        """
        passed = time.monotonic() - self.told_at if self.told_at else 0.0
        return float(self.cfg.graceful_timeout) - passed

    def drain_seconds(self) -> float:
        """Return how long a worker that leaves still waits for its requests, in seconds."""
        reserve: float = min(self.cfg.graceful_timeout * RESERVE, self.reserve_max)
        return self.grace_left() - reserve

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: finish and leave; before the worker is ready, leave at once."""
        self.alive = False
        self.told_at = self.told_at or time.monotonic()
        self._leave_if_booting()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """INT and QUIT: leave at once."""
        self.alive = False
        self.leaving = True
        self._call_leaving("worker_int")
        self._leave_if_booting()
        sys.exit(0)

    def _leave_if_booting(self) -> None:
        """End at once while the application loads.

        Nothing is served yet, and an exception would be raised inside an import, whose error handling
        would take it for the application's.
        """
        if not self.booted:
            self.log.flush()
            os._exit(0)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """ABRT: the arbiter gave the worker up."""
        self.alive = False
        self.leaving = True
        self._call_leaving("worker_abort")
        sys.exit(1)

    def _call_leaving(self, hook: str) -> None:
        """Call a hook in a signal handler: what it raises would reach the application in place of the SystemExit, and
        an application that catches it would go on."""
        try:
            getattr(self.hooks, hook)(self)
        except Exception:
            self.log.exception("Exception in the %s hook", hook)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """USR1: reopen the log files."""
        self.log.reopen_files()

    def handle_winch(self, sig: int, frame: Any) -> None:
        """WINCH: a terminal changed its size, which is nothing to a worker."""
        self.log.debug("worker: SIGWINCH ignored.")

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """An exception ended a request outside of the application."""
        self.log.error("Error handling request %s", getattr(req, "uri", ""), exc_info=exc)


def _jitter(cfg: Any) -> int:
    """By how many requests a worker lives longer than ``max_requests``, so that not all end at once."""
    if not cfg.max_requests_jitter:
        return 0
    import random

    return random.randint(0, cfg.max_requests_jitter)  # noqa: S311 - spreads restarts, no secret
