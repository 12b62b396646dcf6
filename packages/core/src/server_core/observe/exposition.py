"""Numbers as text that Prometheus reads.

Owns: the names of metrics, their help, and the two text formats (Prometheus 0.0.4, OpenMetrics 1.0).
Must not know: where numbers come from, who asks.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from server_core.observe.snapshot import GroupNumbers, Snapshot, latency_pairs
from server_core.scoreboard.layout import LATENCY_BOUNDS
from server_core.version import __version__

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

STATUS_NAMES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

Labels = Tuple[Tuple[str, str], ...]


class Sample(NamedTuple):
    """One line: what follows the family's name, the labels, the value."""

    suffix: str
    labels: Labels
    value: float


class Family(NamedTuple):
    """A metric: ``kind`` is counter, gauge, histogram or info."""

    name: str
    kind: str
    help: str
    samples: List[Sample]


def families(snapshot: Snapshot) -> List[Family]:
    """Return every metric of the server."""
    groups = snapshot.groups
    exits = [
        Sample("", (("group", group), ("cause", cause)), n) for (group, cause), n in sorted(snapshot.exits.items())
    ]
    queues = [Sample("", (("listener", name),), n) for name, n in snapshot.queues.items()]
    return [
        Family("server", "info", "The version of the server.", [Sample("", (("version", __version__),), 1)]),
        _plain("server_uptime_seconds", "gauge", "Seconds since the arbiter started.", snapshot.uptime),
        _plain("server_ready", "gauge", "1 when requests should be sent here.", float(snapshot.is_ready())),
        _plain("server_reloads", "counter", "Reloads that were completed or begun.", snapshot.reloads),
        Family("server_workers", "gauge", "Processes by group and state.", _states(groups)),
        _each(groups, "server_workers_target", "gauge", "Processes wanted.", lambda group: group.target),
        _each(groups, "server_capacity", "gauge", "Requests that ready workers can run at the same time, where that is"
              " bounded by threads.", lambda group: group.capacity),
        Family("server_worker_exits", "counter", "Processes that ended, by cause.", exits),
        Family("server_requests", "counter", "Requests that ended, by class of status.", _statuses(groups)),
        _each(groups, "server_requests_running", "gauge", "Requests being answered.", lambda g: g.counters.running),
        Family("server_request_duration_seconds", "histogram", "Time to answer.", _durations(groups)),
        _each(groups, "server_request_errors", "counter", "Exceptions of the application.",
              lambda group: group.counters.errors),
        _each(groups, "server_requests_refused", "counter", "Requests refused before they reached the application.",
              lambda group: group.counters.refused),
        _each(groups, "server_websockets", "counter", "WebSockets opened.", lambda group: group.counters.websockets),
        _each(groups, "server_sent_bytes", "counter", "Octets of response bodies.", lambda group: group.counters.sent),
        _each(groups, "server_received_bytes", "counter", "Octets of request bodies.", lambda g: g.counters.received),
        _each(groups, "server_connections", "gauge", "Open client connections.", lambda group: group.connections),
        Family("server_worker_memory_bytes", "gauge", "Resident memory of each worker.", _memory(groups)),
        Family("server_listener_queue", "gauge", "Connections that wait to be accepted.", queues),
    ]  # fmt: skip


def _plain(name: str, kind: str, text: str, value: float) -> Family:
    return Family(name, kind, text, [Sample("", (), value)])


def _each(
    groups: Sequence[GroupNumbers], name: str, kind: str, text: str, value: Callable[[GroupNumbers], float]
) -> Family:
    return Family(name, kind, text, [Sample("", (("group", group.name),), value(group)) for group in groups])


def _states(groups: Iterable[GroupNumbers]) -> List[Sample]:
    return [
        Sample("", (("group", group.name), ("state", state)), count)
        for group in groups
        for state, count in sorted({"ready": 0, **group.states}.items())
    ]


def _statuses(groups: Iterable[GroupNumbers]) -> List[Sample]:
    return [
        Sample("", (("group", group.name), ("status", name)), count)
        for group in groups
        for name, count in zip(STATUS_NAMES, group.counters.statuses)
    ]


def _memory(groups: Iterable[GroupNumbers]) -> List[Sample]:
    return [
        Sample("", (("group", group.name), ("slot", str(slot))), octets)
        for group in groups
        for slot, octets in sorted(group.memory.items())
    ]


def _durations(groups: Iterable[GroupNumbers]) -> List[Sample]:
    samples = []
    for group in groups:
        label = ("group", group.name)
        total = sum(group.counters.latency)
        for bound, count in latency_pairs(group.counters, LATENCY_BOUNDS):
            samples.append(Sample("_bucket", (label, ("le", _number(bound))), count))
        samples.append(Sample("_bucket", (label, ("le", "+Inf")), total))
        samples.append(Sample("_sum", (label,), group.counters.seconds))
        samples.append(Sample("_count", (label,), total))
    return samples


def render(found: Iterable[Family], openmetrics: bool = False) -> str:
    """Return families as text; ``openmetrics`` chooses the format."""
    lines: List[str] = []
    for family in found:
        kind, suffix = _SPELLING[openmetrics].get(family.kind, (family.kind, ""))
        # OpenMetrics names a counter without its suffix in the comments, Prometheus with it.
        shown = family.name if openmetrics else family.name + suffix
        lines.append(f"# HELP {shown} {_escape(family.help, quotes=False)}")
        lines.append(f"# TYPE {shown} {kind}")
        lines += [f"{family.name}{suffix}{s.suffix}{_labels(s.labels)} {_number(s.value)}" for s in family.samples]
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


# What a kind is called in each format, and what is appended to the names of its samples.
_SPELLING: Dict[bool, Dict[str, Tuple[str, str]]] = {
    False: {"counter": ("counter", "_total"), "info": ("gauge", "_info")},
    True: {"counter": ("counter", "_total"), "info": ("info", "_info")},
}


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in labels) + "}"


def _escape(text: str, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) and not value.is_integer() else str(int(value))
