"""The mechanism of the control socket and of the metrics listener: turns, limits, peers that are slow or gone."""

from __future__ import annotations

import resource
import selectors
import socket
from typing import Any, Iterator, List

import pytest

from server_core.loopserver import Client, LoopServer


class Loop:
    """The arbiter's loop, turn by turn."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def watch(self, fileobj: Any, callback: Any, events: int = selectors.EVENT_READ) -> None:
        self.selector.register(fileobj, events, callback)

    def unwatch(self, fileobj: Any) -> None:
        self.selector.unregister(fileobj)

    def turn(self) -> None:
        for key, _ in self.selector.select(0):
            key.data()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()


class Lines(Client):
    """Answers each line with itself, times ``factor``; a line is a request."""

    def __init__(self, sock: socket.socket, done: List[bytes], factor: int) -> None:
        super().__init__(sock)
        self._done = done
        self._factor = factor
        self._data = b""
        self._out = b""
        self.ticks: List[float] = []

    def receive(self, data: bytes, now: float) -> None:
        self._data += data
        self.finished = not data
        self.work(now)

    def has_work(self) -> bool:
        return b"\n" in self._data

    def work(self, now: float) -> None:
        line, newline, rest = self._data.partition(b"\n")
        if newline:
            self._data = rest
            self._done.append(line)
            self._out += line * self._factor

    def output(self) -> bytes:
        return self._out

    def sent(self, count: int) -> None:
        self._out = self._out[count:]

    def tick(self, now: float) -> None:
        self.ticks.append(now)


class Server:
    """A server of lines on a unix socket."""

    def __init__(self, path: str, limit: int = 8, factor: int = 1) -> None:
        self.loop = Loop()
        self.done: List[bytes] = []
        self.made: List[Lines] = []
        self.path = path
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        listener.bind(path)
        listener.listen(16)
        self.server = LoopServer(self.loop, listener, lambda sock: self._make(sock, factor), limit)

    def _make(self, sock: socket.socket, factor: int) -> Lines:
        self.made.append(Lines(sock, self.done, factor))
        return self.made[-1]

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.settimeout(5)
        self.loop.turn()
        return client


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = Server(str(tmp_path / "socket"))
    yield made
    made.server.close()


def test_a_connection_gets_one_request_a_turn_and_others_come_in_between(server):
    with server.connect() as flood, server.connect() as other:
        flood.sendall(b"flood\n" * 30)
        server.loop.turns(3)
        assert server.done == [b"flood"] * 3
        other.sendall(b"other\n")
        server.loop.turns(2)
        assert server.done.count(b"other") == 1
        assert len(server.done) <= 7
        assert other.recv(100) == b"other"
        server.loop.turns(30)
        assert server.done.count(b"flood") == 30
        received = b""
        while len(received) < 150:
            received += flood.recv(4096)
        assert received == b"flood" * 30


def test_nothing_more_is_carried_out_for_a_peer_that_does_not_read(tmp_path):
    server = Server(str(tmp_path / "large"), factor=1 << 20)
    with server.connect() as slow, server.connect() as other:
        slow.sendall(b"x\n" * 50)
        server.loop.turns(20)
        assert server.done == [b"x"]
        other.sendall(b"y\n")
        server.loop.turns(2)
        assert server.done == [b"x", b"y"]
        for _ in range(200):
            slow.recv(65536)
            server.loop.turn()
            if len(server.done) > 2:
                break
        assert server.done == [b"x", b"y", b"x"]
    server.server.close()


def test_who_comes_while_no_descriptor_is_left_waits_for_the_next_tick_and_costs_nothing(server):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as client, socket.socket() as highest:
        client.connect(server.path)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), before[1]))
        try:
            server.loop.turn()
            assert server.loop.selector.select(0) == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        server.server.tick(1.0)
        client.sendall(b"line\n")
        server.loop.turns(3)
        assert server.done == [b"line"]


def test_over_the_limit_whoever_has_been_quiet_for_longest_makes_room(tmp_path):
    server = Server(str(tmp_path / "few"), limit=2)
    with server.connect() as first, server.connect() as second:
        first.sendall(b"a\n")
        server.loop.turns(2)
        with server.connect() as third:
            assert second.recv(10) == b""
            third.sendall(b"in\n")
            server.loop.turns(2)
            assert (first.recv(10), third.recv(10)) == (b"a", b"in")
    server.server.close()


def test_who_made_room_in_the_same_turn_of_the_loop_has_nothing_carried_out(tmp_path):
    server = Server(str(tmp_path / "one"), limit=1)
    with server.connect() as first, socket.socket(socket.AF_UNIX) as second:
        first.sendall(b"a\nb\n")
        server.loop.turn()
        second.connect(server.path)
        seen = sorted(server.loop.selector.select(0), key=lambda item: item[0].fd)
        assert len(seen) == 2
        for key, _ in seen:  # the listener is the older descriptor
            key.data()
        assert server.done == [b"a"]
    server.server.close()


def test_whoever_takes_a_long_answer_is_not_quiet(tmp_path):
    server = Server(str(tmp_path / "reading"), limit=2, factor=1 << 20)
    with server.connect() as reading, server.connect() as quiet:
        reading.sendall(b"x\n")
        server.loop.turns(2)
        quiet.sendall(b"half a line")
        server.loop.turn()
        reading.recv(1 << 20)
        server.loop.turn()
        with server.connect():
            assert quiet.recv(10) == b""
    server.server.close()


def test_a_peer_that_has_gone_takes_nobody_along(server):
    with server.connect() as other:
        for request in (b"", b"half", b"whole\n" * 50):
            gone = server.connect()
            gone.sendall(request)
            gone.close()
        server.loop.turns(60)
        other.sendall(b"here\n")
        server.loop.turns(2)
        assert other.recv(10) == b"here"
        assert len(server.server._clients) == 1


def test_time_passes_for_every_client_and_what_has_finished_is_closed(server):
    with server.connect() as client:
        server.server.tick(12.0)
        assert server.made[0].ticks == [12.0]
        server.made[0].finished = True
        server.server.tick(13.0)
        assert client.recv(10) == b""
