"""Running calls: one thread takes a call, runs the action and sends what comes of it.

Owns: ``CallRunner``, the loop of one thread, and ``AsyncLoop``, on which coroutine actions run.
Must not know: supervision, signals; the worker starts and stops runners and watches their calls.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import socket
import threading
import time
from typing import Any, AsyncIterator, Callable, Coroutine, Dict, Generator, Iterator, Optional

from server_core.scoreboard.record import ThreadRecord
from server_dirty import calls, frames
from server_dirty.app import deadline_after
from server_dirty.context import CallCancelledError, CallContext, enter_call
from server_dirty.errors import DirtyAppNotFoundError, DirtyError, DirtyProtocolError, DirtyTimeoutError
from server_dirty.wire import Wire, check_peer, run_blocking

CALL_ARRIVAL = 5.0  # seconds for a caller that connected to send its call
LOOP_END = 2.0  # seconds for coroutines to end once they are cancelled


class RunningCall:
    """A call that a thread has taken: what its worker watches."""

    def __init__(self, wire: Wire, call: calls.Call, thread: int, limit: Optional[float]) -> None:
        self.wire = wire
        self.call = call
        self.thread = thread
        self.started = time.monotonic()
        self.limit = _shorter(call.remaining, limit)
        self.context = CallContext(call.app_path, call.action, deadline_after(self.limit))
        self.task: Optional[Callable[[], object]] = None
        self.reported = False
        self.failed = False
        self._given_up = False

    def cancel(self) -> None:
        """Nobody waits any more: tell the application, and cancel a coroutine."""
        self.context.cancel()
        task = self.task
        if task is not None:
            task()

    def give_up(self) -> None:
        """The limit has passed: cancel, tell the caller, and hang up, so that a late answer reaches nobody."""
        if self._given_up:
            return
        self._given_up = True
        self.cancel()
        with contextlib.suppress(OSError):  # the caller has gone too
            if not self.call.stream:
                late = DirtyTimeoutError(
                    f"{self.call.app_path}.{self.call.action}: ran longer than {self.limit} s", {"timeout": self.limit}
                )
                self.wire.socket.send(frames.pack(frames.ERROR, late.to_dict()).data)
            self.wire.socket.shutdown(socket.SHUT_RDWR)


def _shorter(first: Optional[float], second: Optional[float]) -> Optional[float]:
    limits = [limit for limit in (first, second) if limit is not None]
    return min(limits) if limits else None


class AsyncLoop:
    """An event loop in a thread of its own, started when the first coroutine action is called."""

    def __init__(self) -> None:
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, Any], running: RunningCall) -> Any:
        """Run ``coroutine`` to its end and return its result; ``running`` can cancel it."""
        future = asyncio.run_coroutine_threadsafe(_in_context(coroutine, running.context), self._started())
        running.task = future.cancel
        try:
            if running.context.cancelled:
                future.cancel()
            return future.result()
        except asyncio.CancelledError:
            raise CallCancelledError(f"{running.call.app_path}.{running.call.action}: cancelled") from None
        finally:
            running.task = None

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


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _in_context(coroutine: Coroutine[Any, Any, Any], context: CallContext) -> Any:
    enter_call(context)
    return await coroutine


class CallRunner:
    """Runs one call after another in one thread.

    Args:
        apps: the loaded applications by path.
        loop: where coroutine actions run.
        record: the thread's record on the scoreboard.
        limit: seconds that a call may take, None for no limit but the caller's.
        watch: told of a call that begins (``watch(running, True)``) and ends (``False``).
    """

    def __init__(
        self,
        apps: Dict[str, Any],
        loop: AsyncLoop,
        record: ThreadRecord,
        watch: Callable[[RunningCall, bool], None],
        limit: Optional[float],
    ) -> None:
        self._limit = limit
        self._apps = apps
        self._loop = loop
        self._record = record
        self._watch = watch

    def serve(self, wire: Wire) -> None:
        """Take the call that arrives on ``wire``, run it and answer. Never raises for its sake."""
        try:
            check_peer(wire.socket)
            call = run_blocking(calls.receive_call(wire), wire.socket, time.monotonic() + CALL_ARRIVAL)
        except (OSError, DirtyError) as error:
            self._answer_error(wire, error, None)
            return
        if call is None or wire.peer_gone():
            return  # the caller gave up while the call waited in the queue
        running = RunningCall(wire, call, threading.get_ident(), self._limit)
        entry = self._record.begin(call.action, call.app_path.encode(), running.started)
        self._watch(running, True)
        try:
            contextvars.copy_context().run(self._run, running)
        finally:
            self._watch(running, False)
            self._record.finish(entry, 500 if running.failed else 200, 0, running.started, time.monotonic())

    def _run(self, running: RunningCall) -> None:
        enter_call(running.context)
        try:
            self._call(running)
        except BaseException as error:
            running.failed = not isinstance(error, CallCancelledError)
            if not running.wire.peer_gone():
                self._answer_error(running.wire, error, running.call)
            if not isinstance(error, Exception):
                raise

    def _call(self, running: RunningCall) -> None:
        call = running.call
        app = self._apps.get(call.app_path)
        if app is None:
            raise DirtyAppNotFoundError(f"{call.app_path}: this worker does not serve it", {"app_path": call.app_path})
        result = app(call.action, *call.args, **call.kwargs)
        if inspect.iscoroutine(result):
            result = self._loop.run(result, running)
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            self._stream(result, running)
        elif call.stream:
            self._send_all(iter((result,)), running)
        else:
            run_blocking(calls.send_result(running.wire, result), running.wire.socket)

    def _stream(self, values: Any, running: RunningCall) -> None:
        iterator = self._iterate_async(values, running) if inspect.isasyncgen(values) else values
        try:
            if not running.call.stream:
                raise DirtyProtocolError(
                    f"{running.call.app_path}.{running.call.action}: expected one result, got a stream; use stream()"
                )
            self._send_all(iterator, running)
        finally:
            iterator.close()

    def _send_all(self, values: Iterator[Any], running: RunningCall) -> None:
        for value in values:
            run_blocking(calls.send_chunk(running.wire, value), running.wire.socket)
            running.context.raise_if_cancelled()
        run_blocking(calls.send_end(running.wire), running.wire.socket)

    def _iterate_async(self, values: AsyncIterator[Any], running: RunningCall) -> Generator[Any, None, None]:
        try:
            while True:
                try:
                    value = self._loop.run(_next_of(values), running)
                except StopAsyncIteration:
                    return
                yield value
        finally:
            # A call of its own: the one that was cancelled must not cancel the closing too.
            self._loop.run(_close_of(values), RunningCall(running.wire, running.call, running.thread, LOOP_END))

    def _answer_error(self, wire: Wire, error: BaseException, call: Optional[calls.Call]) -> None:
        with contextlib.suppress(OSError, DirtyError):  # the caller has gone: there is nobody to tell
            run_blocking(calls.send_error(wire, error, call), wire.socket, time.monotonic() + CALL_ARRIVAL)


async def _next_of(values: Any) -> Any:
    return await values.__anext__()


async def _close_of(values: Any) -> None:
    await values.aclose()
