"""What a running call can know of itself.

Owns: ``CallContext`` and how code of an application reaches its own.
Must not know: sockets, workers.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Callable, Optional

from server_dirty.errors import DirtyError


class CallCancelledError(DirtyError):
    """The caller has gone, or the deadline passed; nobody waits for the result any more."""


class CallContext:
    """One call, seen from the application.

    Args:
        app_path: the application that was called.
        action: its action.
        deadline: monotonic seconds at which the caller gives up, or None.
    """

    __slots__ = ("_cancelled", "_notify", "action", "app_path", "deadline", "thread")

    def __init__(self, app_path: str, action: str, deadline: Optional[float]) -> None:
        self.app_path = app_path
        self.action = action
        self.deadline = deadline
        self.thread = 0  # that runs it
        self._cancelled = False
        self._notify: Optional[Callable[[], object]] = None

    def remaining(self) -> Optional[float]:
        """Return the seconds that are left, at least 0, or None when there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def cancel(self) -> None:
        """Note that nobody waits any more."""
        self._cancelled = True
        notify = self._notify
        if notify is not None:
            notify()

    def on_cancel(self, notify: Optional[Callable[[], object]]) -> None:
        """Have ``notify`` called when nobody waits any more, at once when that is so already; None: no more."""
        self._notify = notify
        if notify is not None and self._cancelled:
            notify()

    @property
    def cancelled(self) -> bool:
        """Whether the caller has gone or the deadline has passed."""
        return self._cancelled or (self.deadline is not None and time.monotonic() >= self.deadline)

    def raise_if_cancelled(self) -> None:
        """Raise ``CallCancelledError`` when nobody waits: for long loops to call now and then."""
        if self.cancelled:
            raise CallCancelledError(f"{self.app_path}.{self.action}: the caller has gone")


_current: contextvars.ContextVar[Optional[CallContext]] = contextvars.ContextVar("server_dirty_call", default=None)


def current_call() -> Optional[CallContext]:
    """Return the context of the call that runs here, or None outside of one."""
    return _current.get()


def enter_call(context: CallContext) -> None:
    """Make ``context`` the current one of this thread or task."""
    _current.set(context)


def begin_call(context: CallContext) -> None:
    """Make ``context`` the current one of this thread, which runs the call."""
    context.thread = threading.get_ident()
    _current.set(context)
