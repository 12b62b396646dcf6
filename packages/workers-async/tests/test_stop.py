"""What a worker that stops waits for."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace

from server_core.settings import Settings
from server_workers_async.worker import AsgiWorker, _served_all

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


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


def test_a_request_behind_one_that_is_answered_just_then_is_served(run):
    async def test(serve):
        go = asyncio.Event()
        began = []

        async def app(scope, receive, send):
            began.append(scope["path"])
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        served = serve(app)
        client = await served.connect()
        await client.say(GET * 2)
        await served.until(lambda: began)
        worker = SimpleNamespace(
            log=served.log, stopping=lambda: None, drain_seconds=lambda: 30.0, grace_left=lambda: 30.0, _entrances=[]
        )
        reading = asyncio.ensure_future(read_and_leave(client))
        await asyncio.sleep(0)
        go.set()  # the answer is written at the end of the turn in which the drain begins
        await AsgiWorker._drain(worker, served.service, SimpleNamespace(notice=lambda: None))
        answers = await reading
        assert (answers.count(b"200 OK"), answers.lower().count(b"connection: close")) == (2, 1)
        assert not served.log.records

    run(test)


def test_a_term_that_comes_again_when_the_loop_is_closed_changes_nothing():
    worker = AsgiWorker(1, os.getppid(), [], None, 30.0, Settings.make(), SimpleNamespace(flush=lambda: None))
    worker.booted = True
    worker._loop = asyncio.new_event_loop()
    worker._close(worker._loop)
    worker.handle_exit(signal.SIGTERM, None)  # as when a whole process group is told to stop, and the arbiter tells too
    assert not worker.alive


async def read_and_leave(client):
    octets = await client.rest()
    client.sock.close()
    return octets
