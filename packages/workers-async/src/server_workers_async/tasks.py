"""Tasks that take their first step at once.

Owns: the eager start of a task on every supported Python, so that an application which answers without waiting
costs no turn of the loop.
Must not know: what the task does.

Python 3.12 starts tasks eagerly by itself. Before that a task hands its first step to ``loop.call_soon``; while the
task is being made, and only then, the loop has a ``call_soon`` of its own that keeps the step instead, and the step
is then taken in the task's context. The task is asyncio's own in each case: ``current_task``, ``asyncio.timeout``,
``TaskGroup`` and anyio find what they look for from the application's first statement on.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, Coroutine, List, Optional, Tuple

Step = Tuple[Callable[..., Any], Tuple[Any, ...], Any]


class TaskStarter:
    """Starts tasks on one loop. ``start`` is called from callbacks of the loop only, never from within a task.

    Args:
        loop: the running loop of this thread.

    Attributes:
        separable: ``separate`` works on this loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: Optional[Step] = None  # the first call of ``call_soon``, nearly always the task's own step
        self._others: List[Step] = []
        self.separable = hasattr(loop, "__dict__")
        self.start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = self._start_scheduled
        if sys.version_info >= (3, 12):
            self.start = self._start_natively
        elif self.separable:
            self.start = self._start_first_step

    def _start_scheduled(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The loop admits no attribute: the first step waits for the loop's next turn."""
        return self._loop.create_task(coroutine)

    def _start_natively(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._loop.get_task_factory() is not None:  # somebody observes tasks
            return self._loop.create_task(coroutine)
        return asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg]  # since 3.12

    def _start_first_step(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._loop.get_task_factory() is not None:
            return self._loop.create_task(coroutine)
        task, step = self.separate(coroutine)
        if step is not None:
            step[2].run(step[0])
        return task

    def separate(self, coroutine: Coroutine[Any, Any, None]) -> Tuple[asyncio.Task[None], Optional[Step]]:
        """Return a new task, and its first step, which the caller takes; None when the loop has that."""
        loop: Any = self._loop
        loop.call_soon = self._keep
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del loop.call_soon
        step, self._kept = self._kept, None
        if self._others or step is None or getattr(step[0], "__self__", None) is not task:
            step = self._sort_out(step, task)
        return task, step

    def _keep(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> None:
        if self._kept is None:
            self._kept = (callback, args, context)
        else:
            self._others.append((callback, args, context))

    def _sort_out(self, first: Optional[Step], task: asyncio.Task[None]) -> Optional[Step]:
        """A finalizer that ran just then had something to schedule: do it; return the step of ``task``."""
        steps, self._others = self._others, []
        own: Optional[Step] = None
        for step in [first, *steps]:
            if step is None:
                continue
            if getattr(step[0], "__self__", None) is task:
                own = step
            else:
                self._loop.call_soon(step[0], *step[1], context=step[2])
        return own
