"""What can go wrong in the stash.

Owns: the error classes; they travel like every ``DirtyError``.
Must not know: tables, processes.
"""

from __future__ import annotations

from server_dirty.errors import DirtyError, register


@register
class StashError(DirtyError):
    """Base of the stash's errors."""


@register
class StashTableNotFoundError(StashError, KeyError):
    """There is no such table."""


@register
class StashKeyNotFoundError(StashError, KeyError):
    """There is no such key, and the call does not make one."""


@register
class StashFullError(StashError):
    """The value would exceed a size limit; the stash is as it was."""
