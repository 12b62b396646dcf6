"""The entry points of installed distributions, read from their files.

Owns: where these files are and what is in them (the packaging guide's "Core metadata" and "Entry points").
Must not know: which entry points mean something.

``importlib.metadata`` answers the same question, but its import brings the parsers of email and zip files: a tenth of
the time in which a server starts. It is used for what is no directory on the import path.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import PathFinder
from typing import Iterator, List, NamedTuple, Set, Tuple

_SUFFIXES = (".dist-info", ".egg-info")


class EntryPoint(NamedTuple):
    """One line of an entry-points file, and the distribution it belongs to."""

    group: str
    name: str
    value: str
    distribution: str
    version: str


def entry_points(prefix: str) -> Iterator[EntryPoint]:
    """Yield the entry points of all groups that begin with ``prefix``.

    The first distribution of a normalised name wins, as it does for imports: a path can list a distribution twice, and
    an editable install stands before a wheel.
    """
    for name, version, text in _distributions(f"[{prefix}"):
        for group, key, value in _parsed(text):
            if group.startswith(prefix):
                yield EntryPoint(group, key, value, name, version)


def _distributions(wanted: str) -> Iterator[Tuple[str, str, str]]:
    """Yield name, version and entry points of the distributions in whose entry-points file ``wanted`` stands."""
    seen: Set[str] = set()
    others = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions") and finder is not PathFinder]
    if others:  # somebody knows of distributions that are in no directory
        yield from _asked(sys.path, wanted, seen)
        return
    for entry in sys.path:
        directory = entry or os.curdir
        if os.path.isdir(directory):
            yield from _in_directory(directory, wanted, seen)
        elif os.path.exists(directory):
            yield from _asked([entry], wanted, seen)


def _in_directory(directory: str, wanted: str, seen: Set[str]) -> Iterator[Tuple[str, str, str]]:
    try:
        names = os.listdir(directory)
    except OSError:  # an entry of the path that cannot be read has no importable distributions either
        return
    for name in names:
        if not name.endswith(_SUFFIXES) or not _is_first(name.rpartition(".")[0].partition("-")[0], seen):
            continue
        folder = os.path.join(directory, name)
        text = _text(os.path.join(folder, "entry_points.txt"))
        if wanted in text:
            yield (*_identity(folder), text)


def _is_first(name: str, seen: Set[str]) -> bool:
    """Whether no distribution of this name came before; it is noted."""
    normalised = re.sub(r"[-_.]+", "-", name).lower()
    first = normalised not in seen
    seen.add(normalised)
    return first


def _identity(folder: str) -> Tuple[str, str]:
    """Return name and version of a distribution."""
    head = _text(os.path.join(folder, "METADATA")) or _text(os.path.join(folder, "PKG-INFO"))
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", head.partition("\n\n")[0], re.MULTILINE))
    return fields.get("Name", ""), fields.get("Version", "")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _parsed(text: str) -> List[Tuple[str, str, str]]:
    """Return group, name and value of each line of an entry-points file."""
    group, found = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            found.append((group, name.strip(), value.strip()))
    return found


def _asked(path: List[str], wanted: str, seen: Set[str]) -> Iterator[Tuple[str, str, str]]:
    """The same by ``importlib.metadata``, for zip files and for finders of other kinds."""
    import importlib.metadata

    for distribution in importlib.metadata.distributions(path=path):
        name = distribution.metadata["Name"] or ""
        text = distribution.read_text("entry_points.txt") or ""
        if _is_first(name, seen) and wanted in text:
            yield name, distribution.version, text
