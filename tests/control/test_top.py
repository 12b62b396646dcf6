"""``serverctl top`` in a real terminal, with a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Iterator

import pytest

from control.terminal import Terminal
from support import ServerProcess, until

APP = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(20)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    arguments = ["app:app", "-w", "2", "--control-socket", "ctl", "--graceful-timeout", "1"]
    with ServerProcess(arguments, app=APP, workers=2) as made:
        until((made.cwd / "ctl").exists, what="the control socket is there")
        yield made


@pytest.fixture
def terminal(server: ServerProcess) -> Iterator[Terminal]:
    made = Terminal(f"{sys.executable} -m server_cli.ctl -s {server.cwd / 'ctl'} top; sleep 60")
    yield made
    made.close()


def test_a_person_looks_and_recycles_a_worker(server, terminal):
    with server.client() as slow:
        slow.send(b"GET /slow?for=20 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: "GET /slow?for=20" in terminal.screen(), 20, "the slow request is shown")
        first, second = sorted(server.worker_pids())
        assert str(first) in terminal.screen()
        assert str(second) in terminal.screen()
        terminal.press("s")
        until(lambda: "most recent call first" in terminal.screen(), what="a stack is shown")
        terminal.press("Escape")
        until(lambda: "most recent call first" not in terminal.screen(), what="the stack is left")
        terminal.press("k")
        until(lambda: "Replace worker" in terminal.screen(), what="the question is asked")
        terminal.press("y")
        until(lambda: set(server.booted_pids()) - {first, second}, 20, "a successor starts")
        successor = (set(server.booted_pids()) - {first, second}).pop()
        until(lambda: str(successor) in terminal.screen(), 20, "the successor is shown")
    terminal.press("q")
    until(lambda: "shop" not in terminal.screen() and "Workers" not in terminal.screen(), what="the view is left")


def test_without_the_extra_it_says_what_to_install(server, tmp_path):
    (tmp_path / "textual.py").write_text("raise ModuleNotFoundError('no textual', name='textual')")
    (tmp_path / "rich").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "server_cli.ctl", "-s", str(server.cwd / "ctl"), "top"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install 'server-cli[top]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_server_it_says_where_it_looked(tmp_path):
    command = [sys.executable, "-m", "server_cli.ctl", "-s", str(tmp_path / "none"), "top"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"expected a running server at {tmp_path / 'none'}" in done.stderr
