"""Tasks that serve one request after another, and that no application can tell from new ones."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref

import pytest

from server_workers_async.lanes import Lanes
from server_workers_async.loops import new_loop

VARIABLE = contextvars.ContextVar("variable")
MANY = 70  # requests at one time, more than are kept
KEPT = []
WEAKLY = weakref.WeakKeyDictionary()

kept_tasks = pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python starts tasks eagerly by itself")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    loop = new_loop(request.param)
    yield loop
    KEPT.clear()
    loop.close()


class Session:
    """What ``run_application`` asks of a session."""

    def __init__(self, tasks):
        self.tasks = tasks

    def application_ended(self, channel):
        self.tasks.discard(channel.task)
        channel.task = None


class Channel:
    """What ``run_application`` asks of a channel."""

    receive = send = None
    finished = False
    session = None

    def __init__(self, scope):
        self.scope = scope
        self.task = None
        self.ended = []

    def on_returned(self):
        self.ended.append("returned")

    def on_raised(self, error):
        self.ended.append(error)

    def on_cancelled(self):
        self.ended.append("cancelled")


def make_lanes(loop):
    """Return lanes whose tasks the channels' session forgets."""
    lanes = Lanes(call, loop)
    Channel.session = Session(lanes.tasks)
    return lanes


def serve(loop, lanes, application):
    """Serve one request as a callback of the loop; return its channel."""
    channel = Channel(application)

    async def over():
        while not channel.ended:
            await asyncio.sleep(0.001)

    loop.call_soon(lanes.start, channel)
    loop.run_until_complete(over())
    return channel


async def call(application, receive, send):
    """The scope is the application."""
    await application()


async def at_once():
    pass


async def waits():
    await asyncio.sleep(0.001)


async def yields():
    await asyncio.sleep(0)


async def fails():
    raise ValueError("x")


async def groups():
    if sys.version_info >= (3, 11):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))


async def times_out():
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.sleep(5), 0.001)


async def restores():
    VARIABLE.reset(VARIABLE.set(1))


async def holds():
    KEPT.append(asyncio.current_task())


async def holds_weakly():
    WEAKLY[asyncio.current_task()] = True


async def wants_to_know():
    asyncio.current_task().add_done_callback(KEPT.append)


async def sets():
    VARIABLE.set(1)


async def cancels_itself():
    asyncio.current_task().cancel()


async def swallows():
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        if sys.version_info < (3, 11):  # nothing is counted, nothing is left
            KEPT.append(asyncio.current_task())


@kept_tasks
@pytest.mark.parametrize("application", [at_once, waits, yields, fails, groups, times_out, restores])
def test_a_task_on_which_nothing_is_left_serves_the_next_request(loop, application):
    lanes = make_lanes(loop)
    serve(loop, lanes, application)
    (lane,) = lanes.idle
    for _ in range(2):
        serve(loop, lanes, application)
        assert lanes.idle == [lane]
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("first", [None, waits, yields])
@pytest.mark.parametrize("last", [holds, holds_weakly, wants_to_know, sets, cancels_itself, swallows])
def test_a_task_on_which_something_is_left_ends(loop, first, last):
    tasks = []

    async def application():
        assert VARIABLE.get(None) is None
        tasks.append(id(asyncio.current_task()))
        if first is not None:
            await first()
        await last()

    lanes = make_lanes(loop)
    serve(loop, lanes, waits)  # whose task the next one gets
    for _ in range(2):
        assert serve(loop, lanes, application).ended == ["returned"]
        assert not lanes.idle
    loop.run_until_complete(asyncio.sleep(0))
    assert not asyncio.all_tasks(loop)
    assert all(task.done() for task in KEPT)


def test_every_request_has_a_name_of_its_own(loop):
    names = []

    async def application():
        names.append(asyncio.current_task().get_name())
        asyncio.current_task().set_name("mine")

    lanes = make_lanes(loop)
    for _ in range(3):
        serve(loop, lanes, application)
    assert len(set(names)) == 3
    assert "mine" not in names
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_requests_at_one_time_have_a_task_each(loop):
    tasks = set()

    async def application():
        tasks.add(id(asyncio.current_task()))
        await asyncio.sleep(0.01)

    lanes = make_lanes(loop)
    channels = [Channel(application) for _ in range(MANY)]

    def start():
        for channel in channels:
            lanes.start(channel)

    async def over():
        while not all(channel.ended for channel in channels):
            await asyncio.sleep(0.01)

    loop.call_soon(start)
    loop.run_until_complete(over())
    assert len(tasks) == len(channels)
    assert len(lanes.idle) < MANY
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))
    assert not asyncio.all_tasks(loop)


def test_a_cancelled_application_ends_its_own_request_only(loop):
    lanes = make_lanes(loop)

    async def forever():
        await asyncio.sleep(60)

    channel = Channel(forever)

    def start():
        lanes.start(channel)
        channel.task.cancel()

    serve(loop, lanes, at_once)
    loop.call_soon(start)
    loop.run_until_complete(asyncio.sleep(0.001))
    assert channel.ended == ["cancelled"]
    assert serve(loop, lanes, waits).ended == ["returned"]
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


@kept_tasks
def test_a_task_that_is_cancelled_between_requests_ends(loop):
    lanes = make_lanes(loop)
    serve(loop, lanes, at_once)
    task = lanes.idle[0].task
    task.cancel()
    task.cancel()
    assert serve(loop, lanes, at_once).ended == ["returned"]
    assert lanes.idle[0].task is not task
    assert task.cancelled()
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_a_request_is_forgotten_before_the_next_one_comes(loop):
    lanes = make_lanes(loop)
    channel = weakref.ref(serve(loop, lanes, waits))
    assert channel() is None
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_an_application_that_cancels_all_other_tasks_stops_no_later_request(loop):
    async def cancels_others():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name().startswith("Request-"):
                task.cancel()
        await asyncio.sleep(0)

    lanes = make_lanes(loop)
    requests = [Channel(waits) for _ in range(3)]
    for request in requests:
        loop.call_soon(lanes.start, request)
    loop.run_until_complete(asyncio.sleep(0.01))
    for _ in range(2):
        assert serve(loop, lanes, cancels_others).ended == ["returned"]
        assert serve(loop, lanes, waits).ended == ["returned"]
    lanes.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_no_task_is_left_one_turn_after_the_last_request(loop):
    lanes = make_lanes(loop)
    serve(loop, lanes, waits)

    async def close():
        lanes.close()
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert not loop.run_until_complete(close())
    assert serve(loop, lanes, waits).ended == ["returned"]
    assert not lanes.idle
