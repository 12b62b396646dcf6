"""What HTTP/2 promises to clients, under every worker that serves it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import Iterator, List, Tuple

import pytest
from hyperframe.frame import SettingsFrame

from protocols.fronts import HOST, WITH_HTTP2, WORKERS
from protocols.http2_client import Http2Client
from support import ServerProcess, soak_seconds

APPS = """
import asyncio
import os
import threading
import time

FULL = 1 << 30
released = threading.Event()
PIECE = b"x" * 65536


def app(environ, start_response):
    path = environ["PATH_INFO"]
    kind = [("Content-Type", "text/plain")]
    body = [path.encode()]
    if path == "/sleep":
        time.sleep(0.5)
    elif path == "/read":
        environ["wsgi.input"].read()
    elif path == "/count":
        size = 0
        while True:
            part = environ["wsgi.input"].read(65536)
            if not part:
                break
            size += len(part)
        body = [b"%d" % size]
    elif path == "/unread":
        while not os.path.exists("released"):
            time.sleep(0.02)
    elif path == "/give":
        kind.append(("Content-Length", environ["QUERY_STRING"]))
        body = (PIECE for _ in range(int(environ["QUERY_STRING"]) // len(PIECE)))
    elif path == "/trailers":
        environ["server.send_trailers"]([("checksum", "abc")])
        if environ["QUERY_STRING"]:
            kind.append(("Content-Length", str(len(body[0]))))
    elif path == "/hints":
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    elif path == "/priority":
        body = [repr(environ["server.priority"]).encode()]
    elif path == "/nothing":
        start_response("204 No Content", [])
        return []
    elif path == "/pid":
        body = [b"%d" % os.getpid()]
    start_response("200 OK", kind)
    return body


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    path, query = scope["path"], scope["query_string"]
    body, status, trailers = path.encode(), 200, False
    headers = [(b"content-type", b"text/plain")]
    if path == "/sleep":
        await asyncio.sleep(0.5)
    elif path in ("/read", "/count"):
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if path == "/count":
            body = b"%d" % size
    elif path == "/unread":
        while not os.path.exists("released"):
            await asyncio.sleep(0.02)
    elif path == "/give":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", query)]})
        for _ in range(int(query) // len(PIECE)):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})
        return
    elif path == "/trailers":
        trailers = True
        if query:
            headers.append((b"content-length", b"%d" % len(body)))
    elif path == "/hints":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    elif path == "/priority":
        told = scope["extensions"]["http.response.priority"]
        body = repr((told["urgency"], told["incremental"])).encode()
    elif path == "/nothing":
        status, body = 204, b""
    elif path == "/pid":
        body = b"%d" % os.getpid()
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": trailers})
    await send({"type": "http.response.body", "body": body})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"checksum", b"abc")]})
"""

CLEAR = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
THREADS = 12  # of gthread: streams that block and one more
GIBIBYTE = 1 << 30
WARM_UP = 2 << 20  # octets each way before memory is looked at
ALLOWED_GROWTH = 4 << 20  # octets of resident memory that a transfer of any size may add


def serve(worker: str, *arguments: str, **options: object) -> ServerProcess:
    """The application of this module by HTTP/2 in clear."""
    threads = ["--threads", str(THREADS)] if worker == "gthread" else []
    command = [*WORKERS[worker], *threads, *CLEAR, *arguments]
    return ServerProcess(command, app=APPS, **options)  # type: ignore[arg-type]


def connect(server: ServerProcess, **options: object) -> Http2Client:
    """A connection to the first listener."""
    return Http2Client((server.host, server.port), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=WITH_HTTP2)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with serve(request.param) as process:
        yield process


def test_a_stream_that_sleeps_holds_up_none_of_seven_others(server: ServerProcess) -> None:
    with connect(server) as client:
        sleeper = client.ask("/sleep")
        others = [client.ask(f"/{number}") for number in range(7)]
        client.wait(sleeper, *others)
        assert client.order[-1] == sleeper
        assert [bytes(client.streams[stream].body) for stream in others] == [b"/%d" % number for number in range(7)]


def test_uploads_nobody_reads_stop_at_their_window_and_hold_up_no_other_stream(server: ServerProcess) -> None:
    released = server.cwd / "released"
    with connect(server) as client:
        client.until(lambda: SettingsFrame.INITIAL_WINDOW_SIZE in client.settings)
        blocked = [client.ask("/unread", "POST", end=False) for _ in range(8)]
        for stream in blocked:
            assert client.fill(stream) <= client.settings[SettingsFrame.INITIAL_WINDOW_SIZE]
        assert client.window > 0, "eight uploads that stopped used up the connection's window"
        other = client.ask("/read", "POST", end=False)
        client.upload(other, 300_000)
        client.wait(other)
        assert client.streams[other].status == 200
        assert not any(client.streams[stream].ended for stream in blocked)
        try:
            released.touch()
            client.wait(*blocked)
            assert {client.streams[stream].status for stream in blocked} == {200}
        finally:
            released.unlink()


@pytest.mark.parametrize("query", ["", "?length"])
def test_trailers_end_a_response(server: ServerProcess, query: str) -> None:
    with connect(server) as client:
        stream = client.ask("/trailers" + query)
        client.wait(stream)
        answer = client.streams[stream]
        assert (answer.status, bytes(answer.body), answer.trailers) == (200, b"/trailers", {"checksum": "abc"})
        assert not query or answer.headers["content-length"] == "9"


def test_early_hints_head_and_no_content(server: ServerProcess) -> None:
    with connect(server) as client:
        hints, head, nothing = client.ask("/hints"), client.ask("/x", "HEAD"), client.ask("/nothing")
        client.wait(hints, head, nothing)
        assert (client.streams[hints].early, client.streams[hints].status) == ([103], 200)
        assert (client.streams[head].status, client.streams[head].received) == (200, 0)
        assert (client.streams[nothing].status, client.streams[nothing].received) == (204, 0)


def test_the_priority_is_offered_to_the_application(server: ServerProcess) -> None:
    with connect(server) as client:
        stream = client.ask("/priority", headers=[("priority", "u=1, i")])
        client.wait(stream)
        assert bytes(client.streams[stream].body) == b"(1, True)"


def test_rapid_resets_are_answered_with_enhance_your_calm_and_others_are_served(server: ServerProcess) -> None:
    with connect(server) as client, connect(server) as other:
        with pytest.raises(ConnectionError):
            _reset_rapidly(client)
        assert [code for _, code in client.goaways] == [11]
        stream = other.ask("/after")
        other.wait(stream)
        assert bytes(other.streams[stream].body) == b"/after"


def _reset_rapidly(client: Http2Client) -> None:
    for _ in range(100):
        for _ in range(50):
            client.reset(client.ask("/nothing"))
        client.settle()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_no_stream_is_lost_when_the_worker_goes(worker: str, how: int) -> None:
    with serve(worker) as server, connect(server) as client:
        running = [client.ask("/sleep") for _ in range(4)]
        upload = client.ask("/count", "POST", end=False)
        client.settle()
        server.send_signal(how)
        client.until(lambda: bool(client.goaways))
        assert client.goaways == [(2**31 - 1, 0)], "the first GOAWAY refuses nothing"
        late = client.ask("/late")  # sent before the second GOAWAY can be known of
        client.upload(upload, 100_000)
        client.wait(*running, upload)
        assert all(client.streams[stream].status == 200 for stream in running)
        assert bytes(client.streams[upload].body) == b"100000"
        assert client.closed()
        last, code = client.goaways[-1]
        assert code == 0
        assert client.streams[late].ended or last < late, "a stream is answered, or said to be unprocessed"


@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_what_a_client_still_sends_at_the_end_does_not_reset_the_connection(worker: str) -> None:
    with serve(worker) as server, connect(server) as client:
        client.wait(client.ask("/x"))
        server.send_signal(signal.SIGTERM)
        assert client.closed()
        for _ in range(3):
            client.credit(1)
            assert client.sock.recv(1) == b"", "an end, and no reset"


@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_no_stream_is_lost_by_max_requests(worker: str) -> None:
    served: List[bytes] = []
    with serve(worker, "--max-requests", "10") as server:
        while len(server.booted_pids()) < 3:
            with connect(server) as client:
                asked = [client.ask("/pid") for _ in range(4)]
                client.wait(*asked)
                assert {client.streams[stream].status for stream in asked} == {200}
                served += [bytes(client.streams[stream].body) for stream in asked]
    assert len(set(served)) >= 2


SETTINGS = {
    "--http2-max-concurrent-streams": (SettingsFrame.MAX_CONCURRENT_STREAMS, 7),
    "--http2-initial-window-size": (SettingsFrame.INITIAL_WINDOW_SIZE, 70_000),
    "--http2-max-frame-size": (SettingsFrame.MAX_FRAME_SIZE, 20_000),
    "--http2-max-header-list-size": (SettingsFrame.MAX_HEADER_LIST_SIZE, 5_000),
}


@pytest.mark.parametrize("worker", ["gthread", "gevent", "asgi"])
def test_every_setting_is_announced_and_kept(worker: str) -> None:
    arguments = [word for flag, (_, value) in SETTINGS.items() for word in (flag, str(value))]
    with serve(worker, *arguments) as server:
        with connect(server) as client:
            client.settle()
            assert {key: client.settings[key] for key, _ in SETTINGS.values()} == dict(SETTINGS.values())
            streams = [client.ask("/read", "POST", end=False) for _ in range(8)]
            client.wait(streams[-1])
            assert client.streams[streams[-1]].reset == 7  # REFUSED_STREAM
        with connect(server) as client:
            client.ask("/", headers=[("large", "x" * 500)] * 12)
            assert client.closed()
            assert client.goaways[-1][1] == 11  # ENHANCE_YOUR_CALM, before the rest is decoded
        with connect(server) as client:
            stream = client.ask("/read", "POST", end=False)
            client.data(stream, b"x" * 20_001)
            assert client.closed()
            assert client.goaways[-1][1] == 6  # FRAME_SIZE_ERROR


def test_a_worker_without_http2_says_so() -> None:
    with serve("sync") as server:
        server.wait_for_log("the worker class 'sync' serves HTTP/1 only")
        assert server.get().status == 200


def _highest(pid: int) -> int:
    """The most octets that were ever resident."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


@pytest.mark.soak
@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_transfers_of_up_to_a_gibibyte_leave_memory_flat(worker: str) -> None:
    share = soak_seconds() / 2
    with serve(worker) as server, connect(server, discard=True) as client:
        pid = server.booted_pids()[0]
        _transfer(client, WARM_UP, 60.0)
        before = _highest(pid)
        up, down = _transfer(client, GIBIBYTE, share)
        grown = _highest(pid) - before
        print(f"{worker}: {up >> 20} MiB up, {down >> 20} MiB down, highest resident memory grew by {grown >> 10} KiB")
        assert grown < ALLOWED_GROWTH


def _transfer(client: Http2Client, octets: int, seconds: float) -> Tuple[int, int]:
    """One upload and one download of so many octets, each ended early after so many seconds; what was carried."""
    upload = client.ask("/count", "POST", end=False)
    sent, until = 0, time.monotonic() + seconds
    while sent < octets and time.monotonic() < until:
        sent += client.send_some(upload, octets - sent)
    client.data(upload, b"", end=True)
    client.wait(upload)
    assert client.streams[upload].tail == str(sent).encode()
    download = client.ask(f"/give?{octets}")
    answer, until = client.streams[download], time.monotonic() + seconds
    client.until(lambda: answer.ended or time.monotonic() >= until)
    if not answer.ended:
        client.reset(download)
        client.settle()
    return sent, answer.received


def test_h2load_loses_nothing(server: ServerProcess) -> None:
    if shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    command = ["h2load", "-n", "500", "-c", "4", "-m", "16", f"http://{HOST}:{server.port}/x"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "500 succeeded, 0 failed, 0 errored, 0 timeout" in told
