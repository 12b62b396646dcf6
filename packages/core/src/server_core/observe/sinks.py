"""The process that sends metrics where names must be looked up or threads are needed.

Owns: ``SinkService``, its worker, ``Reporter`` (what plugins of the group ``server.reporters`` are), and the relay to
statsd servers with a name.
Must not know: where numbers come from (``publication``, ``statsd``).

The arbiter never waits for a name server or a collector. It leaves numbers in shared memory when they are asked for,
and statsd's datagrams in a socket that drops them when nobody takes them; this process does the rest, and is
supervised as all others are. Nothing depends on it.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from server_core import plugins
from server_core.errors import ConfigError, ServerError
from server_core.observe.families import Family
from server_core.observe.publication import Publication, parse
from server_core.observe.statsd import MAX_DATAGRAM, is_remote
from server_core.supervise.events import GroupPlan
from server_core.supervise.services import SINKS, Service
from server_core.worker import Worker

TIMEOUT = 60.0  # seconds without a sign of life; look-ups and exports run in threads and do not count
FAREWELL = 5.0  # seconds for the last export
RANK = 9  # everybody else is gone, so that the last numbers are complete
LOOKUP = 60.0  # seconds for which an address that was found is used
LOOKUP_AGAIN = 5.0  # seconds between tries to find one
ANSWER = 5.0  # seconds for the arbiter to give numbers
POLL = 0.05
OPENTELEMETRY = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
TICK = 1.0


def are_wanted(cfg: Any) -> bool:
    """Whether ``cfg`` asks for anything that this process does."""
    return bool(cfg.reporters or is_remote(cfg.statsd_host))


class Reporter:
    """Sends metrics somewhere. Plugins of the group ``server.reporters`` are such classes, turned on by ``reporters``.

    It is made and called in a thread of its own in the process of the sinks, so that it may wait.

    Args:
        cfg: the settings.
        started: when counting began, seconds since the epoch.

    Attributes:
        every: seconds between two reports.
    """

    every = 60.0

    def __init__(self, cfg: Any, started: float) -> None:
        self.cfg = cfg
        self.started = started

    def report(self, families: List[Family], now: float) -> bool:
        """Send metrics as they are at ``now`` (seconds since the epoch); return whether they arrived."""
        raise NotImplementedError

    def close(self) -> None:
        """The last report was made."""


class SinkService(Service):
    """One process for all sinks."""

    name = SINKS

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """One child, without which the server is as good; off when no sink needs it."""
        if not are_wanted(cfg):
            return None
        return GroupPlan(
            name=self.name,
            workers=1,
            timeout=TIMEOUT,
            boot_timeout=cfg.boot_timeout,
            graceful_timeout=2 * FAREWELL,
            halts=False,
            rank=RANK,
        )

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """See that the reporters are there. Raises PluginError or ConfigError."""
        self.check(cfg, arbiter.log)

    def check(self, cfg: Any, log: Any) -> None:
        """As ``prepare``."""
        for name in cfg.reporters:
            plugins.look_up(plugins.REPORTERS, name)
        if "opentelemetry" in cfg.reporters and not _is_there(*OPENTELEMETRY):
            raise ConfigError(
                "reporters: expected OpenTelemetry's SDK and its OTLP/HTTP exporter, got none: "
                f"{plugins.how_to_install('otel')}"
            )

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> SinkWorker:
        """The process, with its ends of what the arbiter writes."""
        presence = arbiter.presence
        relay = presence.statsd.relay if presence.statsd is not None else None
        return SinkWorker(arbiter, age, relay, presence.publication if cfg.reporters else None, cfg)


def _is_there(*modules: str) -> bool:
    from importlib.util import find_spec

    try:
        return all(find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # of a package above
        return False


class SinkWorker(Worker):
    """The process of the sinks.

    Args:
        relay: where datagrams for the statsd server arrive, or None.
        publication: where metrics for reporters appear, or None.
    """

    serves_http = False

    def __init__(
        self, arbiter: Any, age: int, relay: Optional[socket.socket], publication: Optional[Publication], cfg: Any
    ) -> None:
        super().__init__(age, arbiter.pid, (), None, TIMEOUT / 2, cfg, arbiter.log)
        self._relay = relay
        self._publication = publication
        self._started = time.time() - (time.monotonic() - arbiter.started_at)
        self._leaving = threading.Event()

    def load_wsgi(self) -> None:
        """Nothing: this process has no application."""

    def run(self) -> None:
        """Run a thread for each sink until told to leave."""
        threads = [threading.Thread(target=self._report, args=(name,), daemon=True) for name in self.cfg.reporters]
        if self._relay is not None:
            relay = Relay(self._relay, self.cfg.statsd_host, self.log)
            threading.Thread(target=relay.run, daemon=True).start()  # it has nothing to finish
        for thread in threads:
            thread.start()
        while self.alive:
            self.notify()
            readable, _, _ = select.select([self.wakeup[0]], [], [], TICK)
            if readable:
                os.read(self.wakeup[0], 512)  # the handler has done what there was to do
        self.stopping()
        self._leaving.set()
        until = time.monotonic() + FAREWELL
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _report(self, name: str) -> None:
        """Be the thread of one reporter."""
        try:
            reporter = plugins.load(plugins.REPORTERS, name)(self.cfg, self._started)
        except ServerError as error:
            self.log.error("The reporter %s cannot begin: %s", name, error)  # noqa: TRY400 - its text says all
            return
        except Exception:  # a plugin's; the other sinks go on
            self.log.exception("The reporter %s cannot begin", name)
            return
        arrived, leaving = True, False
        while not leaving:
            leaving = self._leaving.wait(reporter.every)
            before = arrived
            arrived, why = self._report_once(reporter)
            if before and not arrived:
                self.log.warning("Metrics by %s do not arrive%s; tries follow every %g s", name, why, reporter.every)
            elif arrived and not before:
                self.log.info("Metrics by %s arrive again", name)
        reporter.close()

    def _report_once(self, reporter: Reporter) -> Tuple[bool, str]:
        """Return whether a report arrived, and why not where that is known."""
        data = self._numbers()
        if data is None:
            return False, ": there are no numbers"
        try:
            return reporter.report(parse(data), time.time()), ""
        except Exception as error:  # a plugin's; the next try may do better
            return False, f": {type(error).__name__}: {error}"

    def _numbers(self) -> Optional[bytes]:
        """Return the metrics of now, None when the arbiter does not give any."""
        assert self._publication is not None  # noqa: S101 - the sink exists because of it
        number = self._publication.want()
        until = time.monotonic() + ANSWER
        while not self._publication.is_given(number) and time.monotonic() < until:
            time.sleep(POLL)
        return self._publication.read()


class Relay:
    """Passes datagrams on to a server whose name has to be looked up.

    Args:
        source: where they arrive.
        address: host and port.
        log: is told when the host cannot be found, once until it can.
    """

    def __init__(self, source: socket.socket, address: Tuple[str, int], log: Any) -> None:
        self._source = source
        self._address = address
        self._log = log
        self._target: Optional[Tuple[int, Any]] = None
        self._look_up_at = 0.0
        self._sockets: Dict[int, socket.socket] = {}
        self._found = True

    def run(self) -> None:
        """Pass on for ever; what cannot be sent is lost, as datagrams are."""
        while True:
            data = self._source.recv(MAX_DATAGRAM)
            target = self._find(time.monotonic())
            if target is None:
                continue
            family, address = target
            try:
                if family not in self._sockets:
                    self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
                self._sockets[family].sendto(data, address)
            except OSError:
                self._look_up_at = 0.0  # it may have moved

    def _find(self, now: float) -> Optional[Tuple[int, Any]]:
        if now < self._look_up_at:
            return self._target
        host, port = self._address
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:  # the second for what cannot be a name
            if self._found:
                self._log.warning("statsd_host: %s cannot be found, its metrics are lost until it can: %s", host, error)
            self._found = False
            self._target, self._look_up_at = None, time.monotonic() + LOOKUP_AGAIN
            return None
        if not self._found:
            self._log.info("statsd_host: %s is found", host)
        self._found = True
        self._target, self._look_up_at = (found[0], found[4]), now + LOOKUP
        return self._target
