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
from typing import Any, Iterator, List, Set
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

    Attributes:
        tasks: applications that have not returned; whoever hears of their end takes them out.
    """

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.loop = loop
        self.idle: List[Lane] = []
        self.tasks: Set[asyncio.Task[None]] = set()
        self.closed = False
        self._starter = TaskStarter(loop)
        self._kept = self._starter.separable and sys.version_info < (3, 12)
        self._count = 0
        self._task_factory = loop.get_task_factory

    def start(self, channel: Any) -> None:
        """Call the application for ``channel``, whose scope is set; what has not ended then is the channel's ``task``.

        Called from callbacks of the loop only, never from within a task.
        """
        if not self._kept or self._task_factory() is not None:
            self._keep(channel, self._starter.start(run_application(self.app, channel, None)))
            return
        lane = self.idle.pop() if self.idle else Lane(self, channel)
        step = lane.step
        if step is not None:  # else it is somebody else's kind of task, which takes its steps itself
            self._count += 1
            lane.channel = channel
            lane.task.set_name(f"Request-{self._count}")
            if cython.compiled:
                PyContext_Enter(lane.context)
                try:
                    step()
                finally:
                    PyContext_Exit(lane.context)
            else:
                lane.context.run(step)
        if lane.channel is not None:
            self._keep(channel, lane.task)

    def _keep(self, channel: Any, task: asyncio.Task[None]) -> None:
        """Note a task that goes on: the loop itself keeps a weak reference only."""
        if not task.done():
            channel.task = task
            self.tasks.add(task)

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

    Args:
        lanes: whose it is.
        channel: the first request.

    Attributes:
        task: the task.
        channel: the request it serves, or None.
        step: takes a step of the task, in ``context``; None where the loop does.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_before", "_cancelled", "_held", "_lanes", "_variables", "channel", "context",
        "get_loop", "step", "task",
    )  # fmt: skip

    def __init__(self, lanes: Lanes, channel: Any) -> None:
        self.channel = channel
        self._asyncio_future_blocking = False
        self._lanes = lanes
        self._held = 0  # references to the task while it runs and nobody has asked for it
        self._cancelled = False
        self.step: Any = None
        # No local variable holds the task: references to it are counted.
        self.task: Any
        self.task, step = self._lanes.make(self, channel)
        self.get_loop = self.task.get_loop  # which loop resumes this: the task asks, and no call of Python's answers
        if step is not None:
            self.step, _, self.context = step
            self._before = self.context.copy()  # as it was at first
            self._variables = len(self._before)

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
        idle = self._lanes.idle
        if self._lanes.closed or self.step is None or len(idle) >= IDLE_MAX:
            return False
        # Whether nobody can tell the task from a new one. asyncio's own list of all tasks holds the weak reference.
        if getrefcount(self.task) != self._held + waited or getweakrefcount(self.task) != 1:
            return False
        task = self.task
        if task._callbacks or task._must_cancel or (_COUNTS_CANCELS and task.cancelling()):
            return False
        variables = self._variables
        if len(self.context) != variables or (variables and not _same(self.context, self._before)):
            return False
        self._asyncio_future_blocking = True
        idle.append(self)
        return True

    # What the task waits for -----------------------------------------------------------------------------------------

    def __await__(self) -> Iterator[Lane]:
        return iter((self,))

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """``Lanes.start`` takes the task's step itself, so that its callback is not needed."""

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled while it has no request: it ends in the next turn of the loop."""
        if not self._cancelled:
            self._cancelled = True
            self._lanes.idle.remove(self)
            self._lanes.loop.call_soon(self.step, context=self.context)
        return True


def _same(context: Context, before: Context) -> bool:
    """Whether the variables of two contexts of one length have the same objects as values."""
    return all(variable in context and context[variable] is value for variable, value in before.items())
