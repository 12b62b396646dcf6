"""Small network and waiting helpers."""

from __future__ import annotations

import socket
import time
from typing import Callable, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
#: Seconds to wait for what comes at once on a machine that has nothing else to do.
PATIENCE = 30.0


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Prefer binding port 0 and asking the server (``ServerProcess.port``)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], T], timeout: float = PATIENCE, what: str = "") -> T:
    """The first true value of ``condition``; for states that announce themselves by no event.

    Raises:
        AssertionError: ``condition`` stayed false for ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition}: expected within {timeout} s, got {value!r}")
        time.sleep(POLL_SECONDS)
