"""A ``.pxd`` declares every attribute its class sets: a compiled class has no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, Set

import pytest

import server_core.drive

DRIVE = Path(server_core.drive.__file__).parent
MODULES = sorted(path.stem for path in DRIVE.glob("*.pxd"))


def declared(text: str) -> Dict[str, Set[str]]:
    """The words of each ``cdef class`` block."""
    blocks = re.split(r"^cdef class (\w+)[^\n]*:\n", text, flags=re.MULTILINE)
    return {name: set(re.findall(r"\w+", body)) for name, body in zip(blocks[1::2], blocks[2::2])}


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
    # A subclass sets attributes of its base, which may stand in another module.
    inherited = set().union(*(words for path in DRIVE.glob("*.pxd") for words in declared(path.read_text()).values()))
    for name, words in declared((DRIVE / f"{module}.pxd").read_text()).items():
        assert attributes[name] - words <= (inherited if name.endswith("Reactor") else set()), name
