"""A server as a real process, for tests.

Owns: the start with the application and configuration as text, the wait for readiness by an event (a log
line), signals, the stop, and the check that nothing is left behind.
Must not know: HTTP.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Mapping, Optional, Sequence, Type, Union

from support.client import Answer, RawClient, request
from support.net import PATIENCE, until

CURRENT_PYTHON = sys.executable
MARK = "SERVER_TEST_MARK"

READY_SECONDS = 60.0
STOP_SECONDS = 25.0  # less than the usual graceful_timeout, so that a stop that waits for its end is noticed


_PORT = re.compile(r"Listening at: \w+://(?:\[[^\]]*\]|[^:/\s]+):(\d+)")
_WORKER = re.compile(r"Booting worker with pid: (\d+)")

_OWN_SETTINGS = ("SERVER_", "GUNICORN_", "WEB_CONCURRENCY", "NOTIFY_SOCKET", "LISTEN_", "FORWARDED_ALLOW_IPS", "PORT")


def processes_marked(mark: str) -> List[int]:
    """Pids that carry ``mark`` in the environment they were started with, zombies excepted.

    Reads ``/proc``; on a system without it the list is empty.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if f"{MARK}={mark}".encode() in environment:
            found.append(int(entry.name))
    return found


def children_of(pid: int) -> List[int]:
    """Pids of the direct children of ``pid``, in order of age, zombies excepted (needs ``/proc``)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.name))
    return sorted(found)


class ServerProcess:
    """``python -m server_cli ARGS`` in a directory of its own, as a context manager.

    Args:
        args: command line after the program, e.g. ``["app:app", "-k", "gthread"]``.
        app: text of ``app.py`` in the process's directory (or ``files`` for more).
        config: text of ``server.conf.py``, read by the server by itself.
        files: further files by relative path.
        env: variables added to the environment; the server's own variables of the test run are removed.
        python: the interpreter to use, or None for that of the tests.
        program: what is started instead of ``python -m server_cli``.
        bind: value of ``--bind``; None adds no flag. Port 0 is resolved from the log (``.port``).
        cwd: directory to run in; one is made and removed when None.
        wait: wait for ``workers`` boot lines and the listening line.
        workers: how many workers must have booted before the start counts as done.
        clean: assert at exit that the server ended by itself and left no process behind.

    Attributes:
        pid: of the arbiter. port, host: of the first TCP listener. cwd: ``Path``.
    """

    def __init__(
        self,
        args: Sequence[str] = (),
        *,
        app: Optional[str] = None,
        config: Optional[str] = None,
        files: Optional[Mapping[str, str]] = None,
        env: Optional[Mapping[str, str]] = None,
        python: Optional[str] = None,
        program: Optional[Sequence[str]] = None,
        bind: Optional[str] = "127.0.0.1:0",
        cwd: Union[str, Path, None] = None,
        wait: bool = True,
        workers: int = 1,
        clean: bool = True,
        timeout: float = READY_SECONDS,
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.args = list(args)
        self.bind = bind
        self.program = list(program) if program else [python or CURRENT_PYTHON, "-m", "server_cli"]
        self.wait_ready = wait
        self.workers = workers
        self.clean = clean
        self.timeout = timeout
        self.extra_env = dict(env or {})
        self._own_dir = cwd is None
        self.cwd = Path(tempfile.mkdtemp(prefix="server-test-") if cwd is None else cwd)
        self._runtime = tempfile.mkdtemp(prefix="server-run-")  # the control socket's default place
        self._files = dict(files or {})
        if app is not None:
            self._files["app.py"] = app
        if config is not None:
            self._files["server.conf.py"] = config
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.host = "127.0.0.1"
        self._lines: List[str] = []
        self._begun = b""  # of the line that has no end yet
        self._news = threading.Condition()
        self._eof = False

    # -- start and stop

    def start(self) -> ServerProcess:
        """Write the files, start the process, and wait until it is ready where asked to."""
        for name, text in self._files.items():
            path = self.cwd / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = [*self.program, *self.args]
        if self.bind is not None:
            command += ["--bind", self.bind]
        self.process = subprocess.Popen(
            command,
            cwd=str(self.cwd),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        threading.Thread(target=self._collect, daemon=True).start()
        if self.wait_ready:
            try:
                self._wait_ready()
            except BaseException:
                self.destroy()
                raise
        return self

    def _environment(self) -> Dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
        # SPT_NOENV: setproctitle would write titles over the environment, and so over the mark.
        env.update(PYTHONUNBUFFERED="1", PYTHONFAULTHANDLER="1", SPT_NOENV="1", **{MARK: self.mark})
        env["XDG_RUNTIME_DIR"] = self._runtime
        env.update(self.extra_env)
        return env

    def _wait_ready(self) -> None:
        self.wait_for_log("Listening at: ", timeout=self.timeout)
        if self.workers:
            self.wait_for_log(_WORKER, count=self.workers, timeout=self.timeout)

    def send_signal(self, number: int, pid: Optional[int] = None) -> None:
        """Send a signal to the arbiter, or to ``pid``."""
        os.kill(self.pid if pid is None else pid, number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """The exit status once the server ended by itself; negative for a signal."""
        assert self.process is not None
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"server still runs after {timeout} s\n{self.report()}") from None
        with self._news:
            self._news.wait_for(lambda: self._eof, 2.0)  # workers that outlive the arbiter keep the pipe open
        return status

    def stop(self, number: int = signal.SIGTERM, timeout: float = STOP_SECONDS) -> int:
        """Ask the server to end, wait for it, and return its exit status."""
        if self.running:
            self.send_signal(number)
        return self.wait(timeout)

    def destroy(self) -> None:
        """Kill whatever is left of this server, and remove its directory."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in processes_marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self._runtime, ignore_errors=True)
        if self._own_dir:
            shutil.rmtree(self.cwd, ignore_errors=True)

    def assert_nothing_left(self, timeout: float = 15.0) -> None:
        """Assert that no process of this server lives any more."""
        try:
            until(lambda: not processes_marked(self.mark), timeout, "no process left behind")
        except AssertionError:
            left = [f"{pid}: {_command_of(pid)}" for pid in processes_marked(self.mark)]
            raise AssertionError(f"processes left behind: {left}\n{self.report()}") from None

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if error is not None:
                print(self.report())  # pytest shows it below the failure
            elif self.clean:
                self.stop()
                self.assert_nothing_left()
        finally:
            self.destroy()

    # -- what is known of it

    @property
    def pid(self) -> int:
        """The arbiter's pid."""
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the arbiter lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def port(self) -> int:
        """Port of the first TCP listener, from the log."""
        for line in self.lines():
            match = _PORT.search(line)
            if match:
                return int(match.group(1))
        raise AssertionError(f"no listening line with a port\n{self.report()}")

    @property
    def ports(self) -> List[int]:
        """Ports of all TCP listeners, from the log, in order."""
        return [int(port) for port in _PORT.findall(self.log)]

    @property
    def log(self) -> str:
        """All output so far."""
        return "".join(self.lines())

    def lines(self) -> List[str]:
        """All lines of output so far: whatever was written before the call is among them."""
        with self._news:
            self._take_output()
            return list(self._lines)

    def worker_pids(self) -> List[int]:
        """Pids of the arbiter's children that live now (a template process is among them)."""
        return children_of(self.pid)

    def booted_pids(self) -> List[int]:
        """Pids of all workers that ever booted, from the log, in order."""
        return [int(pid) for pid in _WORKER.findall(self.log)]

    def wait_for_log(
        self, pattern: Union[str, re.Pattern[str]], *, count: int = 1, timeout: float = PATIENCE
    ) -> List[str]:
        """Wait until ``count`` lines match ``pattern`` (text, or a compiled expression); those lines.

        Raises:
            AssertionError: they did not come in time, or the process ended before.
        """
        expression = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        deadline = time.monotonic() + timeout

        def matching() -> List[str]:
            return [line for line in self._lines if expression.search(line)]

        with self._news:
            while len(matching()) < count:
                left = deadline - time.monotonic()
                if left <= 0 or self._eof:
                    found = len(matching())
                    break
                self._news.wait(left)
            else:
                return matching()
        why = "output ended" if self._eof else f"{timeout} s passed"
        raise AssertionError(f"log line {expression.pattern!r}: expected {count}, got {found} ({why})\n{self.report()}")

    def report(self) -> str:
        """Command, state and output, for a failure."""
        state = "running" if self.running else f"exit status {self.process.poll() if self.process else None}"
        return f"--- {' '.join([*self.program, *self.args])} ({state})\n{self.log}---"

    def _collect(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not self._eof:
                selector.select()
                with self._news:
                    self._take_output()

    def _take_output(self) -> None:
        """Take all that was written so far. For the holder of ``_news``."""
        if self.process is None or self._eof:
            return
        assert self.process.stdout is not None
        try:
            while not self._eof:
                octets = os.read(self.process.stdout.fileno(), 1 << 16)
                self._eof = not octets
                *lines, self._begun = (self._begun + octets).split(b"\n")
                self._lines += [line.decode("utf-8", "replace") + "\n" for line in lines]
        except BlockingIOError:
            pass
        if self._eof and self._begun:
            self._lines.append(self._begun.decode("utf-8", "replace"))
        self._news.notify_all()

    # -- talking to it

    def client(self, timeout: float = PATIENCE) -> RawClient:
        """A raw connection to the first listener."""
        return RawClient((self.host, self.port), timeout=timeout)

    def get(self, target: str = "/", *, timeout: float = PATIENCE, **options: object) -> Answer:
        """One GET on a connection of its own."""
        return request((self.host, self.port), "GET", target, timeout=timeout, **options)


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "(gone)"
