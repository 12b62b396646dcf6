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
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: List[Step] = []
        self.start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = self._start_scheduled
        if sys.version_info >= (3, 12):
            self.start = self._start_natively
        elif hasattr(loop, "__dict__"):
            self.start = self._start_first_step

    def _start_scheduled(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The loop admits no attribute: the first step waits for the loop's next turn."""
        return self._loop.create_task(coroutine)

    def _start_natively(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._loop.get_task_factory() is not None:  # somebody observes tasks
            return self._loop.create_task(coroutine)
        return asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg]  # since 3.12

    def _start_first_step(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        loop: Any = self._loop
        if loop.get_task_factory() is not None:
            return self._loop.create_task(coroutine)
        loop.call_soon = self._keep
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del loop.call_soon
        kept, self._kept = self._kept, []
        first: Optional[Step] = None
        for step in kept:
            if getattr(step[0], "__self__", None) is task:
                first = step
            else:
                # A finalizer that ran just then had something to schedule.
                loop.call_soon(step[0], *step[1], context=step[2])
        if first is not None:
            first[2].run(first[0])
        return task

    def _keep(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> None:
        self._kept.append((callback, args, context))
