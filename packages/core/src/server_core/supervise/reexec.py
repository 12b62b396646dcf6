"""Starting a second arbiter that takes the sockets over (USR2), and knowing to be one.

Owns: the command that started this server, and the environment between two arbiters.
Must not know: which of the two should stop, and when.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, List, MutableMapping, NoReturn

from server_core import process
from server_core.supervise.spawn import fork

PARENT_VARIABLE = "SERVER_ARBITER_PID"
EXIT_EXEC = 127


def command() -> List[str]:
    """Return the command line that started this process, interpreter and its options included."""
    original = getattr(sys, "orig_argv", None)
    if original is not None:
        return [sys.executable, *original[1:]]
    # Before 3.10 sys.argv has lost "-m PACKAGE" and the interpreter's options; the former can be told.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return [sys.executable, *sys.argv]
    module = spec.parent if spec.name.endswith(".__main__") else spec.name
    return [sys.executable, "-m", module, *sys.argv[1:]]


class StartContext:
    """How this server was started.

    Args:
        directory: in which, by the name it had: where a link leads to may change.
    """

    def __init__(self, directory: str) -> None:
        self.command = command()
        self.directory = directory

    def as_dict(self) -> Dict[Any, Any]:
        """gunicorn's ``START_CTX``: ``args``, ``cwd``, and the executable under 0."""
        return {"args": list(self.command), "cwd": self.directory, 0: self.command[0]}


def started_by(environ: MutableMapping[str, str]) -> int:
    """Return the process id of the arbiter that started us as its successor, 0 for none.

    The variable is removed; one that is left over from somebody else does not count.
    """
    text = environ.pop(PARENT_VARIABLE, "")
    return int(text) if text.isdigit() and int(text) == os.getppid() else 0


def start_successor(arbiter: Any, context: StartContext) -> int:
    """Fork and execute the server again. Return the process id of the successor."""

    def main() -> NoReturn:
        arbiter.become_child(keep=-1)
        process.release_signals()
        environ = dict(os.environ)
        environ[PARENT_VARIABLE] = str(arbiter.pid)
        if "WATCHDOG_PID" in environ:  # it becomes the process that the service manager watches
            environ["WATCHDOG_PID"] = str(os.getpid())
        for fd in arbiter.hand_over(environ):
            os.set_inheritable(fd, True)
        arbiter.cfg.pre_exec(arbiter)
        arbiter.log.flush()
        try:
            os.chdir(context.directory)
            os.execve(context.command[0], context.command, environ)  # noqa: S606 - the command we were started with
        except OSError as error:
            where = f"{context.command[0]!r} in {context.directory!r}"
            print(f"cannot execute {where}: {error.strerror}", file=sys.stderr)
            os._exit(EXIT_EXEC)

    return fork(main)
