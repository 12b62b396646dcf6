"""Bad input, as an operator meets it: one clear line, an exit code, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket

import pytest
import trustme

from support import ServerProcess, processes_marked, request, until

HELLO = """
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'hello']
app = application
"""

CONFIG, USAGE, BOOT, LOAD = 1, 2, 3, 4


def ends(args, code, text, *, app=HELLO, config=None, files=None, env=None, bind="127.0.0.1:0", lines=None):
    """Start a server that cannot serve; returns its output."""
    server = ServerProcess(args, app=app, config=config, files=files, env=env, bind=bind, wait=False, workers=0)
    server.start()
    try:
        status = server.wait(20)
        assert status == code, server.report()
        assert text in server.log, server.report()
        errors = [line for line in server.lines() if "error:" in line]
        if lines is not None:
            assert len([line for line in server.lines() if "[INFO]" not in line]) == lines, server.report()
        assert len(errors) <= 1, server.report()
        server.assert_nothing_left()
        left = {path.name for path in server.cwd.rglob("*") if path.suffix in (".pid", ".sock")}
        assert not left, left
        return server.log
    finally:
        server.destroy()


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["app:app", "--workers", "many"], CONFIG,
         "server: error: workers: expected an integer >= 1, got 'many' (from command line)"),
        (["app:app", "--wrokers", "3"], USAGE,
         "server: error: --wrokers: expected a known option, did you mean --workers? (from command line)"),
        (["app:app", "other:app"], USAGE, "server: error: expected one application, got 2: app:app other:app"),
        (["app:app", "-k", "no-such"], CONFIG, "server: error: worker class: expected one of "),
        (["app:app", "-k", "no.such.Worker"], CONFIG, "worker class 'no.such.Worker': no module named 'no'"),
        (["app:app", "-c", "missing.py"], CONFIG, "config: expected a file, got 'missing.py', which is not there"),
        (["app:app", "--certfile", "missing.pem"], CONFIG,
         "certfile: expected a file that can be read, got 'missing.pem': No such file or directory (from command"),
        (["app:app", "--keyfile", "app.py"], CONFIG, "certfile: expected a file, because keyfile is set"),
        (["app:app", "--certfile", "app.py"], CONFIG, "certfile"),
        (["app:app", "--chdir", "missing"], CONFIG, "chdir: expected a directory that exists, got 'missing'"),
        (["app:app", "--error-logfile", "missing/x.log"], CONFIG,
         "errorlog: expected a file that can be written, got 'missing/x.log': No such file or directory"),
        (["app:app", "--bind", "127.0.0.1:99999"], CONFIG, "bind: expected a port up to 65535"),
        (["app:app", "--bind", ""], CONFIG, "bind: expected at least one address, got [] (from command line)"),
        (["app:app", "--bind", "", "--check-config"], CONFIG, "bind: expected at least one address, got []"),
        (["app:app", "--paste", "missing.ini"], CONFIG, "paste: expected a file that can be read, got 'missing.ini'"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_one_line(args, code, text):
    ends(args, code, text, bind=None, lines=1)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("workers = 'many'", "workers: expected an integer >= 1, got 'many' (from server.conf.py)"),
        ("wrokers = 2", "wrokers: expected the name of a setting, did you mean 'workers'? (from server.conf.py)"),
        ("def when_ready(): pass", "when_ready: expected a function that takes (server), got <function when_ready"),
    ],
)
def test_a_bad_config_file_is_one_line(config, text):
    ends(["app:app"], CONFIG, text, config=config, lines=1)


def test_a_config_file_that_raises_comes_with_its_traceback():
    log = ends(["app:app"], CONFIG, "server: error: config file server.conf.py: ZeroDivisionError: division by zero",
               config="def f():\n    return 1 / 0\nworkers = f()\n")  # fmt: skip
    assert "in f" in log
    assert "server_core" not in log


@pytest.mark.parametrize("preload", [[], ["--preload"]])
@pytest.mark.parametrize(
    ("target", "text", "with_traceback"),
    [
        ("missing:app", "application 'missing:app': no module named 'missing'", False),
        ("app:missing", "application 'app:missing': app has no 'missing'; did you mean 'app:application'?", False),
        ("app.py", "application 'app.py': expected the name of a module, got 'app.py'; did you mean 'app'?", False),
        ("broken:app", "application 'broken:app': importing broken failed: ZeroDivisionError: division by zero", True),
        ("unwritten:app", "application 'unwritten:app': importing unwritten failed: SyntaxError", True),
        ("app:number", "expected an application that can be called, got 3", False),
    ],
)
def test_an_application_that_cannot_be_loaded_ends_the_server_with_4(preload, target, text, with_traceback):
    files = {
        "broken.py": "def inner():\n    1 / 0\ninner()\n",
        "unwritten.py": "def (\n",
        "app.py": HELLO + "number = 3\n",
    }
    log = ends([target, "--workers", "2", *preload], LOAD, text, app=None, files=files)
    assert log.count("Traceback (most recent call last)") <= (1 if with_traceback else 0), log
    if target == "broken:app":
        assert log.count("in inner") == 1, log


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        log = ends(["app:app", "--pid", "server.pid"], CONFIG, f"127.0.0.1:{port}", bind=f"127.0.0.1:{port}")
        assert "in use" in log


def test_a_socket_path_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    ends(["app:app"], CONFIG, str(path), bind=f"unix:{path}")
    assert path.read_text() == "data"


def test_no_application_says_what_to_type():
    log = ends([], CONFIG, "server: error: no application: expected MODULE:ATTRIBUTE", bind=None)
    assert "server MODULE:ATTRIBUTE" in log
    assert "server -k asgi main:app" in log


def test_a_worker_that_dies_while_it_starts_ends_the_server_with_3():
    config = "def post_worker_init(worker):\n    raise RuntimeError('no database')\n"
    log = ends(["app:app"], BOOT, "no database", config=config)
    assert log.count("RuntimeError: no database") == 1, log


def test_a_hook_that_fails_at_the_start_leaves_no_pid_file():
    log = ends(["app:app", "--pid", "server.pid"], 255, "RuntimeError: not now",
               config="def when_ready(server):\n    raise RuntimeError('not now')\n")  # fmt: skip
    assert "in when_ready" in log


def test_a_bad_variable_is_named():
    ends(["app:app"], CONFIG, "(from environment WEB_CONCURRENCY)", env={"WEB_CONCURRENCY": "x"}, lines=1)
    ends(["app:app"], USAGE, "--wrong: expected a known option", env={"GUNICORN_CMD_ARGS": "--wrong"}, lines=1)


def test_check_config_says_what_a_start_would_say():
    ends(["app:app", "--check-config"], 0, "The configuration is good.")
    ends(["app:missing", "--check-config"], LOAD, "app has no 'missing'")
    ends(["app:app", "--check-config", "-w", "0"], CONFIG, "workers: expected an integer >= 1, got '0'")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--certfile", "one.pem", "--keyfile", "two.pem"], "certfile: "),
        (["--certfile", "one.pem", "--ciphers", "FOOBAR"], "ciphers: expected ciphers that OpenSSL knows"),
        (["--socket-owner", "no-such-user:"], "name not found: 'no-such-user' (from command line)"),
        (["--reporters", "no-such"], "reporter: expected one of"),
        (["--dirty-app", "app", "--dirty-workers", "1"], "dirty_apps: expected"),
        (["--dirty-app", "missing:App", "--dirty-workers", "1"], "dirty_apps: no module 'missing'"),
        (["--protocol", "no-such"], "protocol: expected one of http, uwsgi or a dotted path, got 'no-such'"),
        (
            ["-k", "collections.OrderedDict"],
            "worker_class: expected a class like server_core.worker.Worker, got <class",
        ),
        (["-k", "asgi", "--asgi-loop", "missing:loop"], "asgi_loop: no module named 'missing'"),
        (["--cpu-affinity", "4094-4095"], "cpu_affinity: expected cores this process may use, got '4094-4095'"),
    ],
)
def test_check_config_looks_at_all_that_a_start_uses(tmp_path, args, text):
    files = {}
    for name in ("one.pem", "two.pem"):
        certificate = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem
        files[name] = certificate.bytes().decode()
    code = LOAD if "no module 'missing'" in text else CONFIG
    started = ends(["app:app", *args], code, text, files=files)
    checked = ends(["app:app", "--check-config", *args], code, text, files=files)
    assert error_line(checked) == error_line(started)


def error_line(log):
    return [line for line in log.splitlines() if line.startswith("server: error:")]


@pytest.mark.parametrize("daemon", [[], ["-D"]])
def test_what_ends_a_start_is_in_the_error_log_and_told_where_it_was_started(tmp_path, daemon):
    log = tmp_path / "error.log"
    args = ["app:app", *daemon, "--bind", f"unix:{tmp_path}/missing/x.sock", "--error-logfile", str(log)]
    with ServerProcess(args, app=HELLO, bind=None, wait=False) as server:
        assert server.wait(20) == CONFIG
        reason = "cannot listen: No such file or directory"
        assert reason in log.read_text()
        (told,) = error_line(server.log)
        assert reason in told
        until(lambda: not processes_marked(server.mark), what="the daemon ended")


def test_what_is_known_before_a_daemon_detaches_is_told_where_it_was_started():
    ends(["app:app", "-D", "-k", "no-such"], CONFIG, "worker class: expected one of", lines=1)
    ends(["app:app", "-D"], CONFIG, "bind: expected a port up to 65535", bind="127.0.0.1:99999", lines=1)


@pytest.mark.parametrize(
    ("app", "code", "message"),
    [
        ("1 / 0\n", LOAD, "before it served; {log} says why"),
        (
            "import os\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(60)\n",
            CONFIG,
            "server: error: it ended before it served",
        ),
    ],
    ids=["ended", "killed"],
)
def test_a_daemon_that_does_not_come_to_serve_is_told_where_it_was_started(tmp_path, app, code, message):
    log = tmp_path / "error.log"
    with ServerProcess(["app:app", "-D", "--error-logfile", str(log)], app=app, wait=False) as server:
        assert server.wait(20) == code
        (told,) = error_line(server.log)
        assert message.format(log=log) in told
        until(lambda: not processes_marked(server.mark), what="the daemon ended")


def test_a_daemon_serves_when_the_command_returns(tmp_path):
    app = "import time\ntime.sleep(0.5)\n" + HELLO
    args = ["app:app", "-D", "--pid", "server.pid", "--error-logfile", str(tmp_path / "error.log")]
    with ServerProcess(args, app=app, bind="unix:s", wait=False, clean=False) as server:
        assert server.wait(20) == 0
        assert request(str(server.cwd / "s")).body == b"hello"
        assert server.log == ""
        os.kill(int((server.cwd / "server.pid").read_text()), signal.SIGTERM)
        until(lambda: not processes_marked(server.mark), what="the daemon ended")


def test_a_broken_reload_keeps_the_old_settings_and_says_why():
    with ServerProcess(["app:app"], app=HELLO, config="workers = 1\n") as server:
        (server.cwd / "server.conf.py").write_text("workers = 'many' #\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("workers: expected an integer >= 1, got 'many' (from server.conf.py)")
        assert server.get("/").body == b"hello"
        assert len(server.booted_pids()) == 1


def test_a_config_file_that_raises_at_a_reload_is_shown_with_its_traceback():
    with ServerProcess(["app:app"], app=HELLO, config="workers = 1\n") as server:
        (server.cwd / "server.conf.py").write_text("def inner():\n    1 / 0\ninner()\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("config file server.conf.py: ZeroDivisionError: division by zero")
        assert "in inner" in server.log
        assert server.get("/").body == b"hello"


def test_an_unreadable_config_file_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "secret.py").write_text("")
    (tmp_path / "secret.py").chmod(0)
    ends(["app:app", "-c", str(tmp_path / "secret.py")], CONFIG, "expected a file that can be read: Permission denied")
