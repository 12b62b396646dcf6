"""What is going on in a server, in one answer: for ``serverctl top`` and the status page.

Owns: what belongs into it, and what of it may be shown to anybody.
Must not know: how it is drawn.
"""

from __future__ import annotations

import time
from typing import Any, Dict

from server_core.control.history import COLUMNS
from server_core.control.views import listeners, running_requests, without_query, workers_of
from server_core.observe.snapshot import take
from server_core.supervise.services import HTTP
from server_core.version import __version__

MAX_REQUESTS = 100  # running requests that are listed, the oldest


def overview(arbiter: Any, public: bool) -> Dict[str, Any]:
    """Return the overview.

    Args:
        public: it is for anybody who can reach the metrics listener: of requests nothing but method and path, which
            keeps query strings (tokens, addresses) from being read by others.
    """
    snapshot = take(arbiter)
    history = arbiter.presence.history
    requests = running_requests(arbiter)
    return {
        "server": {
            "version": __version__,
            "pid": arbiter.pid,
            "name": arbiter.cfg.proc_name,
            "worker_class": arbiter.cfg.worker_class_str,
            "uptime": round(snapshot.uptime, 1),
            "ready": snapshot.is_ready(),
            "stopping": snapshot.draining,
            "reloads": snapshot.reloads,
            "workers_target": snapshot.http.target,
            "connections_limit": snapshot.http.connections_limit,
            "requests": snapshot.http.counters.finished,
            "errors": snapshot.http.counters.errors,
            "shed": snapshot.http.counters.shed,
        },
        "now": history.now(snapshot, time.monotonic(), time.time()),
        "history": {"columns": COLUMNS, "rows": history.rows()},
        "exits": [{"group": group, "cause": cause, "count": n} for (group, cause), n in sorted(snapshot.exits.items())],
        "workers": [
            {"group": name, **row}
            for name in (HTTP, *(service.name for service in arbiter.services()))
            for row in sorted(workers_of(arbiter, name), key=lambda row: (row["slot"], row["age"]))
        ],
        "requests": [without_query(row) if public else row for row in requests[:MAX_REQUESTS]],
        "requests_running": len(requests),
        "listeners": listeners(arbiter),
    }
