"""What a worker that stops waits for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from server_workers_async.worker import _served_all


def test_a_connection_that_comes_after_the_last_one_is_waited_for():
    service = SimpleNamespace(connections={"first"}, tasks=set(), on_idle=None)

    async def main():
        waiting = asyncio.ensure_future(_served_all(service))
        await asyncio.sleep(0)
        service.on_idle()  # the first is over
        service.connections = {"out of the backlog"}
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        service.connections.clear()
        service.on_idle()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(main())
