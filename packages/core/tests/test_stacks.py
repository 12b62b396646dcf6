"""What is written of things that wait without a thread."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import Iterator, List

import pytest

from server_core import stacks
from server_core.stacks import HEADING, Stack, frame_line, frames_from, waiting_text, write_stacks_on_signal


def written(waiting) -> str:
    """What a signal has this process write."""
    with tempfile.TemporaryFile() as file:
        write_stacks_on_signal(file.fileno(), waiting)
        try:
            signal.raise_signal(stacks.STACK_SIGNAL)
            return os.pread(file.fileno(), 65536, 0).decode()
        finally:
            stacks.faulthandler.unregister(stacks.STACK_SIGNAL)
            signal.signal(stacks.STACK_SIGNAL, signal.SIG_DFL)


def test_what_waits_comes_behind_the_stacks_of_threads() -> None:
    text = written(lambda: [Stack("GET /a", ("  File a",))])
    threads, _, waiting = text.partition(HEADING)
    assert "test_what_waits_comes_behind" in threads
    assert waiting == "1\n\nGET /a (most recent call first):\n  File a\n"


def test_without_such_things_the_threads_are_all() -> None:
    text = written(None)
    assert "in written" in text
    assert HEADING not in text


def test_a_worker_that_cannot_say_it_goes_on() -> None:
    def waiting() -> Iterator[Stack]:
        raise LookupError("no loop")

    assert f"{HEADING}unknown, LookupError: no loop" in written(waiting)


def test_one_place_is_shown_once_with_those_that_came_first() -> None:
    text = waiting_text([Stack(f"GET /{number}", ("  File a",)) for number in range(1000)] + [Stack("task b", ())])
    assert text.startswith(f"{HEADING}1001\n")
    assert "GET /0, GET /1, GET /2, GET /3, GET /4 and 995 more (most recent call first):\n  File a\n" in text
    assert text.count("File a") == 1


def test_what_is_written_is_bounded() -> None:
    deep = tuple(f"  File {number}" for number in range(500))
    places = [Stack("task", (f"  File {number}", *deep)) for number in range(400)]
    text = waiting_text(places)
    assert text.endswith("\n... and 370 more places\n")
    assert max(len(part.splitlines()) for part in text.split("\n\n")) == 1 + stacks.SHOWN_FRAMES + 1


def test_a_frame_looks_as_the_fault_handler_shows_it() -> None:
    lines: List[str] = [frame_line(frame) for frame in frames_from(sys._getframe())]
    assert lines[0].endswith(f'{__file__}", line {sys._getframe().f_lineno - 1} in {sys._getframe().f_code.co_name}')
    assert lines[0].startswith('  File "')
    shown = written(None)
    assert lines[1] in shown


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    yield
    stacks.faulthandler.unregister(stacks.STACK_SIGNAL)
