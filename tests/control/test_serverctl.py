"""The command serverctl, as people and scripts use it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys

import pytest

from control.terminal import Terminal
from support import ServerProcess, until

APP = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(6)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture(scope="module")
def server():
    with ServerProcess(["app:app", "-w", "2", "--control-socket", "ctl"], app=APP, workers=2) as made:
        made.wait_for_log("Booting worker", count=2)
        until(lambda: serverctl(made, "show", "stats").returncode == 0, what="the control socket answers")
        yield made


def serverctl(server: ServerProcess, *words: str, text: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "server_cli.ctl", "--socket", str(server.cwd / "ctl"), *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_workers_are_shown_as_a_table(server):
    done = serverctl(server, "show", "workers")
    assert done.stdout.splitlines()[0].split() == [
        "PID", "SLOT", "STATE", "UP", "BEAT", "CONNS", "RUNNING", "BUSY", "REQUESTS", "MEMORY", "RETIRING",
    ]  # fmt: skip
    assert {int(line.split()[0]) for line in done.stdout.splitlines()[1:]} == set(server.worker_pids())


def test_json_is_for_programs(server):
    assert json.loads(serverctl(server, "--json", "show", "stats").stdout)["workers_target"] == 2
    assert json.loads(serverctl(server, "-j", "-c", "show workers").stdout)["count"] == 2


@pytest.mark.parametrize(
    "command", ["show all", "show config", "show listeners", "show requests", "show stats", "help"]
)
def test_every_answer_can_be_shown(server, command):
    done = serverctl(server, *command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_a_stack_shows_where_a_worker_is_and_in_which_request(server):
    with socket.create_connection((server.host, server.port)) as client:
        client.settimeout(20)
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        rows = []
        until(lambda: rows.extend(_running(server)) or rows, what="the request runs")
        done = serverctl(server, "stack", str(rows[0]["pid"]))
        assert "GET /slow" in done.stdout
        assert "in app" in done.stdout


def _running(server: ServerProcess):
    return json.loads(serverctl(server, "-j", "requests").stdout)["requests"]


def test_several_commands_come_from_standard_input(server):
    done = serverctl(server, text="show listeners\nnonsense\n\nquit\nshow stats\n")
    assert str(server.port) in done.stdout
    assert "uptime" not in done.stdout
    assert "expected one of" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["worker", "add", "many"], 1, "expected one integer"),
        (["nonsense"], 1, "expected one of"),
        (["reload", "now"], 1, "reload: expected no arguments, got 'now'"),
        (["stack"], 2, "expected the process id"),
        (["completion", "tcsh"], 2, "expected one of bash, zsh, fish"),
    ],
)
def test_errors_say_what_was_expected(server, words, code, message):
    done = serverctl(server, *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["reload", "reopen", "worker add", "shutdown", "show workers"])
def test_a_command_is_not_carried_out_for_its_help(server, command):
    before = server.log
    done = serverctl(server, *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "worker replace|kill PID" in done.stdout
    assert server.log == before


def test_top_needs_a_terminal(server):
    pytest.importorskip("textual")
    done = serverctl(server, "top")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("serverctl: error: top: expected a terminal, got none")


def test_without_a_server_it_says_where_it_looked(tmp_path):
    command = [sys.executable, "-m", "server_cli.ctl", "-s", str(tmp_path / "none"), "show", "all"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"expected a running server at {tmp_path / 'none'}" in done.stderr


def test_the_bash_completion_completes(server):
    bash = shutil.which("bash")
    assert bash is not None
    script = serverctl(server, "completion", "bash").stdout
    script += '\nCOMP_WORDS=(serverctl show w); COMP_CWORD=2; _serverctl; echo "${COMPREPLY[@]}"'
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.split() == ["workers"]


def test_the_prompt_completes_and_remembers(server, tmp_path):
    command = f"{sys.executable} -m server_cli.ctl --socket {server.cwd / 'ctl'}"
    terminal = Terminal(f"HOME={tmp_path} {command}; sleep 60")
    try:
        until(lambda: "server>" in terminal.screen(), 20, "the prompt is there")
        terminal.press("show wor", "Tab", "Enter")
        until(lambda: "REQUESTS" in terminal.screen(), what="the workers are shown")
        assert "server> show workers" in terminal.screen()
        terminal.press("Up", "Enter")
        until(lambda: terminal.screen().count("REQUESTS") == 2, what="the command before is run again")
        terminal.press("nonsense", "Enter")
        until(lambda: "error: command: expected one of" in terminal.screen(), what="a wrong one is refused")
        terminal.press("quit", "Enter")
        history = tmp_path / ".serverctl_history"
        until(history.exists, what="the history is saved")
        assert "show workers" in history.read_text().splitlines()
    finally:
        terminal.close()
