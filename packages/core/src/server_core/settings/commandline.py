"""The command line: flags of all settings, by section.

Owns: the argparse parser that is made of the declarations, and its errors.
Must not know: which settings exist, or what becomes of the values, which stay as they were typed.
"""

from __future__ import annotations

import argparse
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Set, Tuple

from server_core.errors import UsageError
from server_core.settings.declare import Catalogue, Computed, Setting
from server_core.settings.values import Boolean

Wanted = Optional[Set[str]]
USAGE = "%(prog)s [OPTIONS] [APP]"

# Options of other servers, and what is written here.
_ELSEWHERE = {
    "--host": "--bind HOST:PORT",
    "--port": "--bind HOST:PORT",
    "--uds": "--bind unix:PATH",
    "--factory": "'MODULE:FACTORY()'",
    "--app-dir": "--pythonpath",
    "--ssl-certfile": "--certfile",
    "--ssl-keyfile": "--keyfile",
    "--proxy-headers": "--forwarded-hops 1",
}


class _Parser(argparse.ArgumentParser):
    """argparse, with errors raised instead of printed."""

    source = "command line"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].lower()}{message[1:]} (from {self.source})")


def parser(catalogue: Catalogue, prog: str = "server", description: str = "", wanted: Wanted = None) -> _Parser:
    """Return a parser with a flag for every setting, or for the ``wanted`` ones. Values are not converted here, so
    that all sources share one set of errors; a setting that is not given is absent from the result."""
    made = _Parser(prog=prog, usage=USAGE, description=description, allow_abbrev=False, add_help=False,
                   formatter_class=_Formatter if wanted is None else _NoFormatter)  # fmt: skip
    made.add_argument("-h", "--help", action="help", help="Show this and exit.")
    made.add_argument(
        "-v",
        "--version",
        action="store_true",
        dest="version",
        default=argparse.SUPPRESS,
        help="Show versions and exit.",
    )
    made.add_argument("app", nargs="*", metavar="APP",
                      help="The application: MODULE, MODULE:ATTRIBUTE or MODULE:FACTORY('literal', k=1).")  # fmt: skip
    for group in catalogue.groups:
        section = made.add_argument_group(group.section, group.note or None)
        for setting in group.settings:
            if setting.flags and (wanted is None or setting.name in wanted):
                _add(section, setting)
    return made


def _wanted(catalogue: Catalogue, words: Sequence[str]) -> Wanted:
    """Return the names of the settings whose flags are among ``words``; None when that takes a whole parser to tell.

    A parser of all flags is a twentieth of the time in which a server starts.
    """
    flags: Dict[str, Setting] = {}
    for setting in catalogue:
        flags.update(dict.fromkeys((*setting.flags, setting.negative_flag), setting))
    found = set()
    for word in words:
        if word[:1] != "-" or word == "-":
            continue
        meant = flags.get(word.partition("=")[0]) or flags.get(word[:2])
        if meant is None or (word not in flags and isinstance(meant.kind, Boolean)):
            return None
        found.add(meant.name)
    return found


def _add(section: Any, setting: Setting) -> None:
    """Add the flags of one setting."""
    text = _help(setting)
    common: Dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    if isinstance(setting.kind, Boolean):
        on = setting.default is True  # then the flag worth showing is the one that turns it off
        section.add_argument(*setting.flags, action="store_true", help=argparse.SUPPRESS if on else text, **common)
        section.add_argument(setting.negative_flag, action="store_false",
                             help=f"Off: {text}" if on else argparse.SUPPRESS, **common)  # fmt: skip
        return
    common["metavar"] = setting.kind.metavar
    if setting.kind.repeats:
        section.add_argument(*setting.flags, action="append", help=text, **common)
    elif setting.const is not None:
        section.add_argument(*setting.flags, nargs="?", const=setting.const, help=text, **common)
    else:
        section.add_argument(*setting.flags, help=text, **common)


def _help(setting: Setting) -> str:
    default = setting.default
    shown = ""
    if isinstance(default, Computed):
        shown = f" [{default.text}]"
    elif default not in (None, "", [], {}, False, True):
        shown = f" [{', '.join(map(str, default)) if isinstance(default, list) else default}]"
    return (setting.help + shown).replace("%", "%%")


class _NoFormatter(argparse.HelpFormatter):
    """For a parser that shows no help: it does not look how wide the terminal is, which imports much."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class _Formatter(argparse.HelpFormatter):
    """Flags in a narrow column, one metavar for all spellings of a flag."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        flags = ", ".join(action.option_strings)
        return f"{flags} {self._format_args(action, action.dest.upper())}"


def parse(catalogue: Catalogue, words: Sequence[str], source: str) -> Tuple[Dict[str, Any], List[str]]:
    """Return the settings that ``words`` give, as typed, and the positional arguments.

    Raises:
        UsageError: an unknown flag, with the one that was probably meant, or a missing value.
    """
    made = parser(catalogue, wanted=_wanted(catalogue, words))
    made.source = source
    known, unknown = made.parse_known_args(list(words))
    values = vars(known)
    if unknown:
        raise UsageError(_unknown_flag(catalogue, made, unknown[0], source))
    positional = values.pop("app")
    return values, positional


def _unknown_flag(catalogue: Catalogue, made: argparse.ArgumentParser, word: str, source: str) -> str:
    flag = word.split("=", 1)[0]
    name = flag.lstrip("-").replace("-", "_")
    if name in catalogue.missing:
        return f"{flag}: the option is not installed: {catalogue.missing[name]} (from {source})"
    if catalogue.find(name) is not None:
        return f"{flag}: expected an option, got a setting that only config files have, {name} (from {source})"
    flags = list(made._option_string_actions)  # argparse has no public list of them
    import difflib

    close = [_ELSEWHERE[flag]] if flag in _ELSEWHERE else difflib.get_close_matches(flag, flags, 1, 0.6)
    hint = f", did you mean {close[0]}?" if close else ""
    return f"{flag}: expected a known option{hint} (from {source})"
