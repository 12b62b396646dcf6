"""What can be asked of a running server.

Owns: the table of commands and their answers as plain values.
Must not know: sockets, how answers are shown. A command reads the arbiter's state and the scoreboard, and
changes something only by submitting an event to the arbiter.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from server_core.control.overview import overview
from server_core.control.protocol import ControlError
from server_core.control.views import listeners, running_requests, workers_of
from server_core.supervise import events as ev
from server_core.supervise.services import HTTP
from server_core.version import __version__

Command = Callable[[Any, List[Any]], Any]

MAX_COUNT = 1000  # workers that one command may add or remove
SECRET = frozenset({"raw_env"})  # settings whose values often are passwords


class Table:
    """Commands by name; a command's docstring is its help."""

    def __init__(self) -> None:
        self._commands: Dict[str, Command] = {}

    def add(self, name: str, command: Command) -> None:
        """Add a command. Raises ValueError when the name is taken."""
        if name in self._commands:
            raise ValueError(f"control command {name!r}: expected a new name, got one that is taken")
        self._commands[name] = command

    def run(self, arbiter: Any, text: str, args: List[Any]) -> Any:
        """Carry out the command that ``text`` begins with; its other words come before ``args``.

        Raises:
            ControlError: no such command, wrong arguments, or it cannot be carried out.
        """
        words = text.split()
        for length in range(len(words), 0, -1):
            command = self._commands.get(" ".join(words[:length]))
            if command is not None:
                return command(arbiter, [*words[length:], *args])
        known = ", ".join(sorted(self._commands))
        raise ControlError(f"command: expected one of {known}; got {text!r}")

    def help(self) -> Dict[str, str]:
        """Return the first line of each command's help by name."""
        return {
            name: (command.__doc__ or "").strip().splitlines()[0] for name, command in sorted(self._commands.items())
        }


def default_table(arbiter: Any) -> Table:
    """Return the commands of the server and of its services."""
    table = Table()
    for name, command in _COMMANDS.items():
        table.add(name, command)
    for service in arbiter.services():
        for name, command in service.commands().items():
            table.add(name, command)

    def show_help(_arbiter: Any, _args: List[Any]) -> Dict[str, str]:
        """The commands."""
        return table.help()

    table.add("help", show_help)
    return table


# --- arguments ----------------------------------------------------------------------------------


def count_argument(args: List[Any]) -> int:
    """Return the one optional number of a command, 1 without it. Raises ControlError."""
    if not args:
        return 1
    if len(args) > 1 or not str(args[0]).isdigit() or not 1 <= int(args[0]) <= MAX_COUNT:
        raise ControlError(f"count: expected one integer from 1 to {MAX_COUNT}, got {' '.join(map(str, args))!r}")
    return int(args[0])


def no_arguments(command: str, args: List[Any]) -> None:
    """Raise ControlError when there are arguments: whoever typed them expects something else to happen."""
    if args:
        raise ControlError(f"{command}: expected no arguments, got {' '.join(map(str, args))!r}")


def pid_argument(arbiter: Any, args: List[Any]) -> Any:
    """Return the living child (``supervise.processes.Process``) whose pid is the argument."""
    if len(args) != 1 or not str(args[0]).isdigit():
        raise ControlError(f"pid: expected the process id of a worker, got {' '.join(map(str, args))!r}")
    pid = int(args[0])
    for process in arbiter.processes.living.values():
        if process.pid == pid:
            return process
    pids = sorted(process.pid for process in arbiter.processes.living.values() if process.pid)
    raise ControlError(f"pid: expected a worker of this server ({', '.join(map(str, pids))}), got {pid}")


def scale(arbiter: Any, group: str, change: int) -> Dict[str, int]:
    """Ask for ``change`` more (or fewer) children of ``group``; return before and after.

    Raises:
        ControlError: the group is not running, or may not have so many children.
    """
    found = arbiter.state.groups.get(group)
    if found is None:
        raise ControlError(f"{group}: expected a running group, got one that is off")
    before = found.target
    total = max(1, before + change)
    most = found.plan.most
    if most and total > most:
        raise ControlError(f"{group}: expected at most {most} children, got {total} (from workers_max)")
    arbiter.submit(ev.ScaleRequested(group, total))
    return {"previous": before, "total": total}


# --- show ---------------------------------------------------------------------------------------


def show_workers(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """The HTTP workers: pid, state, requests, memory."""
    rows = workers_of(arbiter, HTTP)
    return {"workers": rows, "count": len(rows)}


def show_requests(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """What runs now and for how long, oldest first."""
    rows = running_requests(arbiter)
    return {"requests": rows, "count": len(rows)}


def show_stats(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """Counters of the server since its start."""
    totals = arbiter.board.reader().totals(0)
    http = arbiter.state.groups[HTTP]
    return {
        "version": __version__,
        "uptime": round(time.monotonic() - arbiter.started_at, 1),
        "pid": arbiter.pid,
        "workers_current": len(http.workers),
        "workers_ready": http.ready_count,
        "workers_target": http.target,
        "workers_spawned": arbiter.spawned,
        "workers_killed": arbiter.killed,
        "reloads": arbiter.state.generation - 1,
        "dirty_arbiter_pid": None,
        "requests": totals.finished,
        "running": totals.running,
        "statuses": dict(zip(("other", "1xx", "2xx", "3xx", "4xx", "5xx"), totals.statuses)),
        "octets_sent": totals.sent,
        "octets_received": totals.received,
        "busy_seconds": round(totals.seconds, 6),
        "busy": round(arbiter.busy.share(arbiter.group_numbers()[HTTP]), 3),
        "queued_seconds": round(totals.queued_seconds, 6),
        "shed": totals.shed,
        "connections_limit": http.ready_count * arbiter.cfg.worker_connections,
        "errors": totals.errors,
    }


def show_config(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """Every setting with its value and where it came from."""
    return {
        setting.name: {"value": None if value is None else setting.kind.show(value), "source": source}
        for setting, value, source in arbiter.cfg.items()
        if setting.name not in SECRET
    }


def show_listeners(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """The listening sockets and what waits in their queues."""
    rows = listeners(arbiter)
    return {"listeners": rows, "count": len(rows)}


def show_all(arbiter: Any, args: List[Any]) -> Dict[str, Any]:
    """Workers, statistics, listeners and running requests in one answer."""
    return {
        "stats": show_stats(arbiter, args),
        **show_workers(arbiter, args),
        **show_listeners(arbiter, args),
        **show_requests(arbiter, args),
        "services": {service.name: workers_of(arbiter, service.name) for service in arbiter.services()},
    }


def show_top(arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
    """What is going on, with rates, latencies and the last minutes: what serverctl top shows."""
    return overview(arbiter, public=False)


# --- change -------------------------------------------------------------------------------------


def worker_add(arbiter: Any, args: List[Any]) -> Dict[str, int]:
    """Add N workers (default 1)."""
    count = count_argument(args)
    return {"added": count, **scale(arbiter, HTTP, count)}


def worker_remove(arbiter: Any, args: List[Any]) -> Dict[str, int]:
    """Remove N workers (default 1); one always stays."""
    answer = scale(arbiter, HTTP, -count_argument(args))
    return {"removed": answer["previous"] - answer["total"], **answer}


def worker_kill(arbiter: Any, args: List[Any]) -> Dict[str, Any]:
    """End the worker with this pid gracefully; a successor takes its place."""
    process = pid_argument(arbiter, args)
    arbiter.processes.kill(process.number, "TERM")
    return {"success": True, "killed": process.pid}


def worker_replace(arbiter: Any, args: List[Any]) -> Dict[str, Any]:
    """Replace the worker with this pid; its successor is ready before it leaves."""
    process = pid_argument(arbiter, args)
    arbiter.submit(ev.ReplaceRequested(process.number))
    return {"replacing": process.pid}


def stack_dump(arbiter: Any, args: List[Any]) -> Dict[str, Any]:
    """Have the worker with this pid write the Python stacks of its threads, tasks and greenlets: ``stack read``."""
    process = pid_argument(arbiter, args)
    arbiter.processes.dump_stacks(process.number)
    return {"pid": process.pid}


def stack_read(arbiter: Any, args: List[Any]) -> Dict[str, Any]:
    """Return the stacks that the worker with this pid wrote last, and the requests it is answering.

    ``complete`` is false while its tasks or greenlets are to come, which it writes when its main thread runs.
    """
    process = pid_argument(arbiter, args)
    return {
        "pid": process.pid,
        "report": arbiter.processes.silence_report(process.number, time.monotonic()),
        "complete": arbiter.processes.stacks_complete(process.number),
    }


def reload_server(arbiter: Any, args: List[Any]) -> Dict[str, str]:
    """Read the settings again, say whether they can be used, and replace every worker, as HUP does."""
    no_arguments("reload", args)
    refusal = arbiter.hang_up()
    if refusal is not None:
        raise ControlError(f"reload refused, the old settings stay: {refusal}")
    return {"status": "reloading"}


def reopen(arbiter: Any, args: List[Any]) -> Dict[str, str]:
    """Reopen the log files, as USR1 does."""
    no_arguments("reopen", args)
    arbiter.submit(ev.Signalled("USR1"))
    return {"status": "reopening"}


_SHUTDOWNS: Dict[Optional[str], str] = {None: "TERM", "graceful": "TERM", "quick": "QUIT"}


def shutdown(arbiter: Any, args: List[Any]) -> Dict[str, str]:
    """Stop the server: ``graceful`` (default) or ``quick``."""
    how = str(args[0]) if args else None
    if how not in _SHUTDOWNS or len(args) > 1:
        raise ControlError(f"shutdown: expected 'graceful' or 'quick', got {' '.join(map(str, args))!r}")
    arbiter.submit(ev.Signalled(_SHUTDOWNS[how]))
    return {"status": "shutting_down", "mode": how or "graceful"}


_COMMANDS: Dict[str, Command] = {
    "show all": show_all,
    "show workers": show_workers,
    "show requests": show_requests,
    "show stats": show_stats,
    "show config": show_config,
    "show listeners": show_listeners,
    "show top": show_top,
    "worker add": worker_add,
    "worker remove": worker_remove,
    "worker kill": worker_kill,
    "worker replace": worker_replace,
    "stack dump": stack_dump,
    "stack read": stack_read,
    "reload": reload_server,
    "reopen": reopen,
    "shutdown": shutdown,
}
