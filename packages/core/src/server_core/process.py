"""What a process does to itself: identity, death with its parent, cores, memory, signals.

Owns: the calls to the system that Python's library lacks, each with its fallback.
Must not know: settings, workers, the arbiter.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what ``signal`` wraps; see ``set_handler``
import os
import pwd
import signal
import sys
import threading
import time
from typing import Any, Iterable, List, Optional, Set

from server_core.prctl import prctl

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process. Return whether the system can."""
    return prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Let this process be killed when ``parent`` ends, also while it is stuck in a system call.

    To be called after reparenting and after privileges were dropped, since both would undo it.
    Exits when the parent is gone already.
    """
    kills = prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if not kills:
        threading.Thread(target=_watch_parent, args=(parent,), name="parent-watch", daemon=True).start()


def _watch_parent(parent: int) -> None:
    """Poll, where the system has no parent-death signal."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def take_identity(uid: int, gid: int, initgroups: bool) -> None:
    """Change to ``uid`` and ``gid`` for good.

    Args:
        uid: the user to become; its own id changes nothing.
        gid: the group to become.
        initgroups: take the supplementary groups of the user. Without it a process that gives up
            root keeps none, because root's groups would be privileges left over.

    Raises PermissionError.
    """
    if gid != os.getegid() or uid != os.geteuid() or initgroups:
        if initgroups:
            os.initgroups(pwd.getpwuid(uid).pw_name, gid)
        elif os.geteuid() == 0 and uid != 0:
            os.setgroups([gid])
        if gid != os.getegid():
            os.setgid(gid)
        if uid != os.geteuid():
            os.setuid(uid)


def parse_affinity(text: str) -> Optional[List[Set[int]]]:
    """Return the cores of each slot: None for no pinning.

    Args:
        text: ``""``, ``"auto"`` (one available core per slot, in turn), or lists of cores separated by
            ``;``, for example ``"0,1;2,3"`` or ``"0-3;4-7"``.

    Raises ValueError.
    """
    if not text:
        return None
    if text == "auto":
        return [{core} for core in sorted(os.sched_getaffinity(0))] if hasattr(os, "sched_getaffinity") else None
    return [_cores(part) for part in text.split(";")]


def _cores(text: str) -> Set[int]:
    cores: Set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        cores.update(range(int(first), int(last if dash else first) + 1))
    return cores


def cores_missing(text: str) -> str:
    """Return the cores of the first slot that has none this process may use, "" when there is no such slot."""
    if not hasattr(os, "sched_getaffinity"):
        return ""
    usable = os.sched_getaffinity(0)
    for part, cores in zip(text.split(";"), parse_affinity(text) or ()):
        if not cores & usable:
            return part.strip()
    return ""


def pin_to_cores(text: str, slot: int) -> None:
    """Pin this process to the cores of ``slot``; see ``parse_affinity``."""
    cores = parse_affinity(text)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[slot % len(cores)])


def resident_memory() -> int:
    """Return the resident memory of this process in octets; 0 where it cannot be learned."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def anonymous_file(name: str) -> int:
    """Return the descriptor of an empty file without a name, closed on exec."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def close_on_exec(fd: int) -> None:
    """Keep ``fd`` from programs that this process starts."""
    os.set_inheritable(fd, False)


def set_title(title: str) -> None:
    """Show ``title`` in ps and top, when setproctitle is installed."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"server: {title}")


def set_handler(number: int, handler: Any) -> None:
    """Have ``handler`` called for a signal, as ``signal.signal`` does.

    That one makes an ``Enum`` of the handler before, or an error where it was none: so much Python that it caused 55 of
    the 700 page faults of a worker's start. Where something has taken its place (gevent, perhaps by a config file that
    ran before this module was imported), what is there now is called.
    """
    install = _signal.signal if signal.signal.__module__ == signal.__name__ else signal.signal
    install(number, handler if callable(handler) else int(handler))


def hold_signals() -> Iterable[int]:
    """Hold all signals back. Return those that were held before, for ``release_signals``."""
    held: Iterable[int] = _signal.pthread_sigmask(signal.SIG_BLOCK, _signal.valid_signals())
    return held


def release_signals(held: Iterable[int] = ()) -> None:
    """Let signals in that were held back, around a fork or by the program that started this one, except ``held``."""
    _signal.pthread_sigmask(signal.SIG_SETMASK, held)


def ignore_stop_signals() -> None:
    """A process that is ending is not interrupted by being told to end; KILL remains."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        set_handler(number, signal.SIG_IGN)


def await_reparenting(intermediate: int) -> None:
    """Return when ``intermediate``, which forked this process and ends, is no longer its parent."""
    while os.getppid() == intermediate:
        time.sleep(0.001)


def open_standard_streams() -> None:
    """Open the null device as standard input, output or error where whoever started this process closed it.

    A listener or the pipe of the signals would get the number otherwise, and be written to by what prints.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # as long as the process
