"""Linux's prctl(2), which Python's library lacks.

Owns: the call. Compiled it is one of C; interpreted, and on other systems, ctypes is imported for it.
Must not know: what is asked of the system.
"""

# ruff: noqa: F821 - the call comes from the .pxd
# mypy: disable-error-code="name-defined, no-any-return"

from __future__ import annotations

import sys

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]


def prctl(option: int, value: int) -> bool:
    """Set ``option`` of this process. Return whether the system did."""
    if cython.compiled:
        return call_prctl(option, value) == 0
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0
