"""Queue time and overload, with real processes: what is measured, who is refused, who answers for health."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import pytest

from support import RawClient, ServerProcess, best_of, free_port, request, until
from support.client import BadAnswerError, encode_request

# One request at a time, 20 ms each, whatever the worker: nothing here lets another greenlet or task run.
APP = """
import time

def work(seconds=0.02):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    elif environ["PATH_INFO"] == "/break":
        raise RuntimeError("the application is broken")
    else:
        work()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/sleep":
        import asyncio
        await asyncio.sleep(float(scope["query_string"]))
    elif scope["path"] == "/break":
        raise RuntimeError("the application is broken")
    else:
        work()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""

SERVICE = 0.02  # seconds
ATTEMPTS = 5

WORKERS: Dict[str, Tuple[str, ...]] = {
    "sync": ("app:wsgi", "-k", "sync"),
    "gthread": ("app:wsgi", "-k", "gthread", "--threads", "1"),
    "asgi": ("app:asgi", "-k", "asgi"),
    "gevent": ("app:wsgi", "-k", "gevent"),
    "eventlet": ("app:wsgi", "-k", "eventlet"),
}


class Numbers:
    """The metrics of a server."""

    def __init__(self, port: int) -> None:
        text = request(("127.0.0.1", port), target="/metrics").text
        self._values = {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)}

    def of(self, name: str, **labels: str) -> float:
        shown = "".join(f',{key}="{value}"' for key, value in labels.items())
        return self._values[f'{name}{{group="http"{shown}}}']

    @property
    def queue_seconds(self) -> float:
        """The sum of all queue times."""
        return self.of("server_request_queue_seconds_sum")

    @property
    def queued(self) -> float:
        """The number of queue times."""
        return self.of("server_request_queue_seconds_count")


class Overloaded(ServerProcess):
    """A server of one worker with metrics."""

    def __init__(self, worker: str, *args: str, **kwargs: Any) -> None:
        if worker in ("gevent", "eventlet") and importlib.util.find_spec(worker) is None:
            pytest.skip(f"{worker} is not installed")
        self.metrics_port = free_port()
        options = [*WORKERS[worker], "--metrics-bind", f"127.0.0.1:{self.metrics_port}", *args]
        super().__init__(options, app=APP, **kwargs)

    @property
    def address(self) -> Tuple[str, int]:
        return self.host, self.port

    def numbers(self) -> Numbers:
        return Numbers(self.metrics_port)


def agree_once(attempt: Callable[[], Tuple[float, float]], rel: float = 0.2) -> None:
    """``attempt`` measures queue time and what clients waited for; they must agree, as a rule within a fifth.

    On a machine that has more to do, clients also wait for the processor to read what came: then it is tried again.
    """
    best_of(attempt, lambda seen: seen[1] > SERVICE and seen[0] == pytest.approx(seen[1], rel=rel), ATTEMPTS)


class Seen(NamedTuple):
    """What a client saw of one request."""

    status: int
    seconds: float
    retry_after: Optional[str]


class Clients:
    """Clients that ask at the same time.

    Args:
        address: of the server.
    """

    def __init__(self, address: Union[Tuple[str, int], str]) -> None:
        self.address = address
        self.seen: List[Seen] = []

    def keep_asking(self, connections: int, requests: int) -> Clients:
        """Each connection asks again as soon as it is answered."""

        def ask() -> None:
            with RawClient(self.address, timeout=30) as client:
                for _ in range(requests):
                    began = time.monotonic()
                    answer = client.request("GET", "/")
                    self.seen.append(Seen(answer.status, time.monotonic() - began, answer.header("retry-after")))

        return self._all([threading.Thread(target=ask) for _ in range(connections)])

    def come(self, count: int, interval: float = 0.0) -> Clients:
        """Each on a connection of its own, one after another without waiting for answers."""
        threads = []
        for _ in range(count):
            threads.append(threading.Thread(target=self._once))
            threads[-1].start()
            time.sleep(interval)
        for thread in threads:
            thread.join()
        return self

    def _once(self) -> None:
        began = time.monotonic()
        with RawClient(self.address, timeout=30) as client:
            client.send(encode_request("GET", "/", close=True))
            answer = client.read_answer()
            self.seen.append(Seen(answer.status, time.monotonic() - began, answer.header("retry-after")))

    def _all(self, threads: List[threading.Thread]) -> Clients:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self

    @property
    def mean(self) -> float:
        return sum(seen.seconds for seen in self.seen) / len(self.seen)

    def of(self, status: int) -> List[Seen]:
        return [seen for seen in self.seen if seen.status == status]


# --- every worker -----------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("worker", WORKERS)
def test_health_queue_time_and_shedding(worker: str) -> None:
    options = ("--health-path", "/-/", "--max-queue-time", "0.4", "--access-logfile", "-")
    with Overloaded(worker, *options, "--keep-alive", "10") as server:
        health_is_answered_without_the_application(server)
        queue_time_is_what_clients_wait_for_beside_the_service(server)
        a_standing_queue_is_shed(server)


@pytest.mark.parametrize("worker", WORKERS)
def test_as_many_requests_in_a_row_as_a_peer_likes_are_answered_without_the_application(worker: str) -> None:
    """What a peer sends in one packet must not decide how deep the server's calls go."""
    count = 1500
    with Overloaded(worker, "--health-path", "/-/", "--body-spool", "10") as server:
        several(server, count, encode_request("GET", "/-/livez"), 200)
        if worker in ("sync", "gthread"):  # which take bodies on the application's behalf
            several(server, count, encode_request("POST", "/", body=b"more than ten"), 413)
        assert "Traceback" not in server.log


def several(server: Overloaded, count: int, octets: bytes, status: int) -> None:
    """Send a request ``count`` times at once; each is answered with ``status``."""
    with RawClient(server.address) as client:
        client.send(octets * count)
        assert [client.read_answer().status for _ in range(count)] == [status] * count


def health_is_answered_without_the_application(server: Overloaded) -> None:
    assert server.get("/break").status == 500
    until(lambda: server.get("/-/readyz").status == 200, what="the arbiter has seen that the worker is ready")
    with RawClient(server.address) as client:
        for path in ("/-/livez", "/-/readyz", "/-/livez"):
            answer = client.request("GET", path)
            assert (answer.status, answer.body) == (200, b"ok\n")
        assert client.request("HEAD", "/-/readyz").status == 200
        assert client.request("POST", "/-/sleep", body=b"x").status == 200, "everything else is the application's"
    assert server.get("/livez").status == 200, "by the application"
    until(lambda: server.numbers().of("server_requests_total", status="2xx") == 2, what="only the application's count")
    assert "/-/livez" not in server.log


def queue_time_is_what_clients_wait_for_beside_the_service(server: Overloaded) -> None:
    """Threefold load: while one is served, two wait, in buffers of the kernel. That is no overload to shed."""

    def attempt() -> Tuple[float, float]:
        before = server.numbers()
        clients = Clients(server.address).keep_asking(connections=3, requests=25)
        after = server.numbers()
        assert {seen.status for seen in clients.seen} == {200}
        assert after.queued - before.queued == 75
        assert after.of("server_requests_shed_total") == 0
        return (after.queue_seconds - before.queue_seconds) / 75, clients.mean - SERVICE

    agree_once(attempt)


def a_standing_queue_is_shed(server: Overloaded) -> None:
    """A hundred at once are 2 s of work; with a target of 0.4 s a queue stands from about 0.4 to 0.8 s on."""
    before = server.numbers()
    clients = Clients(server.address).come(100)
    after = server.numbers()
    served, shed = clients.of(200), clients.of(503)
    assert len(served) + len(shed) == 100
    assert 3 <= len(served) <= 70
    assert {seen.retry_after for seen in shed} == {"1"}
    assert {seen.retry_after for seen in served} == {None}
    assert after.of("server_requests_shed_total") == len(shed)
    assert after.of("server_requests_total", status="5xx") == len(shed) + 1
    assert after.queued - before.queued == len(served), "the shed have no queue time"
    assert after.of("server_requests_running") == 0
    server.wait_for_log('" 503 ', count=len(shed))
    assert server.log.count("Overload: requests wait") == 1


# --- queue time -------------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("worker", ["sync", "asgi"])
def test_the_queue_time_includes_the_wait_to_be_accepted(worker: str) -> None:
    with Overloaded(worker) as server:
        server.get("/")

        def attempt() -> Tuple[float, float]:
            before = server.numbers().queue_seconds
            clients = Clients(server.address).come(60, interval=SERVICE / 3)
            return (server.numbers().queue_seconds - before) / 60, clients.mean - SERVICE

        agree_once(attempt)


@pytest.mark.alone
def test_over_a_unix_socket_the_queue_time_is_estimated() -> None:
    with Overloaded("sync", bind="unix:app.sock") as server:

        def attempt() -> Tuple[float, float]:
            before = server.numbers().queue_seconds
            clients = Clients(str(server.cwd / "app.sock")).keep_asking(connections=3, requests=25)
            return (server.numbers().queue_seconds - before) / 75, clients.mean - SERVICE

        agree_once(attempt, rel=0.6)


@pytest.mark.parametrize("worker", ["sync", "asgi"])
def test_a_trusted_proxy_says_since_when_a_request_waits_and_it_can_be_logged(worker: str) -> None:
    with Overloaded(worker, "--access-logfile", "-", "--access-logformat", "queue=%(Q)s") as server:
        assert server.get("/", headers={"X-Request-Start": f"t={time.time() - 20:.3f}"}).status == 200
        assert server.numbers().queue_seconds == pytest.approx(20, abs=5)
        server.wait_for_log(re.compile(r"queue=(19|2\d)\.\d{6}"))
    with Overloaded(worker, "--forwarded-allow-ips", "192.0.2.1") as server:
        assert server.get("/", headers={"X-Request-Start": f"t={time.time() - 20:.3f}"}).status == 200
        assert server.numbers().queue_seconds < 5


# --- shedding ---------------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_under_a_threefold_overload_the_wait_stays_bounded_and_the_work_goes_on() -> None:
    best_of(threefold_overload, lambda seen: seen.late == 0 and seen.goodput >= 0.6)  # most goes into what is served


class Overload(NamedTuple):
    """What came of an overload."""

    late: float  # requests that waited longer than twice the target, 0.4 s
    goodput: float  # requests served, as a share of the capacity


def threefold_overload() -> Overload:
    """Three times as many requests as can be served, for a while."""
    with Overloaded("sync", "--max-queue-time", "0.2") as server:
        began = time.monotonic()
        Clients(server.address).keep_asking(connections=2, requests=20)
        capacity = 40 / (time.monotonic() - began)
        began = time.monotonic()
        clients = Clients(server.address).come(450, interval=SERVICE / 3)
        served = clients.of(200)
        goodput = len(served) / (time.monotonic() - began)
        numbers = server.numbers()
        assert numbers.of("server_requests_shed_total") == len(clients.of(503)) > 0
        late = len(served) + 40 - numbers.of("server_request_queue_seconds_bucket", le="0.5")
        return Overload(late, goodput / capacity)


def test_named_paths_are_let_through() -> None:
    with Overloaded("sync", "--max-queue-time", "0.1", "--max-queue-time-exempt", "/sleep") as server:
        background = threading.Thread(target=Clients(server.address).come, args=(80,))
        background.start()
        server.wait_for_log("Overload: requests wait")
        assert server.get("/sleep?0").status == 200
        background.join()


@pytest.mark.parametrize("worker", ["gthread", "asgi"])
def test_streams_of_http2_are_shed_alike(worker: str) -> None:
    h2_connection = pytest.importorskip("h2.connection")
    from h2.config import H2Configuration
    from h2.events import ResponseReceived, StreamEnded

    options = ("--http-protocols", "h2,h1", "--http2-cleartext", "both", "--max-queue-time", "0.1")
    with Overloaded(worker, *options) as server, socket.create_connection(server.address, 20) as sock:
        client = h2_connection.H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        client.initiate_connection()
        heads: List[Dict[str, str]] = []
        ended = 0
        for stream in range(1, 2 * 90, 2):
            client.send_headers(
                stream, [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")], end_stream=True
            )
            sock.sendall(client.data_to_send())
        while ended < 90:
            data = sock.recv(65536)
            assert data, "the connection goes on"
            for event in client.receive_data(data):
                if isinstance(event, ResponseReceived):
                    heads.append(dict(event.headers))
                ended += isinstance(event, StreamEnded)
            sock.sendall(client.data_to_send())
        statuses = [head[":status"] for head in heads]
        assert statuses.count("200") >= 1
        assert statuses.count("503") >= 20
        assert {head.get("retry-after") for head in heads if head[":status"] == "503"} == {"1"}


def test_requests_of_uwsgi_are_shed_alike() -> None:
    variables = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1",
                 "HTTP_HOST": "x", "QUERY_STRING": ""}  # fmt: skip
    body = b"".join(
        len(part).to_bytes(2, "little") + part
        for item in variables.items()
        for part in (text.encode() for text in item)
    )
    packet = b"\0" + len(body).to_bytes(2, "little") + b"\0" + body
    with Overloaded("sync", "--protocol", "uwsgi", "--max-queue-time", "0.1") as server:
        clients = [socket.create_connection(server.address, 20) for _ in range(60)]
        for client in clients:
            client.sendall(packet)
        answers = []
        for client in clients:
            with client, client.makefile("rb") as stream:
                answers.append(stream.read())
        assert sum(b" 200 OK" in answer for answer in answers) >= 5
        shed = [answer for answer in answers if b" 503 " in answer]
        assert len(shed) >= 20
        assert all(b"Retry-After: 1\r\n" in answer for answer in shed)


# --- health -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["gthread", "asgi", "gevent"])
def test_health_is_answered_while_the_application_is_busy(worker: str) -> None:
    with Overloaded(worker, "--health-path", "/") as server, RawClient(server.address, timeout=20) as slow:
        slow.send(encode_request("GET", "/sleep?1"))
        until(lambda: server.numbers().of("server_requests_running") == 1, what="the request runs")
        assert server.get("/readyz").status == 200
        assert server.numbers().of("server_requests_running") == 1, "and was not waited for"
        assert slow.read_answer().status == 200


@pytest.mark.parametrize("worker", ["sync", "asgi", "gevent"])
def test_a_server_that_stops_is_alive_and_not_ready(worker: str) -> None:
    with Overloaded(worker, "--health-path", "/", "--keep-alive", "10") as server:
        ready, live, busy = (RawClient(server.address) for _ in range(3))
        until(lambda: server.get("/readyz").status == 200, what="the arbiter has seen that the worker is ready")
        for client in (ready, live):
            assert client.request("GET", "/readyz").status == 200
        busy.send(encode_request("GET", "/sleep?1.5"))
        until(lambda: server.numbers().of("server_requests_running") == 1, what="the request runs")
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        answer = ready.request("GET", "/readyz")
        assert (answer.status, answer.body) == (503, b"stopping\n")
        try:
            assert live.request("GET", "/livez").status == 200
        except BadAnswerError:
            assert worker == "sync", "one that was busy meanwhile may have closed an idle connection"
        assert busy.read_answer().status == 200
        for client in (ready, live, busy):
            client.close()
        server.wait()


# --- busy share, adaptive workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["sync", "asgi"])
def test_the_busy_share_follows_the_work(worker: str) -> None:
    with Overloaded(worker) as server:
        until(lambda: server.numbers().of("server_busy_ratio") < 0.1, what="a worker that has nothing to do is idle")
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                server.get("/")

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: server.numbers().of("server_busy_ratio") > 0.25, 20, "two clients keep it busy")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        numbers = server.numbers()
        assert numbers.of("server_connections_limit") == 1000
        assert numbers.of("server_workers_limit") == 0


def test_busy_workers_get_help_by_themselves() -> None:
    with Overloaded("sync", "--adaptive-workers", "--workers-max", "2") as server:
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                server.get("/sleep?0.05")

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            server.wait_for_log("http: from 1 to 2 children", timeout=30)
            server.wait_for_log("Booting worker", count=2)
            until(lambda: server.numbers().of("server_workers", state="ready") == 2, what="the second serves")
        finally:
            done.set()
            for thread in threads:
                thread.join()


def test_adaptive_workers_need_room() -> None:
    with ServerProcess(["app:wsgi", "--adaptive-workers", "-w", "2"], app=APP, wait=False, clean=False) as server:
        assert server.wait() != 0
        assert "workers_max: expected more than workers (2), because adaptive_workers is set, got 0" in server.log
