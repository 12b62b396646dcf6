"""``serverctl stack`` shows where requests wait that have no thread of their own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any, Dict, List

import pytest

from support import ServerProcess, until

ASGI = """
import asyncio
import time

async def generated():
    await asyncio.Event().wait()
    yield b""

async def consume():
    async for part in generated():
        pass

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        app.task = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="mailer")
        await send({"type": "lifespan.startup.complete"})
        await receive()
    elif scope["path"] == "/blocks":
        time.sleep(8)
    elif scope["path"] == "/computes":
        sum(range(10**10))  # in C, which hears of no signal
    elif scope["path"] != "/":
        await consume()
    else:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
"""
WSGI = """
import time

def consume():
    time.sleep(60)

def app(environ, start_response):
    if environ["PATH_INFO"] != "/":
        consume()
    start_response("204 No Content", [])
    return []
"""


def stack(server: ServerProcess, paths: List[str]) -> str:
    """Ask for ``paths``, and when they run, for the stacks of the worker."""
    with ExitStack() as clients:
        for path in paths:
            client = clients.enter_context(socket.create_connection((server.host, server.port)))
            client.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        until(lambda: len(serverctl(server, "requests").get("requests", ())) == len(paths), what="the requests run")
        (pid,) = server.worker_pids()
        report: str = serverctl(server, "stack", str(pid))["report"]
        return report


def serverctl(server: ServerProcess, *words: str) -> Dict[str, Any]:
    command = [sys.executable, "-m", "server_cli.ctl", "--socket", str(server.cwd / "ctl"), "--json", *words]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    answer: Dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}  # it may not listen yet
    return answer


def serve(app: str, *arguments: str) -> ServerProcess:
    return ServerProcess(
        ["app:app", "--control-socket", "ctl", "-t", "60", "--graceful-timeout", "1", *arguments], app=app
    )


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tasks_show_what_they_wait_in_to_its_innermost_step(loop: str) -> None:
    with serve(ASGI, "-k", "asgi", "--asgi-loop", loop) as server:
        for _ in range(3):
            assert server.get("/").status == 204  # the task of a request that is over shows nothing
        report = stack(server, ["/first", "/second"])
        assert "Waiting without a thread: 4\n" in report  # with lifespan and the task that it began
        requests, *others = report.partition("Waiting without a thread: 4\n\n")[2].split("\n\n")
        assert requests.startswith("GET /first, GET /second (most recent call first):\n")
        functions = [line.rpartition(" ")[2] for line in requests.splitlines()[1:]]
        assert functions == ["wait", "generated", "consume", "app", "run_application"]
        assert [other.partition(" (")[0] for other in others] == ["task lifespan", "task mailer"]


def test_tasks_behind_one_that_blocks_the_loop_are_shown_too() -> None:
    with serve(ASGI, "-k", "asgi") as server:
        report = stack(server, ["/waits", "/blocks"])
        threads, _, waiting = report.partition("Waiting without a thread: 3\n")
        assert " in app" in threads
        assert "GET /waits (most" in waiting
        assert "/blocks" not in waiting


def test_a_worker_that_computes_says_where_and_the_command_that_there_may_be_more() -> None:
    with serve(ASGI, "-k", "asgi") as server:
        report = stack(server, ["/computes"])
        assert " in app" in report
        assert report.endswith("Tasks and greenlets: not known, nothing of Python ran within 2 s.")


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_greenlets_show_where_they_wait(worker: str) -> None:
    with serve(WSGI, "-k", worker) as server:
        assert server.get("/").status == 204
        report = stack(server, ["/first", "/second"])
        requests = report.partition("Waiting without a thread: ")[2].split("\n\n")[1]
        assert requests.startswith("GET /first, GET /second (most recent call first):\n")
        functions = [line.rpartition(" ")[2] for line in requests.splitlines()[1:]]
        assert functions[functions.index("consume") + 1] == "app"
