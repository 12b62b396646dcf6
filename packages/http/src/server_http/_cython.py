"""What hot modules use of Cython when Cython is not installed: names without effect.

Owns: the interpreted meaning of Cython's pure-Python mode, as far as this repository uses it. It is reached
through ``except ImportError`` behind ``import cython``, so that Cython is never needed at run time, and it
behaves as ``Cython.Shadow`` does (held equal by a test).
Must not know: which module uses it. The C types of a module live in the ``.pxd`` beside it; the type names
below are for ``declare`` and ``cast`` inside functions.
"""

from __future__ import annotations

import builtins
from typing import Any, Callable, TypeVar

T = TypeVar("T")

compiled = False
NULL = None


class CType:
    """A C type as interpreted code sees it: numbers are converted, anything else passes unchanged."""

    __slots__ = ("convert",)

    def __init__(self, convert: Callable[[Any], Any] | None = None) -> None:
        self.convert = convert

    def __call__(self, value: Any) -> Any:
        return value if self.convert is None else self.convert(value)


bint = CType(builtins.bool)
char = schar = uchar = short = ushort = uint = long = ulong = longlong = ulonglong = CType(builtins.int)
int = Py_ssize_t = size_t = ssize_t = Py_UCS4 = Py_hash_t = uint  # noqa: A001 - Cython's own name
double = CType(builtins.float)
float = double  # noqa: A001 - Cython's own name
void = p_void = p_char = p_uchar = p_const_char = p_const_uchar = CType()


class _Directive:
    """A directive that has its value: decorates without effect, and opens a ``with`` block."""

    __slots__ = ()

    def __call__(self, target: T) -> T:
        return target

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None


_DIRECTIVE = _Directive()


def _bare(target: T) -> T:
    return target


def _valued(*_args: Any, **_kwargs: Any) -> _Directive:
    return _DIRECTIVE


cfunc = ccall = cclass = inline = final = internal = no_gc = no_gc_clear = _bare
annotation_typing = auto_pickle = binding = boundscheck = cdivision = exceptval = freelist = infer_types = _valued
initializedcheck = locals = nonecheck = overflowcheck = returns = wraparound = _valued  # noqa: A001 - Cython's own name
nogil = gil = _DIRECTIVE


def declare(kind: Any = None, value: Any = None, **_names: Any) -> Any:
    """Name the C type of a variable; interpreted, its first value counts and is None where none is given."""
    return None if value is None else cast(kind, value)


def cast(kind: Any, value: Any, typecheck: bool = False) -> Any:  # noqa: ARG001 - Cython's signature
    """See ``value`` as ``kind``; interpreted, numbers are converted and objects pass."""
    return kind(value) if isinstance(kind, CType) else value


def likely(condition: T) -> T:
    """Tell the compiler that ``condition`` is usually true."""
    return condition


unlikely = likely
