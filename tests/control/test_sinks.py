"""What the process of the sinks sends: OpenTelemetry to a collector, statsd to a host with a name."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Dict, Iterator, List

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from control.scraping import metrics_address, scrape_all, value
from control.test_statsd import Receiver
from server_core.observe.sinks import Relay
from server_core.observe.statsd import is_remote
from support import ServerProcess, request, until

APP = """
import os
from prometheus_client import Counter
HITS = Counter("shop_hits", "Hits.", ["path"])

def app(environ, start_response):
    HITS.labels(environ["PATH_INFO"]).inc()
    start_response("200 OK", [("Content-Length", "2"), ("X-Pid", str(os.getpid()))])
    return [b"ok"]
"""


class Collector:
    """An OpenTelemetry collector: keeps what arrives by OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: List[ExportMetricsServiceRequest] = []
        self.paths: List[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.paths.append(self.path)
                collector.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def last(self) -> Dict[str, Any]:
        """The metrics of the last export, by name."""
        return {metric.name: metric for metric in self.requests[-1].resource_metrics[0].scope_metrics[0].metrics}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def points(data: Any) -> Dict[str, Any]:
    """Points of a metric by the values of their attributes."""
    return {",".join(attribute.value.string_value for attribute in point.attributes): point for point in data}


def serve(collector: Collector, *arguments: str, every: str = "300") -> ServerProcess:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRIC_EXPORT_INTERVAL": every}
    own = ["app:app", "-w", "2", "--no-control-socket", "--reporters", "opentelemetry", "--application-metrics"]
    return ServerProcess([*own, *arguments], app=APP, workers=2, env=variables)


def counted(collector: Collector) -> int:
    """How many requests the collector knows of."""
    if not collector.requests:
        return 0
    return points(collector.last()["server_requests"].sum.data_points)["http,2xx"].as_int


def test_a_collector_receives_what_is_on_the_scoreboard(collector):
    with serve(collector) as server:
        for _ in range(5):
            request((server.host, server.port), "GET", "/a")
        until(lambda: counted(collector) == 5, 10, "the requests have arrived")
        found = collector.last()
        requests = found["server_requests"].sum
        assert requests.is_monotonic
        assert requests.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        duration = points(found["server_request_duration_seconds"].histogram.data_points)["http"]
        assert duration.count == sum(duration.bucket_counts) == 5
        assert len(duration.bucket_counts) == len(duration.explicit_bounds) + 1
        assert 0 < duration.start_time_unix_nano < duration.time_unix_nano
        assert points(found["server_workers"].gauge.data_points)["http,ready"].as_int == 2
        until(lambda: points(collector.last()["shop_hits"].sum.data_points)["/a"].as_double == 5, 10, "the app's too")
        resource = {a.key: a.value.string_value for a in collector.requests[-1].resource_metrics[0].resource.attributes}
        assert resource["service.name"] == "app:app"
        assert resource["service.instance.id"].endswith(f":{server.pid}")
        assert set(collector.paths) == {"/v1/metrics"}


def test_what_was_counted_last_arrives_before_the_end(collector):
    with serve(collector, "--metrics-bind", "127.0.0.1:0", every="600000") as server:
        for _ in range(3):
            request((server.host, server.port), "GET", "/")
        until(lambda: sinks_ready(server), 10, "the process of the sinks is ready")
        assert not collector.requests
        server.stop()
        assert counted(collector) == 3


def test_the_process_of_the_sinks_is_replaced_and_nobody_waits_for_it(collector):
    with serve(collector, "--metrics-bind", "127.0.0.1:0") as server:
        request((server.host, server.port), "GET", "/")
        until(lambda: counted(collector) == 1, 10, "it sends")
        (sink,) = set(server.worker_pids()) - http_workers(server)
        os.kill(sink, signal.SIGSTOP)  # stuck, as in a system call
        assert request(metrics_address(server), "GET", "/readyz").status == 200
        before = counted(collector)
        request((server.host, server.port), "GET", "/")
        os.kill(sink, signal.SIGKILL)
        until(lambda: counted(collector) > before, 15, "its successor sends")


def sinks_ready(server: ServerProcess) -> bool:
    return value(scrape_all(server), "server_workers", group="sinks", state="ready") == 1


def http_workers(server: ServerProcess) -> set:
    found = set()
    while len(found) < 2:
        found.add(int(request((server.host, server.port), "GET", "/").header("x-pid") or 0))
    return found


def test_a_collector_that_is_not_there_is_told_of_once():
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    variables["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"
    with ServerProcess(["app:app", "--reporters", "opentelemetry"], app=APP, env=variables) as server:
        server.wait_for_log("Metrics by opentelemetry do not arrive")
        assert request((server.host, server.port), "GET", "/").status == 200
        server.stop()
        assert server.log.count("do not arrive") == 1
        assert "Traceback" not in server.log


def test_without_the_library_the_start_says_what_to_install(tmp_path):
    hide = "import importlib.util as u\nfind = u.find_spec\n"
    hide += "u.find_spec = lambda name, *more: None if name.startswith('opentelemetry') else find(name, *more)\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    with ServerProcess(
        ["app:app", "--reporters", "opentelemetry"], app=APP, env={"PYTHONPATH": str(tmp_path)}, wait=False, clean=False
    ) as server:
        assert server.wait() == 1
        assert "pip install 'server-cli[otel]'" in server.log


def test_a_reload_turns_it_on_and_off(collector):
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRIC_EXPORT_INTERVAL": "200"}
    config = "control_socket_disable = True\nreporters = {}\n"
    with ServerProcess(["app:app"], app=APP, env=variables, config=config.format("[]")) as server:
        for turn, reporters in enumerate(('"opentelemetry"', "[]", '["opentelemetry"]'), start=1):
            before = len(collector.requests)
            (server.cwd / "server.conf.py").write_text(config.format(reporters))
            server.send_signal(signal.SIGHUP)
            server.wait_for_log("Reload complete", count=turn, timeout=20)
            if reporters == "[]":
                until(lambda: len(server.worker_pids()) == 1, 10, "the process of the sinks has left")
            else:
                until(lambda before=before: len(collector.requests) > before, 10, "it sends")


def test_a_statsd_host_with_a_name_is_looked_up_beside_the_arbiter():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        receiver = Receiver(sock)
        host = f"{socket.gethostname()}:{sock.getsockname()[1]}"
        with ServerProcess(["app:app", "--statsd-host", host], app=APP, workers=2) as server:
            request((server.host, server.port), "GET", "/")
            receiver.collect(lambda: receiver.sums()["gunicorn.requests"] == 1)


class Log:
    def __init__(self) -> None:
        self.lines: List[str] = []

    def warning(self, text: str, *values: object) -> None:
        self.lines.append(text % values)

    info = warning


def test_what_cannot_be_a_host_is_told_of_as_one_that_is_not_found():
    assert is_remote(("statsd..example", 8125))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        log = Log()
        assert Relay(sock, ("statsd..example", 8125), log)._find(0.0) is None
        assert "statsd..example cannot be found" in log.lines[0]


def test_a_host_is_looked_up_again_when_it_could_not_be_found(monkeypatch):
    answers: List[Any] = [socket.gaierror("no such host"), socket.gaierror("no such host"), "found"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def look_up(host: str, port: int, **_: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", sock.getsockname())]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        log = Log()
        relay = Relay(sock, ("statsd.example", 8125), log)
        assert [relay._find(now) for now in (0.0, 1e9)] == [None, None]
        assert relay._find(2e9) == (socket.AF_INET, sock.getsockname())
        assert relay._find(2e9 + 1) == (socket.AF_INET, sock.getsockname())
        assert [line.split(",")[0] for line in log.lines] == [
            "statsd_host: statsd.example cannot be found",
            "statsd_host: statsd.example is found",
        ]
