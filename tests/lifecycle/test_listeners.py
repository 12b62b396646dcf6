"""Every kind of listening socket, through reloads and scaling."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lifecycle.apps import PID_APP
from support import KeepAliveLoad, RawClient, ServerProcess, free_port, processes_marked, request, until

# Opens sockets as systemd would, from descriptor 3 on, and becomes the server.
ACTIVATION = """
import fcntl, os, socket, sys
names = sys.argv[1].split(":")
high = []
for number, name in enumerate(names):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    print(f"passed {name} http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    high.append(fcntl.fcntl(sock.detach(), fcntl.F_DUPFD, 20))
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
os.execv(sys.executable, [sys.executable, "-m", "server_cli", *sys.argv[2:]])
"""

# Is given a listening socket by who keeps it, as a systemd socket unit does, and becomes the server.
RESTARTED = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect(sys.argv[1])
    fd = socket.recv_fds(manager, 1, 1)[1][0]
os.dup2(fd, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "server_cli", *sys.argv[2:]])
"""

BOTH_APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""


def sockets_of(pid: int) -> set[str]:
    """The sockets a process holds, by the kernel's numbers."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found.add(link[len("socket:[") : -1])
    return found


def listening_of(server: ServerProcess) -> set[str]:
    """The sockets of the server's port that the arbiter holds."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file]
    port = f":{server.port:04X}"
    return {row[9] for row in rows if row[1].endswith(port) and row[3] == "0A"} & sockets_of(server.pid)


def sockets_listening_at(port: int) -> int:
    """How many sockets of the whole system listen at a port."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_socket_of_a_slot_that_is_given_up_listens_no_more_though_another_worker_inherited_it() -> None:
    with ServerProcess(["app:app"], app=PID_APP, config="reuse_port = True\n") as server:
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log("Booting worker", count=2)
        assert sockets_listening_at(server.port) == 2
        server.send_signal(signal.SIGKILL, server.booted_pids()[0])
        server.wait_for_log("Booting worker", count=3)
        server.send_signal(signal.SIGTTOU)
        until(lambda: sockets_listening_at(server.port) == 1, what="the second socket is gone")


def test_several_addresses_are_served_together() -> None:
    port = free_port()
    arguments = ["app:app", "-b", f"127.0.0.1:{port}", "-b", "unix:s", "-b", f"unix:@server-test-{os.getpid()}"]
    with ServerProcess(arguments, app=PID_APP) as server:
        assert request(("127.0.0.1", port)).status == 200
        assert server.get().status == 200
        assert request(str(server.cwd / "s")).status == 200
        assert request(f"\0server-test-{os.getpid()}").status == 200


def test_ipv6_is_served_and_named_with_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with ServerProcess(["app:app"], app=PID_APP, bind="[::1]:0") as server:
        assert "Listening at: http://[::1]:" in server.log
        assert request(("::1", server.port)).status == 200


def test_a_unix_socket_has_the_wanted_mode_and_is_removed() -> None:
    with ServerProcess(["app:app", "-m", "0o117"], app=PID_APP, bind="unix:s") as server:
        path = server.cwd / "s"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        server.stop()
        assert not path.exists()


def test_an_inherited_descriptor_is_served() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        # The program passes it on as descriptor 3.
        launcher = (
            "import os, socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); os.dup2(s.fileno(), 7);"
            "os.set_inheritable(7, True);"
            "os.execv(sys.executable, [sys.executable, '-m', 'server_cli', *sys.argv[1:]])"
        )
        program = [sys.executable, "-c", launcher]
        with ServerProcess(["app:app"], app=PID_APP, program=program, bind="fd://7") as server:
            assert server.get().status == 200


def test_systemd_sockets_take_the_place_of_bind() -> None:
    program = [sys.executable, "-c", ACTIVATION, "web:admin"]
    with ServerProcess(["app:app"], app=PID_APP, program=program, bind="127.0.0.1:1") as server:
        ports = [int(line.rsplit(":", 1)[1]) for line in server.lines() if line.startswith("passed")]
        for port in ports:
            assert request(("127.0.0.1", port)).status == 200
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.")
        for port in ports:
            assert request(("127.0.0.1", port)).status == 200


def test_systemd_sockets_are_chosen_by_name() -> None:
    program = [sys.executable, "-c", ACTIVATION, "web:admin"]
    with ServerProcess(["app:app"], app=PID_APP, program=program, bind="systemd:admin") as server:
        admin = next(int(line.rsplit(":", 1)[1]) for line in server.lines() if line.startswith("passed admin"))
        assert f"Listening at: http://127.0.0.1:{admin} (" in server.log
        assert request(("127.0.0.1", admin)).status == 200


@pytest.mark.parametrize("kind", ["sync", "gevent", "asgi"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_who_comes_between_two_servers_of_a_systemd_socket_waits_for_the_second(
    kind: str, family: int, tmp_path: Path
) -> None:
    address: Any = ("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "web.sock")
    with socket.socket(family) as web, socket.socket(socket.AF_UNIX) as manager:
        web.bind(address)
        web.listen()
        manager.bind(str(tmp_path / "manager.sock"))
        manager.listen()
        program = [sys.executable, "-c", RESTARTED, manager.getsockname()]
        clients = []
        for _ in range(2):
            passing = threading.Thread(target=pass_to_next, args=(manager, web))
            passing.start()
            application = "app:asgi" if kind == "asgi" else "app:app"
            with ServerProcess([application, "-k", kind], app=BOTH_APP, program=program, bind=None) as server:
                passing.join()
                for client in clients:
                    assert client.recv(15) == b"HTTP/1.1 200 OK"
                    client.close()
                assert server.stop() == 0
            client = socket.socket(family)
            client.settimeout(20)
            client.connect(web.getsockname())
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            clients = [client]
        client.close()


def pass_to_next(manager: socket.socket, listening: socket.socket) -> None:
    """Pass the listening socket to the next process that asks for it."""
    with manager.accept()[0] as process:
        socket.send_fds(process, [b"\0"], [listening.fileno()])


def test_an_unknown_systemd_name_is_refused_with_the_known_ones() -> None:
    program = [sys.executable, "-c", ACTIVATION, "web:admin"]
    with ServerProcess(["app:app"], app=PID_APP, program=program, bind="systemd:api", wait=False) as server:
        assert server.wait() == 1
        assert "expected a socket named 'api' from systemd, got admin, web" in server.log


@pytest.mark.parametrize("before", [True, False])
def test_a_reload_cannot_change_reuse_port_and_says_so(before: bool) -> None:
    port = free_port()
    config = f"bind = '127.0.0.1:{port}'\nreuse_port = "
    with ServerProcess(["app:app"], app=PID_APP, config=f"{config}{before}\n", bind=None) as server:
        (server.cwd / "server.conf.py").write_text(f"{config}{not before}\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload refused, the old settings stay: reuse_port: a reload cannot make ")
        assert server.get("/").status == 200


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_with_reuse_port_every_slot_has_a_socket_that_its_replacements_inherit(preload: list[str]) -> None:
    arguments = ["app:app", "-w", "3", "--reuse-port", *preload]
    with ServerProcess(arguments, app=PID_APP, workers=3) as server:
        before = listening_of(server)
        assert len(before) == 3
        with KeepAliveLoad((server.host, server.port), requests_per_connection=1, pause=0.005) as load:
            load.wait_for_answers(50)
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("Reload complete.")
            load.wait_for_answers(50)
            assert listening_of(server) == before
            server.send_signal(signal.SIGTTIN)
            server.wait_for_log("Booting worker", count=7)
            assert len(listening_of(server)) == 4
            for left in (3, 2):
                load.wait_for_answers(50)
                server.send_signal(signal.SIGTTOU)
                until(lambda left=left: len(listening_of(server)) == left, what="the slot's socket is closed")
            load.wait_for_answers(50)
        load.result.assert_no_error()


def test_an_upgrade_with_reuse_port_loses_nothing() -> None:
    arguments = ["app:app", "-w", "2", "--reuse-port"]
    with ServerProcess(arguments, app=PID_APP, workers=2, clean=False) as server:
        with KeepAliveLoad((server.host, server.port), requests_per_connection=1, pause=0.005) as load:
            load.wait_for_answers(50)
            server.send_signal(signal.SIGUSR2)
            server.wait_for_log("Booting worker", count=4)
            server.stop()
            load.wait_for_answers(100)
        load.result.assert_no_error()
        for pid in processes_marked(server.mark):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        server.assert_nothing_left()


PATIENT = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/slow":
        await asyncio.sleep(2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})
"""


def test_an_asgi_worker_without_room_answers_what_waits_in_the_backlog_when_it_stops() -> None:
    with ServerProcess(["app:app", "-k", "asgi", "--worker-connections", "1"], app=PATIENT) as server:
        with server.client(timeout=15) as slow, server.client(timeout=15) as waiting:
            slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.5)  # the worker has taken the first connection and has no room for the second
            server.send_signal(signal.SIGTERM)
            assert slow.read_answer().body == b"answered"
            assert waiting.read_answer().body == b"answered"
        assert server.wait() == 0
        assert "Cannot enter into task" not in server.log


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:s"])
def test_stop_answers_what_waits_in_the_backlog(bind: str) -> None:
    with ServerProcess(["app:app"], app=PID_APP, bind=bind) as server:
        address = str(server.cwd / "s") if bind.startswith("unix") else (server.host, server.port)
        with RawClient(address, timeout=15) as busy:
            busy.send(b"GET /?sleep=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: len(sockets_of(server.worker_pids()[0])) > 1)
            waiting = [RawClient(address, timeout=15) for _ in range(5)]
            for client in waiting:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.send_signal(signal.SIGTERM)
            assert busy.read_answer().status == 200
            for client in waiting:
                assert client.read_answer().status == 200
                client.close()
        assert server.wait() == 0


HELD = """
import os, time
def app(environ, start_response):
    while environ["PATH_INFO"] == "/held" and not os.path.exists("go"):
        time.sleep(0.01)
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_HELD = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"


def bound_to(*ports: int, workers: int = 1) -> str:
    return f"bind = {[f'127.0.0.1:{port}' for port in ports]}\nworkers = {workers}\nkeepalive = 30\n"


def test_a_refused_reload_leaves_who_waits_where_the_reload_before_let_go() -> None:
    dropped, kept = free_port(), free_port()
    config = bound_to(dropped, kept)
    with ServerProcess(["app:app"], app=HELD, config=config, bind=None) as server, ExitStack() as opened:
        busy = opened.enter_context(RawClient(("127.0.0.1", dropped)))
        busy.send(GET_HELD)
        until(lambda: len(sockets_of(server.worker_pids()[0])) > 2)
        time.sleep(0.1)  # what comes now is left in the backlog by the worker, whose only thread is taken
        waiting = opened.enter_context(RawClient(("127.0.0.1", dropped)))
        waiting.send(GET)
        (server.cwd / "server.conf.py").write_text(bound_to(kept))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        (server.cwd / "server.conf.py").write_text("not Python")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload refused")
        (server.cwd / "go").touch()
        assert busy.read_answer().status == 200
        assert waiting.read_answer().status == 200


def test_a_connection_of_a_listener_that_a_reload_dropped_is_not_passed_to_workers_that_do_not_know_it() -> None:
    dropped, kept = free_port(), free_port()
    config = bound_to(dropped, kept, workers=2)
    with ServerProcess(["app:app"], app=HELD, config=config, bind=None, workers=2) as server, ExitStack() as opened:
        clients: dict[bytes, list[RawClient]] = {}
        while not any(len(found) > 1 for found in clients.values()):
            client = opened.enter_context(RawClient(("127.0.0.1", kept)))
            clients.setdefault(client.request("GET", "/").body, []).append(client)
        busy, idle, *_ = next(found for found in clients.values() if len(found) > 1)
        busy.send(GET_HELD)
        (server.cwd / "server.conf.py").write_text(bound_to(kept, workers=2))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")
        idle.send(GET)
        time.sleep(0.2)  # many times what it takes to pass it on, were there somebody who knows its listener
        (server.cwd / "go").touch()
        assert busy.read_answer().status == 200
        assert idle.read_answer().status == 200
        opened.close()
        server.stop()
        assert server.log.count("Booting worker") == 4, "no worker died of what another passed on"
