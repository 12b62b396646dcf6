"""The backend ``ray`` on a real cluster of two nodes, one of which is killed during calls."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

import numpy
import pytest

from server_core.control.client import ControlClient
from server_dirty import (
    DirtyAppError,
    DirtyClient,
    DirtyProtocolError,
    DirtyTimeoutError,
    DirtyWorkerError,
)
from support import ServerProcess, until

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray: expected the package, got none (there is no wheel here)"
)

BOOT = 90.0  # seconds for actors to start on a busy machine

APP = """
import asyncio, os, threading, time
from server_dirty import DirtyApp, batch, current_call, stash


class Heavy(DirtyApp):
    workers = 2
    num_cpus = 1
    resources = {"gpu": 1}

    def where(self):
        time.sleep(0.05)  # so that calls at the same time are not all taken by one replica
        return os.getppid()  # Ray's workers are children of their node's raylet

    def device(self):
        time.sleep(0.05)
        return os.getppid(), os.environ["CUDA_VISIBLE_DEVICES"], self.devices["gpu"]

    def grow(self, octets):
        self.kept = bytearray(octets)
        self.kept[::4096] = b"x" * len(self.kept[::4096])

    def echo(self, value, seconds=0.0):
        time.sleep(seconds)
        return value

    def fail(self, text):
        raise ValueError(text)

    def count(self, n):
        try:
            for number in range(n):
                yield number
        finally:
            stash.put("notes", "closed", n)

    async def double(self, value):
        await asyncio.sleep(0)
        return value * 2

    def until_cancelled(self):
        while not current_call().cancelled:
            time.sleep(0.005)
        stash.put("notes", "cancelled", True)
        time.sleep(0.5)  # so that no answer comes in the moment in which the caller gives up

    def noted(self, key):
        return stash.get("notes", key)

    def remaining(self):
        return current_call().remaining()

    def in_place(self, array):
        array += 1
        return array

    @batch(max_size=2, max_wait=0.5)
    def together(self, items):
        return [(item, len(items)) for item in items]

    def hang(self):
        threading.Event().wait()

    def remember(self, key):
        return stash.increment("calls", key)


def app(environ, start_response):
    start_response("200 OK", [])
    return [os.environ["SERVER_DIRTY_DIR"].encode()]
"""
PATH = "app:Heavy"
MEMORY = 300 << 20  # octets a replica may have


class Cluster(NamedTuple):
    """A server on a cluster: its raylets, the client of its pool."""

    server: ServerProcess
    raylets: List[int]
    client: DirtyClient
    socket: str

    def control(self, command: str) -> Dict:
        with ControlClient(self.socket) as control:
            return control.call(command)

    def serving(self) -> int:
        return self.control("dirty")["apps"][0]["ready"]

    def loads(self) -> int:
        """How many replicas have been loaded since the start."""
        return self.server.log.count("is loaded on Ray node")

    def several(self, action: str) -> List:
        """The answers of several calls at once: of all replicas, mostly."""

        async def several() -> List:
            return await asyncio.gather(*(self.client.execute_async(PATH, action) for _ in range(6)))

        return asyncio.run(several())

    def nodes(self) -> Set[int]:
        """The nodes on which replicas answer, by the pids of their raylets."""
        return set(self.several("where"))

    def devices(self) -> Set[Tuple[int, int]]:
        """The GPUs of the replicas that answer, each as its node and its number."""
        found = set()
        for node, visible, (number,) in self.several("device"):
            assert visible == str(number)
            found.add((node, number))
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    helper = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_cluster.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    redis = tmp_path_factory.mktemp("redis") / "redis.sock"
    store = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(redis), "--save", "", "--dir", str(redis.parent)],
        stdout=subprocess.DEVNULL,
    )
    try:
        found = json.loads(helper.stdout.readline())  # type: ignore[union-attr]
        control = redis.with_name("server.ctl")
        config = f"""
dirty_apps = ["{PATH}"]
dirty_workers = 2
dirty_threads = 3
dirty_backend = "ray"
dirty_ray_address = "{found["address"]}"
dirty_ray_runtime_env = {{"working_dir": "."}}
dirty_stash = "unix://{redis}"
dirty_graceful_timeout = 2
dirty_max_memory = {MEMORY}
control_socket = "{control}"
import server_core.worker
server_core.worker.MEMORY_INTERVAL = 0.5
"""
        with ServerProcess(["app:app"], app=APP, config=config, workers=3, timeout=BOOT) as server:
            client = DirtyClient(server.get("/").text, timeout=30)
            made = Cluster(server, found["raylets"], client, str(control))
            until(lambda: made.serving() == 2, BOOT, "both replicas are loaded")
            yield made
    finally:
        store.terminate()
        store.wait(10)
        helper.communicate(timeout=30)


def test_the_client_api_is_the_same(cluster):
    client = cluster.client
    assert client.execute(PATH, "echo", {"a": (1, {2}), "b": 2**80}) == {"a": (1, {2}), "b": 2**80}
    assert client.execute(PATH, "double", 4) == 8
    assert list(client.stream(PATH, "count", 30)) == list(range(30))
    assert client.execute(PATH, "remember", "n") + 1 == client.execute(PATH, "remember", "n")
    assert 0 < DirtyClient(client._directory, timeout=5).execute(PATH, "remaining") < 5
    with pytest.raises(DirtyProtocolError, match=r"use stream\(\)"):
        client.execute(PATH, "count", 3)
    with pytest.raises(ValueError, match="bad input") as caught:
        client.execute(PATH, "fail", "bad input")
    assert isinstance(caught.value, DirtyAppError)
    assert "in fail" in caught.value.traceback

    async def several():
        results = await asyncio.gather(*(client.execute_async(PATH, "double", n) for n in range(8)))
        return results, [value async for value in client.stream_async(PATH, "count", 5)]

    assert asyncio.run(several()) == ([n * 2 for n in range(8)], [0, 1, 2, 3, 4])


def test_large_arrays_travel_beside_the_frames_and_may_be_changed(cluster):
    array = numpy.arange(1 << 20, dtype="f8")
    assert numpy.array_equal(cluster.client.execute(PATH, "in_place", array), array + 1)


def test_calls_become_one_batch_and_run_in_parallel(cluster):
    async def two():
        client = cluster.client
        # Both replicas may get one each: then a third completes one of the batches.
        calls = [asyncio.ensure_future(client.execute_async(PATH, "together", n)) for n in range(4)]
        return await asyncio.gather(*calls)

    results = asyncio.run(two())
    assert [item for item, _ in results] == [0, 1, 2, 3]
    assert any(size == 2 for _, size in results)


def test_cancellation_and_closing_reach_the_replica(cluster):
    with pytest.raises(DirtyTimeoutError):
        DirtyClient(cluster.client._directory, timeout=1.0).execute(PATH, "until_cancelled")
    stream = cluster.client.stream(PATH, "count", 10**9)
    assert next(stream) == 0
    stream.close()
    for key, value in (("cancelled", True), ("closed", 10**9)):
        until(lambda key=key, value=value: cluster.client.execute(PATH, "noted", key) == value, 10, f"{key} is noted")


def test_a_killed_node_fails_its_own_calls_and_its_replicas_start_again(cluster):
    until(lambda: cluster.nodes() == set(cluster.raylets), 30, "one replica answers on each node")

    outcomes: List[str] = []
    wrong: List[object] = []
    ended = threading.Event()

    def call(number: int) -> None:
        serial = 0
        while not ended.is_set():
            serial += 1
            try:
                back = cluster.client.execute(PATH, "echo", (number, serial), seconds=0.05)
                outcomes.append("answered")
                if back != (number, serial):
                    wrong.append(back)
            except DirtyWorkerError:
                outcomes.append("failed")

    callers = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for caller in callers:
        caller.start()
    until(lambda: len(outcomes) > 20, 30, "calls are running")
    os.kill(cluster.raylets[1], signal.SIGKILL)
    until(lambda: "failed" in outcomes, 30, "the calls on the node fail")
    before = outcomes.count("answered")
    until(lambda: outcomes.count("answered") > before + 20, 30, "the other node answers")
    cluster.server.wait_for_log("its Ray actor has died", timeout=30)
    until(lambda: cluster.serving() == 2, BOOT, "the successor is loaded")
    ended.set()
    for caller in callers:
        caller.join(30)
        assert not caller.is_alive()
    assert wrong == []
    until(lambda: len(cluster.devices()) == 2, 10, "each replica has a GPU of its own")
    assert {node for node, _ in cluster.devices()} == {cluster.raylets[0]}


def test_a_call_that_does_not_come_back_is_reported_with_the_stack_of_the_replica(cluster):
    before = cluster.loads()
    with pytest.raises(DirtyTimeoutError):
        DirtyClient(cluster.client._directory, timeout=0.5).execute(PATH, "hang")
    cluster.server.wait_for_log("past its limit", timeout=20)
    until(lambda: "in hang" in cluster.server.log, 10, "the stack is shown")
    until(lambda: cluster.loads() == before + 1 and cluster.serving() == 2, BOOT, "the successor is loaded")


def test_a_replica_above_the_memory_limit_is_replaced(cluster):
    before = cluster.loads()
    cluster.client.execute(PATH, "grow", MEMORY)
    cluster.server.wait_for_log("more than max_memory", timeout=20)
    until(lambda: cluster.loads() == before + 1, BOOT, "the successor is loaded")
    until(lambda: cluster.serving() == 2, 20, "the worker above the limit has left")
