"""Metrics for a statsd server, under gunicorn's names.

Owns: the lines (statsd and dogstatsd), the socket they are sent on, and what was already sent.
Must not know: where numbers come from, who looks host names up (``sinks``).

Workers talk to nobody: the arbiter sends the differences of the scoreboard's counters, once a second. A
duration is sent as the middle of its bucket of the histogram, once for all of the bucket, with the sample rate
that stands for their number.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Dict, List, Optional, Tuple

from server_core.observe.snapshot import Snapshot, take
from server_core.scoreboard.layout import LATENCY_BOUNDS, LOG_LEVELS

MAX_DATAGRAM = 1432  # octets that fit one Ethernet frame


class Lines:
    """Makes lines from snapshots.

    Args:
        prefix: put before every name, with a dot between.
        tags: dogstatsd tags, a comma list, or ``""``.
        backlog: whether the backlog is reported.
    """

    def __init__(self, prefix: str, tags: str, backlog: bool) -> None:
        self._prefix = prefix.rstrip(".") + "." if prefix else ""
        self._tags = f"|#{tags}" if tags else ""
        self._backlog = backlog
        self._codes: Dict[int, int] = {}
        self._latency: Tuple[int, ...] = ()
        self._requests = 0
        self._logged: List[int] = []

    def of(self, snapshot: Snapshot) -> List[str]:
        """Return what has changed since the last snapshot, and the gauges."""
        counters = snapshot.http.counters
        lines = [self._line("gunicorn.workers", snapshot.http.ready, "g")]
        requests = counters.finished - self._requests
        if requests:
            lines.append(self._line("gunicorn.requests", requests, "c"))
        for status, count in counters.codes.items():
            if count > self._codes.get(status, 0):
                lines.append(self._line(f"gunicorn.request.status.{status}", count - self._codes.get(status, 0), "c"))
        lines += self._durations(counters.latency)
        lines += self._messages(snapshot)
        if self._backlog:
            lines.append(self._line("gunicorn.backlog", sum(snapshot.queues.values()), "h"))
        self._requests, self._codes, self._latency = counters.finished, dict(counters.codes), counters.latency
        return lines

    def _durations(self, latency: Tuple[int, ...]) -> List[str]:
        before = self._latency or (0,) * len(latency)
        bounds = (0.0, *LATENCY_BOUNDS, LATENCY_BOUNDS[-1])
        lines = []
        for index, (count, old) in enumerate(zip(latency, before)):
            if count > old:
                middle = (bounds[index] + bounds[index + 1]) / 2 * 1000
                lines.append(self._line("gunicorn.request.duration", f"{middle:g}", "ms", 1 / (count - old)))
        return lines

    def _messages(self, snapshot: Snapshot) -> List[str]:
        """Messages of the error log of all processes, by level."""
        counts = [sum(column) for column in zip(snapshot.logged, *(group.counters.logged for group in snapshot.groups))]
        before = self._logged or [0] * len(counts)
        self._logged = counts
        return [
            self._line(f"gunicorn.log.{level}", count - old, "c")
            for level, count, old in zip(LOG_LEVELS, counts, before)
            if count > old
        ]

    def _line(self, name: str, value: Any, kind: str, rate: Optional[float] = None) -> str:
        sampled = f"|@{rate:.6g}" if rate is not None and rate < 1 else ""
        return f"{self._prefix}{name}:{value}|{kind}{sampled}{self._tags}"


def datagrams(lines: List[str]) -> List[bytes]:
    """Put lines together as far as they fit one datagram."""
    packed: List[bytes] = []
    for line in lines:
        data = line.encode("utf-8", "replace")
        if packed and len(packed[-1]) + 1 + len(data) <= MAX_DATAGRAM:
            packed[-1] += b"\n" + data
        else:
            packed.append(data)
    return packed


def is_remote(address: Any) -> bool:
    """Whether ``address`` (the setting) is a name that has to be looked up, which may take its time."""
    return isinstance(address, tuple) and _numeric(*address) is None


def _numeric(host: str, port: int) -> Any:
    """Return family and address of a host that needs no name server, else None."""
    try:
        found = socket.getaddrinfo(_LOOPBACK.get(host, host), port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):  # the second for what cannot be a name either
        return None
    return found[0][0], found[0][4]


_LOOPBACK = {"localhost": "127.0.0.1"}


class Statsd:
    """Sends to one statsd server, once in each tick of the arbiter; what cannot be sent is lost, as datagrams are.

    Args:
        arbiter: where the numbers come from.
        address: ``(host, port)``, or the path of a unix datagram socket.
        lines: makes the lines.

    Attributes:
        relay: when the host is a name: where the process of the sinks takes the datagrams from.
    """

    def __init__(self, arbiter: Any, address: Any, lines: Lines) -> None:
        self._arbiter = arbiter
        self._lines = lines
        self._socket: Optional[socket.socket] = None
        self.relay: Optional[socket.socket] = None
        self._target: Any = None
        if is_remote(address):
            self._socket, self.relay = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        elif isinstance(address, str):
            self._target = socket.AF_UNIX, address
        else:
            self._target = _numeric(*address)

    def tick(self, _now: float) -> None:
        """Send what has changed. Never waits and never fails."""
        packed = datagrams(self._lines.of(take(self._arbiter)))
        # A statsd server that is not there must not disturb: the next second tries again.
        with contextlib.suppress(OSError):
            for data in packed:
                self._send(data)

    def _send(self, data: bytes) -> None:
        if self._target is None:
            assert self._socket is not None  # noqa: S101 - one end of the pair
            self._socket.send(data)
            return
        family, address = self._target
        if self._socket is None:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self._socket.sendto(data, address)

    def close_in_child(self) -> None:
        """Close the socket, in a process that was just forked; the sinks' end stays."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the sockets."""
        self.close_in_child()
        if self.relay is not None:
            self.relay.close()


def open_statsd(arbiter: Any, cfg: Any) -> Optional[Statsd]:
    """Return the sender that ``cfg`` asks for, or None."""
    if not cfg.statsd_host:
        return None
    lines = Lines(cfg.statsd_prefix, cfg.dogstatsd_tags, cfg.enable_backlog_metric)
    lines.of(take(arbiter))  # what was counted before is not news, when a reload turns this on
    return Statsd(arbiter, cfg.statsd_host, lines)
