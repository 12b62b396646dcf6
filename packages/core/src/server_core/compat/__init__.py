"""gunicorn's import paths, for config files and worker classes that were written for it.

Owns: ``gunicorn_imports()``, which makes these paths importable for a while, ``builtins_of_file()``, by
which the functions of a config file find them later, and the table of what stands for what
(``compat.table``).
Must not know: the classes themselves, which are imported when a file asks for them.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import types
from typing import Any, Dict, Iterator, Optional, Sequence

from server_core.compat import table

ROOT = "gunicorn"


@contextlib.contextmanager
def gunicorn_imports() -> Iterator[None]:
    """While open, ``import gunicorn...`` finds this server's classes, when gunicorn is not installed.

    Afterwards the stand-ins are forgotten again: an application that looks whether gunicorn is
    there gets a true answer.
    """
    if ROOT in sys.modules or importlib.util.find_spec(ROOT) is not None:
        yield
        return
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name == ROOT or name.startswith(ROOT + ".")]:
            del sys.modules[name]


def builtins_of_file() -> Dict[str, Any]:
    """Return builtins for the globals of a config file, whose import statements find gunicorn's paths.

    A hook may import in its body, when it is called; nobody else's imports are touched.
    """

    def import_module(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] != ROOT:
            return builtins.__import__(name, *arguments, **keywords)
        with gunicorn_imports():
            return builtins.__import__(name, *arguments, **keywords)

    return {**vars(builtins), "__import__": import_module}


class _Finder:
    """Finds and makes the stand-in modules."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != ROOT and not fullname.startswith(ROOT + "."):
            return None
        if fullname not in table.MODULES:
            raise ModuleNotFoundError(table.missing(fullname), name=fullname)
        loader: Any = self
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing runs: names are resolved when they are asked for."""


class _StandIn(types.ModuleType):
    """A module whose names are resolved from the table at the first look."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        entry = table.MODULES[self.__name__].get(name)
        if entry is None:
            if f"{self.__name__}.{name}" in table.MODULES:
                return importlib.import_module(f"{self.__name__}.{name}")
            raise ImportError(table.missing(f"{self.__name__}.{name}"))
        module, _, attribute = entry.partition(":")
        value = getattr(importlib.import_module(module), attribute)
        setattr(self, name, value)
        return value
