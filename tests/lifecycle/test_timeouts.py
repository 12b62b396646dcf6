"""Workers that are silent: reported, aborted, killed, replaced."""

from __future__ import annotations

import importlib.util

import pytest

from lifecycle.apps import PID_APP
from support import ServerProcess, until

STUBBORN = """
import signal, threading, time
def app(environ, start_response):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    threading.Thread(target=other_thread, daemon=True).start()
    stuck_here()
def stuck_here():
    time.sleep(60)
def other_thread():
    time.sleep(60)
"""


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_a_silent_worker_is_reported_with_request_and_stacks_then_aborted_and_replaced(preload: list[str]) -> None:
    config = "def worker_abort(worker):\n    worker.log.info('the abort hook ran in %s', worker.pid)\n"
    with ServerProcess(["app:app", "--timeout", "1", *preload], app=PID_APP, config=config) as server:
        victim = int(server.get().body)
        with server.client(timeout=20) as client:
            client.send(b"GET /?sleep=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log(f"WORKER TIMEOUT (pid:{victim})")
            server.wait_for_log(f"the abort hook ran in {victim}")
        assert ": GET /?sleep=60" in server.log
        assert "in app\n" in server.log
        assert "in _loop" not in server.log, "frames of the arbiter say nothing"
        until(lambda: int(server.get().body) != victim)


def test_a_silent_worker_that_ignores_abort_is_killed_and_all_threads_were_shown() -> None:
    with ServerProcess(["app:app", "--timeout", "1"], app=STUBBORN) as server:
        victim = server.booted_pids()[0]
        with server.client(timeout=20) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log("WORKER TIMEOUT")
            until(lambda: victim not in server.worker_pids())
        assert "in stuck_here" in server.log
        assert "in other_thread" in server.log
        server.wait_for_log("was sent SIGKILL!")


def test_the_successor_of_a_silent_worker_boots_before_it_is_aborted() -> None:
    with ServerProcess(["app:app", "--timeout", "1"], app=PID_APP) as server:
        with server.client(timeout=20) as client:
            client.send(b"GET /?sleep=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log("Worker exiting")
        lines = server.lines()
        booted = max(i for i, line in enumerate(lines) if "Booting worker" in line)
        exited = next(i for i, line in enumerate(lines) if "Worker exiting" in line)
        assert booted < exited


def test_a_threaded_worker_is_silent_only_when_no_thread_is_free() -> None:
    arguments = ["app:app", "-k", "gthread", "--threads", "2", "--timeout", "2"]
    with ServerProcess(arguments, app=PID_APP) as server:
        victim = int(server.get().body)
        with server.client(timeout=20) as first, server.client(timeout=20) as second:
            first.send(b"GET /?sleep=4 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert first.read_answer().status == 200, "one thread was free all the time"
            assert "WORKER TIMEOUT" not in server.log
            first.send(b"GET /?sleep=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            second.send(b"GET /?sleep=61 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log(f"WORKER TIMEOUT (pid:{victim})")
            server.wait_for_log("Worker exiting")
        assert ": GET /?sleep=60" in server.log
        assert ": GET /?sleep=61" in server.log


BLOCKING_LOOP = """
import asyncio, time
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/patient":
        await asyncio.sleep(60)
    if scope["path"] == "/blocking":
        blocks_the_loop()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
def blocks_the_loop():
    time.sleep(60)
"""


def test_a_blocked_loop_is_reported_with_its_stack_and_the_requests_that_run_beside_it() -> None:
    with ServerProcess(["app:app", "-k", "asgi", "--timeout", "1"], app=BLOCKING_LOOP) as server:
        with server.client(timeout=20) as patient, server.client(timeout=20) as blocking:
            patient.send(b"GET /patient HTTP/1.1\r\nHost: a\r\n\r\n")
            assert server.get("/").status == 200  # the other request has begun by now
            blocking.send(b"GET /blocking HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log("WORKER TIMEOUT")
            server.wait_for_log("in blocks_the_loop")
            server.wait_for_log("Worker exiting")  # until then it may still accept, and takes that with it
        assert ": GET /patient" in server.log
        assert ": GET /blocking" in server.log
        until(lambda: server.get("/").status == 200)


BLOCKING_HUB = """
import ctypes, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/patient":
        time.sleep(60)
    if environ["PATH_INFO"] == "/blocking":
        blocks_the_hub()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
def blocks_the_hub():
    ctypes.CDLL(None).sleep(60)  # no library makes this cooperative
"""


@pytest.mark.parametrize("worker", ["gevent", "eventlet"])
def test_a_blocked_hub_is_reported_with_its_stack_and_the_requests_that_run_beside_it(worker: str) -> None:
    if importlib.util.find_spec(worker) is None:  # imported here, eventlet would warn of every fork
        pytest.skip(f"{worker} is not installed")
    with ServerProcess(["app:app", "-k", worker, "--timeout", "1"], app=BLOCKING_HUB) as server:
        with server.client(timeout=20) as patient, server.client(timeout=20) as blocking:
            patient.send(b"GET /patient HTTP/1.1\r\nHost: a\r\n\r\n")
            assert server.get("/").status == 200  # the other request has begun by now
            blocking.send(b"GET /blocking HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for_log("WORKER TIMEOUT")
            server.wait_for_log("in blocks_the_hub")
            server.wait_for_log("Worker exiting")  # until then it may still accept, and takes that with it
        assert server.log.index(": GET /patient") < server.log.index(": GET /blocking"), "the oldest first"
        until(lambda: server.get("/").status == 200)
