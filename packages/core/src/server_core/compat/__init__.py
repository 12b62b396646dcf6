"""gunicorn's import paths, for config files and worker classes that were written for it.

Owns: ``gunicorn_imports()``, which makes these paths importable for a while, for the modules imported meanwhile also
later, and the table of what stands for what (``compat.table``).
Must not know: the classes themselves, which are imported when a file asks for them.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.machinery
import sys
import threading
import types
from typing import Any, Dict, Iterator, Optional, Sequence

from server_core.compat import table

ROOT = "gunicorn"


@contextlib.contextmanager
def gunicorn_imports() -> Iterator[None]:
    """While open, ``import gunicorn...`` finds this server's classes, also when gunicorn is installed: a worker or
    logger class over gunicorn's own could not serve here.

    Afterwards the stand-ins are forgotten again: an application that looks whether gunicorn is
    there gets a true answer.
    """
    _finder.enter()
    try:
        yield
    finally:
        _finder.leave()


class ConfigLoader(importlib.machinery.SourceFileLoader):
    """Loads a module whose import statements find gunicorn's paths, those in its functions also when they run later.

    Nobody else's imports are touched.
    """

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module with an ``__import__`` of its own."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_for_gunicorn}
        super().exec_module(module)


def _import_for_gunicorn(
    name: str, namespace: Any = None, local: Any = None, names: Optional[Sequence[str]] = (), level: int = 0
) -> Any:
    present = sys.modules.get(name) if level == 0 and not _is_gunicorn(name) else None
    if present is not None and all(hasattr(present, item) for item in names or ()):
        return builtins.__import__(name, namespace, local, names or (), level)
    with gunicorn_imports():  # what is imported for the first time may import it in turn
        return builtins.__import__(name, namespace, local, names or (), level)


class _Finder:
    """Finds and makes the stand-in modules; gives a ``ConfigLoader`` to modules that speak of gunicorn."""

    def __init__(self) -> None:
        self.entered = 0  # hooks run in several threads
        self._lock = threading.Lock()
        self._own: Dict[str, types.ModuleType] = {}  # gunicorn's modules, where it is installed and was imported

    def enter(self) -> None:
        """Be asked for modules."""
        with self._lock:
            self.entered += 1
            if self.entered == 1:
                self._own = _taken_from_modules()
                finder: Any = self
                sys.meta_path.insert(0, finder)

    def leave(self) -> None:
        """Be asked no more when all have left."""
        with self._lock:
            self.entered -= 1
            if self.entered:
                return
            finder: Any = self
            sys.meta_path.remove(finder)
            _taken_from_modules()
            sys.modules.update(self._own)

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if not _is_gunicorn(fullname):
            return self._speaking_of_gunicorn(fullname, path, target)
        if fullname not in table.MODULES:
            raise ModuleNotFoundError(table.missing(fullname), name=fullname)
        loader: Any = self
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=True)

    def _speaking_of_gunicorn(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[types.ModuleType]
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """Return the spec of a module in whose text gunicorn stands; None leaves others to who finds them."""
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is None:
                continue
            loader = spec.loader
            if type(loader) is not importlib.machinery.SourceFileLoader or not _speaks_of_gunicorn(loader):
                return None
            spec.loader = ConfigLoader(loader.name, loader.path)
            return spec
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing runs: names are resolved when they are asked for."""


_finder = _Finder()


def _is_gunicorn(name: str) -> bool:
    return name == ROOT or name.startswith(ROOT + ".")


def _taken_from_modules() -> Dict[str, types.ModuleType]:
    """Remove gunicorn's modules, or what stands for them, from those that are imported; returns them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _is_gunicorn(name)}


def _speaks_of_gunicorn(loader: importlib.machinery.SourceFileLoader) -> bool:
    try:
        return ROOT.encode() in loader.get_data(loader.path)
    except OSError:
        return False


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
