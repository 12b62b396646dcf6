"""The command ``serverctl``: verbs that packages add by the entry point group ``server.commands``.

Owns: finding a verb and handing it the rest of the command line.
Must not know: what the verbs do.
"""

from __future__ import annotations

import sys
from typing import List, Optional, Sequence

from server_core import plugins
from server_core.app import guarded
from server_core.errors import UsageError

PROG = "serverctl"


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the command; ends with SystemExit and the exit code.

    A verb is a callable ``verb(arguments) -> Optional[int]``; the first line of its docstring is its help.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    outcome: List[int] = []
    code = guarded(lambda: outcome.append(_act(words)), PROG)
    sys.exit(code or (outcome[0] if outcome else 0))


def _act(words: List[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0].startswith("-"):
        raise UsageError(f"{words[0]}: expected a command first; serverctl --help lists them")
    verb = plugins.load(plugins.COMMANDS, words[0])
    return int(verb(words[1:]) or 0)


def overview() -> str:
    """Return the list of commands that the installed packages bring."""
    lines = ["usage: serverctl COMMAND [ARGUMENTS]", ""]
    found = plugins.plugins(plugins.COMMANDS)
    if not found:
        lines.append("No installed package brings a command.")
    for plugin in sorted(found, key=lambda plugin: plugin.name):
        lines.append(f"  {plugin.name:<16} {_help(plugin)}")
    return "\n".join(lines)


def _help(plugin: plugins.Plugin) -> str:
    try:
        text = plugin.load().__doc__ or ""
    except ImportError as error:
        return f"(cannot be imported: {error})"
    return text.strip().splitlines()[0] if text.strip() else f"of {plugin.distribution}"


if __name__ == "__main__":
    main()
