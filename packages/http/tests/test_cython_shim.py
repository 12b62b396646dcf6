"""The stand-in for Cython behaves as Cython's own interpreted mode."""

from __future__ import annotations

import pytest

from server_http import _cython as shim

shadow = pytest.importorskip("cython", reason="Cython is a build requirement only")

BARE = ["cfunc", "ccall", "cclass", "inline", "final", "internal", "no_gc", "no_gc_clear"]
VALUED = ["boundscheck", "wraparound", "cdivision", "initializedcheck", "infer_types", "annotation_typing", "nonecheck"]
TYPES = ["bint", "char", "uchar", "int", "uint", "long", "ulong", "longlong", "ulonglong", "Py_ssize_t", "size_t"]

both = pytest.mark.parametrize("cython", [shim, shadow], ids=["shim", "cython"])


def test_every_public_name_of_the_shim_is_one_of_cython():
    own = {"CType", "T", "annotations", "builtins"}
    names = {name for name in vars(shim) if not name.startswith("_")} - own - {"Any", "Callable", "TypeVar"}
    assert [name for name in sorted(names) if not hasattr(shadow, name)] == []


@both
def test_nothing_is_compiled(cython):
    assert cython.compiled is False


@both
@pytest.mark.parametrize("name", BARE)
def test_decorators_leave_functions_and_classes_alone(cython, name):
    class Thing:
        pass

    assert getattr(cython, name)(Thing) is Thing


@both
@pytest.mark.parametrize("name", VALUED)
def test_directives_leave_functions_alone(cython, name):
    def function():
        return 1

    assert getattr(cython, name)(False)(function)() == 1


@both
def test_types_of_a_signature_leave_the_function_alone(cython):
    @cython.locals(a=cython.int, b=cython.Py_ssize_t)
    @cython.returns(cython.int)
    @cython.exceptval(-1)
    @cython.cfunc
    def add(a, b):
        return a + b

    assert add(1, 2) == 3


@both
@pytest.mark.parametrize("name", TYPES)
def test_declared_numbers_have_their_first_value(cython, name):
    kind = getattr(cython, name)
    assert cython.declare(kind, 1) == 1
    assert cython.declare(kind) is None
    assert cython.cast(kind, 1) == 1


@both
def test_casts_leave_objects_alone(cython):
    class Text(str):
        __slots__ = ()

    text = Text("x")
    assert cython.cast(str, text) is text


@both
def test_nogil_opens_a_block(cython):
    with cython.nogil:
        entered = True
    assert entered


@both
def test_branch_hints_pass_the_condition(cython):
    assert cython.likely(1 == 1) is True
    assert cython.unlikely(1 == 2) is False
