"""The small parts of the drivers: timers, bodies, spools, pollers, accepting."""

from __future__ import annotations

import io
import os
import select
import socket
import sys
import threading
import time
import weakref
from typing import Any, Iterator, List, Tuple

import pytest

from server_core.drive.accept import UNEVENNESS, Acceptor
from server_core.drive.body import JOIN_MAX, NO_ROOM, TAKEN, TOO_LARGE, CollectedBody, Spool, SpoolBudget, StreamedBody
from server_core.drive.clientsocket import ClientSocket, accept, close, shut_down
from server_core.drive.clock import monotonic
from server_core.drive.linger import LINGER_OCTETS, LINGER_SECONDS, Linger
from server_core.drive.poller import GONE, READ, WRITE, PollPoller, make_poller
from server_core.drive.sockio import transmit
from server_core.drive.timers import GRANULARITY, TimerWheel
from server_core.drive.turn import make_turn
from server_core.drive.wsgi import file_region


class Armed:
    """What a wheel holds."""

    def __init__(self) -> None:
        self.armed = 0


class Silent:
    """A log and a poller that take everything."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


# Timers


def test_nothing_fires_early_and_everything_within_a_tick() -> None:
    wheel, item = TimerWheel(), Armed()
    wheel.arm(item, 10.0)
    assert wheel.due(10.0 - 0.001) == []
    assert wheel.due(10.0 + GRANULARITY) == [item]
    assert item.armed == 0


def test_a_later_deadline_changes_nothing_and_an_earlier_one_fires_once() -> None:
    wheel, item = TimerWheel(), Armed()
    wheel.arm(item, 10.0)
    wheel.arm(item, 20.0)
    wheel.arm(item, 5.0)
    assert wheel.due(6.0) == [item]
    assert wheel.due(30.0) == []


def test_what_is_over_is_not_kept_until_it_would_be_due() -> None:
    wheel, item = TimerWheel(), Armed()
    wheel.disarm(item)
    wheel.arm(item, 10.0)
    wheel.arm(item, 5.0)
    kept = weakref.ref(item)
    wheel.disarm(item)
    assert item.armed == 0
    del item
    assert kept() is None
    assert wheel.due(30.0) == []


def test_the_wheel_tells_when_it_is_due_next() -> None:
    wheel, item = TimerWheel(), Armed()
    assert wheel.deadline() is None
    wheel.arm(item, 3.0)
    assert 3.0 <= wheel.deadline() <= 3.0 + GRANULARITY


# Bodies


def test_a_small_body_stays_in_memory() -> None:
    budget = SpoolBudget(10)
    body = CollectedBody(8, 0, budget)
    assert [body.write(b"abcd"), body.write(b"efgh")] == [TAKEN, TAKEN]
    assert body.input().read() == b"abcdefgh"
    assert budget.used == 0


def test_a_large_body_is_spooled_and_gives_its_room_back(tmp_path: Any) -> None:
    budget = SpoolBudget(100, str(tmp_path))
    body = CollectedBody(4, 0, budget)
    for part in (b"abc", b"def", b"g" * 10):
        assert body.write(part) == TAKEN
    assert budget.used == 16
    assert body.input().read() == b"abcdef" + b"g" * 10
    body.close()
    body.close()
    assert budget.used == 0
    assert os.listdir(tmp_path) == []


def test_a_body_above_its_limit_or_the_budget_is_not_taken() -> None:
    assert CollectedBody(4, 10, SpoolBudget(0)).write(b"x" * 11) == TOO_LARGE
    budget = SpoolBudget(10)
    body = CollectedBody(4, 0, budget)
    assert body.write(b"x" * 8) == TAKEN
    assert body.write(b"x" * 8) == NO_ROOM
    body.close()
    assert budget.used == 0


def test_a_body_that_finds_no_room_at_its_turn_to_a_file_keeps_what_it_had() -> None:
    budget = SpoolBudget(5)
    body = CollectedBody(4, 0, budget)
    assert body.write(b"abcd") == TAKEN
    assert body.write(b"efgh") == NO_ROOM
    budget.total = 100
    assert body.write(b"efgh") == TAKEN
    assert body.input().read() == b"abcdefgh"
    body.close()


def test_a_full_file_system_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    budget = SpoolBudget(0)
    spool = Spool(budget)
    monkeypatch.setattr(os, "pwrite", full)
    assert not spool.write(b"abc")
    assert budget.used == 0
    spool.close()


def test_a_directory_that_takes_no_file_is_no_room(tmp_path: Any) -> None:
    budget = SpoolBudget(0, str(tmp_path / "missing"))
    body = CollectedBody(4, 0, budget)
    assert body.write(b"x" * 8) == NO_ROOM
    (tmp_path / "missing").mkdir()
    assert body.write(b"x" * 8) == TAKEN
    body.close()
    assert budget.used == 0


def test_credit_of_a_streamed_part_comes_back_when_it_is_used_up() -> None:
    body = StreamedBody()
    body.write(b"abcd" * (JOIN_MAX // 4), JOIN_MAX)
    body.write(b"ef", 2)
    assert body.take(3) == (b"abc", 0)
    assert body.take(JOIN_MAX)[1] == JOIN_MAX
    assert body.abandon() == 2
    assert body.take(3) == (b"", 0)


def test_octets_that_come_one_by_one_do_not_wait_one_by_one() -> None:
    body = StreamedBody()
    for _ in range(JOIN_MAX):
        body.write(b"x", 1)
    assert body.take(1) == (b"x", 0)
    body.write(b"y", 1)
    assert body.take(2 * JOIN_MAX) == (b"x" * (JOIN_MAX - 1), JOIN_MAX)
    assert body.take(1) == (b"y", 1)


# The clock and the turn


def test_the_clock_is_that_of_the_rest_of_python() -> None:
    before = time.monotonic()
    now = monotonic()
    assert before <= now <= time.monotonic()


def test_a_turn_is_one_threads_as_often_as_it_likes() -> None:
    turn = make_turn()
    took: List[bool] = []
    other = threading.Thread(target=lambda: took.append(turn.acquire()))
    assert turn.acquire()
    assert turn.acquire(False)
    turn.release()
    assert not in_another_thread(turn.acquire, False)
    other.start()  # waits
    turn.release()
    other.join(10)
    assert took == [True]
    assert not turn.acquire(False)


def in_another_thread(function: Any, *args: Any) -> Any:
    found: List[Any] = []
    thread = threading.Thread(target=lambda: found.append(function(*args)))
    thread.start()
    thread.join()
    return found[0]


# Pollers


@pytest.fixture(params=[make_poller, PollPoller])
def poller(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_a_stream_is_reported_once_per_change(poller: Any, pair: Tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    poller.add_stream(ours.fileno())
    assert poller.wait(1) == [(ours.fileno(), WRITE)]
    assert poller.wait(0) == []
    theirs.send(b"x")
    ((fd, mask),) = poller.wait(1)
    assert fd == ours.fileno()
    assert mask & READ
    assert poller.wait(0) == []
    assert ours.recv(10) == b"x"
    poller.rearm(fd, READ)
    theirs.send(b"y")
    ((_fd, mask),) = poller.wait(1)
    assert mask & READ


def test_a_peer_that_goes_is_reported(poller: Any, pair: Tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    poller.add_stream(ours.fileno())
    poller.wait(0)
    theirs.close()
    ((_fd, mask),) = poller.wait(1)
    assert mask & READ
    assert mask & GONE
    poller.closing(ours.fileno())


def test_a_muted_listener_is_quiet(poller: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller.add_listener(listener.fileno())
        with socket.create_connection(listener.getsockname()):
            assert poller.wait(1) == [(listener.fileno(), READ)]
            assert poller.wait(1) == [(listener.fileno(), READ)]
            poller.mute(listener.fileno(), True)
            assert poller.wait(0) == []
            poller.mute(listener.fileno(), False)
            assert poller.wait(1) == [(listener.fileno(), READ)]
        poller.remove(listener.fileno())


# Accepting


class FakeListener:
    """A listening socket under the name that ``sockets.Listener`` gives it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_worker_with_more_connections_declines_once_and_then_takes(listening: socket.socket) -> None:
    acceptor = Acceptor(FakeListener(listening), Silent(), True, Silent())
    with socket.create_connection(listening.getsockname()):
        assert acceptor.accept(0.0, 10, False, UNEVENNESS + 1, 0) == []
        assert not acceptor.unmute(0.0)
        assert acceptor.unmute(1.0)
        ((sock, info),) = acceptor.accept(1.0, 10, False, UNEVENNESS + 1, 0)
        assert info.server == listening.getsockname()
        assert info.client == sock.getpeername()
        sock.close()


def test_a_worker_alone_takes_whatever_its_number(listening: socket.socket) -> None:
    acceptor = Acceptor(FakeListener(listening), Silent(), False, Silent())
    clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
    accepted = acceptor.accept(0.0, 2, True, 100, 0)
    assert len(accepted) == 2
    assert acceptor.accept(0.0, 0, True, 100, 0) == []
    assert acceptor.muted_until > 0
    for sock in [*clients, *(sock for sock, _info in accepted)]:
        sock.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a listener cannot be shut down")
def test_a_listener_that_was_shut_down_is_not_asked_again_at_once(listening: socket.socket) -> None:
    acceptor = Acceptor(FakeListener(listening), Silent(), False, Silent())
    listening.shutdown(socket.SHUT_RDWR)
    assert acceptor.accept(5.0, 10, False, 0, 0) == []
    assert acceptor.muted_until > 5.0


@pytest.mark.skipif(sys.platform != "linux", reason="the only loopback network of which all addresses are there")
@pytest.mark.parametrize("address", ["127.0.0.9", "127.10.99.100", "127.255.200.19"])
def test_an_address_is_spelled_as_the_system_does(listening: socket.socket, address: str) -> None:
    with socket.create_connection(listening.getsockname(), source_address=(address, 0)) as client:
        connection = accept(listening, listening.fileno(), listening.family)
        assert connection is not None
        assert connection[1] == client.getsockname()
        connection[0].close()


def test_octets_that_go_out_with_the_end_reach_a_peer_that_sent_more_than_was_read(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()) as client:
        connection = accept(listening, listening.fileno(), listening.family)
        assert connection is not None
        sock = connection[0]
        client.sendall(b"nobody reads this")
        assert select.select([sock.fileno()], [], [], 5)[0]
        for segments in ([b"an "], [b"answer"], [b" in", b" parts"]):
            assert transmit(sock, sock.fileno(), segments, True, True) == len(b"".join(segments))
        shut_down(sock)
        close(sock)
        client.settimeout(5)
        assert client.recv(100) == b"an answer in parts"


# Sockets that are made when they are asked for


@pytest.fixture
def connected() -> Iterator[Tuple[ClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours.detach(), socket.AF_UNIX)
    yield client, theirs
    client.close()
    theirs.close()


def test_a_lingering_close_is_over_by_the_end_of_the_peer_or_by_its_bounds(
    pair: Tuple[socket.socket, socket.socket],
) -> None:
    ours, peer = pair
    linger = Linger(10.0)
    assert linger.until == 10.0 + LINGER_SECONDS
    peer.sendall(b"x" * LINGER_OCTETS)
    assert not linger.discard(ours, ours.fileno())
    assert not linger.discard(ours, ours.fileno())  # nothing is there
    peer.sendall(b"x")
    assert linger.discard(ours, ours.fileno())
    later = Linger(10.0)
    peer.close()
    assert later.discard(ours, ours.fileno())


def test_a_client_socket_does_what_a_socket_does(connected: Tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = connected
    fd = client.fileno()
    assert isinstance(client, socket.socket)
    client.sendall(b"from us")  # type: ignore[attr-defined]
    assert theirs.recv(16) == b"from us"
    assert client.fileno() == fd
    assert client.family == socket.AF_UNIX


@pytest.mark.parametrize("used", [False, True])
def test_a_client_socket_closes_once_and_says_so(connected: Tuple[ClientSocket, socket.socket], used: bool) -> None:
    client, theirs = connected
    if used:
        client.socket()
    fd = client.fileno()
    client.close()
    assert theirs.recv(1) == b""
    other, free = socket.socketpair()  # one of them has the number now
    assert fd in (other.fileno(), free.fileno())
    client.close()
    assert client.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        client.recv(1)  # type: ignore[attr-defined]
    with other, free:
        other.sendall(b"x")
        assert free.recv(1) == b"x"


def test_a_client_socket_that_nobody_has_is_closed() -> None:
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours.detach(), socket.AF_UNIX)
    del client
    assert theirs.recv(1) == b""
    theirs.close()


def test_what_an_application_detached_is_left_open(connected: Tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = connected
    with socket.socket(fileno=client.detach()) as taken:  # type: ignore[attr-defined]
        client.close()
        taken.sendall(b"x")
        assert theirs.recv(1) == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_accept_tells_the_address_of_the_other_end(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with listening:
        listening.setblocking(False)
        assert accept(listening, listening.fileno(), family) is None
        with socket.create_connection(listening.getsockname()[:2]) as client:
            accepted = accept(listening, listening.fileno(), family)
            assert accepted is not None
            sock, address = accepted
            assert address[:2] == client.getsockname()[:2]
            assert not os.get_inheritable(sock.fileno())
            sock.close()


# Files


def test_only_real_files_have_a_region(tmp_path: Any) -> None:
    import gzip

    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with open(path, "rb") as file:
        file.seek(4)
        assert file_region(file) == (file.fileno(), 4, 6)
    assert file_region(file) is None
    assert file_region(io.BytesIO(b"x")) is None
    with gzip.open(tmp_path / "z", "wb") as packed:
        packed.write(b"x")
    with gzip.open(tmp_path / "z", "rb") as packed:
        assert file_region(packed) is None
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb"):
        assert file_region(pipe) is None


def test_a_temporary_file_has_a_region_and_what_reads_a_part_of_a_file_has_none(tmp_path: Any) -> None:
    import tempfile

    class Part(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            return b""

    class Around:
        def __init__(self, file: Any) -> None:
            self.file = file

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"0123")
        file.seek(1)
        assert file_region(file) == (file.fileno(), 1, 3)
        assert file_region(Around(file.file)) is None
        file.seek(0)
        file.read(2)
        file.write(b"new")
        file.seek(0)
        assert file_region(file) == (file.fileno(), 0, 5)
        assert os.pread(file.fileno(), 9, 0) == b"01new"
        with Part(file.name) as part:
            assert file_region(part) is None
