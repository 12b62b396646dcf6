"""The event loop on which coroutine actions of a process run.

Owns: ``AsyncLoop``: its thread, running a coroutine for a call, its end.
Must not know: frames, sockets, supervision.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import threading
from typing import Any, AsyncIterator, Coroutine, Generator, Optional

from server_dirty.context import CallCancelledError, CallContext, enter_call

LOOP_END = 2.0  # seconds for coroutines to end once they are cancelled


class AsyncLoop:
    """An event loop in a thread of its own, started when the first coroutine action is called."""

    def __init__(self) -> None:
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()
        self._tasks: dict[CallContext, asyncio.Task[Any]] = {}

    def run(self, coroutine: Coroutine[Any, Any, Any], context: CallContext) -> Any:
        """Run ``coroutine`` to its end and return its result; cancelling ``context`` cancels it."""
        future = asyncio.run_coroutine_threadsafe(self._in_context(coroutine, context), self._started())
        context.on_cancel(future.cancel)
        try:
            return future.result()
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            raise CallCancelledError(f"{context.app_path}.{context.action}: cancelled") from None
        finally:
            context.on_cancel(None)

    def iterate(self, values: AsyncIterator[Any], context: CallContext) -> Generator[Any, None, None]:
        """Iterate over an async generator from a thread; closing this closes it."""
        try:
            while True:
                try:
                    value = self.run(_next_of(values), context)
                except StopAsyncIteration:
                    return
                yield value
        finally:
            # A context of its own: the one that was cancelled must not cancel the closing too.
            self.run(_close_of(values), CallContext(context.app_path, context.action, None))

    def stack(self, context: CallContext) -> str:
        """Return where the coroutine of a call waits, as lines of text; empty when it has none."""
        task = self._tasks.get(context)
        if task is None:
            return ""
        text = io.StringIO()
        task.print_stack(file=text)
        return text.getvalue()

    def close(self) -> None:
        """Cancel what still runs on the loop, stop it and close it."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with contextlib.suppress(concurrent.futures.TimeoutError):  # a coroutine that refuses to be cancelled
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(LOOP_END)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LOOP_END)
        if not thread.is_alive():
            loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="dirty-loop", daemon=True)
                self._thread.start()
            return self._loop

    async def _in_context(self, coroutine: Coroutine[Any, Any, Any], context: CallContext) -> Any:
        enter_call(context)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._tasks[context] = task
        try:
            return await coroutine
        finally:
            self._tasks.pop(context, None)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _next_of(values: Any) -> Any:
    return await values.__anext__()


async def _close_of(values: Any) -> None:
    await values.aclose()
