"""The asgi worker as a process: loops, lifespan, stop, fairness, transports."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import signal
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from support import RawClient, ServerProcess, until

APP = (Path(__file__).parent / "asgi_app.py").read_text()
GET = "GET {} HTTP/1.1\r\nHost: h\r\n\r\n"


def serve(*args: str, **options: Any) -> ServerProcess:
    workers = int(args[args.index("-w") + 1]) if "-w" in args else 1
    return ServerProcess(["app:app", "-k", "asgi", *args], app=APP, workers=workers, **options)


@pytest.fixture
def events(tmp_path: Path) -> Any:
    path = tmp_path / "events"
    path.touch()

    def read() -> List[str]:
        return path.read_text().split("\n")[:-1]

    read.env = {"EVENTS": str(path)}  # type: ignore[attr-defined]
    return read


@pytest.mark.parametrize(("name", "module"), [("asyncio", b"asyncio.unix_events"), ("uvloop", b"uvloop")])
def test_the_loop_is_the_one_that_was_asked_for(name: str, module: bytes) -> None:
    with serve("--asgi-loop", name) as server:
        assert server.get("/loop").body == module
        assert server.stop() == 0


def test_a_loop_of_ones_own() -> None:
    factory = "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\n"
    with serve("--asgi-loop", "own_loop:Loop", files={"own_loop.py": factory}) as server:
        assert server.get("/loop").body == b"own_loop"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reset_that_came_together_with_octets_is_noticed_at_once(loop: str, events: Any) -> None:
    whole = b"GET /until-gone HTTP/1.1\r\nHost: h\r\n\r\n"
    part = b"POST /until-gone HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000
    with serve("--asgi-loop", loop, "--body-timeout", "60", env=events.env) as server:
        for request in (whole, part) * 10:
            with server.client() as client:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.send(request)
        until(lambda: events().count("gone") == 20, 10)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reset_behind_a_part_of_a_head_is_noticed_at_once(loop: str, events: Any) -> None:
    with serve("--asgi-loop", loop, env=events.env) as server:
        worker = server.booted_pids()[0]
        with server.client() as client:
            client.send(GET.format("/").encode())
            client.read_answer()
            os.kill(worker, signal.SIGSTOP)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(b"GET / HTTP")
        os.kill(worker, signal.SIGCONT)
        assert server.stop(timeout=10) == 0  # less than a head may take


def test_lifespan_begins_before_the_first_request_and_ends_last(events: Any) -> None:
    with serve(env=events.env) as server:
        server.get("/")
        assert events() == ["lifespan.startup"]
        with server.client() as client:
            client.send(GET.format("/slow").encode())
            until(lambda: "slow begins" in events())
            server.send_signal(signal.SIGTERM)
            assert client.read_answer().body == b"slow"
        assert server.wait() == 0
    assert events() == [
        "lifespan.startup", "slow begins", "lifespan.shutdown.notice", "slow ends", "lifespan.shutdown",
    ]  # fmt: skip


def test_a_shutdown_that_takes_too_long_ends_before_the_arbiter_kills(events: Any) -> None:
    with serve("--graceful-timeout", "2", env={**events.env, "STUCK": "1"}) as server:
        with server.client() as client:
            client.send(GET.format("/endless").encode())
            client.read_until(b"begin")
            server.send_signal(signal.SIGTERM)
            client.read_to_end()
        assert server.wait() == 0
        server.wait_for_log("[WARNING] Ending 1 requests that outlasted graceful_timeout: GET /endless")
        server.wait_for_log("lifespan shutdown: expected an answer within 0.")
        assert "SIGKILL" not in server.log
    assert events()[-2:] == ["endless ends", "lifespan.shutdown"]


def test_a_failed_startup_is_one_line_and_exit_status_3() -> None:
    with serve(env={"FAIL": "no database today"}, wait=False, clean=False) as server:
        assert server.wait() == 3
        assert "no database today" in server.log
        assert "Traceback" not in server.log


def test_int_leaves_at_once_and_skips_lifespan_shutdown(events: Any) -> None:
    with serve(env=events.env) as server:
        with server.client() as client:
            client.send(GET.format("/never-reads").encode())
            until(lambda: "never-reads begins" in events())
            began = time.monotonic()
            assert server.stop(signal.SIGINT) == 0
            assert time.monotonic() - began < 15
        assert "destroyed" not in server.log
    assert "lifespan.shutdown" not in events()


def test_streams_are_told_of_a_stop_and_those_that_know_nothing_are_ended_cleanly(events: Any) -> None:
    with serve("--graceful-timeout", "3", env=events.env) as server:
        with server.client() as told, server.client() as untold:
            told.send(GET.format("/events").encode())
            untold.send(GET.format("/endless").encode())
            told.read_until(b"begin")
            untold.read_until(b"begin")
            server.send_signal(signal.SIGTERM)
            assert told.read_to_end().endswith(b"data: end\n\n\r\n0\r\n\r\n")
            assert untold.read_to_end().endswith(b"0\r\n\r\n")
        assert server.wait() == 0
    assert sorted(events()[1:3]) == ["lifespan.shutdown.notice", "told"]
    assert events()[3:] == ["endless ends", "lifespan.shutdown"]


def test_websockets_are_closed_with_1012_one_after_another(events: Any) -> None:
    import websockets

    async def client(uri: str, ready: List[Any], ended: List[float]) -> int:
        async with websockets.connect(uri) as connection:
            await connection.send("x")
            assert await connection.recv() == "x"
            ready.append(1)
            with pytest.raises(websockets.ConnectionClosed):
                await connection.recv()
            ended.append(time.monotonic())
            return int(connection.close_code or 0)

    async def main(server: ServerProcess) -> None:
        ready: List[Any] = []
        ended: List[float] = []
        uri = f"ws://127.0.0.1:{server.port}/"
        clients = [asyncio.ensure_future(client(uri, ready, ended)) for _ in range(4)]
        while len(ready) < 4:
            await asyncio.sleep(0.01)
        server.send_signal(signal.SIGTERM)
        assert await asyncio.gather(*clients) == [1012] * 4
        assert max(ended) - min(ended) > 0.3

    with serve("--graceful-timeout", "4", env=events.env) as server:
        asyncio.run(main(server))
        assert server.wait() == 0
    assert events().count("websocket 1012") == 4
    assert events()[-1] == "lifespan.shutdown"


def test_connections_are_shared_fairly_among_workers() -> None:
    with serve("-w", "4", "--keep-alive", "20") as server:
        ready = set()
        until(lambda: ready.add(server.get("/pid").body) or len(ready) == 4)  # type: ignore[func-returns-value]
        sockets = []
        try:
            for _ in range(200):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", server.port))
                sockets.append(sock)
            counts: collections.Counter[bytes] = collections.Counter()
            for sock in sockets:
                sock.setblocking(True)
                sock.settimeout(10)
                sock.sendall(GET.format("/pid").encode())
                counts[sock.recv(65536).rpartition(b"\r\n\r\n")[2]] += 1
            assert len(counts) == 4
            assert all(40 <= count <= 60 for count in counts.values()), counts
        finally:
            for sock in sockets:
                sock.close()


def test_scope_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with serve(bind=f"unix:{path}") as server, RawClient(str(path)) as client:
        facts = json.loads(client.request("GET", "/scope").body)
        assert facts["client"] is None
        assert facts["server"] == [str(path), None]
        assert server.running


def test_root_path() -> None:
    with serve("--root-path", "/mounted") as server:
        facts = json.loads(server.get("/scope").body)
        assert (facts["root_path"], facts["path"]) == ("/mounted", "/scope")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import trustme

    folder = tmp_path_factory.mktemp("certificate")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


def test_tls_http2_serves_many_streams_of_one_connection(certificate: Path) -> None:
    httpx = pytest.importorskip("httpx")

    async def main(server: ServerProcess) -> None:
        context = ssl.create_default_context(cafile=str(certificate / "ca.pem"))
        base = f"https://localhost:{server.port}"
        async with httpx.AsyncClient(http2=True, verify=context, base_url=base) as client:
            facts = (await client.get("/scope")).json()
            assert (facts["http_version"], facts["scheme"], facts["tls"]) == ("2", "https", 0x304)
            # That the slow one holds nobody up is shown with a client of our own (tests/protocols/test_http2.py): this
            # one sometimes hands out answers it has read only when it reads again.
            slow = asyncio.ensure_future(client.get("/slow"))
            answers = await asyncio.gather(*[client.get("/") for _ in range(7)])
            assert [answer.text for answer in answers] == ["hello"] * 7
            assert (await slow).text == "slow"
            body = bytes(range(256)) * 4096
            assert (await client.post("/echo", content=body)).content == body

    pem = str(certificate / "server.pem")
    with serve("--certfile", pem, "--http-protocols", "h2,h1") as server:
        asyncio.run(main(server))
        assert server.stop() == 0


def test_access_lines_of_requests_and_websockets() -> None:
    import websockets.sync.client

    with serve("--access-logfile", "-") as server:
        server.get("/")
        with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/ws") as connection:
            connection.send("x")
            assert connection.recv() == "x"
        server.wait_for_log('"GET / HTTP/1.1" 200 5')
        server.wait_for_log('"GET /ws HTTP/1.1" 101')


def test_a_line_of_the_access_log_waits_for_no_others_in_an_idle_worker() -> None:
    with serve("--access-logfile", "-") as server:
        waited = []
        for target in ("/first", "/second", "/third", "/fourth"):
            server.get(target)
            asked = time.monotonic()
            server.wait_for_log(f'"GET {target} HTTP/1.1"')
            waited.append(time.monotonic() - asked)
        # Written by what a worker does once a second, each behind the first would take that.
        assert min(waited[1:]) < 0.6


def test_a_worker_without_room_leaves_connections_in_the_backlog() -> None:
    with serve("--worker-connections", "2") as server, server.client() as first, server.client() as second:
        assert first.request("GET", "/").status == second.request("GET", "/").status == 200
        with server.client() as third:
            third.send(GET.format("/").encode())
            first.close()
            assert third.read_answer().status == 200
