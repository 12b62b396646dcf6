"""The prompt of ``serverctl``, and completion.

Owns: reading lines with history and completion; the scripts for shells.
Must not know: what commands do.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Callable, List, Sequence

from server_core.app import say
from server_core.control.client import ControlClient
from server_core.control.protocol import ControlError
from server_core.errors import ServerError, UsageError

PROMPT = "server> "
HISTORY = "~/.serverctl_history"
HISTORY_LINES = 1000
LEAVE = ("quit", "exit", "q")
LOCAL = ("requests", "stack", "completion", *LEAVE)


def interact(client: ControlClient, verbs: Sequence[str], run: Callable[[List[str]], str]) -> int:
    """Read commands until the end of the input; return the exit code.

    Args:
        client: for the names of commands.
        verbs: names of further ones that ``run`` knows.
        run: carries a command out and returns its answer.
    """
    names = [*client.call("help"), *LOCAL, *verbs]
    save = _prepare_line(names) if sys.stdin.isatty() else _nothing
    try:
        return _read_lines(run)
    finally:
        save()


def _read_lines(run: Callable[[List[str]], str]) -> int:
    code = 0
    while True:
        try:
            words = input(PROMPT if sys.stdin.isatty() else "").split()
        except EOFError:
            return code
        if not words:
            continue
        if words[0] in LEAVE:
            return code
        try:
            say(run(words))
            code = 0
        except (ControlError, ServerError) as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1


def _nothing() -> None:
    """What is done at the end where no history is kept."""


def _prepare_line(names: List[str]) -> Callable[[], Any]:
    """Turn history and completion on; return what saves the history."""
    try:
        import readline
    except ImportError:  # an interpreter without it reads plain lines
        return _nothing
    path = os.path.expanduser(HISTORY)
    with contextlib.suppress(OSError):  # none yet, or not readable: history begins now
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)
    readline.set_completer_delims("")
    readline.set_completer(lambda text, state: [*completions(names, text), None][state])
    readline.parse_and_bind("tab: complete")
    return lambda: _save(readline, path)


def _save(readline: Any, path: str) -> None:
    try:
        readline.write_history_file(path)
    except OSError as error:
        print(f"history: cannot be saved to {path}: {error.strerror}", file=sys.stderr)


def completions(names: List[str], text: str) -> List[str]:
    """Return the commands that ``text`` may become."""
    return sorted(name for name in names if name.startswith(text))


_COMMANDS = "show worker requests stack reload reopen shutdown help completion"
_SHOWN = "all workers requests stats config listeners top dirty"
_SCRIPTS = {
    "bash": """\
_serverctl() {
    local words="@commands"
    case "${COMP_WORDS[COMP_CWORD-1]}" in
        show) words="@shown" ;;
        worker) words="add remove replace kill" ;;
        shutdown) words="graceful quick" ;;
        completion) words="bash zsh fish" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _serverctl serverctl""",
    "zsh": """\
#compdef serverctl
case $words[CURRENT-1] in
    show) compadd @shown ;;
    worker) compadd add remove replace kill ;;
    shutdown) compadd graceful quick ;;
    completion) compadd bash zsh fish ;;
    *) compadd @commands ;;
esac""",
    "fish": """\
complete -c serverctl -f
complete -c serverctl -n __fish_use_subcommand -a "@commands"
complete -c serverctl -n "__fish_seen_subcommand_from show" -a "@shown"
complete -c serverctl -n "__fish_seen_subcommand_from worker" -a "add remove replace kill"
complete -c serverctl -n "__fish_seen_subcommand_from shutdown" -a "graceful quick\"""",
}


def completion_script(words: List[str], verbs: Sequence[str]) -> str:
    """Return the completion script for the shell that ``words`` names, with further verbs. Raises UsageError."""
    if len(words) != 1 or words[0] not in _SCRIPTS:
        raise UsageError(f"completion: expected one of {', '.join(_SCRIPTS)}, got {' '.join(words)!r}")
    commands = " ".join([*_COMMANDS.split(), *verbs])
    return _SCRIPTS[words[0]].replace("@commands", commands).replace("@shown", _SHOWN)
