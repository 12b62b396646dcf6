"""How what an application raises travels to its caller."""

from __future__ import annotations

import sys

import pytest

from server_dirty import calls, frames
from server_dirty.errors import TEXT_MAX, DirtyAppError, DirtyError
from server_dirty.running import _describe


class NoTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class OfTwoError(Exception):
    def __new__(cls, first, second, third):
        return super().__new__(cls, first, second, third)


def arrived(error):
    """What the caller meets when an action raises ``error``."""
    outgoing = calls.pack_error(error, "module:App", "action")
    return DirtyError.from_dict(frames.value_of(outgoing))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("plain"), "plain"),
        (ValueError("name\udcff"), "name\\udcff"),
        (ValueError("y" * (frames.MAX_PAYLOAD + 1)), "y" * TEXT_MAX),
        (NoTextError(), "(no text: its __str__ raised RuntimeError)"),
        (OfTwoError(1, 2, 3), "(1, 2, 3)"),
        (DirtyError(ValueError("no text, but an object")), "no text, but an object"),
    ],
    ids=["plain", "surrogate", "huge", "no text", "own new", "an object"],
)
def test_whatever_an_application_raises_arrives_as_a_dirty_error(error, message):
    found = arrived(error)
    assert str(found) == message
    assert isinstance(found, DirtyError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_a_group_of_exceptions_arrives_with_its_name():
    found = arrived(ExceptionGroup("both", [ValueError("a"), KeyError("b")]))  # noqa: F821 - where there is one
    assert type(found) is DirtyAppError
    assert found.error_class == "builtins.ExceptionGroup"
    assert "both" in str(found)
    assert "KeyError" in found.traceback


def test_large_details_do_not_keep_a_worker_from_describing_the_error():
    outgoing = calls.pack_error(DirtyAppError("full", {"action": "a", "blob": b"x" * 200_000}), "module:App", "action")
    assert _describe(outgoing) == "a: DirtyAppError: full"
