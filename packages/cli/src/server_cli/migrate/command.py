"""The command ``server migrate``.

Owns: what is read for it (a config file, a command line of gunicorn or of uvicorn) and which table goes with it.
Must not know: how settings compare (the tables), how a report looks.
"""

from __future__ import annotations

import difflib
import os
import shlex
import types
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from server_cli.migrate import assess, gunicorn, report, uvicorn, words
from server_core.errors import ConfigError, UsageError
from server_core.settings import sources
from server_core.settings.config import default_catalogue
from server_core.settings.declare import Catalogue

USAGE = """\
server migrate says what becomes of a configuration of gunicorn or uvicorn, setting by setting:

  server migrate gunicorn.conf.py                       a config file, or python:MODULE
  server migrate gunicorn -w 4 -k gevent app:app        a command line, with the file it names
  server migrate uvicorn main:app --workers 4           the same for uvicorn
"""


def run(arguments: Sequence[str]) -> str:
    """Return the report for what was named.

    Raises:
        UsageError: nothing was named, or something else.
        ConfigError: the file cannot be read or run.
        NotUsable: a setting cannot be used here; it carries the report.
    """
    server, rest = words.command_of(arguments, ("gunicorn", "uvicorn"))
    catalogue = default_catalogue()
    if server == "gunicorn":
        return _finish(*_gunicorn_line(rest, catalogue))
    if server == "uvicorn":
        return _finish(*_uvicorn_line(rest, catalogue))
    if len(rest) == 1 and (rest[0].endswith(".py") or rest[0].startswith(("python:", "file:"))):
        return _finish(*_gunicorn_file(rest[0], catalogue))
    raise UsageError(f"migrate: expected a config file or a command line, got {' '.join(rest)!r}\n\n{USAGE}")


class NotUsable(ConfigError):
    """Something of what was read cannot be used here; ``text`` is the report."""

    def __init__(self, text: str, count: int) -> None:
        super().__init__(f"migrate: {count} of the settings cannot be used as they are, see above")
        self.text = text


def _finish(title: str, findings: List[assess.Finding], unknown: List[str], start: str) -> str:
    text = report.report(title, findings, unknown, start)
    lost = sum(1 for finding in findings if finding.problem or not finding.row.setting)
    if lost:
        raise NotUsable(text, lost)
    return text


# --- gunicorn --------------------------------------------------------------------------------------


def _gunicorn_file(location: str, catalogue: Catalogue) -> Tuple[str, List[assess.Finding], List[str], str]:
    given, unknown = _of_file(location)
    findings = assess.assess(gunicorn.BY_NAME, given.items(), catalogue)
    target = given.get("wsgi_app") or "MODULE:ATTRIBUTE"
    named = "" if location in sources.PYTHON_FILES else f" -c {shlex.quote(location)}"
    title = f"{location}, {_count(given)} of gunicorn {gunicorn.VERSION}"
    return title, findings, unknown, f"server{named}" + ("" if given.get("wsgi_app") else f" {target}")


def _gunicorn_line(line: List[str], catalogue: Catalogue) -> Tuple[str, List[assess.Finding], List[str], str]:
    typed, positional = words.parse(gunicorn.ROWS, line, "gunicorn")
    location = typed.get("config") or ("gunicorn.conf.py" if os.path.isfile("gunicorn.conf.py") else "")
    given, unknown = _of_file(location) if location else ({}, [])
    given.update(typed)
    findings = assess.assess(gunicorn.BY_NAME, given.items(), catalogue)
    title = f"gunicorn {shlex.join(line)}" + (f" with {location}" if location else "")
    start = shlex.join(["server", *line]) + ("" if positional or given.get("wsgi_app") else " MODULE:ATTRIBUTE")
    return f"{title}, {_count(given)} of gunicorn {gunicorn.VERSION}", findings, unknown, start


def _of_file(location: str) -> Tuple[Dict[str, Any], List[str]]:
    """Return gunicorn's settings among the globals of a config file, and remarks on names that nearly are."""
    names = sources.globals_of(location, os.getcwd())
    given: Dict[str, Any] = {}
    unknown = []
    for name, value in names.items():
        row = gunicorn.BY_NAME.get(name) or gunicorn.BY_NAME.get(name.lower())
        if name.startswith("_") or isinstance(value, types.ModuleType):
            continue
        if row is not None:
            given[row.name] = value
        else:
            unknown += _near(name, names)
    return given, unknown


def _near(name: str, names: Mapping[str, Any]) -> List[str]:
    near = difflib.get_close_matches(name, list(gunicorn.BY_NAME), 1, 0.85)
    if not near or near[0] in names or name.isupper():
        return []
    return [f"{name}: gunicorn does nothing with it; did you mean {near[0]!r}?"]


# --- uvicorn ---------------------------------------------------------------------------------------


def _uvicorn_line(line: List[str], catalogue: Catalogue) -> Tuple[str, List[assess.Finding], List[str], str]:
    typed, positional = words.parse(uvicorn.ROWS, line, "uvicorn")
    given = uvicorn.with_defaults(typed)
    target, settings = uvicorn.target(positional, given), uvicorn.settings(given)
    whole = {"wsgi_app": target, **settings}  # several options may make one value
    findings = [
        finding._replace(here=whole.get(finding.row.setting, finding.here))
        for finding in assess.assess(uvicorn.BY_NAME, given.items(), catalogue)
    ]
    usable = {name: value for name, value in settings.items() if catalogue.find(name)}
    start = shlex.join(["server", target, *assess.flags(usable, catalogue)])
    title = f"uvicorn {shlex.join(line)}, {_count(given)} of uvicorn {uvicorn.VERSION} (with what it does untold)"
    return title, findings, [], start


def _count(given: Mapping[str, Any]) -> str:
    return f"{len(given)} setting{'s' if len(given) != 1 else ''}"
