"""The living children: their processes, reports and places on the scoreboard.

Owns: starting, signalling and reaping, and what the scoreboard says about a child.
Must not know: what should live (state); it carries orders out and reports facts.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from server_core.scoreboard import Scoreboard
from server_core.scoreboard.layout import READY, RETIRE_NAMES
from server_core.scoreboard.reader import RunningRequest
from server_core.stacks import HEADING, STACK_SIGNAL
from server_core.supervise.events import (
    ChildExited,
    ChildReady,
    ChildRetiring,
    ChildStarted,
    Event,
    Spawn,
    SpawnFailed,
)
from server_core.supervise.spawn import ReportFile, fork, run_worker

if TYPE_CHECKING:
    from server_core.supervise.template import TemplateLink  # imported by those who preload

SHOWN_REQUESTS = 10  # running requests named in the report of a silent worker


class Process:
    """One living child.

    Attributes:
        number: its number in ``state``.
        service: what kind of child it is.
        generation: the settings it was started from.
        index: its place on the scoreboard.
        report: what it writes about itself.
        pid: its process id once known.
        running: the requests it was answering when it was asked for its stacks.
        worker: the worker object as hooks see it; None for a template.
        link: the pipe to it, when it is a template.
        parent: the template that is its parent, where the system has no subreaper.
    """

    __slots__ = (
        "generation", "index", "link", "number", "parent", "pid", "report", "running", "service", "slot", "worker",
    )  # fmt: skip

    def __init__(self, number: int, service: Any, generation: Any, slot: int, index: int) -> None:
        self.number = number
        self.service = service
        self.generation = generation
        self.slot = slot
        self.index = index
        self.report = ReportFile()
        self.pid: Optional[int] = None
        self.running: List[RunningRequest] = []
        self.worker: Any = None
        self.link: Optional[TemplateLink] = None
        self.parent: Optional[int] = None


class Processes:
    """All living children.

    Args:
        arbiter: for hooks, and for what children inherit.
        board: the scoreboard.
        groups: the names of all groups, in the order of their numbers on the board; it may grow.
        subreaper: orphaned workers become our children.
    """

    def __init__(self, arbiter: Any, board: Scoreboard, groups: Mapping[str, Any], subreaper: bool) -> None:
        self._arbiter = arbiter
        self._board = board
        self._reader = board.reader()
        self._groups = groups
        self._subreaper = subreaper
        self.living: Dict[int, Process] = {}

    # --- starting ---------------------------------------------------------------------------

    def spawn(self, order: Spawn, service: Any, generation: Any, now: float) -> List[Event]:
        """Start a child. Returns what is known at once; a template's answer comes later."""
        index = self._board.claim(list(self._groups).index(order.group), max(order.slot, 0), order.child, now)
        if index is None:
            return [SpawnFailed(order.child, f"all {self._board.layout.slots} places of the scoreboard are taken")]
        try:
            child = Process(order.child, service, generation, order.slot, index)
        except OSError as error:  # no descriptor is free
            self._board.release(index)
            return [SpawnFailed(order.child, f"cannot make its report file: {error.strerror}")]
        self.living[order.child] = child
        try:
            return self._start(child, order)
        except Exception as error:  # a hook, a worker's constructor, or the system: none ends the arbiter
            self._arbiter.log.error("%s", traceback.format_exc().rstrip())  # noqa: TRY400 - the event says the rest
            return [SpawnFailed(order.child, str(error) or type(error).__name__)]

    def _start(self, child: Process, order: Spawn) -> List[Event]:
        if order.slot < 0:
            return [self._spawn_template(child)]
        child.worker = self._make_worker(child)
        if order.template is None:
            return [self._spawn_worker(child)]
        template = self.living.get(order.template)
        if template is None or template.link is None:
            return [SpawnFailed(child.number, "its template is gone")]
        from server_core.supervise.template import listeners_to_order

        rows, fds = listeners_to_order(child.worker.sockets)
        message = {"child": child.number, "slot": child.slot, "index": child.index, "listeners": rows}
        problem = template.link.ask(message, [child.report.fd, *fds])
        child.parent = None if self._subreaper else template.number
        return [] if problem is None else [SpawnFailed(child.number, problem)]

    def _make_worker(self, child: Process) -> Any:
        worker = child.service.make_worker(self._arbiter, child.generation.cfg, child.number, child.slot)
        worker.slot = child.slot
        worker.report_fd = child.report.fd
        worker.doorbell = self._arbiter.doorbell[1]
        return worker

    def _spawn_worker(self, child: Process) -> ChildStarted:
        child.worker.hooks.pre_fork(self._arbiter, child.worker)

        def main() -> Any:
            self._arbiter.become_child(keep=child.number)
            run_worker(child.worker, self._arbiter, self._board, child.index)

        return self._started(child, fork(main))

    def _spawn_template(self, child: Process) -> ChildStarted:
        from server_core.supervise.template import Template, TemplateLink

        ours, its = socket.socketpair()
        child.link = TemplateLink(ours)
        self._arbiter.watch(child.link, self._arbiter.read_templates)  # before a fork that fails: ``forget`` undoes it

        def main() -> Any:
            self._arbiter.become_child(keep=child.number)
            Template(
                self._arbiter, child.service, child.generation, self._board, child.index, its, child.report.fd,
                self._subreaper,
            ).main()  # fmt: skip

        with its:
            return self._started(child, fork(main))

    def _started(self, child: Process, pid: int) -> ChildStarted:
        child.pid = pid
        self._board.set_pid(child.index, pid)
        if child.worker is not None:
            child.worker.pid = pid
            # Said here, because a worker's first line would make it copy the pages of all that makes lines.
            self._arbiter.log.info("Booting worker with pid: %s", pid)
            child.service.child_started(self._arbiter, child.worker)
        return ChildStarted(child.number, pid)

    def close_in_child(self, keep: int) -> None:
        """Close what belongs to other children, in a process that was just forked."""
        for child in self.living.values():
            if child.link is not None:
                child.link.close()
            if child.number != keep:
                child.report.close()

    # --- what happened ----------------------------------------------------------------------

    def answers(self) -> List[Event]:
        """Return what templates reported."""
        events: List[Event] = []
        for template in [child for child in self.living.values() if child.link is not None]:
            for answer in template.link.answers() if template.link is not None else ():
                child = self.living.get(answer["child"])
                if child is None:
                    continue
                if "pid" in answer:
                    events.append(self._started(child, answer["pid"]))
                else:
                    events.append(_exited(child.number, answer["status"]))
        return events

    def news(self, states: Dict[int, Tuple[bool, bool]]) -> List[Event]:
        """Return what children wrote on the scoreboard.

        Args:
            states: by child number, whether readiness and whether retirement is news.
        """
        events: List[Event] = []
        for number, (booting, retiring_is_news) in states.items():
            child = self.living.get(number)
            if child is None:
                continue
            slot = self._reader.slot(child.index)
            if booting and slot.state == READY:
                events.append(ChildReady(number))
                if child.worker is not None:
                    child.worker.booted = True
            if retiring_is_news and slot.retire:
                events.append(ChildRetiring(number, RETIRE_NAMES[slot.retire]))
        return events

    def reap(self) -> List[Event]:
        """Collect all processes that ended; unknown ones (as process 1) in silence."""
        events: List[Event] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return events
            if not pid:
                return events
            child = next((child for child in self.living.values() if child.pid == pid), None)
            if child is None:
                self._arbiter.unknown_exited(pid, status)
                continue
            events.append(_exited(child.number, status))
            orphans = [other for other in self.living.values() if other.parent == child.number]
            events += [ChildExited(other.number, 1) for other in orphans]

    def beats(self) -> Dict[int, float]:
        """Return when each child was last alive."""
        return {number: self._reader.slot(child.index).heartbeat for number, child in self.living.items()}

    # --- orders -----------------------------------------------------------------------------

    def kill(self, number: int, name: str) -> None:
        """Send a signal."""
        self._send(number, getattr(signal, f"SIG{name}"))
        child = self.living.get(number)
        if child is not None and child.worker is not None and name == "ABRT":
            child.worker.aborted = True

    def dump_stacks(self, number: int) -> None:
        """Have a child write its stacks into its report, and note what it is answering."""
        child = self.living.get(number)
        if child is not None:
            # Before the signal: it may end the very call that the child is stuck in, and the request with it.
            child.running = self._reader.running(child.index)
            child.report.clear()
            self._send(number, STACK_SIGNAL)

    def _send(self, number: int, sig: int) -> None:
        child = self.living.get(number)
        if child is None or child.pid is None:
            return
        try:
            os.kill(child.pid, sig)
        except ProcessLookupError:
            return  # it ended by itself; the report of that is on its way

    def forget(self, number: int) -> Optional[Process]:
        """A child is gone: fold its counters, free what it had. Return it for the hooks."""
        child = self.living.pop(number, None)
        if child is None:
            return None
        self._board.release(child.index)
        if self._arbiter.application_metrics is not None:
            self._arbiter.application_metrics.gone(child.index)
        child.report.close()
        if child.link is not None:
            self._arbiter.unwatch(child.link)
            child.link.close()
        return child

    def silence_report(self, number: int, now: float) -> str:
        """Return the running requests and the stacks of a child, as lines."""
        child = self.living[number]
        running = child.running
        lines = [f"  running for {now - request.began:.1f} s: {request.text}" for request in running[:SHOWN_REQUESTS]]
        if len(running) > SHOWN_REQUESTS:
            lines.append(f"  ... and {len(running) - SHOWN_REQUESTS} more")
        stacks = _without_outer_frames(child.report.read())
        return "\n".join([*lines, stacks or "  (no stacks: the process did not answer)"])

    def stacks_complete(self, number: int) -> bool:
        """Whether a child has said also what waits in it without a thread, where that may be."""
        child = self.living[number]
        return child.worker is None or child.worker.waits_in_threads() or HEADING in child.report.read()

    def boot_report(self, number: int) -> str:
        """Return what a child wrote about its failure to boot."""
        return self.living[number].report.read().rstrip()


def _without_outer_frames(stacks: str) -> str:
    """Drop the frames below a worker's own: those of the arbiter it was forked in."""
    kept: List[str] = []
    dropping = False
    for line in stacks.splitlines():
        if not line.startswith("  "):
            dropping = False
        if not dropping:
            kept.append(line)
        dropping = dropping or line.endswith(" in run_worker")
    return "\n".join(kept).rstrip()


def _exited(number: int, status: int) -> ChildExited:
    if os.WIFSIGNALED(status):
        return ChildExited(number, 0, os.WTERMSIG(status))
    return ChildExited(number, os.WEXITSTATUS(status))
