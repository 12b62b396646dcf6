"""Command lines of other servers, read by their own grammar.

Owns: the parser that is made of a table's rows, and finding the other command in what was typed.
Must not know: what the options mean here.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, Dict, List, NoReturn, Sequence, Tuple

from server_cli.migrate.table import APPEND, FLAG, OFF, OPTIONAL, PAIR, Row
from server_core.errors import UsageError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def command_of(words: Sequence[str], known: Sequence[str]) -> Tuple[str, List[str]]:
    """Return which server a command line starts, and the words after its name; ``("", words)`` when it is none.

    ``python -m NAME`` and a path to the command are understood.
    """
    rest = list(words)
    if len(rest) > 2 and os.path.basename(rest[0]).startswith("python") and rest[1] == "-m":
        rest = rest[2:]
    name = os.path.basename(rest[0]) if rest else ""
    return (name, rest[1:]) if name in known else ("", list(words))


def parse(rows: Sequence[Row], words: Sequence[str], prog: str) -> Tuple[Dict[str, Any], List[str]]:
    """Return the options given, by the name of their row, and the positional words; values stay text.

    Raises:
        UsageError: the other server has no such option, or a value is missing.
    """
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=True, argument_default=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*")
    for row in rows:
        if row.flags:
            parser.add_argument(*row.flags.split(), **_action(row))
            if row.takes == PAIR:
                parser.add_argument("--no-" + row.flags[2:], action="store_false", dest=row.name)
    values = vars(parser.parse_intermixed_args(list(words)))
    return values, values.pop("words", [])


def _action(row: Row) -> Dict[str, Any]:
    common: Dict[str, Any] = {"dest": row.name}
    if row.takes in (FLAG, PAIR):
        return {**common, "action": "store_true"}
    if row.takes == OFF:
        return {**common, "action": "store_false"}
    if row.takes == APPEND:
        return {**common, "action": "append"}
    if row.takes == OPTIONAL:
        return {**common, "nargs": "?", "const": "auto"}
    return common
