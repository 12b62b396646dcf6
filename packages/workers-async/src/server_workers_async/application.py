"""The outermost coroutine of every request.

Owns: how an application is called, and that its end is reported to its channel exactly once.
Must not know: connections, protocols, when a task may serve another request.

This module is not compiled: what anyio, debuggers and ``asyncio.Task.print_stack`` look up on a task's coroutine
(``cr_frame``, ``cr_suspended``) exists on Python's own coroutines only.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

#: What ends a process. From an application it ends a request only, also while its worker drains: that has others.
_LEAVING = (SystemExit, KeyboardInterrupt)


async def run_application(app: Any, channel: Any, lane: Any) -> None:
    """Call ``app`` for the request of ``channel`` and tell the channel how it ended.

    Args:
        app: the ASGI application.
        channel: the request.
        lane: brings further requests to this task (``lanes.Lane``), or None.
    """
    if lane is not None:
        lane.enter()
    while True:
        try:
            await app(channel.scope, channel.receive, channel.send)
        except asyncio.CancelledError:
            channel.on_cancelled()
        except Exception as error:
            channel.on_raised(error)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not _is_running(sys._getframe()):
                raise  # nobody runs this coroutine any more
            if isinstance(error, _LEAVING) and channel.service.worker.leaving:
                raise  # a signal's handler (INT, QUIT, ABRT) ran while the application did
            channel.on_raised(error)
        else:
            if not channel.finished:
                channel.on_returned()
        waited = channel.task is not None
        channel.session.application_ended(channel)
        if lane is None or not lane.leave(waited):
            return
        del channel  # the request is freed now, not when the next one comes
        await lane
        channel = lane.channel
        if channel is None:
            raise asyncio.CancelledError


def _is_running(frame: Any) -> bool:
    """Whether ``frame`` is that of the task which runs now; else its coroutine is being closed."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return False
    return task is not None and getattr(task.get_coro(), "cr_frame", None) is frame
