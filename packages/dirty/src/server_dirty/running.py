"""Running calls: one thread takes a call from a socket and relays what its host answers.

Owns: ``RunningCall``, what a worker watches, and ``CallRunner``, the work of one thread.
Must not know: supervision, signals, where an application's code runs.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import socket
import threading
import time
from typing import Callable, Mapping, NamedTuple, Optional

from server_core.scoreboard.record import ThreadRecord
from server_core.unix_sockets import check_peer
from server_dirty import calls, frames
from server_dirty.context import CallContext
from server_dirty.errors import DirtyAppNotFoundError, DirtyError, DirtyTimeoutError
from server_dirty.health import ANSWERED, CANCELLED, FAILED, TIMED_OUT, Meter
from server_dirty.host import Host
from server_dirty.wire import Wire, run_blocking

PATIENCE = 0.002  # seconds that every caller waits: it takes as long to look whether it does
CALL_ARRIVAL = 5.0  # seconds for a caller that connected to send its call


class RunningCall:
    """A call that a thread has taken: what its worker watches."""

    def __init__(self, wire: Wire, arrival: calls.Arrival, host: Host, limit: Optional[float]) -> None:
        self.wire = wire
        self.arrival = arrival
        self.host = host
        self.started = started = time.monotonic()
        self.waited = waited = max(0.0, started - arrival.sent)
        if arrival.timeout is not None:
            # The caller's time has been running while the call waited in the queue.
            left = max(0.001, arrival.timeout - waited)
            limit = left if limit is None or left < limit else limit
        self.limit = limit
        self.context = CallContext(arrival.app_path, arrival.action, None if limit is None else started + limit)
        self.ended = False
        self.watched = False  # its caller's hanging up is seen
        self.reported = False
        self.given_up = False
        self._answering = False
        self._turn = threading.Lock()  # whether the answer or the lateness is told is decided once

    def may_answer(self) -> bool:
        """Begin to send an answer, unless the caller has been told that it would be late."""
        with self._turn:
            self._answering = not self.given_up
            return self._answering

    def give_up(self) -> None:
        """The limit has passed: cancel, tell the caller, and hang up, so that a late answer reaches nobody.

        A caller that has a part of an answer is told nothing: it would take that for the rest of the answer.
        """
        with self._turn:
            if self.given_up:
                return
            self.given_up = True
        self.context.cancel()
        with contextlib.suppress(OSError):  # the caller has gone too
            if not self.arrival.stream and not self._answering:
                late = DirtyTimeoutError(
                    f"{self.arrival.app_path}.{self.arrival.action}: ran longer than {self.limit:.3g} s",
                    {"timeout": self.limit},
                )
                self.wire.socket.send(frames.pack(frames.ERROR, late.to_dict()).data)
            self.wire.socket.shutdown(socket.SHUT_RDWR)


class _App(NamedTuple):
    """What a call needs of the application it is for."""

    host: Host
    meter: Meter
    name: bytes


class CallRunner:
    """Runs one call after another in one thread.

    Args:
        hosts: the loaded applications by path.
        meters: where the calls of each application are counted.
        record: the thread's record on the scoreboard.
        watch: told of a call that begins (``watch(running, True)``) and ends (``False``).
        limit: seconds that a call may take, None for no limit but the caller's.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        meters: Mapping[str, Meter],
        record: ThreadRecord,
        watch: Callable[[RunningCall, bool], None],
        limit: Optional[float],
    ) -> None:
        self._apps = {path: _App(host, meters[path], path.encode()) for path, host in hosts.items()}
        self._user = os.geteuid()
        self._record = record
        self._watch = watch
        self._limit = limit

    def serve(self, wire: Wire) -> None:
        """Take the call that arrives on ``wire``, run it and answer. Never raises for its sake."""
        try:
            check_peer(wire.socket, self._user)
            frame = run_blocking(wire.receive(), wire.socket, time.monotonic() + CALL_ARRIVAL)
            if frame is None:
                return
            arrival = calls.arrival(frame)
            app = self._app_of(arrival.app_path)
            running = RunningCall(wire, arrival, app.host, self._limit)
            if running.waited > PATIENCE and wire.peer_gone():
                return  # the caller gave up while the call waited in the queue
        except (OSError, DirtyError) as error:
            self._refuse(wire, error)
            return
        self._run(running, app)

    def _app_of(self, path: str) -> _App:
        app = self._apps.get(path)
        if app is None:
            raise DirtyAppNotFoundError(f"{path}: this worker does not serve it", {"app_path": path})
        return app

    def _run(self, running: RunningCall, app: _App) -> None:
        entry = self._record.begin(running.arrival.action, app.name, running.started, running.waited)
        app.meter.begin()
        self._watch(running, True)
        outcome, error = FAILED, ""
        try:
            outcome, error = contextvars.copy_context().run(_relay, running)
        finally:
            self._watch(running, False)
            now = time.monotonic()
            app.meter.finish(outcome, now - running.started, error, time.time())
            self._record.finish(entry, 500 if outcome == FAILED else 200, 0, running.started, now)

    def _refuse(self, wire: Wire, error: BaseException) -> None:
        with contextlib.suppress(OSError, DirtyError):  # the caller has gone: there is nobody to tell
            outgoing = calls.pack_error(error, "", "")
            run_blocking(wire.send(outgoing), wire.socket, time.monotonic() + CALL_ARRIVAL)


def _relay(running: RunningCall) -> tuple[int, str]:
    """Send what the host answers; return how the call ended, and the error's text."""
    outcome, error, cancelled = ANSWERED, "", False
    answers = running.host.answers(running.arrival, running.context)
    try:
        for outgoing in answers:
            if outgoing.kind == frames.ERROR:
                outcome, error = FAILED, _describe(outgoing)
            cancelled = running.context.cancelled  # asked before the answer goes, for then its caller hangs up
            if not running.may_answer():
                break
            run_blocking(running.wire.send(outgoing), running.wire.socket)
    except OSError:  # the caller has gone
        running.context.cancel()
        cancelled = True
    finally:
        answers.close()
    if running.given_up:
        return TIMED_OUT, error
    return (CANCELLED, "") if cancelled else (outcome, error)


def _describe(outgoing: frames.Outgoing) -> str:
    described = frames.value_of(outgoing)
    details = described.get("details", {})
    kind = str(details.get("error_class") or described["error_type"]).rpartition(".")[2]
    return f"{details.get('action') or ''}: {kind}: {described['message']}".lstrip(": ")
