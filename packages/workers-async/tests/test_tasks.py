"""Eager tasks, the loops they run on, and the notice of a stop."""

from __future__ import annotations

import asyncio
import contextvars
import types

import pytest

from server_core.errors import ConfigError
from server_workers_async.loops import check_loop, new_loop
from server_workers_async.notice import ShutdownNotice
from server_workers_async.tasks import TaskStarter

VARIABLE = contextvars.ContextVar("variable", default=0)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    loop = new_loop(request.param)
    yield loop
    loop.close()


def in_callback(loop, function):
    """Run ``function`` as a callback of the loop and return its result."""
    future = loop.create_future()
    loop.call_soon(lambda: future.set_result(function()))
    return loop.run_until_complete(future)


def test_the_first_step_is_taken_at_once(loop):
    steps = []

    async def work():
        steps.append(asyncio.current_task())
        await asyncio.sleep(0)
        steps.append(asyncio.current_task())

    def start():
        task = TaskStarter(loop).start(work())
        assert steps == [task]
        assert asyncio.current_task(loop) is None
        return task

    task = in_callback(loop, start)
    loop.run_until_complete(task)
    assert steps == [task, task]
    assert isinstance(task, asyncio.Task)


def test_every_task_has_a_context_of_its_own(loop):
    async def work():
        assert VARIABLE.get() == 0
        VARIABLE.set(1)
        await asyncio.sleep(0)
        assert VARIABLE.get() == 1

    def start():
        starter = TaskStarter(loop)
        tasks = [starter.start(work()) for _ in range(3)]
        assert VARIABLE.get() == 0
        return asyncio.gather(*tasks)

    loop.run_until_complete(in_callback(loop, start))


def test_an_exception_of_the_first_step_is_the_tasks(loop):
    async def fail():
        raise ValueError("x")

    task = in_callback(loop, lambda: TaskStarter(loop).start(fail()))
    assert isinstance(task.exception(), ValueError)


def test_a_factory_that_observes_tasks_is_used(loop):
    made = []

    def factory(loop, coroutine, **kwargs):
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    async def work():
        return "done"

    loop.set_task_factory(factory)
    task = in_callback(loop, lambda: TaskStarter(loop).start(work()))
    assert loop.run_until_complete(task) == "done"
    assert len(made) >= 1


def test_what_else_is_scheduled_meanwhile_is_not_lost(loop):
    called = []

    class Scheduling(asyncio.Task):
        """Stands for a finalizer that runs while the task is being made."""

        def __init__(self, *args, **kwargs):
            loop.call_soon(called.append, 1)
            super().__init__(*args, **kwargs)

    async def work():
        called.append(2)

    starter = TaskStarter(loop)
    if starter.start.__name__ != "_start_first_step":
        pytest.skip("Python starts tasks eagerly by itself")
    original = asyncio.Task
    asyncio.Task = Scheduling
    try:
        in_callback(loop, lambda: starter.start(work()))
    finally:
        asyncio.Task = original
    loop.run_until_complete(asyncio.sleep(0))
    assert sorted(called) == [1, 2]


def test_loops_by_name(monkeypatch):
    for name, module in (("asyncio", "asyncio"), ("uvloop", "uvloop"), ("auto", "uvloop")):
        loop = new_loop(name)
        assert type(loop).__module__.split(".")[0] == module
        loop.close()
    own = types.ModuleType("own_loop")
    own.make = asyncio.new_event_loop
    own.wrong = dict
    monkeypatch.setitem(__import__("sys").modules, "own_loop", own)
    loop = new_loop("own_loop:make")
    loop.close()
    for name in ("own_loop:wrong", "own_loop:none", "no_such_module:make", "own_loop:__name__"):
        with pytest.raises(ConfigError, match="asgi_loop: expected"):
            new_loop(name)


def test_a_loop_that_is_not_there_is_known_before_there_is_a_worker():
    for name in ("auto", "asyncio", "uvloop", "asyncio:new_event_loop", "asyncio.events:new_event_loop"):
        check_loop(name)
    with pytest.raises(ConfigError, match="asgi_loop: no module named 'no_such_module'"):
        check_loop("no_such_module.loops:make")


def test_auto_is_asyncio_where_uvloop_is_absent(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    loop = new_loop("auto")
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()
    with pytest.raises(ConfigError, match=r"pip install server-cli\[uvloop\]"):
        new_loop("uvloop")


def test_the_notice_wakes_all_who_wait_and_those_who_come_later():
    async def main():
        notice = ShutdownNotice()
        assert not notice.is_set()
        waiting = [asyncio.ensure_future(notice.wait()) for _ in range(2)]
        cancelled = asyncio.ensure_future(notice.wait())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        notice.announce(17.0)
        assert await asyncio.gather(*waiting) == [17.0, 17.0]
        assert await notice == 17.0
        assert notice.is_set()
        assert notice.deadline == 17.0

    asyncio.run(main())
