"""What a worker answers without the application: questions for its health, and 503 in an overload.

Owns: ``Gate``: which paths are the server's own, who is never refused, what refusals and health answers look like, the
log lines of an overload.
Must not know: engines, sockets, when a request is asked about. ``drive.delay`` is the rule.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Dict, List, Optional, Tuple

from server_core.drive.arrival import shares_clock, told_wait
from server_core.drive.delay import SHED, ControlledDelay
from server_core.scoreboard.layout import READINESS_NAMES, SERVING
from server_http.events import Headers, Request
from server_http.statuses import error_page

Page = Tuple[int, Headers, bytes]

LIVE = b"livez"
READY = b"readyz"


class Gate:
    """One for each worker that has ``health_path`` or ``max_queue_time``.

    Args:
        worker: the worker, for its settings, log and place on the scoreboard.
    """

    def __init__(self, worker: Any) -> None:
        cfg = worker.cfg
        self._log = worker.log
        self._board = worker.board
        self._record = worker.board.record(0)
        self._health = _health_paths(cfg.health_path)
        self._exempt = tuple(prefix.encode("latin-1", "replace") for prefix in cfg.max_queue_time_exempt)
        self._rule = ControlledDelay(cfg.max_queue_time) if cfg.max_queue_time else None
        self._retry_after = b"%d" % max(1, math.ceil(cfg.max_queue_time))
        self._lock = threading.Lock()  # the threads of a pool ask, too

    # Health ------------------------------------------------------------------------------------------------------

    def health(self, request: Request) -> Optional[Page]:
        """Return the answer to a question for health, None for every other request."""
        kind = self._health.get(request.path)
        if kind is None or request.method not in ("GET", "HEAD"):
            return None
        readiness = self._board.readiness()
        if kind == LIVE or readiness == SERVING:
            return _text_page(200, "ok")
        return _text_page(503, READINESS_NAMES[readiness])

    # Overload ----------------------------------------------------------------------------------------------------

    def refuses(self, request: Request, info: Any, waited: float, now: float) -> Optional[Page]:
        """A request is about to be given to the application. Return what it is answered instead, or None.

        Args:
            request: the head.
            info: the facts of its connection.
            waited: its queue time as seen here, seconds; a proxy's word counts if its clock is ours.
            now: monotonic seconds.
        """
        rule = self._rule
        if rule is None or (self._exempt and request.path.startswith(self._exempt)):
            return None
        if request.queued_since and shares_clock(info):
            waited = max(waited, told_wait(request.queued_since))
        with self._lock:
            before = rule.shedding
            verdict = rule.judge(waited, now)
            if rule.shedding != before:
                self._tell(rule, now)
            if verdict != SHED:
                return None
            self._record.shed()
        headers, body = error_page(503)
        return 503, [*headers, (b"Retry-After", self._retry_after)], body

    def _tell(self, rule: ControlledDelay, now: float) -> None:
        if rule.shedding:
            self._log.warning("Overload: requests wait for longer than %g s; refusing those.", rule.target)
        else:
            self._log.info("Overload is over: %d requests were refused in %.1f s.", rule.shed, now - rule.since)


def make_gate(worker: Any) -> Optional[Gate]:
    """Return the gate that the worker's settings ask for, None for none."""
    return Gate(worker) if worker.cfg.health_path or worker.cfg.max_queue_time else None


def _health_paths(prefix: str) -> Dict[bytes, bytes]:
    if not prefix:
        return {}
    base = prefix.rstrip("/").encode("latin-1", "replace") + b"/"
    return {base + kind: kind for kind in (LIVE, READY)}


def _text_page(status: int, text: str) -> Page:
    body = text.encode("ascii") + b"\n"
    headers: List[Tuple[bytes, bytes]] = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
    ]
    return status, headers, body
