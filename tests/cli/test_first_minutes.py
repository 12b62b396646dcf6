"""The first minutes with the command, at a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import ServerProcess, processes_marked

APP = """
from flask import Flask

flask_app = Flask(__name__)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

async def api(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

def create_app():
    return app

answer = 42
_private = app
"""
# Short sleeps: Python notices a signal that comes just before a sleep only behind it.
SLOW_TO_IMPORT = """
import time
print("importing", flush=True)
for _ in range(6000):
    time.sleep(0.01)
"""
SECONDS = 20
CTRL_C = b"\x03"


class Terminal:
    """The command at a terminal of its own, as a context manager."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        (folder / "app.py").write_text(APP)
        self.mark = f"terminal-{folder.name}-{os.getpid()}"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SERVER_", "NO_COLOR"))}
        runtime = {"XDG_RUNTIME_DIR": str(folder), "SPT_NOENV": "1", "SERVER_TEST_MARK": self.mark, "TERM": "xterm"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(  # noqa: S606  # the child of a fork with a terminal
                sys.executable, [sys.executable, "-m", "server_cli", *words], {**env, **runtime, **variables}
            )
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in processes_marked(self.mark):
            os.kill(pid, signal.SIGKILL)
        os.close(self.fd)

    def read_until(self, pattern: str, count: int = 1) -> None:
        """Read until ``count`` matches were printed."""
        deadline = time.monotonic() + SECONDS
        while len(re.findall(pattern, self.text)) < count:
            assert self._read(deadline), self.text

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{SECONDS} s passed\n{self.text}"
        try:
            octets = os.read(self.fd, 65536)
        except OSError:  # Linux: the last process at the terminal has gone
            return False
        self.text += octets.decode().replace("\r\n", "\n")
        return bool(octets)

    def ended(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def press(self, keys: bytes) -> None:
        os.write(self.fd, keys)


def test_a_terminal_shows_one_block_in_colour_and_ctrl_c_ends_at_once(tmp_path):
    (tmp_path / "server.conf.py").write_text("workers = 2\n")
    with Terminal(tmp_path, "app:app", "--bind", "127.0.0.1:0") as terminal:
        terminal.read_until("Booting worker", 2)
        plain = re.sub("\033\\[[0-9;]*m", "", terminal.text)
        lines = [line.strip() for line in plain.splitlines()[:7]]
        assert re.match(r"server \d+\.\d+\.\d+ \((interpreted|compiled, \d+ modules), CPython", lines[0])
        assert lines[1] == "serving  app:app"
        assert re.fullmatch(r"at  http://127\.0\.0\.1:[1-9]\d*", lines[2])
        assert lines[3:5] == ["with  2 sync workers", "speaking  HTTP/1.1"]
        assert lines[5] == "using  settings from server.conf.py, command line"
        assert lines[6] == "Ctrl-C stops it"
        assert "\033[1m" in terminal.text
        assert "Listening at" not in plain  # the block says it
        terminal.press(CTRL_C)
        began = time.monotonic()
        assert terminal.ended() == 0
        assert time.monotonic() - began < 15
        assert "Traceback" not in terminal.text
        assert terminal.text.count("Shutting down") == 1


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(tmp_path, variable):
    with Terminal(tmp_path, "app:app", "--bind", "127.0.0.1:0", **variable) as terminal:
        terminal.read_until("Booting worker")
        assert "\033" not in terminal.text
        terminal.press(CTRL_C)
        assert terminal.ended() == 0


@pytest.mark.parametrize("worker", ["gthread", "asgi", "gevent"])
def test_ctrl_c_ends_every_kind_of_worker_without_a_traceback(tmp_path, worker):
    target = "app:api" if worker == "asgi" else "app:app"
    with Terminal(tmp_path, target, "-k", worker, "--bind", "127.0.0.1:0") as terminal:
        terminal.read_until("Booting worker")
        terminal.press(CTRL_C)
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.text


def test_ctrl_c_while_the_application_is_imported_ends_it_too(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_TO_IMPORT)
    with Terminal(tmp_path, "slow:app", "--bind", "127.0.0.1:0") as terminal:
        terminal.read_until("importing")
        terminal.press(CTRL_C)
        terminal.ended()
        assert "Traceback" not in terminal.text


def test_ctrl_c_while_the_config_file_runs_ends_with_130(tmp_path):
    (tmp_path / "server.conf.py").write_text(SLOW_TO_IMPORT)
    with Terminal(tmp_path, "app:app", "--bind", "127.0.0.1:0") as terminal:
        terminal.read_until("importing")
        terminal.press(CTRL_C)
        assert terminal.ended() == 130
        assert "Traceback" not in terminal.text


def test_a_pipe_gets_lines_without_colours():
    with ServerProcess(["app:app"], app=APP) as server:
        server.wait_for_log(
            re.compile(r"\[INFO\] Serving app:app by HTTP/1\.1 \((interpreted|compiled, \d+ modules)\); ")
        )
        assert "\033" not in server.log
        assert all(re.match(r"\[\d{4}-", line) for line in server.lines())


@pytest.mark.parametrize("words", ["server_cli --help", "server_cli app:app --print-config", "server_cli.ctl --help"])
def test_a_reader_that_has_enough_is_no_error(tmp_path, words):
    (tmp_path / "app.py").write_text(APP)
    script = f"set -o pipefail; {sys.executable} -m {words} | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def refused(*words: str, folder: Path) -> str:
    """What is printed when the application cannot be served."""
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "server_cli", *words, "--bind", "127.0.0.1:0"]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    done = subprocess.run(command, cwd=str(folder), env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_wrong_name_lists_what_the_module_offers(tmp_path):
    text = refused("app:appl", folder=tmp_path)
    assert "app has no 'appl'; did you mean 'app:app'? app offers flask_app, app, api, create_app()\n" in text
    assert "app offers flask_app" in refused("app:zebra", folder=tmp_path)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["app:flask_app", "-k", "asgi"], "got one for WSGI; to serve it write -k gthread"),
        (["app:app", "-k", "asgi"], "got one for WSGI; to serve it write -k gthread"),
        (["app:api"], "got one for ASGI; to serve it write -k asgi"),
        (["app:api", "-k", "gevent"], "got one for ASGI; to serve it write -k asgi"),
    ],
)
def test_an_application_of_the_other_kind_is_recognised_and_the_worker_named(tmp_path, words, advice):
    assert advice in refused(*words, folder=tmp_path)
