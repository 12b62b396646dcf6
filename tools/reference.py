"""Writes the reference pages and figures of the documentation from the code that obeys them.

Owns: which pages there are, and their layout. Run without arguments it rewrites docs/reference and docs/figures;
``pages()`` returns what they should hold, which a test compares.
Must not know: numbers that differ from machine to machine; everything here comes from declarations.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, cast

sys.path.insert(0, str(Path(__file__).parent))

import draw_tables
import figures

from server_cli import ctl
from server_cli.migrate import gunicorn, table, uvicorn
from server_core import plugins
from server_core.control import commands
from server_core.errors import EXIT_CODES
from server_core.observe import metrics, sinks
from server_core.settings import commandline
from server_core.settings.config import default_catalogue
from server_core.settings.declare import Computed, Group, Setting
from server_core.settings.references import Hook
from server_core.settings.values import Boolean
from server_core.supervise import children, events, services
from server_core.worker import Worker
from server_http import engine
from server_http import states as response_states
from server_http.h1 import engine as h1

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARK = "<!-- Written by tools/reference.py from the code; change it there. -->\n"


def pages() -> Dict[str, str]:
    """Return each generated file's text by its path below docs."""
    made = {
        "reference/settings.md": settings_page(),
        "reference/hooks.md": hooks_page(),
        "reference/signals.md": signals_page(),
        "reference/exit-codes.md": exit_codes_page(),
        "reference/metrics.md": metrics_page(),
        "reference/commands.md": commands_page(),
        "reference/plugins.md": plugins_page(),
        "reference/gunicorn.md": gunicorn_page(),
        "reference/uvicorn.md": uvicorn_page(),
    }
    return {**{path: MARK + text for path, text in made.items()}, **drawings()}


# --- settings and hooks ----------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting by section: kind, default, flags, variable."""
    parts = [
        "# Settings\n\nA setting has one name everywhere: in `server.conf.py`, in `server.toml` or `[tool.server]` of "
        "`pyproject.toml`, and with dashes as a flag. `server --print-config APP` shows each value with its source. "
        "Hooks are settings too, on [a page of their own](hooks.md).\n\nFrom the weakest to the strongest: defaults, "
        "single variables, `server.toml` or `pyproject.toml`, `server.conf.py` or else `gunicorn.conf.py`, "
        "`SERVER_CMD_ARGS` or else `GUNICORN_CMD_ARGS`, the command line. `-c FILE` stands in for all files.\n"
    ]
    for group in default_catalogue().groups:
        shown = [setting for setting in group.settings if not setting.is_hook]
        if shown:
            parts.append(f"## {group.section}\n{_note(group)}\n" + "\n".join(map(_setting, shown)))
    return "\n".join(parts)


def _note(group: Group) -> str:
    return f"\n{group.note}\n" if group.note else ""


def _setting(setting: Setting) -> str:
    facts = [_capitalised(setting.kind.expects), f"default {_default(setting)}"]
    flags = [*setting.flags, setting.negative_flag] if isinstance(setting.kind, Boolean) else list(setting.flags)
    facts.append(", ".join(f"`{flag}`" for flag in flags if flag) or "no flag")
    if setting.env:
        facts.append(f"variable `{setting.env}`")
    if setting.aliases:
        facts.append("also " + ", ".join(f"`{alias}`" for alias in setting.aliases))
    inert = f" It {setting.inert}." if setting.inert else ""
    return f"### `{setting.name}`\n\n{setting.help}{inert}\n\n{' · '.join(facts)}\n"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _default(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, Computed):
        return value.text
    return "none" if value is None else f"`{setting.kind.show(value)}`"


def hooks_page() -> str:
    """Every hook with its arguments."""
    parts = [
        "# Hooks\n\nFunctions of `server.conf.py` (or `gunicorn.conf.py`) with these names are called on the occasions "
        "below. A hook may take fewer arguments where that is said; a dotted path to a function works, too. `server` "
        "is the arbiter, `worker` the worker, with the attributes that gunicorn's hooks read.\n"
    ]
    for group in default_catalogue().groups:
        hooks = [setting for setting in group.settings if setting.is_hook]
        if hooks:
            rows = [(f"`{_call(hook)}`", hook.help) for hook in hooks]
            parts.append(f"## {group.section}\n\n{_table(('hook', 'occasion'), rows)}")
    return "\n".join(parts)


def _call(hook: Setting) -> str:
    kind = cast(Hook, hook.kind)
    return f"{hook.name}({kind.parameters})"


# --- processes -------------------------------------------------------------------------------------


def signals_page() -> str:
    """What signals do to the arbiter and to a worker."""
    handlers = {
        "TERM": Worker.handle_exit,
        "INT, QUIT": Worker.handle_quit,
        "ABRT": Worker.handle_abort,
        "USR1": Worker.handle_usr1,
        "WINCH": Worker.handle_winch,
    }
    rows = [(names, _first_paragraph(handler).partition(": ")[2] or "") for names, handler in handlers.items()]
    rows = [(names, text or _first_paragraph(handlers[names])) for names, text in rows]
    return (
        "# Signals\n\n## To the arbiter\n\n"
        + draw_tables.signals_table()
        + "\n\nSignals of one kind that arrive faster than they are taken are one signal. `serverctl` does the same "
        "and answers. What follows from a signal, step by step: [Supervision](../supervision.md).\n\n## To a worker\n\n"
        "The arbiter sends these; an operator seldom has to.\n\n" + _table(("signal", "effect"), rows)
    )


def exit_codes_page() -> str:
    """The exit codes of the command."""
    rows = [(f"`{code}`", meaning) for code, meaning in EXIT_CODES.items()]
    return (
        "# Exit codes\n\nOf `server`; `serverctl` uses 0, 1 when the server refused, 2 for a wrong command line and "
        "130 for Ctrl-C.\n\n" + _table(("code", "meaning"), rows)
    )


def metrics_page() -> str:
    """Every metric: the server's, and those of the services that are shipped."""
    rows = [_metric(metric) for metric in metrics.METRICS]
    for name in plugins.names(plugins.SERVICES):
        rows += [_metric(metric) for metric in plugins.load(plugins.SERVICES, name)().metrics()]
    return (
        "# Metrics\n\nServed at `/metrics` of `metrics_bind`, and sent wherever a setting says. How to read them: "
        "[Operations](../operations.md).\n\n" + _table(("metric", "kind", "labels", "meaning"), rows)
    )


def _metric(metric: Any) -> Sequence[str]:
    suffix = {"counter": "_total", "info": "_info"}.get(metric.kind, "")
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return (f"`{metric.name}{suffix}`", metric.kind, labels, metric.help)


# --- commands --------------------------------------------------------------------------------------


def commands_page() -> str:
    """The command lines of both commands, and what a server answers to."""
    usage = commandline.USAGE.replace("%(prog)s", "server")
    names = list(commands._COMMANDS.items())  # every one a server without services knows
    for name in plugins.names(plugins.SERVICES):
        names += list(plugins.load(plugins.SERVICES, name)().commands().items())
    rows = [(f"`{name}`", _first_paragraph(command)) for name, command in names]
    return (
        f"# Commands\n\n## server\n\n```text\nusage: {usage}\n       server migrate FILE\n"
        "       server migrate gunicorn|uvicorn WORDS...\n```\n\n`APP` is `MODULE`, `MODULE:ATTRIBUTE` or "
        "`MODULE:FACTORY('literal', k=1)`. Every [setting](settings.md) has a flag; `server --help` lists them by "
        "section, `server --version` says whether the engine is compiled, `--check-config` loads everything and serves "
        "nothing, `--print-config` shows each value with its source. `server migrate` reports what becomes of another "
        "server's configuration; to serve a module of that name write `migrate:application`.\n\n"
        "## serverctl\n\n```text\nusage: serverctl [OPTIONS] [COMMAND]\n\n" + ctl.EPILOG + "```\n\nWithout a "
        "command there is a prompt.\n\n" + _options(ctl.make_parser()) + "\n## What a server answers to\n\n"
        "Over its [control socket](../operations.md), by `serverctl` or by a program.\n\n"
        + _table(("command", "what it does"), rows)
    )


def _options(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:  # argparse has no public list of them
        if action.option_strings:
            value = f" {action.metavar}" if action.metavar else ""
            rows.append((", ".join(f"`{flag}{value}`" for flag in action.option_strings), action.help or ""))
    return _table(("option", "what it does"), rows)


# --- plugins ---------------------------------------------------------------------------------------

GROUPS = (
    (plugins.WORKERS, "a worker class", "`-k NAME`"),
    (plugins.PROTOCOLS, "a connection factory `open(info, config, now) -> Engine`", "`--protocol NAME`"),
    (plugins.SETTINGS, "a `Group`, or a sequence of them", "its settings, in every source"),
    (plugins.SERVICES, "a `Service` class", "`NAME_workers` above 0, a setting that its package declares"),
    (plugins.REPORTERS, "a `Reporter` class", "`--reporters NAME`"),
    (plugins.COMMANDS, "`verb(arguments) -> int`", "`serverctl NAME`"),
    (plugins.DIRTY_BACKENDS, "a class over `server_dirty.host.Backend`", "`--dirty-backend NAME`"),
    (plugins.LOGGERS, "a class over `server_core.log.setup.Logger`", "`--logger-class NAME`"),
)


def plugins_page() -> str:
    """The entry points, and the contracts behind them."""
    rows = [(f"`{group}`", what, how) for group, what, how in GROUPS]
    return "\n".join(
        [
            "# Plugin API\n",
            "What another package can add, by entry points of its distribution. [Writing a worker](../plugin.md) "
            f"goes through a complete package.\n\nThe number of the contract is {plugins.API} "
            "(`server_core.plugins.API`). A plugin's class says as its own `server_api` for which it was written; the "
            "server refuses another number, and none, and names both. A class named by a dotted path needs none.\n",
            _table(("group", "what the entry point names", "how it is chosen"), rows),
            "## Worker\n",
            _class(Worker),
            "## Setting and Group\n",
            _class(Setting),
            _class(Group, members=False),
            "## Service\n",
            _class(services.Service),
            _class(events.GroupPlan, members=False),
            "## Reporter\n",
            _class(sinks.Reporter),
            "## Engine\n",
            _class(engine.Engine),
        ]
    )


def _class(described: type, members: bool = True) -> str:
    path = f"{described.__module__}.{described.__qualname__}"
    parts = [f"### `{path}`\n\n{_docstring(described)}\n"]
    if members:
        rows = [
            (f"`{name}{_signature(member)}`", _first_paragraph(member))
            for name, member in vars(described).items()
            if not name.startswith("_") and inspect.isfunction(member)
        ]
        parts.append(_table(("method", "what it does"), rows))
    return "\n".join(parts)


def _signature(function: Any) -> str:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return "(" + ", ".join(_parameter(parameter) for parameter in parameters) + ")"


def _parameter(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return f"{star}{parameter.name}{default}"


def _docstring(described: Any) -> str:
    """A docstring as Markdown: sections of arguments become lists."""
    lines: List[str] = []
    for line in inspect.getdoc(described).replace("``", "`").splitlines():  # type: ignore[union-attr]  # all have one
        if line in ("Args:", "Attributes:", "Returns:", "Raises:"):
            lines += ["", f"**{line[:-1]}**", ""]
        elif line.startswith("        "):
            lines[-1] += " " + line.strip()
        elif line.startswith("    "):
            lines.append("* " + line.strip())
        else:
            lines.append(line)
    return "\n".join(lines)


# --- moving over -----------------------------------------------------------------------------------


def gunicorn_page() -> str:
    """Every setting of gunicorn with its status."""
    return (
        f"# Every setting of gunicorn {gunicorn.VERSION}\n\n`server migrate` reports the same for a configuration of "
        "yours; [Moving over](../how-to/moving-over.md) says how.\n\n" + _outcomes(gunicorn.ROWS) + _rows(gunicorn.ROWS)
    )


def uvicorn_page() -> str:
    """Every option of uvicorn with its status."""
    return (
        f"# Every option of uvicorn {uvicorn.VERSION}\n\n`server migrate uvicorn ...` writes the command line for you; "
        "[Moving over](../how-to/moving-over.md) says how.\n\n" + _outcomes(uvicorn.ROWS) + _rows(uvicorn.ROWS)
    )


def _outcomes(rows: Iterable[table.Row]) -> str:
    used = {row.outcome for row in rows}
    return "".join(f"* **{outcome}**: {text}\n" for outcome, text in table.OUTCOMES.items() if outcome in used) + "\n"


def _rows(rows: Iterable[table.Row]) -> str:
    cells = []
    for row in rows:
        here = f"`{row.setting}`" if row.setting and row.setting != row.name else ""
        remark = "; ".join(filter(None, [row.remark, *(f"*{advice.text}*" for advice in row.advice)]))
        flags = ", ".join(f"`{flag}`" for flag in row.flags.split())
        cells.append((f"`{row.name}`", flags, row.outcome, here, remark))
    return _table(("there", "flags", "status", "here", "remark, *and what is better written otherwise*"), cells)


# --- figures ---------------------------------------------------------------------------------------


def drawings() -> Dict[str, str]:
    """State tables as figures."""
    states = children.ChildState
    lives = [(a.value, b.value, happening.value) for (a, happening), b in children.TRANSITIONS.items()]
    responses = [
        (response_states.STATES[a], response_states.STATES[b], response_states.COMMANDS[command])
        for (a, command), b in response_states.TRANSITIONS.items()
        if a != b
    ]
    inputs = [(h1.INPUT[a], h1.INPUT[b], "") for a, following in h1.TRANSITIONS.items() for b in following]
    return {
        "figures/child.svg": figures.draw("Life of a supervised process", [state.value for state in states], lives),
        "figures/response.svg": figures.draw("States of a response", list(response_states.STATES.values()), responses),
        "figures/http1.svg": figures.draw("What the next octet of HTTP/1 belongs to", list(h1.INPUT.values()), inputs),
    }


# --- Markdown --------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _first_paragraph(described: Any) -> str:
    return " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split()).replace("``", "`")


def main() -> None:
    """Write every page."""
    for path, text in pages().items():
        target = DOCS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    main()
