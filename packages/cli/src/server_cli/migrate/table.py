"""What a setting of another server becomes here.

Owns: the shape of a row (``Row``), the words for its outcome, and the remarks that depend on a value (``Advice``).
Must not know: which settings there are, where values come from, how a report looks.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Tuple

SAME = "stays"  # the same name, value and effect
MAPPED = "mapped"  # taken over under another name or value
DIFFERS = "differs"  # taken, and acts in another way
IDLE = "no effect"  # taken, and nothing has to be done for what it was about
GONE = "missing"  # there is nothing for it here

#: What each outcome means, for the head of the tables in the documentation.
OUTCOMES = {
    SAME: "the same name, values and effect",
    MAPPED: "taken over under another name or as another value",
    DIFFERS: "taken, and acts in another way, which the remark says",
    IDLE: "taken without effect: nothing has to be done for what it was about",
    GONE: "there is nothing for it here; the remark says what to do instead",
}

# How a flag takes its value.
VALUE, FLAG, OFF, PAIR, APPEND, OPTIONAL = "value", "flag", "off", "pair", "append", "optional"


class Advice(NamedTuple):
    """What is better written otherwise, when ``applies(value)``."""

    applies: Callable[[Any], bool]
    text: str


class Row(NamedTuple):
    """One setting of the other server.

    Attributes:
        name: its name there.
        flags: its flags there, separated by spaces; empty when the command line has none.
        outcome: one of the words above.
        remark: what is different, or what to do; a full clause without a full stop.
        advice: remarks for some values only.
        takes: how the flag takes its value: VALUE, FLAG (sets true), OFF (sets false), PAIR (``--x`` and ``--no-x``),
            APPEND (may be repeated), OPTIONAL (the value may be left out).
        here: the setting here, when it has another name.
        convert: from the value there to the value here; None keeps it.
    """

    name: str
    flags: str = ""
    outcome: str = SAME
    remark: str = ""
    advice: Tuple[Advice, ...] = ()
    takes: str = VALUE
    here: str = ""
    convert: Any = None

    @property
    def setting(self) -> str:
        """The name of the setting here, empty when there is none."""
        return "" if self.outcome == GONE else self.here or self.name


def one_of(*values: Any) -> Callable[[Any], bool]:
    """Whether a value is one of ``values``, of the same type."""
    return lambda value: any(value is one or (type(value) is type(one) and value == one) for one in values)


def above(limit: float) -> Callable[[Any], bool]:
    """Whether a value is a number above ``limit``, also as text."""

    def applies(value: Any) -> bool:
        try:
            return float(value) > limit
        except (TypeError, ValueError):
            return False

    return applies


def text(test: Callable[[str], bool]) -> Callable[[Any], bool]:
    """Whether a value is a string that passes ``test``."""
    return lambda value: isinstance(value, str) and test(value)


def always(_value: Any) -> bool:
    """Whatever the value is."""
    return True
