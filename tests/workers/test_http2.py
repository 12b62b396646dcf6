"""HTTP/2 to WSGI applications: the streams of one connection run beside one another."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

import pytest

from support import ServerProcess
from workers.wsgi_apps import APPS

h2_connection = pytest.importorskip("h2.connection")
h2_events = pytest.importorskip("h2.events")

PARALLEL = ("gthread", "gevent", "eventlet")


class H2Client:
    """A cleartext HTTP/2 connection with prior knowledge, over the h2 library."""

    def __init__(self, server: ServerProcess) -> None:
        self.sock = socket.create_connection((server.host, server.port), timeout=20)
        self.h2 = h2_connection.H2Connection()
        self.h2.initiate_connection()
        self.bodies: Dict[int, bytes] = {}
        self.statuses: Dict[int, str] = {}
        self.ended: List[int] = []
        self.credits = True
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, path: str, method: str = "GET", end: bool = True) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a")]
        self.h2.send_headers(stream, head, end_stream=end)
        self.bodies[stream] = b""
        self.flush()
        return stream

    def pump(self) -> None:
        data = self.sock.recv(65536)
        assert data, "connection ended"
        for event in self.h2.receive_data(data):
            self.see(event)
        self.flush()

    def see(self, event: Any) -> None:
        if isinstance(event, h2_events.DataReceived):
            self.bodies[event.stream_id] += event.data
            if self.credits:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2_events.ResponseReceived):
            fields = {_text(name): _text(value) for name, value in event.headers}
            self.statuses[event.stream_id] = fields[":status"]
        elif isinstance(event, h2_events.StreamEnded):
            self.ended.append(event.stream_id)

    def wait(self, *streams: int) -> None:
        while not set(streams) <= set(self.ended):
            self.pump()

    def upload(self, stream: int, body: bytes) -> None:
        while body:
            room = min(self.h2.local_flow_control_window(stream), 16384, len(body))
            if not room:
                self.pump()
                continue
            self.h2.send_data(stream, body[:room])
            body = body[room:]
            self.flush()
        self.h2.end_stream(stream)
        self.flush()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.sock.close()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def serve(worker: str, threads: int = 4) -> ServerProcess:
    options = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
    return ServerProcess(
        ["app:app", "-k", worker, "--threads", str(threads if worker == "gthread" else 1), *options], app=APPS
    )


@pytest.mark.parametrize("worker", PARALLEL)
def test_streams_of_one_connection_run_at_the_same_time(worker: str) -> None:
    with serve(worker) as server, H2Client(server) as client:
        streams = [client.ask("/meet"), client.ask("/meet")]
        client.wait(*streams)
        assert [client.bodies[stream] for stream in streams] == [b"met", b"met"]


@pytest.mark.parametrize("worker", PARALLEL)
def test_uploads_and_downloads_larger_than_all_windows_arrive_whole(worker: str) -> None:
    body = bytes(range(256)) * 2000
    with serve(worker) as server, H2Client(server) as client:
        large, echo = client.ask("/large?20"), client.ask("/echo", "POST", end=False)
        client.upload(echo, body)
        client.wait(large, echo)
        assert client.bodies[large] == b"x" * 65536 * 20
        assert client.bodies[echo] == body


@pytest.mark.parametrize("worker", PARALLEL)
def test_a_stream_that_is_not_read_does_not_hold_up_the_others(worker: str) -> None:
    with serve(worker) as server, H2Client(server) as client:
        client.h2.increment_flow_control_window(10_000_000)
        client.credits = False
        blocked = client.ask("/large?40")
        while len(client.bodies[blocked]) < 65535:
            client.pump()
        other = client.ask("/hello")
        client.wait(other)
        assert client.bodies[other] == b"hello"
        client.h2.increment_flow_control_window(10_000_000, blocked)
        client.flush()
        client.wait(blocked)
        assert client.bodies[blocked] == b"x" * 65536 * 40


@pytest.mark.parametrize("worker", PARALLEL)
def test_a_reset_stream_ends_its_application_and_no_other(worker: str) -> None:
    with serve(worker) as server, H2Client(server) as client:
        stream = client.ask("/large?4000")
        client.pump()
        client.h2.reset_stream(stream)
        client.flush()
        other = client.ask("/hello")
        client.wait(other)
        assert client.statuses[other] == "200"
        assert "Traceback" not in server.log
