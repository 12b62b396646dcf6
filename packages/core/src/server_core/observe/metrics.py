"""The metrics of the server: one table, from which the exposition, all sinks and the reference are made.

Owns: names, kinds, help, labels, and how each is read from a snapshot.
Must not know: formats, who asks, how numbers are counted.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, NamedTuple, Sequence, Tuple, Union

from server_core.observe.families import COUNTER, GAUGE, HISTOGRAM, INFO, Distribution, Family, Point
from server_core.observe.snapshot import GroupNumbers, Snapshot, take
from server_core.scoreboard.layout import LATENCY_BOUNDS, LOG_LEVELS
from server_core.version import __version__

STATUS_NAMES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

Row = Tuple[Tuple[str, ...], Union[float, Distribution]]  # the values of the labels, and the number


class Metric(NamedTuple):
    """One metric, declared. ``read`` returns its points: the values of ``labels`` in their order, and the number.

    Services of other packages declare theirs in ``Service.metrics``.
    """

    name: str
    kind: str
    help: str
    labels: Tuple[str, ...]
    read: Callable[[Snapshot], Iterable[Row]]

    def family(self, snapshot: Snapshot) -> Family:
        """Return its points at one moment."""
        points = [Point(tuple(zip(self.labels, values)), number) for values, number in self.read(snapshot)]
        return Family(self.name, self.kind, self.help, points)


def collect(arbiter: Any) -> List[Family]:
    """Return every metric as it is now: the server's, those of its services, the application's."""
    snapshot = take(arbiter)
    declared = [*METRICS, *(metric for service in arbiter.services() for metric in service.metrics())]
    found = [metric.family(snapshot) for metric in declared]
    if arbiter.application_metrics is None:
        return found
    living = {child.index: child.pid for child in arbiter.processes.living.values() if child.pid is not None}
    return [*found, *arbiter.application_metrics.families(living, [family.name for family in found], arbiter.log)]


# --- readers --------------------------------------------------------------------------------------


def one(value: Callable[[Snapshot], float]) -> Callable[[Snapshot], Iterable[Row]]:
    """Read a number of the whole server."""
    return lambda snapshot: [((), value(snapshot))]


def by_group(value: Callable[[GroupNumbers], Union[float, Distribution]]) -> Callable[[Snapshot], Iterable[Row]]:
    """Read a number of each group."""
    return lambda snapshot: [((group.name,), value(group)) for group in snapshot.groups]


def _states(snapshot: Snapshot) -> Iterable[Row]:
    for group in snapshot.groups:
        for state, count in sorted({"ready": 0, **group.states}.items()):
            yield (group.name, state), count


def _exits(snapshot: Snapshot) -> Iterable[Row]:
    return sorted(snapshot.exits.items())


def _statuses(snapshot: Snapshot) -> Iterable[Row]:
    for group in snapshot.groups:
        for name, count in zip(STATUS_NAMES, group.counters.statuses):
            yield (group.name, name), count


def _codes(snapshot: Snapshot) -> Iterable[Row]:
    for group in snapshot.groups:
        for code, count in group.counters.codes.items():
            if count:
                yield (group.name, str(code)), count


def _logged(snapshot: Snapshot) -> Iterable[Row]:
    for name, counts in [("arbiter", snapshot.logged), *((g.name, g.counters.logged) for g in snapshot.groups)]:
        for level, count in zip(LOG_LEVELS, counts):
            yield (name, level), count


def _memory(snapshot: Snapshot) -> Iterable[Row]:
    for group in snapshot.groups:
        for slot, octets in sorted(group.memory.items()):
            yield (group.name, str(slot)), octets


def _durations(group: GroupNumbers) -> Distribution:
    return Distribution(LATENCY_BOUNDS, group.counters.latency, group.counters.seconds)


def _queue_times(group: GroupNumbers) -> Distribution:
    return Distribution(LATENCY_BOUNDS, group.counters.queue, group.counters.queued_seconds)


# --- the table ------------------------------------------------------------------------------------

_G = ("group",)

METRICS: Sequence[Metric] = (
    Metric("server", INFO, "The version of the server.", ("version",), lambda _: [((__version__,), 1)]),
    Metric("server_uptime_seconds", GAUGE, "Seconds since the arbiter started.", (), one(lambda s: s.uptime)),
    Metric("server_ready", GAUGE, "1 when requests should be sent here.", (), one(lambda s: float(s.is_ready()))),
    Metric("server_reloads", COUNTER, "Reloads that were completed or begun.", (), one(lambda s: s.reloads)),
    Metric("server_workers", GAUGE, "Processes by group and state.", ("group", "state"), _states),
    Metric("server_workers_target", GAUGE, "Processes wanted.", _G, by_group(lambda g: g.target)),
    Metric("server_capacity", GAUGE, "Requests that ready workers can run at the same time, where that is bounded by"
           " threads.", _G, by_group(lambda g: g.capacity)),
    Metric("server_busy_ratio", GAUGE, "Saturation: the share of time in which workers could take nothing more, on"
           " the mean of the last seconds. With threads: their time in requests; with a loop: use of one core.", _G,
           by_group(lambda g: g.busy)),
    Metric("server_workers_limit", GAUGE, "Processes that there may be (workers_max); 0 for no limit.", _G,
           by_group(lambda g: g.most)),
    Metric("server_worker_exits", COUNTER, "Processes that ended, by cause: dismissed (reload, scaling, stop), error,"
           " killed (by a signal from outside), left, max_memory, max_requests, timeout.", ("group", "cause"), _exits),
    Metric("server_requests", COUNTER, "Requests that ended, by class of status; 'other' ended without an answer.",
           ("group", "status"), _statuses),
    Metric("server_responses", COUNTER, "Responses by status code, for codes that occurred.", ("group", "code"),
           _codes),
    Metric("server_requests_running", GAUGE, "Requests being answered.", _G, by_group(lambda g: g.counters.running)),
    Metric("server_request_duration_seconds", HISTOGRAM, "Time to answer.", _G, by_group(_durations)),
    Metric("server_request_queue_seconds", HISTOGRAM, "Time that requests waited, in the kernel and here, before the"
           " application began with them.", _G, by_group(_queue_times)),
    Metric("server_requests_shed", COUNTER, "Requests refused with 503 because requests waited for longer than"
           " max_queue_time.", _G, by_group(lambda g: g.counters.shed)),
    Metric("server_request_errors", COUNTER, "Exceptions of the application.", _G,
           by_group(lambda g: g.counters.errors)),
    Metric("server_requests_refused", COUNTER, "Requests refused: malformed, or with a body there is no room for.", _G,
           by_group(lambda g: g.counters.refused)),
    Metric("server_requests_unlisted", COUNTER, "Requests that found the list of running requests full: they are"
           " counted and not shown.", _G, by_group(lambda g: g.counters.overflow)),
    Metric("server_websockets", COUNTER, "WebSockets opened.", _G, by_group(lambda g: g.counters.websockets)),
    Metric("server_sent_bytes", COUNTER, "Bytes of response bodies.", _G, by_group(lambda g: g.counters.sent)),
    Metric("server_received_bytes", COUNTER, "Bytes of request bodies, without what came behind the answer.", _G,
           by_group(lambda g: g.counters.received)),
    Metric("server_connections", GAUGE, "Open client connections.", _G, by_group(lambda g: g.connections)),
    Metric("server_connections_limit", GAUGE, "Client connections that ready workers may have (worker_connections of"
           " each); 0 for no limit.", _G, by_group(lambda g: g.connections_limit)),
    Metric("server_worker_memory_limit_bytes", GAUGE, "Resident memory above which a worker is replaced (max_memory); 0"
           " for no limit.", _G, by_group(lambda g: g.memory_limit)),
    Metric("server_worker_memory_bytes", GAUGE, "Resident memory of each worker.", ("group", "slot"), _memory),
    Metric("server_log_messages", COUNTER, "Messages of the error log by level; 'exception' is an error with its"
           " traceback.", ("group", "level"), _logged),
    Metric("server_application_metrics_refused", COUNTER, "Series of the application that found no room in"
           " application_metrics_size.", (), one(lambda s: s.refused_series)),
    Metric("server_listener_queue", GAUGE, "Connections that wait to be accepted.", ("listener",),
           lambda s: [((name,), waiting) for name, waiting in s.queues.items()]),
    Metric("server_listener_queue_limit", GAUGE, "Connections that may wait to be accepted (backlog); the system may"
           " allow less.", ("listener",), lambda s: [((name,), s.backlog) for name in s.queues]),
)  # fmt: skip
