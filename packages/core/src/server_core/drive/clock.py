"""The clock of the drivers: monotonic seconds.

Owns: where the time comes from.
Must not know: what is done with it.

A request reads the clock several times. Compiled, that is a call in C; ``time.monotonic`` would be four times as much.
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined, no-any-return"

from __future__ import annotations

import time

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]


def monotonic() -> float:
    """Return what ``time.monotonic()`` does."""
    if cython.compiled and HAS_CLOCK:
        return clock_seconds()
    return time.monotonic()
