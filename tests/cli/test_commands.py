"""The commands server and serverctl, embedding, and config files of gunicorn, as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support import ServerProcess, until

HELLO = """
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'hello']
app = application
"""


def command(*words, cwd=None, module="server_cli"):
    return subprocess.run([sys.executable, "-m", module, *words], cwd=cwd, capture_output=True, text=True, timeout=30)


def test_the_version_says_whether_the_engine_is_compiled():
    done = command("--version")
    assert re.fullmatch(r"server \d+\.\d+\.\d+ \((interpreted|compiled, \d+ modules), \w+ 3\.\d+\.\d+\)\n", done.stdout)
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["server_cli", "--print-config"], ["server_cli.ctl", "completion", "bash"]])
def test_output_that_cannot_be_written_is_one_line(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
        )
    assert done.returncode == 1
    assert re.fullmatch(r"(server|serverctl): error: standard output: cannot be written: [^\n]+\n", done.stderr)


def test_what_a_terminal_s_encoding_does_not_have_is_escaped(tmp_path):
    (tmp_path / "server.toml").write_text('proc_name = "größe"\n', encoding="utf-8")
    words = [sys.executable, "-m", "server_cli", "--print-config"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
    assert "'gr\\xf6\\xdfe'" in done.stdout, done.stderr


def test_help_needs_no_application_and_shows_sections():
    done = command("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: server [OPTIONS] [APP]")
    assert "\nWorker Processes:\n" in done.stdout


def test_print_config_shows_each_value_with_its_source(tmp_path):
    (tmp_path / "app.py").write_text(HELLO)
    (tmp_path / "server.conf.py").write_text("threads = 3\ndef post_fork(server, worker): pass\n")
    done = command("app:app", "-w", "2", "--print-config", cwd=tmp_path)
    assert done.returncode == 0
    rows = {line.split(" ", 1)[0]: " ".join(line.split()) for line in done.stdout.splitlines()}
    assert rows["workers"] == "workers = 2 # command line"
    assert rows["threads"] == "threads = 3 # server.conf.py"
    assert rows["post_fork"] == "post_fork = <post_fork()> # server.conf.py"
    assert rows["backlog"] == "backlog = 2048 # default"
    assert rows["umask"] == "umask = 0o000 # default"
    assert list(rows) == sorted(rows)


def test_serverctl_explains_itself():
    done = command("--help", module="server_cli.ctl")
    assert done.returncode == 0
    assert "usage: serverctl" in done.stdout
    assert "stack PID" in done.stdout


@pytest.mark.parametrize(
    "source",
    [
        """
        from server_core.app import run
        from app import app
        run(app, bind="127.0.0.1:0", workers=1)
        """,
        """
        from server_core.app import run
        run("app:app", bind="127.0.0.1:0", workers=1)
        """,
        """
        from server_core.app import Application
        import app

        class Standalone(Application):
            def load_config(self):
                for name, value in {"bind": "127.0.0.1:0", "workers": 1}.items():
                    self.cfg.set(name, value)

            def load(self):
                return app.app

        if __name__ == "__main__":
            Standalone().run()
        """,
    ],
    ids=["callable", "name", "subclass"],
)
def test_embedding(source):
    program = [sys.executable, "main.py"]
    files = {"main.py": textwrap.dedent(source), "app.py": HELLO}
    with ServerProcess(files=files, program=program, bind=None) as server:
        assert server.get("/").body == b"hello"
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Booting worker", count=2)
        assert server.get("/").body == b"hello"
        assert server.stop() == 0


HOOKS = """
import os

def note(text):
    with open("hooks.txt", "a") as file:
        file.write(f"{text}\\n")

def on_starting(server):
    note(f"on_starting {server.cfg.workers}")

def on_reload(server):
    note("on_reload")

def when_ready(server):
    note(f"when_ready {len(server.LISTENERS)} {server.pid == os.getpid()}")

def pre_fork(server, worker):
    note(f"pre_fork age={worker.age > 0} {server.pid == os.getpid()}")

def post_fork(server, worker):
    note(f"post_fork {worker.pid == os.getpid()} ppid={worker.ppid == server.pid}")

def post_worker_init(worker):
    note(f"post_worker_init booted={worker.booted} app={callable(worker.wsgi)}")

def worker_int(worker):
    note("worker_int")

def worker_abort(worker):
    note("worker_abort")

def pre_request(worker, req):
    note(f"pre_request {req.method} {req.uri} {req.path} {req.query} {dict(req.headers)['X-A']} {req.version}")

def post_request(worker, req, environ, resp):
    note(f"post_request {req.path} {environ['PATH_INFO']} {resp.status} {resp.sent} {worker.nr >= 0}")

def child_exit(server, worker):
    note(f"child_exit {worker.pid > 0} {server.pid == os.getpid()}")

def worker_exit(server, worker):
    note(f"worker_exit {worker.pid == os.getpid()}")

def nworkers_changed(server, new_value, old_value):
    note(f"nworkers_changed {new_value} {old_value}")

def on_exit(server):
    note("on_exit")
"""


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_every_hook_is_called_with_what_it_is_promised(kind):
    with ServerProcess(["app:app", "-k", kind], app=HELLO, config=HOOKS) as server:
        assert server.get("/a%20b?x=1", headers=[("X-A", "1")]).status == 200
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log("Booting worker", count=2)
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Booting worker", count=3)
        server.send_signal(signal.SIGINT, server.booted_pids()[2])
        hooks = Path(server.cwd / "hooks.txt")
        until(lambda: "worker_int" in hooks.read_text())
        server.stop()
        noted = hooks.read_text().splitlines()
    assert noted[:2] == ["on_starting 1", "when_ready 1 True"] or noted[0] == "on_starting 1"
    assert "when_ready 1 True" in noted
    assert noted.index("nworkers_changed 1 None") < noted.index("nworkers_changed 2 1")
    assert noted.index("pre_fork age=True True") < noted.index("post_fork True ppid=True")
    assert "post_worker_init booted=False app=True" in noted
    assert "pre_request GET /a%20b?x=1 /a%20b x=1 1 (1, 1)" in noted
    assert "post_request /a%20b /a b 200 OK 5 True" in noted
    assert "on_reload" in noted
    assert "worker_int" in noted
    assert "child_exit True True" in noted
    assert "worker_exit True" in noted
    assert noted[-1] == "on_exit"


def test_a_worker_class_of_gunicorn_s_kind_in_the_config_file_serves():
    config = """
from gunicorn.workers.sync import SyncWorker
from gunicorn.glogging import Logger

class Mine(SyncWorker):
    def init_process(self):
        self.log.info("own init of slot %s", self.slot)
        super().init_process()

    def handle_quit(self, sig, frame):
        self.log.info("own quit")
        super().handle_quit(sig, frame)

class Quiet(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.info("own logger")

worker_class = Mine
logger_class = Quiet
"""
    files = {"gunicorn.conf.py": config}
    with ServerProcess(["app:app"], app=HELLO, files=files) as server:
        assert server.get("/").body == b"hello"
        server.wait_for_log("own logger")
        server.wait_for_log("own init of slot 0")
        server.stop(signal.SIGQUIT)
        server.wait_for_log("own quit")


def test_uvicorn_s_worker_class_is_served_by_ours_with_one_line():
    pytest.importorskip("server_workers_async.worker")
    app = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})
"""
    with ServerProcess(["app:app", "-k", "uvicorn.workers.UvicornWorker"], app=app) as server:
        assert server.get("/").body == b"asgi"
        assert server.log.count("uvicorn.workers.UvicornWorker is served by the 'asgi' worker") == 1


def test_an_asgi_application_on_a_wsgi_worker_gets_the_right_advice():
    app = "async def app(scope, receive, send):\n    pass\n"
    server = ServerProcess(["app:app"], app=app, wait=False)
    server.start()
    try:
        assert server.wait(20) == 4
        assert (
            "expected one for WSGI, because the worker is 'sync', got one for ASGI; to serve it write -k asgi"
            in server.log
        )
    finally:
        server.destroy()
