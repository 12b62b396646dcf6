"""The helpers themselves, against a stand-in server written in a few lines."""

from __future__ import annotations

import signal
import sys

import pytest

from support import KeepAliveLoad, ServerProcess, processes_marked, until

STAND_IN = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(f"[1] [INFO] Listening at: http://127.0.0.1:{listener.getsockname()[1]} ({os.getpid()})", flush=True)
child = os.fork()
if child == 0:
    print(f"Booting worker with pid: {os.getpid()}", flush=True)
    import threading
    def serve(sock):
        while True:
            if not sock.recv(65536):
                return
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
if "--leave" not in sys.argv:
    def stop(*_):
        os.kill(child, 9)
        os.wait()
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
signal.pause()
"""

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def stand_in(*args: str) -> ServerProcess:
    return ServerProcess([*args], program=[sys.executable, "server.py"], files={"server.py": STAND_IN}, bind=None)


@needs_proc
def test_a_server_is_ready_is_asked_and_ends():
    with stand_in() as server:
        assert server.get("/").text == "ok"
        assert server.worker_pids() == server.booted_pids()
        assert server.stop() == 0


@needs_proc
def test_a_process_that_is_left_behind_fails_the_test_and_is_killed():
    server = stand_in("--leave")
    server.start()
    server.stop(signal.SIGTERM)
    with pytest.raises(AssertionError, match="processes left behind"):
        server.assert_nothing_left(timeout=0.1)
    server.destroy()
    until(lambda: not processes_marked(server.mark))


@needs_proc
def test_load_counts_the_answers_and_the_lost_requests():
    server = stand_in()
    with server, KeepAliveLoad((server.host, server.port), connections=2) as load:
        load.wait_for_answers(20)
        assert not load.result.errors
        server.stop()
        load.wait_for(lambda result: bool(result.errors))
    with pytest.raises(AssertionError, match="failed"):
        load.result.assert_no_error()


def test_a_missing_log_line_is_reported_with_the_output():
    server = ServerProcess(program=[sys.executable, "-c", "print('hello')"], bind=None, wait=False, clean=False)
    with server, pytest.raises(AssertionError, match="hello"):
        server.wait_for_log("Listening at: ", timeout=10)
