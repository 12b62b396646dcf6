"""A ``.pxd`` declares every attribute its class sets: a compiled class has no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, NamedTuple, Set

import pytest

import server_core.drive

DRIVE = Path(server_core.drive.__file__).parent
MODULES = sorted(path.stem for path in DRIVE.glob("*.pxd"))


class Declaration(NamedTuple):
    """A ``cdef class`` block: its base, ``""`` without one, and the words in it."""

    base: str
    words: Set[str]


def declared(text: str) -> Dict[str, Declaration]:
    """The ``cdef class`` blocks by name."""
    blocks = re.split(r"^cdef class (\w+)(?:\((\w+)\))?:\n", text, flags=re.MULTILINE)
    return {
        name: Declaration(base or "", set(re.findall(r"\w+", body)))
        for name, base, body in zip(blocks[1::3], blocks[2::3], blocks[3::3])
    }


DECLARED = {name: found for path in DRIVE.glob("*.pxd") for name, found in declared(path.read_text()).items()}


def words_of(name: str) -> Set[str]:
    """What a class declares or inherits; its base may stand in another module."""
    return DECLARED[name].words | words_of(DECLARED[name].base) if name else set()


def assigned(text: str) -> Dict[str, Set[str]]:
    """The attributes that the methods of each class assign to ``self``."""
    found: Dict[str, Set[str]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                target.attr
                for target in ast.walk(node)
                if isinstance(target, ast.Attribute)
                and isinstance(target.ctx, ast.Store)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
            }
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_attribute_of_a_compiled_class_is_declared(module: str) -> None:
    attributes = assigned((DRIVE / f"{module}.py").read_text())
    for name in declared((DRIVE / f"{module}.pxd").read_text()):
        assert attributes[name] <= words_of(name), name
