"""Calls from end to end over real sockets, with the worker's threads in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from types import SimpleNamespace

import numpy
import pytest

from server_dirty import calls, frames, paths, running
from server_dirty.app import Declaration, DirtyApp, batch
from server_dirty.client import DirtyClient
from server_dirty.context import current_call
from server_dirty.errors import (
    DirtyAppError,
    DirtyAppNotFoundError,
    DirtyBusyError,
    DirtyProtocolError,
    DirtyTimeoutError,
    DirtyWorkerError,
)
from server_dirty.health import ANSWERED, TIMED_OUT, HealthBoard
from server_dirty.host import Seat
from server_dirty.wire import Wire
from server_dirty.worker import AppListener, DirtyWorker
from support import until

PATH = f"{__name__}:Sample"


class CustomError(Exception):
    """An error only the application knows."""


class Sample(DirtyApp):
    """An application with an action of every kind."""

    def init(self):
        self.closed = threading.Event()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches = []

    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    def value(self, value):
        return value

    def fail(self, text):
        raise ValueError(text)

    def fail_custom(self):
        raise CustomError("only here")

    def wait(self):
        self.entered.set()
        self.gate.wait(10)
        return "released"

    def until_cancelled(self):
        self.entered.set()
        call = current_call()
        while not call.cancelled:
            time.sleep(0.001)
        self.closed.set()
        self.gate.wait(0.5)  # so that no answer comes in the moment in which the caller gives up

    def count(self, n):
        try:
            yield from range(n)
        finally:
            self.closed.set()

    async def double(self, value):
        await asyncio.sleep(0)
        return value * 2

    async def count_async(self, n):
        try:
            for number in range(n):
                await asyncio.sleep(0)
                yield number
        finally:
            self.closed.set()

    async def sleep_async(self):
        try:
            self.entered.set()
            await asyncio.sleep(30)
        finally:
            self.closed.set()

    @batch(max_size=4, max_wait=5)
    def together(self, items):
        self.batches.append(len(items))
        return [item * 10 for item in items]

    def _private(self):
        return "never"


class Pool:
    """The threads of a worker without its process."""

    def __init__(self, directory, threads=2, backlog=64):
        self.directory = str(directory)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(paths.app_socket(self.directory, PATH))
        listener.listen(backlog)
        listener.setblocking(False)
        self.listener = listener
        self.errors = []
        cfg = SimpleNamespace(
            dirty_graceful_timeout=5.0, dirty_worker_init=lambda worker: None, dirty_timeout=300,
            max_requests=0, max_requests_jitter=0, max_memory=0,
        )  # fmt: skip
        log = SimpleNamespace(
            debug=lambda *a: None, info=lambda *a: None, error=lambda *a: self.errors.append(a[0] % a[1:]),
            exception=lambda *a: self.errors.append(a), retry=lambda: None,
        )  # fmt: skip
        seats = [(AppListener(PATH, listener), Seat(PATH, Declaration(), {"gpu": [1]}, threads))]
        self.health = HealthBoard()
        self.health.add(PATH)
        row = self.health.claim()
        meters = {PATH: self.health.meter(row, PATH)}
        self.worker = DirtyWorker(1, 0, seats, meters, 0, "local", row, 30.0, cfg, log)
        self.worker.wakeup = os.pipe()
        os.set_blocking(self.worker.wakeup[0], False)
        self.worker.load_wsgi()
        self.app = self.worker.hosts[PATH].app
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()
        self.client = DirtyClient(self.directory, timeout=10)

    def stop(self):
        self.app.gate.set()
        self.worker.alive = False
        os.write(self.worker.wakeup[1], b"!")
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.listener.close()
        for descriptor in self.worker.wakeup:
            os.close(descriptor)


@pytest.fixture
def pool(tmp_path):
    made = Pool(tmp_path)
    yield made
    made.stop()


def test_a_call_brings_its_result(pool):
    assert pool.client.execute(PATH, "echo", 1, "two", key=(3,)) == [[1, "two"], {"key": (3,)}]


def test_devices_are_known_before_init(pool):
    assert pool.app.devices == {"gpu": [1]}


def test_large_arrays_go_there_and_back(pool):
    array = numpy.arange(1_000_000, dtype="f8")
    back = pool.client.execute(PATH, "value", array)
    assert numpy.array_equal(back, array)
    mixed = {"a": array, "b": [b"z" * 300_000, array[:10]]}
    back = pool.client.execute(PATH, "value", mixed)
    assert numpy.array_equal(back["a"], array)
    assert back["b"][0] == mixed["b"][0]


def test_no_descriptor_is_left_by_large_values(pool):
    pool.client.execute(PATH, "value", b"x" * 1_000_000)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        pool.client.execute(PATH, "value", b"x" * 1_000_000)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2, what="what the threads of the worker held is closed")


def test_an_error_keeps_type_message_and_traceback(pool):
    with pytest.raises(ValueError, match="bad input") as caught:
        pool.client.execute(PATH, "fail", "bad input")
    error = caught.value
    assert isinstance(error, DirtyAppError)
    assert error.error_class == "builtins.ValueError"
    assert "in fail" in error.traceback
    assert (error.app_path, error.action) == (PATH, "fail")
    with pytest.raises(CustomError, match="only here"):
        pool.client.execute(PATH, "fail_custom")


@pytest.mark.parametrize("action", ["missing", "_private", "init", "close", "__class__"])
def test_what_is_no_action_is_refused(pool, action):
    with pytest.raises(AttributeError, match="expected a public method"):
        pool.client.execute(PATH, action)


def test_an_unknown_application_is_named(pool):
    with pytest.raises(DirtyAppNotFoundError, match="nowhere:App"):
        pool.client.execute("nowhere:App", "echo")


def test_a_result_that_cannot_travel_is_the_callers_error(pool):
    pool.app.something = object
    with pytest.raises(DirtyProtocolError, match="object of type"):
        pool.client.execute(PATH, "something")
    with pytest.raises(DirtyProtocolError, match="object of type"):
        pool.client.execute(PATH, "value", object())


def test_generators_stream_and_plain_results_are_streams_of_one(pool):
    assert list(pool.client.stream(PATH, "count", 100)) == list(range(100))
    assert list(pool.client.stream(PATH, "value", 5)) == [5]
    assert list(pool.client.stream(PATH, "count_async", 5)) == [0, 1, 2, 3, 4]


def test_a_stream_is_not_a_result(pool):
    with pytest.raises(DirtyProtocolError, match=r"use stream\(\)"):
        pool.client.execute(PATH, "count", 3)


@pytest.mark.parametrize("action", ["count", "count_async"])
def test_a_generator_is_closed_when_its_consumer_leaves(pool, action):
    stream = pool.client.stream(PATH, action, 10**9)
    assert next(stream) == 0
    stream.close()
    assert pool.app.closed.wait(5)


def test_a_slow_consumer_holds_the_generator_back(pool):
    produced = []

    def numbers():
        for number in range(10_000):
            produced.append(number)
            yield b"x" * 10_000

    pool.app.numbers = numbers
    stream = pool.client.stream(PATH, "numbers")
    next(stream)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (not produced or len(produced) < 5):
        time.sleep(0.01)
    assert len(produced) < 1000
    stream.close()


def test_coroutines_run_on_the_loop_and_callers_may_be_coroutines(pool):
    assert pool.client.execute(PATH, "double", 4) == 8

    async def several():
        results = await asyncio.gather(*(pool.client.execute_async(PATH, "double", n) for n in range(20)))
        streamed = [value async for value in pool.client.stream_async(PATH, "count", 5)]
        return results, streamed

    assert asyncio.run(several()) == ([n * 2 for n in range(20)], [0, 1, 2, 3, 4])


def test_calls_run_in_parallel_up_to_the_threads(pool):
    results = []
    threads = [threading.Thread(target=lambda: results.append(pool.client.execute(PATH, "wait"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert pool.app.entered.wait(5)
    pool.app.gate.set()
    for thread in threads:
        thread.join(5)
    assert results == ["released", "released"]


def test_a_late_call_times_out_and_its_answer_reaches_nobody(pool):
    client = DirtyClient(pool.directory, timeout=0.2)
    # Whoever notices first says so: the caller, or the worker, whose time begins a little later.
    with pytest.raises(DirtyTimeoutError, match=r"within 0\.2 s|ran longer than 0\.[012]") as caught:
        client.execute(PATH, "wait")
    assert 0 < caught.value.timeout <= 0.2
    pool.app.gate.set()
    assert pool.client.execute(PATH, "value", "mine") == "mine"


def test_a_call_that_does_not_come_back_is_reported_with_its_stack(pool):
    client = DirtyClient(pool.directory, timeout=0.2)
    with pytest.raises(DirtyTimeoutError):
        client.execute(PATH, "wait")
    deadline = time.monotonic() + 10
    while not pool.errors and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "in wait" in pool.errors[0]
    assert pool.worker.retiring


def test_a_call_whose_caller_hangs_up_on_the_answer_counts_as_answered():
    class Answering:
        def answers(self, arrival, context):
            yield frames.pack(frames.RESULT, 1)
            context.cancel()  # as the worker's watch does when it sees the end of the connection

    near, far = socket.socketpair()
    with near, far:
        assert running._relay(taken(near, Answering())) == (ANSWERED, "")


def test_a_limit_that_passes_while_the_answer_goes_leaves_no_octet_of_its_own_in_it():
    class Answering:
        def answers(self, arrival, context):
            yield frames.pack(frames.RESULT, b"a" * 4_000_000)

    near, far = socket.socketpair()
    with near, far:
        call = taken(near, Answering())
        relaying = threading.Thread(target=running._relay, args=(call,))
        relaying.start()
        began = far.recv(100_000)
        call.give_up()
        received = began + b"".join(iter(lambda: far.recv(100_000), b""))
        relaying.join()
    assert received == next(Answering().answers(None, None)).data[: len(received)]


def test_who_was_told_that_it_is_late_gets_no_answer():
    class Answering:
        def answers(self, arrival, context):
            call.give_up()
            yield frames.pack(frames.RESULT, 1)

    near, far = socket.socketpair()
    with near, far:
        call = taken(near, Answering())
        assert running._relay(call) == (TIMED_OUT, "")
        assert b"ran longer than" in far.recv(1000)


def taken(near, host):
    """A call that a thread has taken from the socket ``near``."""
    arrival = SimpleNamespace(app_path=PATH, action="value", sent=time.monotonic(), timeout=10.0, stream=False)
    return running.RunningCall(Wire(near), arrival, host, None)


def test_hanging_up_cancels(pool):
    client = DirtyClient(pool.directory, timeout=0.1)
    with pytest.raises(DirtyTimeoutError):
        client.execute(PATH, "until_cancelled")
    assert pool.app.closed.wait(5)
    pool.app.closed.clear()
    pool.app.entered.clear()

    async def abandon():
        task = asyncio.create_task(pool.client.execute_async(PATH, "sleep_async"))
        while not pool.app.entered.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(abandon())
    assert pool.app.closed.wait(5)


def test_calls_of_several_threads_become_one_batch(tmp_path):
    pool = Pool(tmp_path, threads=4)
    try:
        results = {}

        def one(n):
            results[n] = pool.client.execute(PATH, "together", n)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert results == {n: n * 10 for n in range(4)}
        assert pool.app.batches == [4]
    finally:
        pool.stop()


def test_a_full_queue_is_said_at_once_and_its_limit_is_exact(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(paths.app_socket(str(tmp_path), PATH))
    listener.listen(3)
    client = DirtyClient(str(tmp_path), timeout=20)
    waiting = [calls.open_call(paths.app_socket(str(tmp_path), PATH), PATH) for _ in range(4)]
    started = time.monotonic()
    with pytest.raises(DirtyBusyError, match="queue is full"):
        client.execute(PATH, "echo")
    assert time.monotonic() - started < 10
    for wire in waiting:
        wire.close()
    listener.close()


def test_a_call_whose_caller_has_gone_is_dropped(pool):
    runner_called = pool.app.entered
    wire = calls.open_call(paths.app_socket(pool.directory, PATH), PATH)
    wire.close()
    assert pool.client.execute(PATH, "value", 1) == 1
    assert not runner_called.is_set()


def test_a_worker_that_hangs_up_fails_the_call_by_name(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(paths.app_socket(str(tmp_path), PATH))
    listener.listen(3)

    def hang_up():
        accepted, _ = listener.accept()
        accepted.recv(10)
        accepted.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(DirtyWorkerError, match="ended before it answered"):
        DirtyClient(str(tmp_path), timeout=5).execute(PATH, "echo")
    thread.join(5)
    listener.close()


@pytest.mark.parametrize("garbage", [b"\0" * 40, b"SD\x09\x01" + b"\0" * 12, b"SD\x01\x01\xff\xff\xff\xff" + b"\0" * 8])
def test_garbage_is_answered_and_harms_nobody(pool, garbage):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(5)
        raw.connect(paths.app_socket(pool.directory, PATH))
        raw.sendall(garbage)
        assert raw.recv(4096).startswith(b"SD")
    assert pool.client.execute(PATH, "value", 1) == 1
