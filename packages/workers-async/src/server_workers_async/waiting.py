"""Where the tasks of a loop stand.

Owns: the way from a task to the innermost thing it waits in.
Must not know: requests, who asks.
"""

from __future__ import annotations

import asyncio
import gc
from itertools import chain
from typing import Any, Collection, Dict, Iterator, List, Optional, Tuple

from server_core.stacks import Stack, frame_line

#: Attributes of what can be suspended: its frame, and what it waits for.
_SUSPENDED = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def stacks_of_tasks(loop: Any, requests: Dict[Any, str], hidden: Collection[Any]) -> List[Stack]:
    """Return where the tasks of ``loop`` stand, but the one that runs, which has a thread.

    Args:
        loop: the loop of this thread.
        requests: tasks that answer requests, with the request; they come first, in this order.
        hidden: tasks that nobody asks for.
    """
    others = sorted(asyncio.all_tasks(loop) - set(requests), key=lambda task: task.get_name())
    running = asyncio.current_task(loop)
    return [
        Stack(requests.get(task) or f"task {task.get_name()}", tuple(map(frame_line, _frames(task))))
        for task in chain(requests, others)
        if task is not running and task not in hidden and not task.done()
    ]


def _frames(task: Any) -> List[Any]:
    """Return the frames of ``task``, the innermost first."""
    frames = []
    found = _suspended(task.get_coro())
    while found is not None:
        frame, awaited = found
        frames.append(frame)
        found = _suspended(awaited)
    return frames[::-1]


def _suspended(awaitable: Any) -> Optional[Tuple[Any, Any]]:
    """Return the frame of ``awaitable`` and what that waits for; None where nothing has a frame.

    The step of an asynchronous generator, and what ``__await__`` of a coroutine returns, have none and name nothing,
    but they refer to what has it.
    """
    for candidate in _candidates(awaitable):
        for frame, awaited in _SUSPENDED:
            if hasattr(type(candidate), frame):
                found = getattr(candidate, frame)
                return None if found is None else (found, getattr(candidate, awaited, None))
    return None


def _candidates(awaitable: Any) -> Iterator[Any]:
    yield awaitable
    if awaitable is not None and not isinstance(awaitable, asyncio.Future):
        yield from gc.get_referents(awaitable)
