"""The kinds of value a setting can have: what is accepted, and how it is called in an error.

Owns: conversion and checks of single values. Every kind takes what a config file holds and what a
command line holds (a string), and raises ``Unacceptable`` otherwise.
Must not know: settings, their names, where a value came from; what a value stands for outside of the settings,
which kinds in ``settings.references`` know.
"""

from __future__ import annotations

import os
import re
from typing import Any, Mapping, Optional

_SIZE = re.compile(r"(\d+)\s*([kmg]?)i?b?", re.IGNORECASE)
_SIZE_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class Unacceptable(ValueError):  # read as a sentence: raise Unacceptable
    """The value is not of the kind; ``detail`` replaces the kind's own description when given."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Kind:
    """A kind of value.

    Attributes:
        expects: completes "expected ..." in an error.
        metavar: the placeholder in ``--help``.
        repeats: the command line may give the flag several times; values are collected in a list.
        none_allowed: None is a value of this kind; elsewhere None stands for the default only
            where the default is None.
    """

    expects = "a value"
    metavar = "VALUE"
    repeats = False
    none_allowed = False

    def parse(self, value: Any) -> Any:
        """Return ``value`` as this kind's type; raises Unacceptable."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """Return ``value`` as it could be written in a config file."""
        return repr(value)


_TRUE = ("true", "yes", "on", "y", "1")
_FALSE = ("false", "no", "off", "n", "0")


class Boolean(Kind):
    """True or False; as text true/false, yes/no, on/off, y/n, 1/0."""

    expects = "true or false"

    def parse(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in _TRUE + _FALSE:
            raise Unacceptable
        return word in _TRUE


class Integer(Kind):
    """A whole number within bounds; text may be ``0x``, ``0o`` or ``0b`` prefixed."""

    metavar = "INT"

    def __init__(self, minimum: Optional[int] = 0, maximum: Optional[int] = None) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.expects = _bounds_text("an integer", minimum, maximum)

    def parse(self, value: Any) -> int:
        number = self._number(value)
        if self.minimum is not None and number < self.minimum:
            raise Unacceptable
        if self.maximum is not None and number > self.maximum:
            raise Unacceptable
        return number

    def _number(self, value: Any) -> int:
        if isinstance(value, bool):
            raise Unacceptable
        if isinstance(value, float) and value.is_integer():
            return int(value)
        try:
            return int(value.strip(), 0) if isinstance(value, str) else int(value.__index__())
        except (ValueError, AttributeError):
            raise Unacceptable from None


class FileMode(Integer):
    """Permission bits; text with a leading zero is octal, as in a shell (``0022``).

    Three octal digits without it are no text for a mode: as a decimal number they would be other permissions.
    """

    def __init__(self) -> None:
        super().__init__(0, 0o777)
        self.expects = "permission bits such as 0o022 or 0640"

    def _number(self, value: Any) -> int:
        if isinstance(value, str):
            if re.fullmatch(r"0[0-7]+", value.strip()):
                return int(value, 8)
            if re.fullmatch(r"[1-7][0-7]{2}", value.strip()):
                raise Unacceptable
        return super()._number(value)

    def show(self, value: Any) -> str:
        return f"0o{value:03o}"


class Size(Integer):
    """Octets; text may end in k, m or g (powers of 1024)."""

    metavar = "SIZE"

    def __init__(self, minimum: int = 0, maximum: Optional[int] = None) -> None:
        super().__init__(minimum, maximum)
        self.expects = _bounds_text("a size in bytes such as 65536 or '64k'", minimum or None, maximum)

    def _number(self, value: Any) -> int:
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if match:
                return int(match.group(1)) * _SIZE_FACTORS[match.group(2).lower()]
        return super()._number(value)


class Seconds(Kind):
    """A duration in seconds; whole numbers stay ints, so that they print as they were written."""

    metavar = "SECONDS"

    def __init__(self, minimum: float = 0) -> None:
        self.minimum = minimum
        self.expects = f"seconds >= {minimum:g}"

    def parse(self, value: Any) -> float:
        if isinstance(value, bool):
            raise Unacceptable
        try:
            number = float(value) if not isinstance(value, int) else value
        except (TypeError, ValueError, OverflowError):
            raise Unacceptable from None
        if not self.minimum <= number < float("inf"):
            raise Unacceptable
        return int(number) if number == int(number) else number


class Text(Kind):
    """A string, stripped of surrounding space."""

    metavar = "TEXT"
    expects = "a string"

    def __init__(self, metavar: str = "TEXT", strip: bool = True) -> None:
        self.metavar = metavar
        self.strip = strip

    def parse(self, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str):
            raise Unacceptable
        return value.strip() if self.strip else value


class FieldName(Text):
    """The name of a header field (RFC 9110 section 5.1)."""

    expects = "the name of a header field"

    def parse(self, value: Any) -> str:
        text = super().parse(value)
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
            raise Unacceptable
        return text


class Url(Text):
    """A string that may be a URL; a password in it is not shown."""

    def show(self, value: Any) -> str:
        hidden = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", value)
        return repr(re.sub(r"([?&]password=)[^&]*", r"\1***", hidden))


class Choice(Kind):
    """One of a few words, in any case; ``also`` maps further spellings to them."""

    def __init__(self, *words: str, also: Optional[Mapping[Any, str]] = None) -> None:
        self.words = words
        self.also = dict(also or {})
        self.expects = "one of " + ", ".join(words)
        self.metavar = "{" + ",".join(words) + "}"

    def parse(self, value: Any) -> str:
        word = value.strip().lower() if isinstance(value, str) else value
        try:
            word = self.also.get(word, word)
        except TypeError:
            raise Unacceptable from None
        for known in self.words:
            if known.lower() == word:
                return known
        raise Unacceptable


class UrlPath(Text):
    """A path as requests have it, beginning with a slash."""

    expects = "a path that begins with '/'"

    def __init__(self, empty: bool = False) -> None:
        super().__init__("PATH")
        self.empty = empty

    def parse(self, value: Any) -> str:
        text = super().parse(value)
        if not text.startswith("/") and (text or not self.empty):
            raise Unacceptable
        return text


class ListOf(Kind):
    """A list of another kind. A single string is a list of one or, with ``separator``, of several."""

    repeats = True

    def __init__(self, item: Kind, separator: str = "", what: str = "") -> None:
        self.item = item
        self.separator = separator
        self.repeats = not separator
        self.metavar = item.metavar + (f"[{separator}...]" if separator else "")
        self.expects = what or f"a list, each {item.expects}"

    def parse(self, value: Any) -> list[Any]:
        if isinstance(value, (str, os.PathLike)):
            value = str(value).split(self.separator) if self.separator else [str(value)]
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise Unacceptable
        items = [part for part in value if not (isinstance(part, str) and not part.strip())]
        return [self.item.parse(part) for part in items]


class Cores(Text):
    """The cores of each slot: ``auto``, or lists of numbers and ranges, separated by ``;``."""

    expects = "'auto', or the cores of each slot such as '0,1;2,3' or '0-3;4-7'"

    def __init__(self) -> None:
        super().__init__("CORES")

    def parse(self, value: Any) -> str:
        text = super().parse(value)
        if not re.fullmatch(r"|auto| *\d+(-\d+)?( *[,;] *\d+(-\d+)?)* *", text):
            raise Unacceptable
        return text


class Table(Kind):
    """A dict with string keys."""

    expects = "a dict with string keys"

    def parse(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Unacceptable
        return dict(value)


class Assignment(Text):
    """``KEY=VALUE``."""

    expects = "KEY=VALUE"

    def __init__(self) -> None:
        super().__init__("KEY=VALUE")

    def parse(self, value: Any) -> str:
        text = super().parse(value)
        if "=" not in text or text.startswith("="):
            raise Unacceptable
        return text


def _bounds_text(what: str, minimum: Optional[int], maximum: Optional[int]) -> str:
    if maximum is not None:
        return f"{what} from {minimum or 0} to {maximum}"
    return what if minimum is None else f"{what} >= {minimum}"
