"""Printing every line that is executed (setting ``spew``).

Owns: the trace function.
Must not know: why somebody wants it.
"""

from __future__ import annotations

import linecache
import sys
import threading
from types import FrameType
from typing import Any, Iterable, Optional


class Spewer:
    """A trace function that prints executed lines of modules, all of them or those named."""

    def __init__(self, modules: Optional[Iterable[str]] = None) -> None:
        self.modules = None if modules is None else frozenset(modules)

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Spewer:
        if event == "line":
            module = frame.f_globals.get("__name__", "?")
            if self.modules is None or module in self.modules:
                line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).rstrip()
                print(f"{module}:{frame.f_lineno}: {line}", file=sys.stderr)
        return self


def spew(trace_names: Optional[Iterable[str]] = None) -> None:
    """Print every executed line of this and later threads; ``trace_names`` restricts it to modules."""
    tracer: Any = Spewer(trace_names)
    threading.settrace(tracer)
    sys.settrace(tracer)


def unspew() -> None:
    """Stop printing."""
    threading.settrace(None)  # type: ignore[arg-type]  # None is documented since 3.10, and taken before
    sys.settrace(None)
