"""The arbiter: the loop that turns the world into events and carries actions out.

Owns: the process tree's root, what children inherit, and the attributes that hooks read.
Must not know: what is to be done when; ``state.step`` decides everything.

Longer than other modules, because it is one class: gunicorn's ``Arbiter``, whose attributes hooks read, with one short
method for each action of the table at the end. What an action does in the world has modules of its own.
"""

from __future__ import annotations

import gc
import os
import selectors
import sys
import time
from collections import deque
from types import MappingProxyType
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple, Type

from server_core import daemon, process, systemd
from server_core.errors import EXIT_APP_LOAD, EXIT_CONFIG, EXIT_OK, EXIT_UNHANDLED, EXIT_WORKER_BOOT, ServerError
from server_core.scoreboard import Scoreboard, records_for, running_for, slots_for
from server_core.scoreboard.busy import BusyMeter
from server_core.scoreboard.layout import SERVING, STARTING
from server_core.supervise import events as ev
from server_core.supervise.causes import exit_cause
from server_core.supervise.children import ChildState
from server_core.supervise.generations import Generations
from server_core.supervise.listeners import ListenerBook
from server_core.supervise.model import State
from server_core.supervise.presence import Presence
from server_core.supervise.processes import Process, Processes
from server_core.supervise.reexec import StartContext, start_successor, started_by
from server_core.supervise.services import HTTP, Service, add_services
from server_core.supervise.signals import SignalInbox
from server_core.supervise.state import step
from server_core.version import PRODUCT, __version__

TICK = 1.0  # seconds
STOP_TICK = 0.05  # while the backlog drains


class Arbiter:
    """The parent of all processes of a server.

    Args:
        app: the application object: ``cfg``, ``start_directory``, ``reload()``, ``wsgi()``.

    Attributes:
        app, cfg, log: as given, and made from it.
        pid: our process id.
        num_workers: HTTP workers wanted.
        WORKERS: worker objects by process id.
        LISTENERS: the open listeners.
        worker_age: how many children were started.
        reexec_pid: the second arbiter, 0 for none.
        master_pid: the arbiter that started us as its successor, 0 for none.
        board: the scoreboard.
        busy: how busy the children are.
        application_metrics: what the application counts in all its processes, None when nobody asked for it.
        state: what supervision knows.
        doorbell: a pipe by which children ask to be looked at.
    """

    # gunicorn's names: how it was started, filled in then, and exit codes
    START_CTX: Mapping[Any, Any] = MappingProxyType({})
    WORKER_BOOT_ERROR = EXIT_WORKER_BOOT
    APP_LOAD_ERROR = EXIT_APP_LOAD

    def __init__(self, app: Any) -> None:
        self.app = app
        self.cfg = app.cfg
        self.log: Any = None
        self._launch = daemon.Launch()
        self.pid = os.getpid()
        self.num_workers = int(app.cfg.workers)
        self.reexec_pid = 0
        self.master_pid = 0
        self.presence = Presence(self)
        self.listeners = ListenerBook()
        self.given_listeners: Optional[List[Any]] = None
        self._start_context = StartContext(app.start_directory)
        self.START_CTX = self._start_context.as_dict()
        self._services: Dict[str, Service] = {}
        self.generations = Generations(self)
        self._queue: Deque[ev.Event] = deque()
        self._exit_code: Optional[int] = None
        self._refusal: Optional[str] = None  # why the settings of the last reload could not be used
        self._next_tick = 0.0
        self.started_at = time.monotonic()
        self.spawned = 0
        self.killed = 0
        self.exits: Dict[Tuple[str, str], int] = {}
        self.application_metrics: Any = None

    # --- what hooks and others read -----------------------------------------------------------

    @property
    def WORKERS(self) -> Dict[int, Any]:  # noqa: N802 - gunicorn's name
        """The living workers by process id."""
        living = self.processes.living.values()
        return {child.pid: child.worker for child in living if child.pid is not None and child.worker is not None}

    @property
    def LISTENERS(self) -> List[Any]:  # noqa: N802 - gunicorn's name
        """The open listeners."""
        return self.listeners.all()

    @property
    def worker_age(self) -> int:
        """How many children were started."""
        return self.state.next_number.last

    @property
    def address(self) -> List[Any]:
        """The addresses that are served, as ``(host, port)``, path or descriptor."""
        return [address.plain for address in self.cfg.address]

    @property
    def proc_name(self) -> str:
        """The name in process titles."""
        return str(self.cfg.proc_name)

    @property
    def timeout(self) -> float:
        """The timeout of HTTP workers, seconds."""
        return float(self.cfg.timeout)

    @property
    def worker_class(self) -> Type[Any]:
        """The class of HTTP workers."""
        found: Type[Any] = self.cfg.worker_class
        return found

    @property
    def dirty_arbiter_pid(self) -> int:
        """gunicorn's name; there is no second arbiter, its work is done here."""
        return 0

    # --- life -------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, serve until stopped, and end with SystemExit.

        Raises:
            ServerError: the server cannot start.
        """
        try:
            with self.cfg.located():
                self._start()
            self._loop()
        except ServerError as error:
            self._log_failure(error)
            self._launch.tell(error.exit_status, f"{PRODUCT}: error: {error}\n")
            self._abandon()
            raise
        except Exception:
            if self.log is None:
                raise
            self.log.exception("Unhandled exception in main loop")
            self._abandon()
            self._exit_code = EXIT_UNHANDLED
        self._end()
        sys.exit(self._exit_code)

    def _log_failure(self, error: ServerError) -> None:
        """Tell the error log why the server ends, unless it is the terminal that is told anyway."""
        if self.log is None or (self.cfg.errorlog == "-" and not self.cfg.daemon and not self.cfg.syslog):
            return
        text = f"{error.traceback.rstrip()}\n{error}" if error.traceback else str(error)
        self.log.error("%s", text)
        self.log.flush()

    def _start(self) -> None:
        if self.cfg.daemon and not os.environ.get("SERVER_ARBITER_PID"):
            _ = self.cfg.worker_class, self.cfg.address  # what is wrong with them is told where the command was typed
            self._launch = daemon.daemonize(self.cfg.enable_stdio_inheritance)
        self.pid = os.getpid()
        self.log = self.cfg.logger_class(self.cfg)
        self.master_pid = started_by(os.environ)
        self.notifier = systemd.Notifier(os.environ)
        self.state = State(self.plan(self.cfg), is_upgrade=bool(self.master_pid), pid_one=self.pid == 1)
        if not self.app.at_terminal:
            self.log.info("Starting %s %s", PRODUCT, __version__)
        self.generations.log_warnings()
        self.log.close_on_exec()
        process.set_title(f"master [{self.cfg.proc_name}]")
        self._open_inputs()
        self.presence.claim(self.cfg, second=bool(self.master_pid))
        os.environ["SERVER_SOFTWARE"] = f"{PRODUCT}/{__version__}"
        self.generations.set_environment(self.cfg)
        self.cfg.on_starting(self)
        self.generations.begin()
        self.presence.open(self.cfg)
        self._queue.append(ev.Begun())
        self.cfg.when_ready(self)
        # All children share what is alive now, as long as no collection of theirs writes to it.
        gc.collect(1)  # young garbage goes; to look through everything would be a fiftieth of the start
        gc.freeze()

    def plan(self, cfg: Any) -> ev.Plan:
        """Return what ``cfg`` wants of supervision; services that it is the first to turn on become known."""
        add_services(self._services, cfg)
        plans = [service.plan(cfg) for service in self._services.values()]
        return ev.Plan(tuple(plan for plan in plans if plan is not None), cfg.daemon)

    def _open_inputs(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.doorbell = os.pipe()
        for fd in self.doorbell:
            os.set_blocking(fd, False)
        self.inbox = SignalInbox()
        self.watch(self.inbox, self._read_signals)
        self.selector.register(self.doorbell[0], selectors.EVENT_READ, self._answer_doorbell)
        workers = sum(group.target for group in self.state.groups.values())
        self.board = Scoreboard(slots_for(workers), records_for(self.cfg.threads), running_for(self.cfg.threads))
        self.busy = BusyMeter(self.board.reader())
        self.processes = Processes(self, self.board, self._services, process.become_subreaper())
        self.inbox.install()

    # --- the loop ---------------------------------------------------------------------------

    def _loop(self) -> None:
        while self._exit_code is None:
            now = time.monotonic()
            if now >= self._next_tick:
                self._next_tick = now + self._tick(now)
            while self._queue and self._exit_code is None:
                self._act_on(self._queue.popleft())
            self._look()
            if self._queue or self._exit_code is not None:
                continue
            deadline = self.state.deadline(now)
            if deadline is not None:
                self._next_tick = min(self._next_tick, deadline)
            for key, _ in self.selector.select(max(0.0, self._next_tick - time.monotonic())):
                key.data()

    def _act_on(self, event: ev.Event) -> None:
        actions = step(self.state, event, time.monotonic())
        self.board.set_readiness(self._readiness())
        self._perform_all(actions)

    def _tick(self, now: float) -> float:
        """Report that time passed. Return the seconds to the next tick."""
        stopping = self.state.stop is not None
        self._queue.append(ev.Ticked(self.processes.beats(), self.listeners.queued() if stopping else 0))
        if self.master_pid and os.getppid() != self.master_pid:
            self.master_pid = 0
            self._queue.append(ev.ParentGone())
        self._measure(now)
        self._serve_watchdog()
        self.log.retry()
        self.presence.tick(now)
        self.generations.refresh_tls(now)
        http = self.state.groups[HTTP]
        busy = [child.slot for child in http.workers]
        self.listeners.close_slots(self.generations.current.listeners, http.target, busy, self.state.shares_listeners)
        if stopping:
            return STOP_TICK
        return min(TICK, self.notifier.watchdog_interval or TICK)

    def _readiness(self) -> int:
        """Return whether requests should be sent here, as all workers are to answer."""
        readiness = self.state.readiness()
        waiting = readiness == SERVING and any(service.unready(self) for service in self.services())
        return STARTING if waiting else readiness

    def _measure(self, now: float) -> None:
        """Look how busy the children are; ticks come faster while the server stops, when nobody asks."""
        if self.state.stop is None:
            self.busy.look(now)
            self._queue.append(ev.LoadMeasured(HTTP, self.busy.latest(self.group_numbers()[HTTP])))

    def _serve_watchdog(self) -> None:
        if self.notifier.watchdog_interval is not None:
            self._notify("WATCHDOG=1")

    def _look(self) -> None:
        """Look at what children wrote on the scoreboard."""
        states = {
            child.number: (child.state is ChildState.BOOTING, child.ready and not child.retiring)
            for child in self.state.children()
        }
        self._queue.extend(self.processes.news(states))

    def _read_signals(self) -> None:
        for name in self.inbox.take():
            if name == "CHLD":
                self._reap()
            else:
                self._queue.append(ev.Signalled(name))

    def _reap(self) -> None:
        exited = self.processes.reap()
        self._look()  # a child may have been ready before it ended
        for event in exited:
            self._count_exit(event)
        self._queue.extend(exited)

    def _count_exit(self, event: ev.Event) -> None:
        child = self.state.child(event.child) if isinstance(event, ev.ChildExited) else None
        if isinstance(event, ev.ChildExited) and child is not None:
            key = (child.group, exit_cause(child, event.code, event.signal))
            self.exits[key] = self.exits.get(key, 0) + 1

    def _answer_doorbell(self) -> None:
        os.read(self.doorbell[0], 4096)

    def ring(self) -> None:
        """Have the arbiter look at the scoreboard; called in children."""
        os.write(self.doorbell[1], b"!")

    def read_templates(self) -> None:
        """Take the answers of templates."""
        self._queue.extend(self.processes.answers())

    # --- seams for control, metrics and others --------------------------------------------------

    def watch(self, fileobj: Any, callback: Callable[[], None], events: int = selectors.EVENT_READ) -> None:
        """Call ``callback`` whenever ``fileobj`` is readable (or as ``events`` says); it must not block."""
        self.selector.register(fileobj, events, callback)

    def unwatch(self, fileobj: Any) -> None:
        """Undo ``watch``."""
        self.selector.unregister(fileobj)

    def submit(self, event: ev.Event) -> None:
        """Report an event, for example a command: it is handled before the loop waits again."""
        self._queue.append(event)

    def hang_up(self) -> Optional[str]:
        """Read the settings again at once, and reload as after HUP. Return why they are refused, None if not."""
        if self.state.stop is not None:
            return "the server is stopping"
        self._refusal = None
        self._act_on(ev.Signalled("HUP"))
        return self._refusal

    def group_numbers(self) -> Dict[str, int]:
        """Return the numbers on the scoreboard of the groups that run, by name, HTTP first."""
        return {name: number for number, name in enumerate(self._services) if name in self.state.groups}

    def service(self, name: str) -> Service:
        """Return the service with this name, which a plan has named."""
        return self._services[name]

    def services(self) -> List[Service]:
        """Return the services beside the HTTP workers whose groups are running."""
        return [service for name, service in self._services.items() if name != HTTP and name in self.state.groups]

    def listeners_for(self, slot: int) -> List[Any]:
        """Return the listeners of an HTTP worker."""
        if self.given_listeners is not None:
            return self.given_listeners
        return self.listeners.for_slot(self.generations.current.listeners, slot)

    def become_child(self, keep: int) -> None:
        """In a process just forked: close what is ours alone. ``keep`` is the child we are."""
        self._launch.close_in_child()
        self.inbox.close_in_child()
        self.presence.close_in_child()
        self.processes.close_in_child(keep)
        self.selector.close()
        os.close(self.doorbell[0])

    def hand_over(self, environ: Dict[str, str]) -> List[int]:
        """Make ``environ`` that of a second arbiter: what our settings set is left to its own, and what it takes over
        is described. Return the descriptors."""
        self.generations.environment.restore(environ)
        return self.listeners.hand_over(environ)

    def call_hook(self, name: str, *arguments: Any) -> None:
        """Call a hook of the settings; its exception is logged, because the server goes on."""
        try:
            getattr(self.cfg, name)(self, *arguments)
        except Exception:
            self.log.exception("Exception in the %s hook", name)

    def unknown_exited(self, pid: int, status: int) -> None:
        """A child that is not a worker ended: the second arbiter, or an orphan we adopted."""
        if pid == self.reexec_pid:
            self.reexec_pid = 0
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            self._queue.append(ev.UpgradeEnded(f"it ended with {code}"))

    # --- actions ----------------------------------------------------------------------------

    def _perform_all(self, actions: List[ev.Action]) -> None:
        for action in actions:
            _PERFORM[type(action)](self, action)

    def _spawn(self, action: ev.Spawn) -> None:
        generation = self.generations[action.generation]
        service = self._services[action.group]
        self.spawned += 1
        self._queue.extend(self.processes.spawn(action, service, generation, time.monotonic()))

    def _kill(self, action: ev.Kill) -> None:
        self.killed += action.name == "KILL"
        self.processes.kill(action.child, action.name)

    def _dump_stacks(self, action: ev.DumpStacks) -> None:
        self.processes.dump_stacks(action.child)

    def _report_silence(self, action: ev.ReportSilence) -> None:
        child = self.processes.living.get(action.child)
        if child is None:
            return
        what = "BOOT TIMEOUT" if action.booting else "TIMEOUT"
        text = self.processes.silence_report(action.child, time.monotonic())
        self.log.critical("WORKER %s (pid:%s) silent for more than %g s\n%s", what, child.pid, action.seconds, text)

    def _report_boot(self, action: ev.ReportBoot) -> None:
        if action.child in self.processes.living:
            text = self.processes.boot_report(action.child)
            if text:
                self.log.error("%s", text)

    def _forget(self, action: ev.Forget) -> None:
        child: Optional[Process] = self.processes.forget(action.child)
        if child is not None and child.worker is not None and child.pid is not None:
            child.service.child_gone(self, child.worker)

    def _set_target(self, action: ev.SetTarget) -> None:
        if action.group != HTTP:
            return
        self.num_workers = action.count
        self.board.set_target(action.count)
        if self.generations and action.before is not None:
            self.listeners.steer(self.generations.current.listeners, action.count)
        self.call_hook("nworkers_changed", action.count, action.before)

    def _load_config(self, _action: ev.LoadConfig) -> None:
        self._refusal = self.generations.load()
        if self._refusal is None:
            self._queue.append(ev.ConfigLoaded(self.plan(self.app.cfg)))
        else:
            self._queue.append(ev.ConfigRejected(self._refusal))

    def _use_config(self, action: ev.UseConfig) -> None:
        self.generations.use(action.generation)

    def _refuse_dropped(self, _action: ev.RefuseDropped) -> None:
        self.listeners.refuse_dropped(self.generations.current.listeners)

    def _drop_configs(self, action: ev.DropConfigs) -> None:
        self.generations.drop_others(action.generation)

    def _refuse_new(self, _action: ev.RefuseNew) -> None:
        self.listeners.refuse_new()
        self._next_tick = 0.0  # look at the backlog at once

    def _close_listeners(self, action: ev.CloseListeners) -> None:
        if action.shared:
            self.listeners.close()
        else:
            self.listeners.shut()

    def _reexec(self, _action: ev.Reexec) -> None:
        try:
            self.reexec_pid = start_successor(self, self._start_context)
        except OSError as error:
            self._queue.append(ev.UpgradeEnded(f"cannot fork: {error.strerror}"))
            return
        self._queue.append(ev.Upgraded(self.reexec_pid))

    def _promote(self, _action: ev.Promote) -> None:
        self.presence.promote()
        self.generations.close_dropped()  # handed over, and in our settings no more

    def _resume(self, _action: ev.Resume) -> None:
        self.presence.resume()

    def _reopen_logs(self, _action: ev.ReopenLogs) -> None:
        self.log.reopen_files()

    def _write_log(self, action: ev.Log) -> None:
        getattr(self.log, action.level)(action.message)

    def _tell_manager(self, action: ev.Notify) -> None:
        self._notify(action.message)
        if action.message.startswith("READY=1"):
            self._launch.tell(EXIT_OK)

    def _notify(self, message: str) -> None:
        problem = self.notifier.send(message)
        if problem:
            self.log.warning("%s", problem)

    def _exit(self, action: ev.Exit) -> None:
        self._exit_code = action.code

    # --- the end ----------------------------------------------------------------------------

    def _tell_early_end(self) -> None:
        """Where nothing was served, tell whoever started a daemon."""
        place = f"{self.cfg.errorlog} says" if self.cfg.errorlog != "-" else "start it without --daemon to see"
        text = f"{PRODUCT}: error: it ended with exit code {self._exit_code} before it served; {place} why\n"
        self._launch.tell(self._exit_code or EXIT_CONFIG, text)

    def _end(self) -> None:
        self.log.info("Shutting down: Master")
        if self._exit_code:
            self.log.info("Exit code: %s", self._exit_code)
        self._tell_early_end()
        self.presence.close()
        for service in self._services.values():
            service.close()
        self.call_hook("on_exit")
        self.log.flush()

    def _abandon(self) -> None:
        """The server cannot start or go on: leave no child, no socket file and no pid file."""
        if hasattr(self, "processes"):
            for number in list(self.processes.living):
                self.processes.kill(number, "KILL")
        self._close_listeners(ev.CloseListeners(bool(self.master_pid or self.reexec_pid)))
        self.presence.close()


_PERFORM: Dict[Type[ev.Action], Callable[[Arbiter, Any], None]] = {
    ev.Spawn: Arbiter._spawn,
    ev.Kill: Arbiter._kill,
    ev.DumpStacks: Arbiter._dump_stacks,
    ev.ReportSilence: Arbiter._report_silence,
    ev.ReportBoot: Arbiter._report_boot,
    ev.Forget: Arbiter._forget,
    ev.SetTarget: Arbiter._set_target,
    ev.LoadConfig: Arbiter._load_config,
    ev.UseConfig: Arbiter._use_config,
    ev.RefuseDropped: Arbiter._refuse_dropped,
    ev.DropConfigs: Arbiter._drop_configs,
    ev.RefuseNew: Arbiter._refuse_new,
    ev.CloseListeners: Arbiter._close_listeners,
    ev.Reexec: Arbiter._reexec,
    ev.Promote: Arbiter._promote,
    ev.Resume: Arbiter._resume,
    ev.ReopenLogs: Arbiter._reopen_logs,
    ev.Notify: Arbiter._tell_manager,
    ev.Log: Arbiter._write_log,
    ev.Exit: Arbiter._exit,
}
