"""How long streams learn that their worker is stopping.

Owns: ``scope["extensions"]["server.shutdown"]``.
Must not know: connections, signals, how a worker stops.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generator, List, Optional

EXTENSION = "server.shutdown"


class ShutdownNotice:
    """An awaitable that is done when the worker begins to stop; any number of tasks may await it, at any time.

    ``deadline = await scope["extensions"]["server.shutdown"]``: the moment, in seconds of ``loop.time()``, at which a
    stream that still runs is ended.

    Attributes:
        deadline: as above; None while nobody asked the worker to stop.
    """

    __slots__ = ("_waiters", "deadline")

    def __init__(self) -> None:
        self.deadline: Optional[float] = None
        self._waiters: List[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Whether the worker is stopping."""
        return self.deadline is not None

    def announce(self, deadline: float) -> None:
        """The worker begins to stop and ends what still runs at ``deadline``."""
        self.deadline = deadline
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> float:
        """Wait for the stop; return the deadline."""
        if self.deadline is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        assert self.deadline is not None  # noqa: S101 - for the type checker: announce sets it first
        return self.deadline

    def __await__(self) -> Generator[Any, None, float]:
        return self.wait().__await__()
