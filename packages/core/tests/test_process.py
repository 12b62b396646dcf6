"""Signals of a process: set and held without the library's enums, and by what took its place."""

from __future__ import annotations

import signal
from typing import Any, List, Tuple

import pytest

from server_core import process


def test_a_handler_is_called_until_it_is_replaced() -> None:
    heard: List[int] = []
    before = signal.getsignal(signal.SIGUSR2)
    try:
        process.set_handler(signal.SIGUSR2, lambda number, frame: heard.append(number))
        signal.raise_signal(signal.SIGUSR2)
        process.set_handler(signal.SIGUSR2, signal.SIG_IGN)
        signal.raise_signal(signal.SIGUSR2)
        assert heard == [signal.SIGUSR2]
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_what_took_the_place_of_signal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[Tuple[Any, ...]] = []
    monkeypatch.setattr(signal, "signal", lambda *arguments: asked.append(arguments))
    process.set_handler(signal.SIGCHLD, signal.SIG_DFL)
    assert asked == [(signal.SIGCHLD, signal.SIG_DFL)]


def test_held_signals_come_when_they_are_released() -> None:
    heard: List[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    held = process.hold_signals()
    try:
        signal.raise_signal(signal.SIGUSR2)  # to this thread: one sent to the process, another thread would take
        assert heard == []
    finally:
        process.release_signals(held)
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]
