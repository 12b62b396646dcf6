"""Measurements on a machine that others use too.

Owns: how often one is repeated, and the application that counts what was left to the garbage collector.
Must not know: what is measured.
"""

from __future__ import annotations

from typing import Callable, List, TypeVar

T = TypeVar("T")

ATTEMPTS = 3

#: ``/collect`` is answered with the number of objects that only the collector could free since it was last asked.
COLLECTING_WSGI = """
import gc

gc.disable()


def app(environ, start_response):
    body = b"%d" % gc.collect() if environ["PATH_INFO"] == "/collect" else b"hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def best_of(measure: Callable[[], T], good: Callable[[T], bool], attempts: int = ATTEMPTS) -> T:
    """Measure until a measurement is good, a bounded number of times; the last.

    What a machine does beside a test makes waits longer and differences larger, sometimes and by chance. A defect does
    so each time. So one good measurement proves what several bad ones do not disprove.

    Raises:
        AssertionError: none was good; it names all.
    """
    seen: List[T] = []
    for _ in range(attempts):
        seen.append(measure())
        if good(seen[-1]):
            return seen[-1]
    raise AssertionError(f"expected one good measurement, got {seen}")
