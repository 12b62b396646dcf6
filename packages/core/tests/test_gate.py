"""What a worker answers by itself, and when octets arrived."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any, Iterator, List, Optional, Tuple

import pytest

from server_core.drive import arrival
from server_core.drive.arrival import Arrivals, is_timed, shares_clock, told_wait
from server_core.drive.gate import Gate, make_gate
from server_core.errors import ConfigError
from server_core.scoreboard import detached_slot
from server_core.scoreboard import layout as at
from server_core.settings import Settings
from server_http.engine import ConnectionInfo
from server_http.events import Request

LOCAL = ConnectionInfo(("127.0.0.1", 4000), ("127.0.0.1", 80))
REMOTE = ConnectionInfo(("192.0.2.7", 4000), ("127.0.0.1", 80))
UNIX = ConnectionInfo(None, ("/run/socket", None))


class Log:
    def __init__(self) -> None:
        self.lines: List[str] = []

    def warning(self, message: str, *values: Any) -> None:
        self.lines.append(message % values)

    info = warning


class Worker:
    """What a gate asks of a worker."""

    def __init__(self, **values: Any) -> None:
        self.cfg = Settings.make(**values)
        self.log = Log()
        self.board = detached_slot()


def request(path: bytes, method: str = "GET", since: float = 0.0) -> Request:
    made = Request(1, method, path, "1.1")
    made.queued_since = since
    return made


def overloaded(**values: Any) -> Tuple[Gate, Worker]:
    """A gate in an overload that began at 1.0, with a target of 0.5 seconds."""
    worker = Worker(max_queue_time=0.5, **values)
    gate = Gate(worker)
    for now in (0.4, 0.6, 0.8):
        assert gate.refuses(request(b"/"), REMOTE, 0.6, now) is None
    assert gate.refuses(request(b"/"), REMOTE, 0.6, 1.0) is not None
    return gate, worker


def test_without_its_settings_a_worker_has_no_gate() -> None:
    assert make_gate(Worker()) is None
    assert make_gate(Worker(health_path="/")) is not None
    assert make_gate(Worker(max_queue_time=1)) is not None


@pytest.mark.parametrize(
    ("prefix", "live", "other"),
    [("/", b"/livez", b"/x/livez"), ("/-/", b"/-/livez", b"/livez"), ("/-", b"/-/livez", b"/-livez")],
)
def test_health_is_answered_below_its_path_only(prefix: str, live: bytes, other: bytes) -> None:
    gate = Gate(Worker(health_path=prefix))
    assert gate.health(request(other)) is None
    assert gate.health(request(live, "POST")) is None
    for method in ("GET", "HEAD"):
        page = gate.health(request(live, method))
        assert page is not None
        assert (page[0], page[2]) == (200, b"ok\n")
        assert (b"Cache-Control", b"no-store") in page[1]


def test_ready_is_what_the_arbiter_says_and_live_is_who_answers() -> None:
    worker = Worker(health_path="/")
    gate = Gate(worker)
    for readiness, status, text in ((at.STARTING, 503, b"starting\n"), (at.SERVING, 200, b"ok\n"), (at.ENDING, 503, b"stopping\n")):  # fmt: skip  # noqa: E501 - a table
        worker.board.board.set_readiness(readiness)
        ready, live = gate.health(request(b"/readyz")), gate.health(request(b"/livez"))
        assert ready is not None
        assert live is not None
        assert (ready[0], ready[2], live[0]) == (status, text, 200)


@pytest.mark.parametrize("value", ["livez", "health/", "http://x/"])
def test_a_path_begins_with_a_slash(value: str) -> None:
    with pytest.raises(ConfigError, match="health_path: expected a path that begins with '/'"):
        Settings.make(health_path=value)
    with pytest.raises(ConfigError, match="max_queue_time_exempt"):
        Settings.make(max_queue_time_exempt=value)


def test_a_refusal_is_503_with_retry_after_and_is_counted() -> None:
    gate, worker = overloaded()
    page = gate.refuses(request(b"/"), REMOTE, 0.7, 1.1)
    assert page is not None
    status, headers, body = page
    assert status == 503
    assert (b"Retry-After", b"1") in headers
    assert (b"Content-Length", b"%d" % len(body)) in headers
    counters = worker.board.board.reader().counters(0)
    assert (counters.shed, counters.codes[503], counters.running) == (2, 2, 0)


def test_an_overload_is_logged_when_it_begins_and_when_it_ends() -> None:
    gate, worker = overloaded()
    for n in range(20):
        gate.refuses(request(b"/"), REMOTE, 0.7, 1.1 + n * 0.01)
    assert worker.log.lines == ["Overload: requests wait for longer than 0.5 s; refusing those."]
    gate.refuses(request(b"/"), REMOTE, 0.0, 7.0)
    assert worker.log.lines[1:] == ["Overload is over: 21 requests were refused in 6.0 s."]


def test_named_paths_are_never_refused_and_say_nothing_of_the_queue() -> None:
    gate, _ = overloaded(max_queue_time_exempt="/health,/admin")
    assert gate.refuses(request(b"/healthz"), REMOTE, 9.0, 1.1) is None
    assert gate.refuses(request(b"/admin/page"), REMOTE, 9.0, 1.1) is None
    assert gate.refuses(request(b"/other"), REMOTE, 9.0, 1.1) is not None


def test_a_proxy_on_this_machine_is_believed_about_the_queue_and_another_clock_is_not() -> None:
    long_ago = time.time() - 60
    for info, counts in ((LOCAL, True), (UNIX, True), (REMOTE, False)):
        gate, _ = overloaded()
        assert (gate.refuses(request(b"/", since=long_ago), info, 0.0, 1.1) is not None) is counts
        assert shares_clock(info) is counts


def test_a_clock_that_cannot_be_right_says_nothing() -> None:
    now = time.time()
    assert told_wait(now - 2.0) == pytest.approx(2.0, abs=1.0)
    assert told_wait(now + 60.0) == 0.0
    assert told_wait(now - 2 * arrival.PLAUSIBLE_SECONDS) == 0.0


# --- arrival ----------------------------------------------------------------------------------------------------------


class Kernel:
    """A socket of which TCP_INFO says that data came so long ago, in milliseconds; None for an error."""

    def __init__(self, milliseconds: Optional[int]) -> None:
        self.milliseconds = milliseconds

    def getsockopt(self, level: int, option: int, octets: int) -> bytes:
        assert (level, octets) == (socket.IPPROTO_TCP, 56)
        if self.milliseconds is None:
            raise OSError("gone")
        return bytes(52) + self.milliseconds.to_bytes(4, sys.byteorder)


def test_while_nothing_waits_the_kernel_is_asked_now_and_then_and_while_something_does_each_time() -> None:
    arrivals = Arrivals()
    assert arrivals.waited(Kernel(0), 5.0) == 0.0
    assert arrivals.due == 5.0 + arrival.PROBE_SECONDS
    assert arrivals.waited(Kernel(250), 5.2) == 0.25
    assert arrivals.due == 5.2
    assert arrivals.waited(Kernel(8), 5.25) == 0.008
    assert arrivals.due == 5.25
    assert arrivals.waited(Kernel(4), 5.3) == 0.004
    assert arrivals.due > 5.3


def test_what_the_first_poll_of_all_reports_came_when_it_was_made() -> None:
    arrivals = Arrivals()
    arrivals.polled(3600.0, 3600.0, False)
    assert arrivals.reported(3600.25) == 0.25


def test_a_connection_that_is_gone_has_waited_for_nothing() -> None:
    assert Arrivals().waited(Kernel(None), 1.0) == 0.0


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    yield client, server
    for sock in (listener, client, server):
        sock.close()


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO of Linux")
def test_the_kernel_knows_how_long_octets_were_there(pair: Tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    began = time.monotonic()
    client.sendall(b"x")
    arrivals = Arrivals()
    while arrivals.waited(server, 0.0) < 0.1:
        assert time.monotonic() - began < 10
    assert time.monotonic() - began >= 0.08, "the clock of the kernel counts in steps of some milliseconds"

    def newly_arrived() -> float:
        client.sendall(b"y")
        return arrivals.waited(server, 0.0)

    assert min(newly_arrived() for _ in range(5)) < 0.1
    assert is_timed(LOCAL)
    assert not is_timed(UNIX)


def test_of_what_two_polls_close_together_had_between_them_the_middle_is_told() -> None:
    arrivals = Arrivals()
    assert arrivals.reported(5.0) == 0.0, "nobody polls"
    arrivals.polled(1.0, 1.0, False)
    arrivals.polled(1.004, 1.004, False)
    assert arrivals.close
    assert arrivals.reported(1.004) == pytest.approx(0.002)
    assert arrivals.reported(1.104) == pytest.approx(0.102)
    arrivals.polled(1.104, 1.104, False)
    assert not arrivals.close, "after a long pause only the kernel knows"
    assert arrivals.reported(1.104) == pytest.approx(0.05)


def test_a_poll_that_had_to_wait_reports_what_came_just_now() -> None:
    arrivals = Arrivals()
    arrivals.polled(1.0, 1.0, False)
    arrivals.polled(1.2, 1.206, False)
    assert arrivals.close
    assert arrivals.reported(1.207) == pytest.approx(0.001)


def test_what_an_earlier_poll_left_over_is_not_taken_for_new() -> None:
    arrivals = Arrivals()
    arrivals.polled(1.0, 1.0, False)
    arrivals.polled(1.1, 1.1, False)
    arrivals.polled(1.101, 1.101, True)
    assert not arrivals.close
    arrivals.polled(1.102, 1.102, False)
    assert arrivals.close
