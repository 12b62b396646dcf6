"""Starting a worker process, and what it does from its first instruction to its last.

Owns: the fork, the child's outermost frame, and the report file of a child.
Must not know: why a child is started (groups), how a template is asked (template).
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from typing import Any, Callable, NoReturn

from server_core import process
from server_core.errors import EXIT_APP_LOAD, EXIT_OK, EXIT_WORKER_BOOT, AppImportError, HaltServer
from server_core.scoreboard import Scoreboard
from server_core.stacks import write_stacks_on_signal
from server_core.supervise.signals import signals_held
from server_core.worker import BootError, Worker

EXIT_CRASH = 255  # an exception ended a worker that had been ready
REPORT_LIMIT = 256 * 1024  # octets of a report that are read


class ReportFile:
    """A file without a name that one child writes and the arbiter reads: stacks, or why it cannot boot."""

    def __init__(self) -> None:
        self.fd = process.anonymous_file("server-report")

    def clear(self) -> None:
        """Forget what was written; the descriptor is shared, so the child writes at the beginning again."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        os.ftruncate(self.fd, 0)

    def read(self) -> str:
        """Return what was written."""
        return os.pread(self.fd, REPORT_LIMIT, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Give the memory back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def fork(child_main: Callable[[], NoReturn]) -> int:
    """Fork, and run ``child_main`` in the child, which never returns. Return the child's process id.

    The child begins with all signals held; it releases them when it has its handlers.
    """
    with signals_held():
        pid = os.fork()
        if pid == 0:
            _run_and_exit(child_main)
    return pid


def _run_and_exit(child_main: Callable[[], NoReturn]) -> NoReturn:
    try:
        child_main()
    except SystemExit as error:  # a signal to leave that came while the child was leaving
        os._exit(_exit_code(error))
    except BaseException:  # nothing of the parent's frames may run in the child
        traceback.print_exc()
    os._exit(EXIT_CRASH)


def leave(code: int, log: Any) -> NoReturn:
    """End this process as the interpreter would, without unwinding the frames of its parent.

    Threads are joined and ``atexit`` functions run, because applications flush their work there.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # it is reported, and nothing else can be done any more
        traceback.print_exc()
    log.flush()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(code)


def run_worker(worker: Worker, arbiter: Any, board: Scoreboard, index: int, from_template: bool = False) -> NoReturn:
    """Be a worker: in a fresh process, signals held, until its end.

    Args:
        worker: made before the fork.
        arbiter: for the hooks.
        board: the scoreboard.
        index: the worker's place on it.
        from_template: the class's ``setup()`` was called in the template.
    """
    worker.pid = os.getpid()
    board.set_pid(index, worker.pid)
    worker.board = board.slot(index)
    if worker.report_fd is not None:
        write_stacks_on_signal(worker.report_fd, None if worker.waits_in_threads() else worker.waiting_stacks)
    process.set_title(f"worker [{worker.cfg.proc_name}]")
    code = EXIT_CRASH
    try:
        Worker.init_signals(worker)  # a subclass may need a loop for its own
        process.release_signals()
        if hasattr(worker, "setup") and not from_template:
            worker.setup()
        if worker.cfg.application_metrics:
            arbiter.application_metrics.enter(index, worker.log)
        worker.hooks.post_fork(arbiter, worker)
        worker.init_process()
        code = EXIT_OK
    except SystemExit as error:
        code = _exit_code(error)
    except HaltServer as error:
        code = error.exit_status
    except BaseException as error:  # the outermost frame: whatever it is ends the process
        code = _failed(worker, error)
    process.ignore_stop_signals()
    _bid_farewell(worker, arbiter)
    leave(code, worker.log)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return EXIT_OK
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _failed(worker: Worker, error: BaseException) -> int:
    """Report an exception that ended the worker; return the exit code."""
    if worker.booted:
        worker.log.exception("Exception in worker process")
        return EXIT_CRASH
    report(worker.report_fd, error)
    return EXIT_APP_LOAD if isinstance(error, AppImportError) else EXIT_WORKER_BOOT


def report(fd: Any, error: BaseException) -> None:
    """Write why a process cannot boot into its report file, or to stderr without one."""
    if isinstance(error, (AppImportError, BootError)):
        own = getattr(error, "traceback", None)
        text = f"{own.rstrip()}\n{error}" if own else str(error)
    else:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
    data = (text + "\n").encode("utf-8", "backslashreplace")
    os.write(2 if fd is None else fd, data[:REPORT_LIMIT])


def _bid_farewell(worker: Worker, arbiter: Any) -> None:
    worker.log.info("Worker exiting (pid: %s)", worker.pid)
    try:
        worker.tmp.close()
        worker.count_messages()
        worker.hooks.worker_exit(arbiter, worker)
    except Exception:
        worker.log.exception("Exception during worker exit")
