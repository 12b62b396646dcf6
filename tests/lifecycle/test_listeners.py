"""Every kind of listening socket, through reloads and scaling."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time

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


def test_an_unknown_systemd_name_is_refused_with_the_known_ones() -> None:
    program = [sys.executable, "-c", ACTIVATION, "web:admin"]
    with ServerProcess(["app:app"], app=PID_APP, program=program, bind="systemd:api", wait=False) as server:
        assert server.wait() == 1
        assert "expected a socket named 'api' from systemd, got admin, web" in server.log


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
