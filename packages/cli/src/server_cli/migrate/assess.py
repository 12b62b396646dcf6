"""What each setting that was given becomes: the table applied to values.

Owns: ``Finding``, and the check of a value against the setting here.
Must not know: where the values came from, how a report looks.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from server_cli.migrate.table import IDLE, MAPPED, SAME, Row
from server_core import plugins
from server_core.errors import ConfigError, ServerError
from server_core.settings.declare import Catalogue, Setting


class Finding(NamedTuple):
    """What one setting becomes.

    Attributes:
        row: its row in the table.
        value: what it was set to there.
        here: the value here, where it was taken over.
        outcome: the row's, or SAME where this value needs no mapping.
        advice: what is better written otherwise.
        problem: why the value cannot be used, or an empty string.
    """

    row: Row
    value: Any
    here: Any
    outcome: str
    advice: Tuple[str, ...]
    problem: str


def assess(rows: Mapping[str, Row], given: Iterable[Tuple[str, Any]], catalogue: Catalogue) -> List[Finding]:
    """Return what becomes of each setting of ``given``, in the order given."""
    return [_assess(rows[name], value, catalogue) for name, value in given]


def _assess(row: Row, value: Any, catalogue: Catalogue) -> Finding:
    here = row.convert(value) if row.convert is not None and not isinstance(value, list) else value
    outcome = SAME if row.outcome == MAPPED and row.setting == row.name and here == value else row.outcome
    advice = tuple(advice.text for advice in row.advice if advice.applies(value))
    idle = outcome == IDLE and catalogue.find(row.setting) is None  # nothing is needed, and there is no setting
    checked = row.setting and row.setting not in ("bind", "wsgi_app") and not idle
    problem = _problem(row.setting, here, catalogue) if checked else ""
    return Finding(row, value, here, outcome, advice, problem)


def _problem(name: str, value: Any, catalogue: Catalogue) -> str:
    """Return why ``value`` cannot be the value of a setting here, or an empty string."""
    setting = catalogue.find(name)
    if setting is None:
        return catalogue.unknown(name, "")
    try:
        setting.parse(value, "there")
        if name == "worker_class":
            plugins.worker_class(value)
    except ServerError as error:
        return str(error).replace(" (from there)", "")
    return ""


def flags(settings: Mapping[str, Any], catalogue: Catalogue) -> List[str]:
    """Return the words of a command line that sets ``settings``.

    Raises:
        ConfigError: a setting has no flag.
    """
    words: List[str] = []
    for name, value in settings.items():
        setting = catalogue.get(name)
        if not setting.flags:
            raise ConfigError(f"{name}: expected a setting with a flag")
        words += _flag(setting, value)
    return words


def _flag(setting: Setting, value: Any) -> List[str]:
    flag = setting.flags[-1]
    if value is True:
        return [flag]
    if value is False:
        return [setting.negative_flag]
    if setting.kind.repeats:
        return [word for item in value for word in (flag, str(item))]
    return [flag, str(value)]


def by_outcome(findings: Iterable[Finding]) -> Dict[str, List[Finding]]:
    """Return the findings without a problem by outcome."""
    groups: Dict[str, List[Finding]] = {}
    for finding in findings:
        if not finding.problem:
            groups.setdefault(finding.outcome, []).append(finding)
    return groups
