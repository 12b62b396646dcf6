"""Both logs of real servers: whole lines from several workers, slow readers, rotation, JSON, syslog."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support import COLLECTING_WSGI, ServerProcess, request, until
from support.process import children_of

HELLO = """
import sys
def app(environ, start_response):
    start_response('200 OK', [('X-Served', 'yes')])
    if environ['PATH_INFO'] == '/print':
        print('printed by the application')
        sys.stdout.flush()
    if environ['PATH_INFO'] == '/errors':
        environ['wsgi.errors'].write('to wsgi.errors\\n')
    if environ['PATH_INFO'] == '/id':
        return [environ['HTTP_X_REQUEST_ID'].encode()]
    if environ['PATH_INFO'] == '/fail':
        raise RuntimeError('deliberate')
    return [b'hello']
"""

COMMON_LOG = re.compile(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\] "GET (\S+) HTTP/1\.1" 200 5 "-" "-"')


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def address_in(error_log):
    return "127.0.0.1", int(re.search(r"Listening at: http://127.0.0.1:(\d+)", error_log.read_text()).group(1))


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_line_for_every_request_within_moments(kind):
    with ServerProcess(["app:app", "-k", kind, "--access-logfile", "access.log"], app=HELLO) as server:
        for number in range(3):
            server.get(f"/{number}")
        path = server.cwd / "access.log"
        until(lambda: len(lines_of(path)) == 3, what="three lines")
        assert [COMMON_LOG.fullmatch(line).group(1) for line in lines_of(path)] == ["/0", "/1", "/2"]


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_request_with_its_line_leaves_nothing_to_the_garbage_collector(kind):
    with ServerProcess(["app:app", "-k", kind, "--access-logfile", "access.log"], app=COLLECTING_WSGI) as server:
        server.get("/collect")
        for _ in range(20):
            server.get()
        assert int(server.get("/collect").body) < 20


def test_four_workers_and_a_slow_reader_mix_and_lose_no_line(tmp_path):
    (tmp_path / "app.py").write_text(HELLO)
    errors = open(tmp_path / "errors", "wb")  # noqa: SIM115  # closed below
    server = subprocess.Popen(
        [sys.executable, "-m", "server_cli", "app:app", "-w", "4", "-b", "127.0.0.1:0", "--access-logfile", "-"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
    )  # fmt: skip
    try:
        log = tmp_path / "errors"
        until(lambda: log.read_text().count("Booting worker") == 4, 20, "four workers")
        port = int(re.search(r"Listening at: http://127.0.0.1:(\d+)", log.read_text()).group(1))
        total, threads = 400, 4
        agent = "agent/" + "x" * 900  # 400 lines exceed what a pipe holds

        def ask(thread):
            for number in range(total // threads):
                assert (
                    request(("127.0.0.1", port), "GET", f"/{thread}-{number}", headers=[("User-Agent", agent)]).status
                    == 200
                )

        clients = [threading.Thread(target=ask, args=(thread,)) for thread in range(threads)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)  # nobody has read the pipe yet: a blocked log would block the workers
        assert not any(client.is_alive() for client in clients)
        data, pause = b"", threading.Event()
        while data.count(b"\n") < total:
            data += os.read(server.stdout.fileno(), 2000)
            pause.wait(0.001)
        targets = {re.fullmatch(rb'127.*"GET (\S+) HTTP/1.1" 200 5 "-" "agent/x{900}"', line).group(1).decode()
                   for line in data.splitlines()}  # fmt: skip
        assert targets == {f"/{thread}-{number}" for thread in range(threads) for number in range(total // threads)}
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)
        errors.close()


NOISY = """
import logging
def app(environ, start_response):
    for number in range(2000):
        logging.getLogger("gunicorn.error").info("noise %04d %s", number, "x" * 60)
    start_response("200 OK", [])
    return [b"logged"]
"""


def test_error_lines_kept_for_a_blocked_stderr_are_written_when_it_is_read_again(tmp_path):
    (tmp_path / "app.py").write_text(NOISY)
    server = subprocess.Popen(
        [sys.executable, "-m", "server_cli", "app:app", "-b", f"unix:{tmp_path}/socket"],
        cwd=tmp_path, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    try:
        data = b""
        while b"Booting worker" not in data:
            data += os.read(server.stderr.fileno(), 65536)
        answer = request(str(tmp_path / "socket"))
        assert answer.text == "logged"  # 2000 lines do not fit into a pipe, which did not block the worker
        reading = threading.Timer(20, server.kill)
        reading.start()
        data = b""
        while b"noise 1999" not in data:  # nothing else is logged: only the timer writes the rest
            got = os.read(server.stderr.fileno(), 65536)
            assert got, "the rest did not come"
            data += got
        reading.cancel()
        numbers = re.findall(rb"noise (\d+) x{60}\n", data)
        assert [int(number) for number in numbers] == list(range(2000))
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)


def test_rotation_follows_usr1_in_all_processes():
    args = ["app:app", "-w", "2", "--access-logfile", "access.log", "--error-logfile", "error.log"]
    with ServerProcess(args, app=HELLO, wait=False) as server:
        error, access = server.cwd / "error.log", server.cwd / "access.log"
        until(lambda: error.exists() and error.read_text().count("Booting worker") == 2, 20, "workers")
        address = address_in(error)
        error.rename(server.cwd / "error.1")
        access.rename(server.cwd / "access.1")
        server.send_signal(signal.SIGUSR1)
        until(lambda: error.exists() and access.exists(), what="new files")

        def lands_in_the_new_file():
            for _ in range(8):
                request(address, "GET", "/after")
            before = len(lines_of(server.cwd / "access.1"))
            for _ in range(8):
                request(address, "GET", "/last")
            until(lambda: sum("/last" in line for line in lines_of(access)) >= 8, what="lines")
            return len(lines_of(server.cwd / "access.1")) == before

        until(lands_in_the_new_file, what="all workers to write to the new file")


def test_captured_output_goes_to_the_error_log():
    args = ["app:app", "--capture-output", "--error-logfile", "error.log"]
    with ServerProcess(args, app=HELLO, wait=False) as server:
        error = server.cwd / "error.log"
        until(lambda: "Booting worker" in "".join(lines_of(error)), 20, "a worker")
        address = address_in(error)
        request(address, "GET", "/print")
        request(address, "GET", "/errors")
        until(lambda: {"printed by the application", "to wsgi.errors"} <= set(lines_of(error)), what="both lines")


def test_a_refused_reload_leaves_captured_output_where_it_was_and_one_without_gives_it_back():
    captured = "capture_output = True\nerrorlog = 'error.log'\n"
    with ServerProcess(["app:app"], app=HELLO, config=captured, wait=False) as server:
        error, config = server.cwd / "error.log", server.cwd / "server.conf.py"
        until(lambda: "Booting worker" in "".join(lines_of(error)), 20, "a worker")
        address = address_in(error)

        other = "capture_output = True\nerrorlog = 'other.log'\nlog_format = 'json'\naccesslog = 'missing/access.log'"
        config.write_text(other)
        server.send_signal(signal.SIGHUP)
        until(lambda: "Reload refused" in error.read_text(), what="the refusal")
        assert {os.readlink(f"/proc/{server.pid}/fd/{fd}") for fd in (1, 2)} == {str(error)}
        os.kill(children_of(server.pid)[0], signal.SIGKILL)  # its successor has what the arbiter has
        until(lambda: error.read_text().count("Booting worker") == 2, 20, "another worker")
        request(address, "GET", "/print")
        request(address, "GET", "/errors")
        until(lambda: {"printed by the application", "to wsgi.errors"} <= set(lines_of(error)), what="both lines")
        assert (server.cwd / "other.log").read_text() == ""

        config.write_text("errorlog = '-'\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete")

        def printed():
            request(address, "GET", "/print")  # which the old worker may answer yet
            return "printed by the application" in server.log

        until(printed, what="the line on standard output")


def test_a_server_whose_standard_streams_were_closed_has_nothing_else_in_their_place():
    args = ["app:app", "--capture-output", "--error-logfile", "error.log"]
    closed = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', sys.executable, "-m", "server_cli"]
    with ServerProcess(args, app=HELLO, program=closed, wait=False) as server:
        error = server.cwd / "error.log"
        until(lambda: "Booting worker" in "".join(lines_of(error)), 20, "a worker")
        address = address_in(error)
        request(address, "GET", "/print")
        until(lambda: "printed by the application" in lines_of(error), what="the line")
        for pid in (server.pid, *children_of(server.pid)):
            streams = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)]
            assert streams == [os.devnull, str(error), str(error)]


def test_json_and_request_ids_in_both_logs_and_the_answer():
    args = ["app:app", "--log-format", "json", "--access-logfile", "access.log", "--request-id", "response"]
    with ServerProcess(args, app=HELLO, wait=False) as server:
        server.wait_for_log("Booting worker")
        started = [json.loads(line) for line in server.lines()]
        assert {entry["level"] for entry in started} <= {"info", "warning"}
        port = int(re.search(r"http://127.0.0.1:(\d+)", server.log).group(1))
        address = ("127.0.0.1", port)
        theirs = request(address, "GET", "/id", headers=[("X-Request-ID", "from-the-proxy")])
        ours = request(address, "GET", "/id")
        assert (theirs.text, theirs.header("x-request-id")) == ("from-the-proxy", "from-the-proxy")
        assert ours.text == ours.header("x-request-id") != ""
        request(address, "GET", "/fail", headers=[("X-Request-ID", "failing")])
        server.wait_for_log("deliberate")
        path = server.cwd / "access.log"
        until(lambda: len(lines_of(path)) == 3, what="three lines")
        entries = [json.loads(line) for line in lines_of(path)]
        assert [entry["request_id"] for entry in entries] == ["from-the-proxy", ours.text, "failing"]
        assert [entry["status"] for entry in entries] == [200, 200, 500]
        failure = next(json.loads(line) for line in server.lines() if "deliberate" in line)
        assert (failure["level"], failure["request_id"]) == ("error", "failing")
        assert failure["exception"].rstrip().endswith("RuntimeError: deliberate")


def test_a_filter_in_the_application_and_a_dict_config_are_heeded():
    config = """
accesslog = "-"
logconfig_dict = {
    "version": 1,
    "formatters": {"short": {"format": "ACCESS %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
    "loggers": {"gunicorn.access": {"level": "INFO", "handlers": ["out"], "propagate": False}},
}
access_log_format = "%(m)s %(U)s %({x-served}o)s"
"""
    app = (
        HELLO + "\nimport logging\nlogging.getLogger('gunicorn.access').addFilter(lambda r: r.args['U'] != '/health')\n"
    )
    with ServerProcess(["app:app"], app=app, config=config) as server:
        for target in ("/one", "/health", "/two"):
            server.get(target)
        server.wait_for_log("ACCESS GET /two yes")
        assert "ACCESS GET /one yes\n" in server.log
        assert "/health" not in server.log


@pytest.mark.parametrize("scheme", ["udp", "unix"])
def test_syslog_gets_both_logs(scheme, tmp_path):
    if scheme == "udp":
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
    else:
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(tmp_path / "log"))
        address = f"unix://{tmp_path}/log#dgram"
    receiver.settimeout(10)
    args = ["app:app", "--log-syslog", "--log-syslog-to", address, "--log-syslog-facility", "local3",
            "--log-syslog-prefix", "shop"]  # fmt: skip
    with receiver, ServerProcess(args, app=HELLO) as server:
        server.get("/seen")
        received = ""
        while "GET /seen" not in received:
            received += receiver.recv(65536).decode() + "\n"
        priority = (19 << 3) | 6  # local3, info
        assert re.search(rf"<{priority}>gunicorn\.shop\.error\[\d+\]: \[\d+\] Starting server", received)
        assert re.search(rf"<{priority}>gunicorn\.shop\.access\[\d+\]: \[\d+\] 127.0.0.1 .*GET /seen", received)


def test_lines_that_wait_are_written_before_the_worker_ends():
    with ServerProcess(["app:app", "--access-logfile", "access.log"], app=HELLO) as server:
        for number in range(20):
            server.get(f"/{number}")
        server.stop()
        assert len(lines_of(Path(server.cwd / "access.log"))) == 20


def test_logs_follow_the_settings_of_a_reload():
    with ServerProcess(["app:app"], app=HELLO, config="accesslog = 'one.log'\n") as server:
        server.get("/")
        (server.cwd / "server.conf.py").write_text("accesslog = 'two.log'\nloglevel = 'debug'\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Booting worker", count=2)

        def arrives():
            server.get("/")
            return lines_of(server.cwd / "two.log")

        until(arrives, what="a line in the new log")
        until(lambda: "[DEBUG]" in server.log, what="debug lines")


def test_a_reload_with_a_log_that_cannot_be_written_keeps_the_old_logs():
    with ServerProcess(["app:app"], app=HELLO, config="accesslog = 'one.log'\n") as server:
        (server.cwd / "server.conf.py").write_text("accesslog = 'missing/two.log'\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("accesslog: expected a file that can be written, got 'missing/two.log'")
        server.get("/still")
        until(lambda: lines_of(server.cwd / "one.log"), what="a line in the old log")
        server.send_signal(signal.SIGUSR1)
        server.get("/again")
        until(lambda: len(lines_of(server.cwd / "one.log")) == 2, what="a second line")
        assert len(server.booted_pids()) == 1


def test_a_failed_reload_whose_old_directory_is_gone_ends_no_server():
    files = {"old/app.py": HELLO, "new/app.py": "raise RuntimeError('deliberate')\n"}
    config = "import os\nchdir = os.path.join(os.path.dirname(__file__), 'old')\n"
    with ServerProcess(["app:app", "-c", "server.conf.py"], files=files, config=config) as server:
        assert server.get("/").status == 200
        (server.cwd / "server.conf.py").write_text(config.replace("old", "new"))
        (server.cwd / "old").rename(server.cwd / "moved")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload failed: a new worker could not boot. The old workers stay.")
        server.wait_for_log("chdir: expected a directory that can be entered")
        assert server.get("/").status == 200


def test_a_failed_reload_to_another_log_is_told_in_the_log_in_force():
    files = {"app.py": HELLO}
    with ServerProcess(["app:app"], files=files, config="errorlog = 'one.log'\n", wait=False) as server:
        one, two = server.cwd / "one.log", server.cwd / "two.log"
        until(lambda: "Booting worker" in "".join(lines_of(one)), 20, "a worker")
        (server.cwd / "app.py").write_text("raise RuntimeError('deliberate')\n")
        (server.cwd / "server.conf.py").write_text("errorlog = 'two.log'\n")
        server.send_signal(signal.SIGHUP)
        until(lambda: "Reload failed: a new worker could not boot." in one.read_text(), 20, "the end of the reload")
        assert "RuntimeError: deliberate" in two.read_text()


def test_a_reload_whose_log_directory_is_gone_is_refused_and_ends_no_server():
    with ServerProcess(["app:app"], app=HELLO, files={"logs/.keep": ""}, config="accesslog = 'logs/a.log'\n") as server:
        (server.cwd / "logs").rename(server.cwd / "moved")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload refused, the old settings stay: accesslog")
        server.get("/still")
        until(lambda: lines_of(server.cwd / "moved" / "a.log"), what="a line in the file that was open")
        assert len(server.booted_pids()) == 1
