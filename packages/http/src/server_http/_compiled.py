"""Which modules are compiled, and whether a compiled module belongs to the source beside it.

Owns: the look at a package's directory for extension modules, and the check that a compiled module makes
when it is imported.
Must not know: how modules are compiled (the build hook), or which ones.
"""

from __future__ import annotations

import hashlib
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path


def compiled_modules(package: str) -> list[str]:
    """Names of the extension modules of ``package``, sorted; empty when it runs interpreted or is not installed."""
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


def check_source(module: str, extension: str, digest: str) -> None:
    """Refuse a compiled module whose source has been edited since: it would run, and the edit would not.

    Args:
        module: full name of the compiled module. extension: its path. digest: SHA-256 of the source it was made of.

    Raises:
        ImportError: the source beside it is another one.
    """
    source = Path(extension).with_name(module.rpartition(".")[2] + ".py")
    if not source.exists():  # installed without sources: nothing to hide
        return
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != digest:
        raise ImportError(
            f"{module}: expected the source it was compiled from (sha256 {digest[:12]}), got an edited {source} "
            f"({found[:12]}): reinstall the package, or remove {extension}",
            name=module,
            path=extension,
        )
