"""The client: how any process of the server calls a dirty application.

Owns: ``DirtyClient``, the streams it returns, and the clients of a thread or task.
Must not know: how a call is framed or waited for; ``calls`` and ``wire`` do.

A call is a connection of its own, straight to a worker: nothing sits between, nothing can be mixed up, and
hanging up is the cancellation.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from types import TracebackType
from typing import Any, AsyncIterator, Iterator, Optional, Tuple, Type

from server_dirty import calls, paths
from server_dirty.errors import DirtyAppNotFoundError, DirtyBusyError, DirtyConnectionError
from server_dirty.pending import PendingCall
from server_dirty.wire import Wire, run_async, run_blocking

DEFAULT_TIMEOUT = 30.0  # seconds


class DirtyClient:
    """Calls applications of one pool; safe to share, because it holds no connection.

    Args:
        socket_path: the directory of the pool's sockets; None takes the one of this server.
        timeout: seconds that a call may take, waiting in the queue included; 0 or None: for ever.
    """

    def __init__(self, socket_path: Optional[str] = None, timeout: Optional[float] = DEFAULT_TIMEOUT) -> None:
        self._directory = socket_path
        self.timeout = timeout

    def execute(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """Run ``action`` of ``app_path`` and return its result.

        Raises:
            DirtyTimeoutError, DirtyBusyError, DirtyConnectionError, DirtyWorkerError,
            DirtyAppNotFoundError, DirtyAppError (which also is the class that was raised).
        """
        with self._begin(app_path, action, args, kwargs) as pending:
            return run_blocking(pending.result(), pending.socket, pending.deadline)

    async def execute_async(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """``execute`` for asyncio; cancelling the task cancels the call."""
        with self._begin(app_path, action, args, kwargs) as pending:
            return await run_async(pending.result(), pending.socket, pending.deadline)

    def stream(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run ``action`` and iterate over what it yields. Closing the iterator closes the generator
        in the worker. A value may take ``min(30, timeout)`` seconds, all together ``timeout``."""
        with self._begin(app_path, action, args, kwargs, stream=True) as pending:
            while True:
                value = run_blocking(pending.chunk(), pending.socket, pending.next_deadline())
                if value is calls.END_OF_STREAM:
                    return
                yield value

    async def stream_async(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """``stream`` for asyncio."""
        with self._begin(app_path, action, args, kwargs, stream=True) as pending:
            while True:
                value = await run_async(pending.chunk(), pending.socket, pending.next_deadline())
                if value is calls.END_OF_STREAM:
                    return
                yield value

    def connect(self) -> DirtyClient:
        """Check that the pool is there. Raises DirtyConnectionError."""
        directory = self._pool()
        if not os.path.isdir(directory):
            raise DirtyConnectionError(
                f"dirty pool: expected a directory of sockets at {directory}, got none", {"socket_path": directory}
            )
        return self

    async def connect_async(self) -> DirtyClient:
        """``connect`` for asyncio."""
        return self.connect()

    def close(self) -> None:
        """Do nothing: no connection outlives its call."""

    async def close_async(self) -> None:
        """Do nothing: no connection outlives its call."""

    def __enter__(self) -> DirtyClient:
        return self.connect()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    async def __aenter__(self) -> DirtyClient:
        return self.connect()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def _pool(self) -> str:
        return self._directory or paths.pool_directory()

    def _begin(
        self, app_path: str, action: str, args: Tuple[Any, ...], kwargs: Any, stream: bool = False
    ) -> PendingCall:
        call = calls.Call(app_path, action, time.monotonic(), self.timeout or None, stream)
        # Before there is a connection, so that the worker that accepts it finds the call there.
        outgoing = calls.pack_call(call, args, kwargs)
        return PendingCall(self._open(app_path), call, outgoing)

    def _open(self, app_path: str) -> Wire:
        directory = self._pool()
        path = paths.app_socket(directory, app_path)
        try:
            return calls.open_call(path, app_path)
        except DirtyBusyError:
            paths.count_refusal(directory, app_path)
            raise
        except DirtyConnectionError:
            if os.path.isdir(directory) and not os.path.exists(path):
                raise DirtyAppNotFoundError(
                    f"{app_path}: expected one of dirty_apps, got an application that is not served",
                    {"app_path": app_path},
                ) from None
            raise


_of_thread = threading.local()
_of_context: contextvars.ContextVar[Optional[DirtyClient]] = contextvars.ContextVar("server_dirty_client", default=None)


def get_dirty_client(timeout: float = DEFAULT_TIMEOUT) -> DirtyClient:
    """Return the client of this thread; ``timeout`` (seconds) counts from now on."""
    client: Optional[DirtyClient] = getattr(_of_thread, "client", None)
    if client is None or client.timeout != timeout:
        client = _of_thread.client = DirtyClient(timeout=timeout)
    return client


async def get_dirty_client_async(timeout: float = DEFAULT_TIMEOUT) -> DirtyClient:
    """Return the client of this task's context; ``timeout`` (seconds) counts from now on."""
    client = _of_context.get()
    if client is None or client.timeout != timeout:
        client = DirtyClient(timeout=timeout)
        _of_context.set(client)
    return client


def close_dirty_client() -> None:
    """Forget the client of this thread."""
    _of_thread.__dict__.pop("client", None)


async def close_dirty_client_async() -> None:
    """Forget the client of this context."""
    _of_context.set(None)
