"""What is known of workers, requests and listeners, as plain values: for control commands and the status page.

Owns: the rows.
Must not know: who asks, how rows are shown.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List

from server_core.supervise.services import HTTP


def workers_of(arbiter: Any, group: str) -> List[Dict[str, Any]]:
    """Return what is known of each child of a group, oldest first."""
    now = time.monotonic()
    reader = arbiter.board.reader()
    found = arbiter.state.groups.get(group)
    children = found.workers if found is not None else ()
    return [_row(arbiter, reader, child, now) for child in children if child.number in arbiter.processes.living]


def _row(arbiter: Any, reader: Any, child: Any, now: float) -> Dict[str, Any]:
    """Return what is known of a child that has a process."""
    process = arbiter.processes.living[child.number]
    slot = reader.slot(process.index)
    counters = reader.counters(process.index)
    return {
        "pid": process.pid,
        "slot": child.slot,
        "age": child.number,
        "state": child.state.value,
        "booted": bool(getattr(process.worker, "booted", False)),
        "aborted": bool(getattr(process.worker, "aborted", False)),
        "last_heartbeat": round(max(0.0, now - slot.heartbeat), 3),
        "uptime": round(now - child.started, 1),
        "generation": child.generation,
        "retiring": child.retiring,
        "connections": slot.connections,
        "memory": slot.memory,
        "requests": counters.finished,
        "running": counters.running,
        "busy_seconds": round(counters.seconds, 6),
        "busy": round(arbiter.busy.of(process.index), 3),
        "queued_seconds": round(counters.queued_seconds, 6),
        "shed": counters.shed,
    }


def running_requests(arbiter: Any) -> List[Dict[str, Any]]:
    """Return what every child is answering now, oldest first; ``age`` is seconds."""
    now = time.monotonic()
    reader = arbiter.board.reader()
    rows = [
        {
            "pid": process.pid,
            "group": process.service.name,
            "age": round(now - request.began, 3),
            "request": request.text,
        }
        for process in list(arbiter.processes.living.values())
        for request in reader.running(process.index)
    ]
    rows.sort(key=lambda row: -row["age"])
    return rows


def listeners(arbiter: Any) -> List[Dict[str, Any]]:
    """Return the listening sockets and what waits in their queues."""
    return [
        {"address": str(listener), "fd": listener.fileno(), "type": listener.address.kind, "queued": listener.queued()}
        for listener in arbiter.LISTENERS
    ]


def without_query(row: Dict[str, Any]) -> Dict[str, Any]:
    """Return a row of ``running_requests`` with nothing of the target but its path: the rest may be secret."""
    if row["group"] != HTTP:
        return row
    method, _, target = row["request"].partition(" ")
    scheme, authority, rest = target.partition("://")
    if authority and not scheme.startswith("/"):
        target = "/" + rest.partition("/")[2]
    path = target.partition("?")[0].partition("#")[0]
    return {**row, "request": f"{method} {path if path.startswith(('/', '*')) else ''}".rstrip()}
