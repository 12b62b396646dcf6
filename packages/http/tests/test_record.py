"""Records: what dataclasses would do, for less time at the start."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from server_http.record import Record, derived, fresh


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str = ""
    tags: List[str] = fresh(factory=list)
    total: int = derived(init=False)

    def _settle(self, values: Dict[str, Any]) -> None:
        values["total"] = self.x + self.y


def test_values_are_given_in_order_by_name_or_by_default() -> None:
    assert Point(1, 3).as_dict() == {"x": 1, "y": 3}
    assert Point(x=1).y == 2
    assert repr(Point(1)) == "Point(x=1, y=2)"


def test_fields_are_inherited_and_derived() -> None:
    named = Named(1, name="a")
    assert (named.total, named.replace(x=5).total) == (3, 7)
    assert named.as_dict() == {"x": 1, "y": 2, "name": "a", "tags": []}


def test_a_fresh_default_is_shared_by_no_two_records() -> None:
    assert Named(1).tags is not Named(1).tags


def test_records_of_one_class_with_equal_fields_are_equal() -> None:
    assert Point(1) == Point(1, 2)
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert Point(1) != Named(1)


def test_records_do_not_change() -> None:
    with pytest.raises(AttributeError, match="do not change"):
        Point(1).x = 2  # type: ignore[misc]


def test_wrong_values_are_named() -> None:
    for given, named in (((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})):
        with pytest.raises(TypeError, match="Point: expected"):
            Point(*given, **named)
