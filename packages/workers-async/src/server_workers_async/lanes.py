"""Tasks that serve one request after another, where making a task is dear.

Owns: ``Lanes``, which starts the application for a request, and the rule that says when a task may serve another.
Must not know: channels, sockets, what an application does.

Before Python 3.12 making and forgetting a task costs as much as reading the request. A task is therefore kept for
another request when nobody can tell it from a new one: nobody holds it, strongly or weakly, it has no callbacks, no
cancellation is under way or was counted, and its context is as it was. So ``current_task``, ``timeout``, ``TaskGroup``
and what libraries keep for each task see a task for each request; an application that leaves something on its task
gets a new one for the next request. Python 3.12 starts tasks eagerly, and cheaply; there each request has its own.

A ``Lane`` is such a task with what it waits for between two requests: the part of a future that a task asks for
(``_asyncio_future_blocking``, ``get_loop``, ``add_done_callback``, ``cancel``), which is resumed by taking the task's
step at once.
"""

# ruff: noqa: F821 - the names of the C API come from the .pxd
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import asyncio
import sys
from contextvars import Context
from sys import getrefcount
from typing import Any, List, Optional
from weakref import getweakrefcount

from server_workers_async.application import run_application
from server_workers_async.tasks import TaskStarter

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: Tasks without a request that are kept.
IDLE_MAX = 64

_COUNTS_CANCELS = hasattr(asyncio.Task, "cancelling")  # since Python 3.11


class Lanes:
    """Starts the application of one loop.

    Args:
        app: the ASGI application.
        loop: the running loop of this thread.
    """

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.loop = loop
        self.idle: List[Lane] = []
        self.closed = False
        self._starter = TaskStarter(loop)
        self._kept = self._starter.separable and sys.version_info < (3, 12)
        self._count = 0
        self._task_factory = loop.get_task_factory

    def start(self, channel: Any) -> Optional[asyncio.Task[None]]:
        """Call the application for ``channel``; return its task when it has not ended yet.

        Called from callbacks of the loop only, never from within a task.
        """
        if not self._kept or self._task_factory() is not None:
            task = self._starter.start(run_application(self.app, channel, None))
            return None if task.done() else task
        self._count += 1
        lane = self.idle.pop() if self.idle else Lane(self)
        lane.resume(channel, f"Request-{self._count}")
        return None if lane.channel is None else lane.running()

    def make(self, lane: Lane, channel: Any) -> Any:
        """Return a task for ``lane``, and its first step."""
        return self._starter.separate(run_application(self.app, channel, lane))

    def close(self) -> None:
        """Keep no task any more; those without a request end."""
        self.closed = True
        for lane in list(self.idle):
            if lane.task is not None:
                lane.task.cancel()


class Lane:
    """One task, and what it waits for while it has no request.

    Attributes:
        task: the task, once it is made.
        channel: the request it serves, or None.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_before", "_cancelled", "_context", "_held", "_lanes", "_step", "channel", "task",
    )  # fmt: skip

    def __init__(self, lanes: Lanes) -> None:
        self.task: Optional[asyncio.Task[None]] = None
        self.channel: Any = None
        self._asyncio_future_blocking = False
        self._lanes = lanes
        self._step: Any = None
        self._context: Any = None
        self._before: Any = None  # a copy of the context as it was at first
        self._held = 0  # references to the task while it runs and nobody has asked for it
        self._cancelled = False

    def resume(self, channel: Any, name: str) -> None:
        """Serve ``channel``, up to where the application first waits."""
        self.channel = channel
        if self.task is None:
            # No local variable holds the task: references to it are counted.
            self.task, step = self._lanes.make(self, channel)
            if step is None:
                return  # somebody else's kind of task, which takes its steps itself
            self._step, _, self._context = step
            self._before = self._context.copy()
        self.task.set_name(name)
        if cython.compiled:
            PyContext_Enter(self._context)
            try:
                self._step()
            finally:
                PyContext_Exit(self._context)
        else:
            self._context.run(self._step)

    def running(self) -> Optional[asyncio.Task[None]]:
        """Return the task when it has a request."""
        return None if self.task is None or self.task.done() else self.task

    # What the task calls ---------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Called by the task before its first request."""
        self._held = getrefcount(self.task)

    def leave(self, waited: bool) -> bool:
        """Called by the task after a request; returns whether it is to serve another.

        Args:
            waited: the application did, so that the call of the loop that went on with it holds the task.
        """
        self.channel = None
        if self._lanes.closed or self._step is None or not self._untouched(self._held + waited):
            return False
        idle = self._lanes.idle
        if len(idle) >= IDLE_MAX:
            return False
        idle.append(self)
        return True

    def _untouched(self, held: int) -> bool:
        """Whether nobody can tell the task from a new one."""
        # asyncio's own list of all tasks holds the weak reference.
        if getrefcount(self.task) != held or getweakrefcount(self.task) != 1:
            return False
        task: Any = self.task
        if task._callbacks or task._must_cancel or (_COUNTS_CANCELS and task.cancelling()):
            return False
        variables = len(self._before)
        if len(self._context) != variables:
            return False
        return variables == 0 or _same(self._context, self._before)

    # What the task waits for -----------------------------------------------------------------------------------------

    def __await__(self) -> Lane:
        return self

    def __next__(self) -> Lane:
        if self.channel is not None:
            raise StopIteration
        if self._cancelled:
            raise asyncio.CancelledError
        self._asyncio_future_blocking = True
        return self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Which loop resumes this."""
        return self._lanes.loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """``resume`` takes the task's step itself, so that its callback is not needed."""

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled while it has no request: it ends in the next turn of the loop."""
        if not self._cancelled:
            self._cancelled = True
            self._lanes.idle.remove(self)
            self._lanes.loop.call_soon(self._step, context=self._context)
        return True


def _same(context: Context, before: Context) -> bool:
    """Whether the variables of two contexts of one length have the same objects as values."""
    return all(variable in context and context[variable] is value for variable, value in before.items())
