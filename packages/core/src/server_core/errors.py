"""What ends the server, or keeps it from starting.

Owns: the exceptions of start-up and their exit codes.
Must not know: who reports them. Whoever catches one prints its text as one line and exits.

Error texts read ``<thing>: expected <x>, got <repr> (from <where>)``. Where the value of a setting came from
is added by ``Settings.located``.
"""

from __future__ import annotations

from typing import Optional

EXIT_OK = 0
EXIT_CONFIG = 1  # a setting, a socket or another condition of the start
EXIT_USAGE = 2  # an unknown option, as argparse has it
EXIT_WORKER_BOOT = 3  # a worker failed before it was ready
EXIT_APP_LOAD = 4  # the application could not be imported
EXIT_INTERRUPTED = 130  # Ctrl-C before anything was started, as shells have it
EXIT_UNHANDLED = 255  # an error nobody expected; its traceback is in the log

#: What each exit code of the command means, for the reference.
EXIT_CODES = {
    EXIT_OK: "the server was stopped, or a command did what it was asked",
    EXIT_CONFIG: "a setting, an address or another condition of the start is wrong",
    EXIT_USAGE: "the command line is wrong",
    EXIT_WORKER_BOOT: "a worker failed before it was ready for the first time",
    EXIT_APP_LOAD: "the application could not be found or imported",
    EXIT_INTERRUPTED: "Ctrl-C before anything was started",
    EXIT_UNHANDLED: "an error nobody expected; its traceback is in the log",
}


class ServerError(Exception):
    """Base of the errors of this package; ``exit_status`` is the exit code it leads to."""

    exit_status = EXIT_CONFIG
    traceback: Optional[str] = None  # of the user's own code, when that is the cause


class UsageError(ServerError):
    """The command line itself is wrong."""

    exit_status = EXIT_USAGE


class ConfigError(ServerError):
    """A setting is wrong, or settings contradict one another."""


class PluginError(ConfigError):
    """A plugin is missing, doubled, or made for another version of the contract."""


class BindError(ServerError):
    """A listening socket cannot be opened: address in use, not available, no permission."""


class AppImportError(ServerError):
    """The application cannot be found or imported.

    ``traceback`` holds the formatted traceback of the user's own code when that is the cause, and
    None when the text alone says everything (no such module, no such attribute).
    """

    exit_status = EXIT_APP_LOAD

    def __init__(self, message: str, traceback: Optional[str] = None) -> None:
        super().__init__(message)
        self.traceback = traceback


class HaltServer(BaseException):
    """Leave the arbiter with ``exit_status``; a BaseException so that no handler swallows it."""

    def __init__(self, reason: str, exit_status: int = EXIT_CONFIG) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self) -> str:
        return f"<HaltServer {self.reason!r} {self.exit_status}>"
