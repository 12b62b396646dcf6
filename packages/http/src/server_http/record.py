"""Immutable records: classes whose fields are their annotations, as with frozen dataclasses.

Owns: ``Record``.
Must not know: what is recorded.

``dataclasses`` writes and compiles the source of five methods for each class: 0.6 ms, which for the classes that
every start imports was a fifth of the time to the first answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, Tuple, TypeVar

_Self = TypeVar("_Self", bound="Record")
_DERIVED = object()


class _Fresh:
    """The default of a field that no two records share."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory


def fresh(factory: Callable[[], Any]) -> Any:
    """Return a default that is made anew for each record, because it can change; write ``factory=`` out."""
    return _Fresh(factory)


def derived(init: bool = False) -> Any:  # noqa: ARG001 - read by type checkers
    """Mark a field that ``_settle`` computes from the others; ``init=False`` is written out for the type checker."""
    return _DERIVED


if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_options: Any) -> Any:
        """Tell a type checker what ``Record`` does (PEP 681); nothing at run time."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True, field_specifiers=(derived, fresh))
class Record:
    """The base of records. Arguments go to the annotated fields in order or by name; defaults are class attributes.

    Records of one class with equal fields are equal.
    """

    _names: ClassVar[Tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        annotated = vars(cls).get("__annotations__", {})
        names = [name for name in annotated if name[0] != "_" and vars(cls).get(name) is not _DERIVED]
        cls._names = cls._names + tuple(names)

    def __init__(self, *args: Any, **named: Any) -> None:
        cls = type(self)
        values = self.__dict__
        if len(args) > len(cls._names):
            raise TypeError(f"{cls.__name__}: expected at most {len(cls._names)} values, got {len(args)}")
        values.update(zip(cls._names, args))
        for name, value in named.items():
            if name in values or name not in cls._names:
                raise TypeError(f"{cls.__name__}: expected each of {', '.join(cls._names)} once, got {name!r}")
            values[name] = value
        for name in cls._names[len(args) :]:
            if name not in values:
                values[name] = self._default(name)
        self._settle(values)

    @classmethod
    def _default(cls, name: str) -> Any:
        try:
            value = getattr(cls, name)
        except AttributeError:
            raise TypeError(f"{cls.__name__}: expected a value for {name!r}, got none") from None
        return value.factory() if isinstance(value, _Fresh) else value

    def _settle(self, values: Dict[str, Any]) -> None:
        """Check the fields, and add those that derive from others to ``values``."""

    def replace(self: _Self, **changes: Any) -> _Self:
        """Return a copy with other values of some fields."""
        return type(self)(**{**self.as_dict(), **changes})

    def as_dict(self) -> Dict[str, Any]:
        """Return the fields by name, without the derived ones."""
        return {name: self.__dict__[name] for name in self._names}

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: records do not change")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(other) is not type(self):
            return NotImplemented
        return self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((type(self), *self.as_dict().values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__qualname__}({fields})"
