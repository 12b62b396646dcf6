"""Lines of the access log: atoms, escaping, batches, and the way through Python's logging."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import time
from types import SimpleNamespace

import pytest

from server_core.compat.objects import GunicornRequest, GunicornResponse, environ_of
from server_core.errors import ConfigError
from server_core.log import atoms
from server_core.log.access import BATCH, DELAY, AccessLog
from server_core.log.jsonlines import JsonAccess
from server_core.log.recorded import recorded_atoms
from server_core.log.setup import Logger
from server_core.log.sink import PIPE_BUF, Sink
from server_core.settings import Settings
from server_core.settings.groups.logs import ACCESS_FORMAT
from server_http.events import Request


class Response:
    def __init__(self, status=200, sent=12, headers=(), reason=b"OK"):
        self.status = status
        self.sent = sent
        self.headers = list(headers)
        self.reason = reason
        self.waited = 0.0025


def request(target=b"/a%20b?x=1", headers=(), client=("127.0.0.1", 5000), method="GET", version="1.1"):
    made = Request(1, method, target, version)
    made.path, _, made.query = target.partition(b"?")
    made.headers = list(headers)
    made.client = client
    return made


def line(text, req=None, response=None, environ=None, seconds=0.0125):
    return atoms.LineFormat(text, lambda: 0.0)(req or request(), response or Response(), environ, seconds).decode()


def test_http2_is_called_by_the_name_that_programs_which_read_logs_know():
    assert line("%(H)s %(r)s", request(version="2")) == "HTTP/2.0 GET /a%20b?x=1 HTTP/2.0"
    for version in ("2", "1.1"):
        environ = environ_of(request(version=version))
        assert recorded_atoms(Response(), request(version=version), environ, 0.1)["H"] == environ["SERVER_PROTOCOL"]


@pytest.mark.parametrize(
    ("atom", "value"),
    [
        ("h", "127.0.0.1"),
        ("l", "-"),
        ("u", "alice"),
        ("r", "GET /a%20b?x=1 HTTP/1.1"),
        ("m", "GET"),
        ("U", "/a b"),
        ("q", "x=1"),
        ("H", "HTTP/1.1"),
        ("s", "200"),
        ("B", "12"),
        ("b", "12"),
        ("f", "https://from.example/"),
        ("a", "agent/1.0"),
        ("T", "0"),
        ("M", "12"),
        ("D", "12500"),
        ("L", "0.012500"),
        ("Q", "0.002500"),
        pytest.param("p", f"<{os.getpid()}>", id="p"),  # every process names the test alike
        ("{X-Trace}i", "t-1"),
        ("{content-TYPE}o", "text/plain"),
        ("{wsgi.url_scheme}e", "http"),
        ("{HTTP_X}e", "from environ"),
        ("{missing}i", "-"),
        ("{missing}o", "-"),
        ("{missing}e", "-"),
        ("unknown", "-"),
    ],
)
def test_every_atom(atom, value):
    headers = [
        (b"authorization", b"Basic YWxpY2U6c2VjcmV0"),
        (b"referer", b"https://from.example/"),
        (b"user-agent", b"agent/1.0"),
        (b"x-trace", b"t-1"),
    ]
    environ = {"wsgi.url_scheme": "http", "HTTP_X": "from environ"}
    response = Response(headers=[(b"Content-Type", b"text/plain")])
    assert line(f"%({atom})s", request(headers=headers), response, environ) == value


def test_the_time_is_in_english_with_the_zone(monkeypatch):
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert atoms.format_time(0) == "[01/Jan/1970:05:30:00 +0530]"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", line("%(t)s"))


def test_the_default_format_of_a_plain_request():
    assert re.fullmatch(
        r'127.0.0.1 - - \[.*\] "GET /a%20b\?x=1 HTTP/1.1" 304 - "-" "-"', line(ACCESS_FORMAT, response=Response(304, 0))
    )


def test_a_unix_peer_has_no_address():
    assert line("%(h)s", request(client=None)) == "-"


def test_quotes_controls_and_raw_octets_cannot_break_a_line():
    bad = request(b'/"x\xff', [(b"user-agent", b'a"b\\c\td\x1b[0m\r\n\xe9')])
    assert line('"%(r)s" "%(a)s"', bad) == (
        r'"GET /\"x\xff HTTP/1.1" "a\"b\\c\x09d\x1b[0m\x0d\x0a\xe9"'
    )  # fmt: skip


def test_escaping_depends_on_values_not_on_the_format():
    assert line('\\ "%(m)s" "', request(method="A")) == '\\ "A" "'
    assert line('\\ "%(m)s" "', request(method='A"')) == '\\ "A\\"" "'
    assert line("\u00e9 %(m)s", request(method="A\\")) == "\u00e9 A\\\\"


def test_widths_types_and_percent_signs_work_as_in_a_format():
    assert line("%(D)d|%(s)5s|%(m)-6s|%(L).3s|100%%") == "12500|  200|GET   |0.0|100%"


@pytest.mark.parametrize("text", ["%s", "100%", "%(h)", "%(h)y"])
def test_a_text_that_is_no_format_is_refused(text):
    with pytest.raises(ValueError, match="expected %%"):
        atoms.LineFormat(text)


@pytest.mark.parametrize("value", [b"Basic", b"Basic !!!", b"Bearer YWxpY2U6c2VjcmV0", b"Basic Og=="])
def test_an_authorization_without_a_user_is_a_dash(value):
    assert atoms.basic_user(value) == "-"


def test_json_lines_are_json_whatever_comes():
    make = JsonAccess(b"x-request-id", lambda: 1.5)
    req = request('/\u00e9"'.encode(), [(b"user-agent", b"\xff\n"), (b"x-request-id", b"id-7")])
    entry = json.loads(make(req, Response(), None, 0.25))
    assert entry == {
        "time": "1970-01-01T00:00:01.500Z", "log": "access", "pid": os.getpid(), "client": "127.0.0.1", "user": None,
        "method": "GET", "target": '/\u00e9"', "protocol": "HTTP/1.1", "host": "", "status": 200, "bytes": 12,
        "duration": 0.25, "queue": 0.0025, "referer": None, "user_agent": "\u00ff\n", "request_id": "id-7",
    }  # fmt: skip


# --- batches ------------------------------------------------------------------------------------


class Memory(Sink):
    """A sink that keeps what it takes; ``blocked`` makes it take nothing."""

    def __init__(self):
        super().__init__(-1)
        self.data = b""
        self.writes = 0
        self.blocked = False

    def _write(self, data):
        if self.blocked:
            raise BlockingIOError
        self.writes += 1
        self.data += data
        return len(data)


class FakeLogger:
    def __init__(self, direct=True):
        self.is_direct = direct
        self.warnings = []
        self.accessed = []

    def direct(self):
        return self.is_direct

    def warning(self, message, *args):
        self.warnings.append(message % args)

    def access(self, *args):
        self.accessed.append(args)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def access_log(sink, logger=None, text="%(m)s %(U)s"):
    return AccessLog(atoms.LineFormat(text), sink, logger or FakeLogger(), monotonic=Clock())


def test_lines_wait_for_one_another_and_say_until_when():
    sink = Memory()
    log = access_log(sink)
    assert log.deadline() is None
    log.write(request(b"/1"), Response(), None, 0)
    log.write(request(b"/2"), Response(), None, 0)
    assert (sink.data, log.deadline()) == (b"", 100.0 + DELAY)
    log.flush()
    assert (sink.data, sink.writes, log.deadline()) == (b"GET /1\nGET /2\n", 1, None)
    log.flush()
    assert sink.writes == 1


def test_a_full_batch_is_written_at_once():
    sink = Memory()
    log = access_log(sink)
    for _ in range(BATCH // 100 + 1):
        log.write(request(b"/" + b"x" * 100), Response(), None, 0)
    assert sink.writes == 1


def test_a_disabled_log_does_nothing():
    log = AccessLog(atoms.LineFormat("%(m)s"), None, FakeLogger(), enabled=False)
    log.write(request(), Response(), None, 0)
    assert log.deadline() is None


def test_lines_that_a_blocked_output_does_not_take_are_counted_and_reported(monkeypatch):
    monkeypatch.setattr("server_core.log.sink.PENDING_LIMIT", 200)
    sink, logger = Memory(), FakeLogger()
    log = access_log(sink, logger)
    sink.blocked = True
    for number in range(5):
        log.write(request(b"/" + b"%d" % number * 80), Response(), None, 0)
        log.flush()
    assert log.dropped == 3
    assert logger.warnings == ["Access log: 1 lines were dropped, because the output does not take them"] * 3
    sink.blocked = False
    log.write(request(b"/after"), Response(), None, 0)
    log.flush()
    assert [len(part) for part in sink.data.split(b"\n")] == [85, 85, 10, 0]


def test_what_a_blocked_output_keeps_is_tried_again_without_new_lines():
    sink = Memory()
    log = access_log(sink)
    sink.blocked = True
    log.write(request(b"/1"), Response(), None, 0)
    log.flush()
    assert log.deadline() == 100.0 + DELAY
    log.flush()
    assert log.deadline() == 100.0 + DELAY
    sink.blocked = False
    log.flush()
    assert (sink.data, log.deadline()) == (b"GET /1\n", None)


def test_a_line_too_long_for_a_pipe_is_shortened_and_stays_whole():
    sink = Memory()
    sink.line_limit = PIPE_BUF
    log = access_log(sink, text='"%(r)s" "%(a)s" %(s)s')
    log.write(request(b"/" + b"x" * PIPE_BUF, [(b"user-agent", b"y" * PIPE_BUF)]), Response(), None, 0)
    log.flush()
    assert len(sink.data) < PIPE_BUF
    assert sink.data.endswith(b'yyy..." 200\n')
    long_format = access_log(sink, text="x" * PIPE_BUF + "%(s)s")
    long_format.write(request(), Response(), None, 0)
    assert long_format.dropped == 1


def test_a_user_made_logger_gets_every_request_in_gunicorn_s_form():
    logger = FakeLogger(direct=False)
    log = access_log(Memory(), logger)
    log.write(request(headers=[(b"x-a", b"1")]), Response(404, reason=b"Not Found"), None, 0.5)
    response, req, environ, seconds = logger.accessed[0]
    assert (response.status, response.status_code, response.sent) == ("404 Not Found", 404, 12)
    assert (req.method, req.uri, req.path, req.query) == ("GET", "/a%20b?x=1", "/a%20b", "x=1")
    assert (req.headers, req.version, req.remote_addr) == ([("X-A", "1")], (1, 1), ("127.0.0.1", 5000))
    assert (environ["PATH_INFO"], environ["HTTP_X_A"], environ["REMOTE_ADDR"]) == ("/a b", "1", "127.0.0.1")
    assert seconds == datetime.timedelta(seconds=0.5)


# --- the logger ---------------------------------------------------------------------------------


@pytest.fixture
def logger(tmp_path):
    """Make loggers of settings; their handlers are taken away afterwards."""
    made = []

    def make(cls=Logger, **settings):
        log = cls(
            Settings.make(accesslog=str(tmp_path / "access.log"), errorlog=str(tmp_path / "error.log"), **settings)
        )
        made.append(log)
        for python_logger in (log.error_log, log.access_log):  # pytest listens to loggers that do not propagate
            captured = [handler for handler in python_logger.handlers if type(handler).__module__.startswith("_pytest")]
            python_logger.handlers[:] = [handler for handler in python_logger.handlers if handler not in captured]
        return log

    yield make
    for log in made:
        log._remove_handlers()
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).filters.clear()


def write_one(log, target=b"/"):
    log.access_log_writer.write(request(target), Response(), None, 0.001)
    log.flush()


def read(tmp_path, name="access.log"):
    return (tmp_path / name).read_text()


def test_the_short_way_writes_what_logging_would(logger, tmp_path):
    every = "|".join(f"%({name})s" for name in atoms.ATOMS)
    log = logger(access_log_format=f"{every}|%(l)s %({{x}}i)s")
    write_one(log)
    log.access(GunicornResponse(Response()), GunicornRequest(request(b"/")), environ_of(request(b"/")),
               datetime.timedelta(seconds=0.001))  # fmt: skip
    first, second = read(tmp_path).splitlines()
    assert first == second


def test_a_filter_added_later_is_heeded(logger, tmp_path):
    log = logger()
    write_one(log, b"/before")
    logging.getLogger("gunicorn.access").addFilter(lambda record: record.args["U"] != "/health")
    write_one(log, b"/health")
    write_one(log, b"/other")
    assert [part.split()[6] for part in read(tmp_path).splitlines()] == ["/before", "/other"]


def test_handlers_see_records_with_the_atoms_as_arguments(logger):
    log = logger()
    seen = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(record)

    logging.getLogger("gunicorn.access").addHandler(Keep())
    try:
        write_one(log, b"/x")
    finally:
        logging.getLogger("gunicorn.access").handlers.pop()
    assert isinstance(seen[0].args, atoms.SafeAtoms)
    assert (seen[0].args["s"], seen[0].args["U"], seen[0].args["{nothing}i"]) == ("200", "/x", "-")


def test_a_subclass_s_atoms_are_used(logger, tmp_path):
    class Mine(Logger):
        def atoms(self, resp, req, environ, request_time):
            found = super().atoms(resp, req, environ, request_time)
            found["mine"] = 'say "hi"'
            return found

    write_one(logger(Mine, access_log_format="%(mine)s %(U)s"), b"/x")
    assert read(tmp_path) == 'say \\"hi\\" /x\n'


def test_atoms_of_requests_in_gunicorn_s_form_are_gunicorn_s(logger):
    log = logger()
    environ = {
        "REQUEST_METHOD": "GET", "RAW_URI": "/a%20b?x=\u20ac", "PATH_INFO": "/a b", "QUERY_STRING": "x=\u20ac",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "", "HTTP_AUTHORIZATION": "Basic YWxpY2U6c2VjcmV0",
        "HTTP_REFERER": "\u20ac",
    }  # fmt: skip
    response = SimpleNamespace(status="404 Not Found", sent=1024, headers=(("Content-Type", "text/plain"),))
    asked = SimpleNamespace(headers=[(b"ACCEPT", "*/*")])
    found = log.atoms(response, asked, environ, datetime.timedelta(seconds=1, microseconds=1500))
    assert {name: value for name, value in found.items() if name not in ("t", "p") and not name.endswith("}e")} == {
        "h": "-", "l": "-", "u": "alice", "r": "GET /a%20b?x=\u20ac HTTP/1.1", "s": "404", "m": "GET", "U": "/a b",
        "q": "x=\u20ac", "H": "HTTP/1.1", "b": "1024", "B": 1024, "f": "\u20ac", "a": "-", "T": 1, "D": 1001500,
        "M": 1001, "L": "1.001500", "Q": "0.000000", "{accept}i": "*/*", "{content-type}o": "text/plain",
    }  # fmt: skip
    assert found["{raw_uri}e"] == "/a%20b?x=\u20ac"


def test_atoms_of_a_request_of_which_little_is_known(logger):
    response = SimpleNamespace(status=200, headers=[])
    found = logger().atoms(response, {}, {}, datetime.timedelta(0))
    assert {name: found[name] for name in "hslubBmUqfa"} == {
        "h": "-", "s": "200", "l": "-", "u": "-", "b": "-", "B": None, "m": None, "U": None, "q": None, "f": "-",
        "a": "-",
    }  # fmt: skip


def test_json_for_both_logs(logger, tmp_path):
    log = logger(log_format="json", request_id="on")
    assert log.direct()
    write_one(log)
    assert json.loads(read(tmp_path))["status"] == 200
    try:
        {}["k"]
    except KeyError:
        log.exception("it %s", "broke", extra={"request_id": "r-1"})
    entry = json.loads(read(tmp_path, "error.log"))
    assert (entry["message"], entry["level"], entry["log"], entry["request_id"]) == (
        "it broke",
        "error",
        "error",
        "r-1",
    )
    assert entry["exception"].endswith("KeyError: 'k'")


def test_error_lines_have_gunicorn_s_form(logger, tmp_path):
    log = logger(loglevel="warning")
    log.info("unheard")
    log.warning("heard %d", 3)
    log.log("error", "by name")
    lines = read(tmp_path, "error.log").splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[WARNING\] heard 3", lines[0])


def test_files_are_opened_again_after_a_rotation(logger, tmp_path):
    log = logger()
    write_one(log, b"/1")
    log.error("one")
    for name in ("access.log", "error.log"):
        os.rename(tmp_path / name, tmp_path / (name + ".1"))
    write_one(log, b"/2")
    log.reopen_files()
    write_one(log, b"/3")
    log.error("two")
    assert len(read(tmp_path, "access.log.1").splitlines()) == 2
    assert len(read(tmp_path).splitlines()) == 1
    assert "two" in read(tmp_path, "error.log")
    assert "two" not in read(tmp_path, "error.log.1")


def test_a_rotation_while_a_line_is_made_stops_no_later_line(logger, tmp_path, monkeypatch):
    log = logger()
    writer = log.access_log_writer
    if not hasattr(writer, "__dict__"):
        pytest.skip("a compiled line is made without a look at signals")
    os.rename(tmp_path / "access.log", tmp_path / "access.log.1")
    make_line = writer._line

    def interrupted(*args):
        monkeypatch.undo()
        log.reopen_files()
        return make_line(*args)

    monkeypatch.setattr(writer, "_line", interrupted)
    write_one(log, b"/1")
    write_one(log, b"/2")
    assert len(read(tmp_path).splitlines()) == 2


def test_a_second_setup_takes_the_new_settings(logger, tmp_path):
    log = logger()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    log.setup(
        Settings.make(accesslog=str(tmp_path / "other.log"), errorlog=str(tmp_path / "error.log"), loglevel="error")
    )
    write_one(log)
    log.warning("unheard")
    assert (read(tmp_path), read(tmp_path, "error.log")) == ("", "")
    assert len(read(tmp_path, "other.log").splitlines()) == 1
    assert descriptors == (len(os.listdir("/proc/self/fd")) if descriptors else 0)


def test_a_second_setup_that_fails_leaves_everything_as_it_was(logger, tmp_path):
    log = logger()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(ConfigError, match="accesslog: expected a file"):
        log.setup(Settings.make(errorlog=str(tmp_path / "other.log"), accesslog="/no/x", loglevel="error"))
    write_one(log)
    log.info("heard")
    assert len(read(tmp_path).splitlines()) == 1
    assert read(tmp_path, "error.log").endswith("heard\n")
    assert descriptors == (len(os.listdir("/proc/self/fd")) if descriptors else 0)


def test_only_files_are_given_to_the_user_of_the_workers(logger, tmp_path, monkeypatch):
    given = []
    log = logger(user=os.geteuid() + 1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: given.append(fd))
    with open(os.devnull, "wb") as device, open(tmp_path / "error.log", "ab") as file:
        log._give_to_workers(device.fileno())
        log._give_to_workers(file.fileno())
        assert given == [file.fileno()]


@pytest.mark.parametrize("name", ["errorlog", "accesslog"])
def test_a_log_that_cannot_be_written_is_one_line(name):
    with pytest.raises(
        ConfigError, match=rf"{name}: expected a file that can be written, got '/no/x': No such file.*from code"
    ):
        Logger(Settings.make(**{name: "/no/x"}))


def test_a_format_that_is_none_is_one_line(logger):
    with pytest.raises(ConfigError, match=r"access_log_format: expected %% or %\(name\)s, got ' %y' \(from code\)"):
        logger(access_log_format="%(h)s %y")


def test_what_is_written_to_wsgi_errors_is_json_in_a_log_of_json(logger, tmp_path):
    log = logger(log_format="json")
    log.wsgi_errors.write("100 %s of\nit failed\n")
    log.wsgi_errors.write("half")
    log.wsgi_errors.flush()
    entries = [json.loads(text) for text in read(tmp_path, "error.log").splitlines()]
    assert [entry["message"] for entry in entries] == ["100 %s of\nit failed", "half"]
    assert {(entry["log"], entry["level"], entry["pid"]) for entry in entries} == {("error", "error", os.getpid())}


def test_wsgi_errors_pass_whole_lines_to_the_error_log(logger, tmp_path):
    log = logger()
    print("one", "line", file=log.wsgi_errors)
    log.wsgi_errors.write("half")
    assert read(tmp_path, "error.log") == "one line\n"
    log.wsgi_errors.flush()
    log.wsgi_errors.writelines(["a\n", "b\n"])
    assert read(tmp_path, "error.log") == "one line\nhalf\na\nb\n"


INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access
[handlers]
keys=file
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=file
[logger_gunicorn.error]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.error
[logger_gunicorn.access]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.access
[handler_file]
class=FileHandler
formatter=plain
args=('configured.log',)
[formatter_plain]
format=%(name)s %(message)s
"""


def dict_config():
    handler = {"class": "logging.FileHandler", "formatter": "plain", "filename": "configured.log"}
    own = {"level": "INFO", "handlers": ["file"], "propagate": False}
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(name)s %(message)s"}},
        "handlers": {"file": handler},
        "root": {"handlers": []},
        "loggers": {"gunicorn.error": own, "gunicorn.access": own},
    }


@pytest.mark.parametrize("form", ["logconfig", "logconfig_dict", "logconfig_json"])
def test_logging_configurations_take_both_logs_over(logger, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.ini").write_text(INI)
    (tmp_path / "log.json").write_text(json.dumps(dict_config()))
    value = {"logconfig": "log.ini", "logconfig_dict": dict_config(), "logconfig_json": "log.json"}[form]
    log = logger(access_log_format="%(m)s %(U)s", **{form: value})
    log.info("hello")
    write_one(log, b"/x")
    for handler in logging.getLogger("gunicorn.error").handlers:
        handler.close()
    assert read(tmp_path, "configured.log") == "gunicorn.error hello\ngunicorn.access GET /x\n"
    for name in ("gunicorn.error", "gunicorn.access", ""):
        logging.getLogger(name).handlers.clear()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"logconfig_dict": {"version": 7}},
            r"logconfig_dict: expected a logging configuration.*Unsupported version: 7",
        ),
        (
            {"logconfig_dict": {"version": 1, "handlers": {"h": {"class": "no.such.Handler"}}}},
            "no.such.Handler|handler 'h'",
        ),
        ({"logconfig_json": "/no.json"}, "logconfig_json: expected a file that can be read, got '/no.json'"),
        ({"logconfig": "/no.ini"}, "logconfig: expected a logging configuration|'/no.ini'"),
        ({"logconfig": "/no.ini", "logconfig_json": "/no.json", "logconfig_dict": {"version": 7}}, "^logconfig_dict:"),
        ({"logconfig": "/no.ini", "logconfig_json": "/no.json"}, "^logconfig_json:"),
        ({"syslog": True, "syslog_addr": "ftp://x"}, "syslog_addr: expected unix://PATH#dgram.*got 'ftp://x'"),
        ({"syslog": True, "syslog_facility": "x"}, "syslog_facility: expected one of .*user.*got 'x'"),
    ],
)
def test_a_logging_configuration_that_is_wrong_is_a_config_error(logger, settings, message):
    with pytest.raises(ConfigError, match=message):
        logger(**settings)
