"""The control socket of a running server: what it answers, and what hostile clients cannot do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
import threading
from pathlib import Path

import pytest

from server_core.control.client import ControlClient
from server_core.control.protocol import ControlError
from support import ServerProcess, request, until

APP = """
import os, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(2)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def serve(*arguments: str, workers: int = 2) -> ServerProcess:
    return ServerProcess(
        ["app:app", "-w", str(workers), "--control-socket", "control/server.ctl", *arguments], app=APP, workers=workers
    )


def connect(server: ServerProcess) -> ControlClient:
    path = Path(server.cwd) / "control" / "server.ctl"
    until(path.exists, what="the control socket is there")
    return ControlClient(str(path))


def test_the_socket_is_private_and_gone_after_the_stop():
    with serve() as server, connect(server) as control:
        path = Path(control.path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        server.stop()
        assert not path.exists()


def test_show_tells_of_workers_stats_listeners_and_settings():
    with serve() as server, connect(server) as control:
        for _ in range(5):
            assert request((server.host, server.port), "GET", "/").status == 200
        workers = control.call("show workers")
        assert workers["count"] == 2
        assert {row["pid"] for row in workers["workers"]} == set(server.worker_pids())
        until(lambda: control.call("show stats")["requests"] == 5, what="the requests are counted")
        stats = control.call("show stats")
        assert stats["statuses"]["2xx"] == 5
        assert (stats["workers_current"], stats["workers_target"]) == (2, 2)
        listeners = control.call("show listeners")["listeners"]
        assert [row["address"] for row in listeners] == [f"http://127.0.0.1:{server.port}"]
        assert control.call("show config")["workers"] == {"value": "2", "source": "command line"}
        assert set(control.call("show all")) >= {"stats", "workers", "listeners", "requests", "services"}
        assert "worker add" in control.call("help")


def test_workers_are_added_removed_replaced_and_killed():
    with serve() as server, connect(server) as control:
        assert control.call("worker add", 2) == {"added": 2, "previous": 2, "total": 4}
        until(lambda: control.call("show stats")["workers_ready"] == 4, what="four workers are ready")
        assert control.call("worker remove 3") == {"removed": 3, "previous": 4, "total": 1}
        until(lambda: control.call("show workers")["count"] == 1, what="one worker is left")
        assert control.call("worker remove") == {"removed": 0, "previous": 1, "total": 1}
        (before,) = [row["pid"] for row in control.call("show workers")["workers"]]
        assert control.call("worker replace", before) == {"replacing": before}
        until(lambda: before not in _pids(control), what="the worker is replaced")
        (second,) = _pids(control)
        assert control.call("worker kill", second) == {"success": True, "killed": second}
        until(lambda: _pids(control) not in ([], [second]), what="the killed worker has a successor")
        assert request((server.host, server.port), "GET", "/").status == 200


def test_more_workers_than_may_be_are_refused():
    with serve("--workers-max", "3") as server, connect(server) as control:
        with pytest.raises(ControlError, match=r"expected at most 3 children, got 4 \(from workers_max\)"):
            control.call("worker add", 2)
        assert control.call("show stats")["workers_target"] == 2


def _pids(control: ControlClient):
    return [row["pid"] for row in control.call("show workers")["workers"]]


def test_requests_and_stacks_show_what_hangs():
    with serve(workers=1) as server, connect(server) as control:
        (pid,) = _pids(control)
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"GET /slow?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: control.call("show requests")["count"] == 1, what="the request runs")
            (row,) = control.call("show requests")["requests"]
            assert (row["pid"], row["group"]) == (pid, "http")
            assert row["request"].startswith("GET /slow")
            control.call("stack dump", pid)
            until(lambda: "in app" in control.call("stack read", pid)["report"], what="the stack is written")
            assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_reload_reopen_and_shutdown():
    with serve() as server, connect(server) as control:
        before = _pids(control)
        assert control.call("reload") == {"status": "reloading"}
        server.wait_for_log("Reload complete")
        until(lambda: not set(before) & set(server.worker_pids()), what="the old workers have left")
        assert control.call("reopen") == {"status": "reopening"}
        assert control.call("shutdown") == {"status": "shutting_down", "mode": "graceful"}
        assert server.wait() == 0


def test_a_reload_that_is_refused_says_why_and_is_none():
    with serve() as server, connect(server) as control:
        before = _pids(control)
        for text, reason in (("workers = 'many'", "workers: expected an integer"), ("1 / 0", "ZeroDivisionError")):
            (server.cwd / "server.conf.py").write_text(text)
            with pytest.raises(ControlError, match=f"reload refused, the old settings stay: .*{reason}"):
                control.call("reload")
        assert _pids(control) == before


def test_a_server_that_stops_is_not_reloaded():
    with serve() as server, connect(server) as control, socket.create_connection((server.host, server.port)) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: control.call("show requests")["count"] == 1, what="the request runs")
        control.call("shutdown")
        with pytest.raises(ControlError, match="the server is stopping"):
            control.call("reload")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nothing", "expected one of"),
        ("worker add many", "expected one integer"),
        ("worker add 0", "expected one integer"),
        ("worker kill", "expected the process id"),
        ("worker kill 1", "expected a worker of this server"),
        ("shutdown now", "expected 'graceful' or 'quick'"),
        ("dirty add", "expected one of"),
    ],
)
def test_a_wrong_command_is_refused_with_what_was_expected(command, message, running):
    with connect(running) as control, pytest.raises(ControlError, match=message):
        control.call(command)


@pytest.fixture(scope="module")
def running():
    with serve() as server:
        yield server


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"abc",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 60000) + b"[" * 60000,
        struct.pack(">I", 15) + b'{"command": 12}',
    ],
)
def test_garbage_is_answered_and_the_server_goes_on(garbage, running):
    with connect(running) as good:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(good.path)
            raw.sendall(garbage)
            assert b'"status":"error"' in raw.recv(4096)
        assert good.call("show stats")["workers_current"] == 2


def test_clients_that_do_not_read_or_finish_delay_nobody(running):
    with connect(running) as good, contextlib.ExitStack() as stack:
        for _ in range(20):
            raw = stack.enter_context(socket.socket(socket.AF_UNIX))
            raw.connect(good.path)  # without a timeout: with one, a full backlog is EAGAIN
            raw.settimeout(5)
            raw.sendall(struct.pack(">I", 100) + b"{")
        flood = stack.enter_context(socket.socket(socket.AF_UNIX))
        flood.connect(good.path)
        flood.settimeout(1)
        body = b'{"command":"show config","id":1}'
        with contextlib.suppress(OSError):  # timed out, or cut off: either way it was bounded
            while True:
                flood.sendall(struct.pack(">I", len(body)) + body)
        assert good.call("show stats")["workers_current"] == 2


def test_a_flood_of_commands_is_answered_and_so_are_others(running):
    body = b'{"command":"show config","id":1}'
    flood_size = 400
    with connect(running) as good, socket.socket(socket.AF_UNIX) as flood:
        flood.connect(good.path)
        answered = []

        def read() -> None:
            for _ in range(flood_size):
                (size,) = struct.unpack(">I", flood.recv(4, socket.MSG_WAITALL))
                flood.recv(size, socket.MSG_WAITALL)
                answered.append(size)

        reader = threading.Thread(target=read)
        reader.start()
        flood.sendall((struct.pack(">I", len(body)) + body) * flood_size)
        until(lambda: answered, what="the flood is being answered")
        assert good.call("show stats")["workers_current"] == 2
        reader.join()
        assert len(answered) == flood_size


def test_no_control_socket_when_it_is_turned_off():
    with ServerProcess(["app:app", "--no-control-socket", "--control-socket", "here.ctl"], app=APP) as server:
        assert request((server.host, server.port), "GET", "/").status == 200
        assert not (Path(server.cwd) / "here.ctl").exists()


def test_a_second_server_leaves_the_socket_of_the_first_alone():
    with serve() as first, connect(first) as control:
        path = control.path
        with ServerProcess(["app:app", "--control-socket", path], app=APP) as second:
            second.wait_for_log("another running server listens there")
            assert request((second.host, second.port), "GET", "/").status == 200
        assert control.call("show stats")["pid"] == first.pid
        assert os.path.exists(path)


def test_a_socket_left_by_a_killed_server_is_replaced():
    with serve() as server:
        with connect(server) as control:
            path = control.path
        server.send_signal(signal.SIGKILL)
        server.wait()
        assert os.path.exists(path)
        with ServerProcess(["app:app", "--control-socket", path], app=APP) as second:
            until(lambda: _answers(path), what="the new server answers")
            assert pid_behind(path) == second.pid
        server.clean = False


def _answers(path: str) -> bool:
    try:
        ControlClient(path).close()
    except ControlError:
        return False
    return True


def pid_behind(path: str) -> int:
    with ControlClient(path) as control:
        return control.call("show stats")["pid"]
