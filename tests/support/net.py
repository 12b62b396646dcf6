"""Small network and waiting helpers."""

from __future__ import annotations

import random
import socket
import time
from typing import Callable, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
PORTS = range(16_384, 32_768)
_chance = random.Random()  # noqa: S311 - spreads what several test runs take; of its own, because tests seed the shared one
#: Seconds to wait for what comes at once on a machine that has nothing else to do.
PATIENCE = 30.0


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Prefer binding port 0 and asking the server (``ServerProcess.port``).

    It is none of those that Linux gives to whoever asks for any, so that nobody gets it before it is used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _chance.sample(PORTS, len(PORTS)):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:  # in use
                continue
            return port
    raise AssertionError(f"{host}: expected a free port of {PORTS}")


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
