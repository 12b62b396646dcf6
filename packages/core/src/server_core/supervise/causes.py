"""Why a child ended, in a word for metrics.

Owns: the causes and how they are told from a child's state and its end.
Must not know: processes; it is asked when one has ended.
"""

from __future__ import annotations

from typing import Optional

from server_core.supervise.children import Child, ChildState

TIMEOUT = "timeout"  # it was silent, and given up
MEMORY = "max_memory"
REQUESTS = "max_requests"
KILLED = "killed"  # a signal nobody here sent: a crash, or the kernel short of memory
ERROR = "error"  # it ended by itself with a code other than 0
DISMISSED = "dismissed"  # it was told to leave: reload, scaling, stop
LEFT = "left"  # it ended by itself, in order

_GIVEN_UP = (ChildState.SILENT, ChildState.CONDEMNED, ChildState.ABORTING, ChildState.KILLED)


def exit_cause(child: Optional[Child], code: int, signal: int) -> str:
    """Return the cause of an end.

    Args:
        child: what supervision knew of it; None when nothing.
        code: its exit code.
        signal: the number of the signal that ended it, 0 when none did.
    """
    if child is None:
        return LEFT
    if child.state in _GIVEN_UP:
        return TIMEOUT
    if child.retiring in (MEMORY, REQUESTS):
        return child.retiring
    if child.state is ChildState.LEAVING:
        return DISMISSED
    if signal:
        return KILLED
    return ERROR if code else LEFT
