"""The command ``serverctl``: asks a running server over its control socket.

Owns: the command line, where the socket is, exit codes.
Must not know: what commands mean (the server does, and verbs of plugins), how answers look (``tables``).

What the first word names decides: a verb of the entry point group ``server.commands`` runs here, anything else
is sent to the server. Without words there is a prompt.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, List, Optional, Sequence

from server_cli import shell, tables
from server_cli.stacks import stack
from server_core import plugins
from server_core.app import guarded, say
from server_core.control.client import ControlClient
from server_core.control.protocol import ControlError
from server_core.errors import ServerError, UsageError
from server_core.version import __version__

PROG = "serverctl"

EPILOG = """\
commands:
  show all|workers|requests|stats|config|listeners
  requests                     what runs now and for how long
  stack PID                    Python stacks of a worker now
  worker add|remove [N]        more or fewer workers
  worker replace|kill PID      a successor takes its place
  reload, reopen               as the signals HUP and USR1
  shutdown [graceful|quick]    as TERM and QUIT
  help                         all commands of the running server
  completion bash|zsh|fish     a completion script

further verbs:
"""


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the command; ends with SystemExit: 0, 1 for an error, 2 for a wrong command line, 130 for Ctrl-C."""
    outcome: List[int] = []
    code = guarded(lambda: outcome.append(_act(sys.argv[1:] if arguments is None else list(arguments))), PROG)
    sys.exit(code or (outcome[0] if outcome else 0))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        PROG, description="Ask a running server, or steer it.", epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("-s", "--socket", metavar="PATH", help="the control socket (default: the server's default)")
    parser.add_argument("-j", "--json", action="store_true", help="print answers as JSON")
    parser.add_argument("-c", "--command", metavar="TEXT", help="run one command and exit")
    parser.add_argument("-v", "--version", action="version", version=f"{PROG} {__version__}")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="a command and its arguments")
    return parser


def _epilog() -> str:
    lines = [f"  {plugin.name:<28} of {plugin.distribution}" for plugin in _verbs()]
    return EPILOG + "".join(f"{line}\n" for line in lines)


def _verbs() -> List[plugins.Plugin]:
    return sorted(plugins.plugins(plugins.COMMANDS), key=lambda plugin: plugin.name)


def _act(words: List[str]) -> int:
    options = make_parser().parse_args(words)
    words = options.command.split() if options.command else options.words
    verbs = [plugin.name for plugin in _verbs()]
    if words and words[0] not in verbs and {"-h", "--help"} & set(words):
        say(make_parser().format_help(), end="")  # a command would be carried out
        return 0
    if words and words[0] == "completion":
        say(shell.completion_script(words[1:], verbs))
        return 0
    if words and words[0] in verbs:
        return _run_verb(words, options.socket)

    def carry_out(typed: List[str]) -> str:
        if typed[0] in verbs:
            _run_verb(typed, options.socket)
            return ""
        return run(client, typed, options.json)

    try:
        with ControlClient(options.socket) as client:
            if not words:
                return shell.interact(client, verbs, carry_out)
            say(carry_out(words))
    except ControlError as error:
        raise ServerError(str(error)) from None
    return 0


def _run_verb(words: List[str], path: Optional[str]) -> int:
    """Run a verb of a plugin; it asks the server by itself."""
    verb = plugins.load(plugins.COMMANDS, words[0])
    return int(verb(["--socket", path, *words[1:]] if path else words[1:]) or 0)


def run(client: ControlClient, words: List[str], as_json: bool) -> str:
    """Carry out one command and return its answer as text.

    Raises:
        ControlError: the server refused it.
        UsageError: a word is missing.
    """
    command, data = _ask(client, words)
    return json.dumps(data, indent=2, sort_keys=True) if as_json else tables.show(command, data)


def _ask(client: ControlClient, words: List[str]) -> Any:
    if words[0] == "requests":
        return "show requests", client.call("show requests")
    if words[0] == "stack":
        if len(words) != 2:
            raise UsageError("stack: expected the process id of one worker: serverctl stack PID")
        return "stack", stack(client, words[1])
    return " ".join(words[:2]), client.call(" ".join(words))


if __name__ == "__main__":
    main()
