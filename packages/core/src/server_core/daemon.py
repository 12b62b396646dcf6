"""A server in the background, and what whoever started it hears of its start.

Owns: the forks by which a process leaves its terminal, and the pipe over which the process that was started learns how
it may end: when the server serves, or when it cannot.
Must not know: settings, the arbiter.
"""

from __future__ import annotations

import os
from typing import NoReturn

from server_core.errors import EXIT_CONFIG, EXIT_OK

#: Octets of what is told: one write, which one read takes whole.
TOLD_MAX = 4096


class Launch:
    """The server's end of the pipe. Only what is told first counts.

    Args:
        fd: the descriptor; -1 where nobody waits.
    """

    def __init__(self, fd: int = -1) -> None:
        self._fd = fd

    def tell(self, code: int, text: str = "") -> None:
        """Let the process that was started end with ``code``, after it has written ``text`` to its standard error."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.write(fd, bytes((code & 0xFF,)) + text.encode("utf-8", "backslashreplace")[: TOLD_MAX - 1])
        except BrokenPipeError:
            pass  # it was interrupted; the server goes on
        finally:
            os.close(fd)

    def close_in_child(self) -> None:
        """In a process that was forked: others tell."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def daemonize(keep_stdio: bool) -> Launch:
    """Detach from the terminal and the parent; the process that called ends when it is told how the start went.

    Args:
        keep_stdio: leave standard input, output and error as they are.
    """
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        _await_start(read)
    os.close(read)
    os.setsid()
    if os.fork():
        os._exit(EXIT_OK)
    os.umask(0o22)
    null = os.open(os.devnull, os.O_RDWR)
    if not keep_stdio:
        for fd in range(3):
            os.dup2(null, fd)
    os.close(null)
    return Launch(write)


def _await_start(fd: int) -> NoReturn:
    try:
        told = os.read(fd, TOLD_MAX)
    except KeyboardInterrupt:  # the server has a session of its own, and goes on
        told = bytes((EXIT_OK,))
    code, text = (told[0], told[1:]) if told else (EXIT_CONFIG, b"server: error: it ended before it served\n")
    os.write(2, text)
    os._exit(code)
