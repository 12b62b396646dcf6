"""What HTTP/2 promises to clients, under every worker that serves it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from typing import Iterator, List, Tuple

import pytest
from hyperframe.frame import SettingsFrame

from protocols.fronts import HOST, WITH_HTTP2
from protocols.http2_apps import connect, memory_of, serve
from protocols.http2_client import Http2Client
from support import ServerProcess, best_of, soak_seconds, until

PROMPT = 0.05  # seconds that seven short answers take beside one that takes half a second
GIBIBYTE = 1 << 30
WARM_UP = 2 << 20  # octets each way before memory is looked at
ALLOWED_GROWTH = 4 << 20  # octets of resident memory that a transfer of any size may add


@pytest.fixture(scope="module", params=WITH_HTTP2)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with serve(request.param) as process:
        yield process


def test_a_stream_that_sleeps_holds_up_none_of_seven_others(server: ServerProcess) -> None:
    def seconds_of_seven() -> float:
        began = time.perf_counter()
        sleeper = client.ask("/sleep")
        others = [client.ask(f"/{number}") for number in range(7)]
        client.wait(*others)
        taken = time.perf_counter() - began
        slept = client.streams[sleeper].ended
        assert [bytes(client.streams[stream].body) for stream in others] == [b"/%d" % n for n in range(7)]
        client.wait(sleeper)
        return float("inf") if slept else taken

    with connect(server) as client:
        best_of(seconds_of_seven, lambda taken: taken < PROMPT, attempts=10)


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


def test_malformed_trailers_reset_their_stream(server: ServerProcess) -> None:
    with connect(server) as client:
        stream = client.ask("/malformed-trailers")
        client.wait(stream)
        assert (client.streams[stream].status, client.streams[stream].reset) == (200, 2)  # INTERNAL_ERROR


def test_early_hints_and_responses_without_content(server: ServerProcess) -> None:
    with connect(server) as client:
        hints, head, nothing = client.ask("/hints"), client.ask("/x", "HEAD"), client.ask("/nothing")
        unmodified = client.ask("/unmodified")
        client.wait(hints, head, nothing, unmodified)
        assert (client.streams[hints].early, client.streams[hints].status) == ([103], 200)
        assert (client.streams[head].status, client.streams[head].received) == (200, 0)
        assert (client.streams[nothing].status, client.streams[nothing].received) == (204, 0)
        assert (client.streams[unmodified].status, client.streams[unmodified].received) == (304, 0)
        assert client.streams[unmodified].headers["etag"] == '"a"'
        assert "content-length" not in client.streams[nothing].headers


def test_connect_is_a_tunnel_where_the_application_opens_it(server: ServerProcess) -> None:
    with connect(server) as client:
        refused, tunnel = client.ask_tunnel("elsewhere:1"), client.ask_tunnel("upper:1")
        client.wait(refused)
        assert (client.streams[refused].status, client.streams[refused].received) == (403, 0)
        answer = client.streams[tunnel]
        client.data(tunnel, b"here")
        client.until(lambda: answer.body == b"HERE")
        client.data(tunnel, b" and back")
        client.until(lambda: answer.body == b"HERE AND BACK")
        client.data(tunnel, b"", end=True)
        client.wait(tunnel)
        assert (answer.status, answer.ended, answer.reset) == (200, True, None)


def test_a_half_closed_client_is_answered_and_holds_up_nobody(server: ServerProcess) -> None:
    with connect(server, credits=False) as client, connect(server) as other:
        client.until(lambda: bool(client.settings))
        sleeper = client.ask("/sleep")
        client.sock.shutdown(socket.SHUT_WR)
        prompt = other.ask("/x")
        other.wait(prompt)
        client.wait(sleeper)
        assert [other.streams[prompt].status, client.streams[sleeper].status] == [200, 200]


def test_connect_is_answered_where_no_thread_is_left_for_a_tunnel() -> None:
    """A body of unknown length is waited for then, and the octets of a tunnel come behind the answer or never."""
    with serve("gthread", "--threads", "1") as server, connect(server) as client:
        tunnel, refused = client.ask_tunnel("upper:1"), client.ask_tunnel("elsewhere:1")
        client.wait(tunnel, refused)
        assert [client.streams[stream].status for stream in (tunnel, refused)] == [200, 403]


def test_an_extended_connect_for_what_is_not_served_is_refused(server: ServerProcess) -> None:
    with connect(server) as client:
        stream = client.ask("/x", "CONNECT", end=False, protocol="connect-udp")
        client.wait(stream)
        announced = client.settings.get(SettingsFrame.ENABLE_CONNECT_PROTOCOL, 0)
        answer = client.streams[stream]
        # WSGI knows no WebSocket: nothing is announced, and what was not announced is malformed (PROTOCOL_ERROR).
        assert (announced, answer.status, answer.reset) in ((1, 501, None), (0, 0, 1))
        assert announced == ("asgi" in server.log)


QUEUED = 65536  # octets of a response that the server takes from an application that nobody reads


def _queue(server: ServerProcess, client: Http2Client, priorities: List[str]) -> List[int]:
    """Ask for responses on closed windows, with these ``priority`` fields; each then waits in the server."""
    wanted = _given(server) + len(priorities)
    streams = [client.ask(f"/give?{QUEUED}", headers=[("priority", one)] if one else []) for one in priorities]
    until(lambda: _given(server) == wanted, what="the server has all responses")
    client.until(lambda: all(client.streams[stream].status for stream in streams))
    client.credit(1 << 20)
    return streams


def _given(server: ServerProcess) -> int:
    return int(server.get("/given").body)


def _open_windows(client: Http2Client) -> None:
    """Open the windows of all streams at once."""
    client.sock.sendall(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 20}).serialize())


CLOSED_WINDOWS = {SettingsFrame.INITIAL_WINDOW_SIZE: 0}


def test_responses_of_several_streams_take_turns(server: ServerProcess) -> None:
    with connect(server, settings=CLOSED_WINDOWS) as client:
        streams = _queue(server, client, [""] * 4)
        _open_windows(client)
        client.wait(*streams)
        for place in range(4):  # each has its turn in every round of four
            assert sorted(client.turns[4 * place : 4 * place + 4]) == streams, client.turns


def test_priorities_decide_who_goes_first_by_header_and_by_frame(server: ServerProcess) -> None:
    with connect(server, settings=CLOSED_WINDOWS) as client:
        last, first, between = _queue(server, client, ["u=5", "u=1", "u=3"])
        _open_windows(client)
        client.wait(last, first, between)
        assert client.turns == [first] * 4 + [between] * 4 + [last] * 4
    with connect(server, settings=CLOSED_WINDOWS) as client:
        last, first, between = _queue(server, client, ["u=1", "u=5", "u=2"])
        client.prioritize(last, "u=6")
        client.prioritize(first, "u=0")
        _open_windows(client)
        client.wait(last, first, between)
        assert client.turns == [first] * 4 + [between] * 4 + [last] * 4


def test_the_priority_is_offered_to_the_application(server: ServerProcess) -> None:
    with connect(server) as client:
        by_field = client.ask("/priority", headers=[("priority", "u=1, i")])
        client.prioritize(by_field + 2, "u=6, i")
        by_frame = client.ask("/priority", headers=[("priority", "u=2")])
        client.wait(by_field, by_frame)
        assert bytes(client.streams[by_field].body) == b"(1, True)"
        assert bytes(client.streams[by_frame].body) == b"(6, True)"


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


@pytest.mark.parametrize("worker", WITH_HTTP2)
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


@pytest.mark.soak
@pytest.mark.parametrize("worker", WITH_HTTP2)
def test_transfers_of_up_to_a_gibibyte_leave_memory_flat(worker: str) -> None:
    share = soak_seconds() / 2
    with serve(worker) as server, connect(server, discard=True) as client:
        _transfer(client, WARM_UP, 60.0)
        before = memory_of(server, "VmHWM")
        up, down = _transfer(client, GIBIBYTE, share)
        grown = memory_of(server, "VmHWM") - before
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


def test_an_upgrade_is_not_taken_where_only_prior_knowledge_is(server: ServerProcess) -> None:
    with server.client() as client:
        settings = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]
        answer = client.request("GET", "/after", settings)
        assert (answer.status, answer.body) == (200, b"/after")


def test_nghttp_is_served(server: ServerProcess) -> None:
    if shutil.which("nghttp") is None:
        pytest.skip("nghttp is not installed")
    command = ["nghttp", "-nv", "-m", "3", f"http://{HOST}:{server.port}/x"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert told.count(":status: 200") == 3
    assert "recv GOAWAY" not in told
    assert "recv RST_STREAM" not in told


def test_h2load_loses_nothing(server: ServerProcess) -> None:
    if shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    command = ["h2load", "-n", "500", "-c", "4", "-m", "16", f"http://{HOST}:{server.port}/x"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "500 succeeded, 0 failed, 0 errored, 0 timeout" in told
