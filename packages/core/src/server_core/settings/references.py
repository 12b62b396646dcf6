"""Kinds of value that name something else: an address, a file, an account, a class, a function.

Owns: what such a name looks like, and what is there by it.
Must not know: settings, their names, where a value came from.
"""

from __future__ import annotations

import grp
import importlib
import ipaddress
import os
import pwd
import re
from types import FunctionType
from typing import Any, Callable, Optional, Sequence, Tuple

from server_core.settings.values import Integer, Kind, ListOf, Text, Unacceptable

_ACCOUNT_MAX = 2**32 - 2  # the number above means "leave it as it is" to the system


class ListeningAddress(Text):
    """An address to listen on that says which port."""

    expects = "HOST:PORT, unix:PATH or fd://N"

    def __init__(self) -> None:
        super().__init__("ADDRESS")

    def parse(self, value: Any) -> str:
        text = super().parse(value)
        if not re.fullmatch(r"|unix:.+|fd://\d+|systemd:.+|.*:\d+", text):  # nothing: not to listen at all
            raise Unacceptable
        return text


class HostPort(Kind):
    """``HOST:PORT`` as a pair, or ``unix://PATH`` as the path."""

    metavar = "HOST:PORT"
    expects = "HOST:PORT or unix://PATH"

    def __init__(self, default_port: int) -> None:
        self.default_port = default_port

    def parse(self, value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == 2:
            return (str(value[0]), Integer(0, 65535).parse(value[1]))
        text = Text().parse(value)
        if text.startswith("unix://"):
            return text[len("unix://") :]
        host, colon, port = text.rpartition(":")
        if not colon:
            return (text.lower(), self.default_port)
        return (host.strip("[]").lower(), Integer(0, 65535).parse(port))


class Networks(ListOf):
    """A comma list of addresses and networks; ``*`` means everyone.

    Kept as text; ``parse_networks`` makes networks of it.
    """

    def __init__(self) -> None:
        super().__init__(Text("ADDRESS"), ",", "addresses, networks such as 10.0.0.0/8, or '*', separated by commas")

    def parse(self, value: Any) -> list[Any]:
        items = super().parse(value)
        for item in items:
            if item != "*":
                _network(item)
        return items


class ExistingDirectory(Text):
    """A directory that is there; made absolute."""

    expects = "a directory that exists"

    def __init__(self) -> None:
        super().__init__("DIR")

    def parse(self, value: Any) -> str:
        path = os.path.abspath(os.path.expanduser(super().parse(value)))
        if not os.path.isdir(path):
            raise Unacceptable
        return path


class FileOrGlob(Text):
    """A file that is there, or a glob pattern, which may match later."""

    expects = "a file that exists or a glob pattern"

    def __init__(self) -> None:
        super().__init__("FILE")

    def parse(self, value: Any) -> str:
        path = os.path.abspath(super().parse(value))
        if not os.path.exists(path) and not any(mark in path for mark in "*?["):
            raise Unacceptable
        return path


class UserId(Kind):
    """A user by name or number, kept as the number; None is the present one."""

    metavar = "USER"
    expects = "the name or number of a user"
    none_allowed = True

    def parse(self, value: Any) -> int:
        return os.geteuid() if value is None else _account(value, lambda name: pwd.getpwnam(name).pw_uid)


class GroupId(Kind):
    """A group by name or number, kept as the number; None is the present one."""

    metavar = "GROUP"
    expects = "the name or number of a group"
    none_allowed = True

    def parse(self, value: Any) -> int:
        return os.getegid() if value is None else _account(value, lambda name: grp.getgrnam(name).gr_gid)


class ClassRef(Kind):
    """A class, a function that returns one, or its name or dotted path; resolved when it is used."""

    metavar = "NAME"
    expects = "a name, a dotted path or a class"

    def parse(self, value: Any) -> Any:
        if isinstance(value, type):
            return value
        if isinstance(value, FunctionType) and _takes(value, 0) and not _takes(value, 1):
            return self.parse(value())
        if isinstance(value, str) and value.strip():
            return value.strip()
        raise Unacceptable

    def show(self, value: Any) -> str:
        return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)


class Hook(Kind):
    """A function that can be called with the hook's arguments, or its dotted path.

    Args:
        parameters: the documented signature, longest form.
        least: how many of them a function must take; it is given what it takes.
    """

    metavar = "CALLABLE"

    def __init__(self, parameters: str, least: Optional[int] = None) -> None:
        self.parameters = parameters
        self.most = len(parameters.split(","))
        self.least = self.most if least is None else least
        self.expects = f"a function that takes ({parameters})"

    def parse(self, value: Any) -> Callable[..., Any]:
        function = _imported(value) if isinstance(value, str) else value
        if not callable(function):
            raise Unacceptable
        for count in range(self.most, self.least - 1, -1):
            if _takes(function, count):
                return function if count == self.most else _shortened(function, count)
        raise Unacceptable

    def show(self, value: Any) -> str:
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"


def parse_networks(items: Sequence[str]) -> Tuple[Any, ...]:
    """Return the networks named by ``items`` (``ipaddress`` objects, or the string ``"*"``)."""
    return tuple("*" if item == "*" else _network(item) for item in items)


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise Unacceptable(f"an address, a network or '*' ({error})") from None


def _account(value: Any, by_name: Callable[[str], int]) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _ACCOUNT_MAX:
        return value
    if isinstance(value, str):
        try:
            return by_name(value.strip())
        except KeyError:
            pass
    raise Unacceptable


def _imported(path: str) -> Any:
    """Return the object of a dotted path ``pkg.module.name``."""
    module, dot, name = path.strip().rpartition(".")
    if not dot:
        raise Unacceptable(f"a dotted path such as package.module.function, in place of {path!r}")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Unacceptable(f"the dotted path of a function ({error})") from None


def _takes(function: Callable[..., Any], count: int) -> bool:
    import inspect

    try:
        inspect.signature(function).bind(*([None] * count))
    except TypeError:
        return False
    except ValueError:  # built-ins without a signature are trusted
        return True
    return True


def _shortened(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Return ``function`` taking the full form of its hook and using the first ``count`` arguments."""

    def hook(*args: Any) -> Any:
        return function(*args[:count])

    hook.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)
    hook.__wrapped__ = function  # type: ignore[attr-defined]  # as functools.wraps does
    return hook
