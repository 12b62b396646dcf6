"""Which event loop a worker runs on.

Owns: the meaning of ``asgi_loop``.
Must not know: what runs on the loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import suppress
from typing import Any, Callable

from server_core.errors import ConfigError

#: What ``plugins.EXTRAS`` calls the extra; the text of an error may not depend on whether it is installed.
UVLOOP_MISSING = "asgi_loop: expected uvloop to be installed for 'uvloop': pip install server-cli[uvloop]"


def check_loop(name: str) -> None:
    """Raise the ConfigError of ``new_loop`` where that can be known without importing anything of the application's."""
    package = name.partition(":")[0].partition(".")[0]  # to look into a package would import it
    if name in ("auto", "asyncio") or _is_there(package):
        return
    raise ConfigError(UVLOOP_MISSING if name == "uvloop" else f"asgi_loop: no module named {package!r} (for {name!r})")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it was made by hand, and has no specification
        return True


def import_loop(name: str) -> None:
    """Import what ``new_loop`` needs, in the process that forks workers; what is missing is for them to report."""
    if name in ("auto", "uvloop"):
        with suppress(ModuleNotFoundError):
            importlib.import_module("uvloop")


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Args:
        name: ``"auto"`` (uvloop where it is installed), ``"asyncio"``, ``"uvloop"``, or ``"module:factory"``, a
            callable without arguments that returns a loop.

    Raises ConfigError.
    """
    if name == "asyncio":
        return asyncio.new_event_loop()
    if name in ("auto", "uvloop"):
        return _uvloop(required=name == "uvloop")
    loop = _factory(name)()
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise ConfigError(f"asgi_loop: expected an event loop from {name}(), got {loop!r}")
    return loop


def _uvloop(required: bool) -> asyncio.AbstractEventLoop:
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ModuleNotFoundError:
        if required:
            raise ConfigError(UVLOOP_MISSING) from None
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _factory(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            factory = getattr(factory, part)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f"asgi_loop: expected 'module:factory', got {name!r}: {error}") from error
    if not callable(factory):
        raise ConfigError(f"asgi_loop: expected a callable, got {factory!r} (from {name!r})")
    return factory  # type: ignore[no-any-return]  # any callable
