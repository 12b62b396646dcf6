"""Signals as input of the arbiter's loop.

Owns: the wake-up pipe, the handlers, and the mask around a fork.
Must not know: what a signal means.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import Any, Collection, Iterator, List

from server_core.process import hold_signals, release_signals, set_handler

SUPERVISED = ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH", "CHLD")
_NUMBERS = {getattr(signal, f"SIG{name}"): name for name in SUPERVISED}


class SignalInbox:
    """Collects signals by a wake-up pipe; nothing is done inside a handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def install(self) -> None:
        """Take over the signals of this process, and let them in: exec keeps the mask of whoever started it."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _NUMBERS:
            set_handler(number, self._noted)
        release_signals()
        signal.siginterrupt(signal.SIGCHLD, False)

    def _noted(self, number: int, frame: Any) -> None:
        """A handler must be installed for the wake-up descriptor to be written.

        Where a config file had gevent patch this process, the CHLD is gevent's, whose loop calls this without a frame
        when it has collected the child, and older versions write to no descriptor.
        """
        if frame is None:
            with suppress(BlockingIOError):  # so many wait that the arbiter will look anyway
                os.write(self._write, bytes((number,)))

    def fileno(self) -> int:
        """Return the descriptor that is readable when signals arrived."""
        return self._read

    def take(self) -> List[str]:
        """Return the names of the signals that arrived, in order, CHLD once."""
        try:
            data = os.read(self._read, 4096)
        except BlockingIOError:
            return []
        names = [_NUMBERS[number] for number in data if number in _NUMBERS]
        others = [name for name in names if name != "CHLD"]
        return others + ["CHLD"] * ("CHLD" in names)

    def holds(self, wanted: Collection[str]) -> bool:
        """Whether one of the signals ``wanted`` waits to be taken: for what must wait and may be given up."""
        try:
            data = os.read(self._read, 4096)
        except BlockingIOError:
            return False
        os.write(self._write, data)
        return any(_NUMBERS.get(number) in wanted for number in data)

    def close_in_child(self) -> None:
        """Give the signals back: a child must not write into its parent's pipe."""
        signal.set_wakeup_fd(-1)
        for number in _NUMBERS:
            set_handler(number, signal.SIG_DFL)
        os.close(self._read)
        os.close(self._write)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold all signals back, so that a child meets none before it has its own handlers.

    The mask in force before is restored at the end, in both processes.
    """
    before = hold_signals()
    try:
        yield
    finally:
        release_signals(before)
