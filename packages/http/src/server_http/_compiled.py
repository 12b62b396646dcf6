"""Which modules are compiled, whether a compiled module belongs to the source beside it, and how to do without them.

Owns: the look at a package's directory for extension modules, the check that a compiled module makes when it
is imported, and the way to import the sources instead.
Must not know: how modules are compiled (the build hook), or which ones.
"""

from __future__ import annotations

import binascii
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from typing import Optional, Sequence


def checksum(source: bytes) -> str:
    """The checksum of a source: enough to notice an edit, and no cryptography for every start to load."""
    return f"{binascii.crc32(source):08x}-{len(source)}"


def compiled_modules(package: str) -> list[str]:
    """Names of the extension modules of ``package``, sorted; empty when it runs interpreted or is not installed."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(package)
    found = set()
    for directory in (spec.submodule_search_locations or ()) if spec is not None else ():
        root = Path(directory)
        for path in root.rglob("*"):
            for suffix in EXTENSION_SUFFIXES:
                if path.name.endswith(suffix):
                    parts = path.relative_to(root).with_name(path.name[: -len(suffix)]).parts
                    found.add(".".join((package, *parts)))
                    break
    return sorted(found)


def loaded_modules(package: str) -> list[str]:
    """Names of the extension modules of ``package`` that this process has imported."""
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if name.startswith(package + ".")
        and (getattr(module, "__file__", "") or "").endswith(tuple(EXTENSION_SUFFIXES))
    )


class _SourcesFirst:
    """A finder that takes the source of a module of one package also where an extension module is beside it."""

    def __init__(self, package: str) -> None:
        self._prefix = package + "."

    def find_spec(self, name: str, path: Optional[Sequence[str]], _target: object = None) -> Optional[ModuleSpec]:
        if not name.startswith(self._prefix):
            return None
        found = (FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name) for directory in path or ())
        return next((spec for spec in found if spec is not None), None)


def prefer_sources(package: str) -> None:
    """Import what is still to be imported of ``package`` from its sources: the same behaviour, interpreted."""
    if not any(isinstance(finder, _SourcesFirst) for finder in sys.meta_path):
        sys.meta_path.insert(0, _SourcesFirst(package))


def check_source(module: str, extension: str, expected: str) -> None:
    """Refuse a compiled module whose source has been edited since: it would run, and the edit would not.

    Args:
        module: full name of the compiled module. extension: its path. expected: checksum of the source it was made of.

    Raises:
        ImportError: the source beside it is another one.
    """
    source = os.path.join(os.path.dirname(extension), module.rpartition(".")[2] + ".py")
    try:
        with open(source, "rb") as stream:
            found = checksum(stream.read())
    except FileNotFoundError:  # installed without sources: nothing to hide
        return
    if found != expected:
        raise ImportError(
            f"{module}: expected the source it was compiled from (checksum {expected}), got an edited {source} "
            f"({found}): reinstall the package, or remove {extension}",
            name=module,
            path=extension,
        )
