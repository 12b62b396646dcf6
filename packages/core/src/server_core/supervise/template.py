"""The template: a process that has loaded the application and forks workers from itself.

Owns: the template's own loop, and ``TemplateLink``, the arbiter's end of its pipe.
Must not know: when a worker is wanted.

A worker is forked by way of a short-lived intermediate, so that it loses its parent at once and is
adopted by the arbiter, a child subreaper. Where the system has no subreaper the template stays the
parent, and reports the ends of its children.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from server_core import process
from server_core.errors import EXIT_APP_LOAD, EXIT_OK, EXIT_WORKER_BOOT, AppImportError
from server_core.scoreboard import Scoreboard
from server_core.scoreboard.layout import READY
from server_core.sockets import Address, Listener, adopt
from server_core.stacks import write_stacks_on_signal
from server_core.supervise.spawn import fork, leave, report, run_worker

MESSAGE_LIMIT = 64 * 1024  # octets of one order
FDS_LIMIT = 250  # descriptors of one order; the kernel's own limit is 253


class TemplateLink:
    """The arbiter's end of the pipe to one template."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        sock.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when the template answered."""
        return self._sock.fileno()

    def ask(self, order: Dict[str, Any], fds: Sequence[int]) -> Optional[str]:
        """Order a worker. Return what went wrong, None when nothing did."""
        try:
            socket.send_fds(self._sock, [json.dumps(order).encode() + b"\n"], list(fds))
        except OSError as error:
            return f"the template does not take orders: {error.strerror}"
        return None

    def answers(self) -> List[Dict[str, Any]]:
        """Return what the template reported since the last call."""
        try:
            data = self._sock.recv(MESSAGE_LIMIT)
        except (BlockingIOError, ConnectionResetError):
            return []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Give the pipe up; the template leaves."""
        self._sock.close()


def listeners_to_order(listeners: Sequence[Listener]) -> Tuple[List[Dict[str, Any]], List[int]]:
    """Return how listeners are described in an order, and their descriptors."""
    rows = [{**vars(listener.address), "scheme": listener.scheme, "at": listener.slot} for listener in listeners]
    return rows, [listener.fileno() for listener in listeners]


def _listeners_from_order(rows: Sequence[Dict[str, Any]], fds: Sequence[int], tls: Any) -> List[Listener]:
    found = []
    for row, fd in zip(rows, fds):
        fields = dict(row)
        scheme, slot = fields.pop("scheme"), fields.pop("at")
        listener = adopt(fd, Address(**fields), scheme)
        listener.slot, listener.tls = slot, tls
        found.append(listener)
    return found


class Template:
    """The template process.

    Args:
        arbiter: a copy of the arbiter, for hooks and for making worker objects.
        service: what kind of workers are forked.
        generation: the settings to fork them from.
        board: the scoreboard.
        index: the template's own place on it.
        sock: the pipe to the arbiter.
        report_fd: where to say why loading failed.
        subreaper: orphaned workers become the arbiter's children.
    """

    def __init__(
        self, arbiter: Any, service: Any, generation: Any, board: Scoreboard, index: int, sock: socket.socket,
        report_fd: int, subreaper: bool,
    ) -> None:  # fmt: skip
        self.arbiter = arbiter
        self.service = service
        self.generation = generation
        self.cfg = generation.cfg
        self.board = board
        self.index = index
        self.sock = sock
        self.report_fd = report_fd
        self.subreaper = subreaper
        self.children: Dict[int, int] = {}  # pid -> child number, where we stay the parent
        self.wakeup = os.pipe()

    def main(self) -> NoReturn:
        """Load the application, then fork workers until told to leave."""
        write_stacks_on_signal(self.report_fd)
        process.set_title(f"template [{self.cfg.proc_name}]")
        self.board.set_pid(self.index, os.getpid())
        code = EXIT_OK
        try:
            self._init_signals()
            process.end_with_parent(self.arbiter.pid)
            self._load()
            self._serve()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else EXIT_OK
        except AppImportError as error:
            report(self.report_fd, error)
            code = EXIT_APP_LOAD
        except BaseException as error:  # the outermost frame: whatever it is ends the process
            report(self.report_fd, error)
            code = EXIT_WORKER_BOOT
        leave(code, self.arbiter.log)

    def _init_signals(self) -> None:
        for fd in self.wakeup:
            os.set_blocking(fd, False)
        for name in ("TERM", "INT", "QUIT", "ABRT"):
            signal.signal(getattr(signal, f"SIG{name}"), lambda *_: sys.exit(EXIT_OK))
        signal.signal(signal.SIGUSR1, lambda *_: self.arbiter.log.reopen_files())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wakeup[1], warn_on_full_buffer=False)
        process.release_signals()

    def _load(self) -> None:
        os.environ.update(self.cfg.env)
        self.service.prepare_template(self.arbiter, self.cfg)
        if self.cfg.application_metrics:
            self.arbiter.application_metrics.enter(self.index, self.arbiter.log)
        self.arbiter.app.wsgi()
        # What is alive now stays: collecting it would only copy pages that are shared with the workers.
        gc.collect()
        gc.freeze()
        slot = self.board.slot(self.index)
        slot.set_state(READY)
        self.arbiter.ring()

    def _serve(self) -> None:
        buffer = b""
        while True:
            readable, _, _ = select.select([self.sock, self.wakeup[0]], [], [])
            if self.wakeup[0] in readable:
                os.read(self.wakeup[0], 4096)
                self._reap()
            if self.sock not in readable:
                continue
            data, fds, _, _ = socket.recv_fds(self.sock, MESSAGE_LIMIT, FDS_LIMIT)
            if not data:
                return
            # Descriptors come with the first octet of their order, so a read never spans two orders.
            buffer += data
            if buffer.endswith(b"\n"):
                self._fork(json.loads(buffer), fds)
                buffer = b""

    def _fork(self, order: Dict[str, Any], fds: List[int]) -> None:
        report_fd, *listener_fds = fds
        tls = self.generation.listeners.tls
        self.arbiter.given_listeners = _listeners_from_order(order["listeners"], listener_fds, tls)
        try:
            self._make(order, report_fd)
        finally:
            for listener in self.arbiter.given_listeners:
                listener.close()
            os.close(report_fd)

    def _make(self, order: Dict[str, Any], report_fd: int) -> None:
        worker = self.service.make_worker(self.arbiter, self.cfg, order["child"], order["slot"])
        worker.slot = order["slot"]
        worker.report_fd = report_fd
        worker.doorbell = self.arbiter.doorbell[1]
        worker.hooks.pre_fork(self.arbiter, worker)
        if not self.subreaper:
            worker.ppid = os.getpid()
            self._answer(order["child"], fork(lambda: self._be_worker(worker, order["index"])))
            return
        os.waitpid(fork(lambda: self._be_intermediate(worker, order)), 0)

    def _be_intermediate(self, worker: Any, order: Dict[str, Any]) -> NoReturn:
        intermediate = os.getpid()

        def be_worker() -> NoReturn:
            process.await_reparenting(intermediate)
            self._be_worker(worker, order["index"])

        self._answer(order["child"], fork(be_worker))
        os._exit(EXIT_OK)

    def _be_worker(self, worker: Any, index: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        for fd in self.wakeup:
            os.close(fd)
        self.sock.close()
        os.close(self.report_fd)
        run_worker(worker, self.arbiter, self.board, index, from_template=True)

    def _answer(self, child: int, pid: int) -> None:
        if not self.subreaper:
            self.children[pid] = child
        self.sock.sendall(json.dumps({"child": child, "pid": pid}).encode() + b"\n")

    def _reap(self) -> None:
        """Report the ends of workers, where they stay our children."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self.children.pop(pid, None)
            if child is not None:
                self.sock.sendall(json.dumps({"child": child, "status": status}).encode() + b"\n")
