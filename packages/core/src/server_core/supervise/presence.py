"""How an arbiter is known to others: pid file, control socket, metrics endpoint, statsd, OpenTelemetry.

Owns: their opening, their change at a reload, and their passing from one arbiter to the next.
Must not know: what is asked there.

A second arbiter waits beside the first: its pid file and control socket carry a suffix until it is
promoted, and the first one serves metrics until then. A rollback therefore needs nothing.
"""

from __future__ import annotations

import os
import time
from typing import Any, List, NamedTuple, Optional

from server_core.errors import ServerError
from server_core.pidfile import Pidfile

SECOND = ".2"  # appended to the paths of a second arbiter

_STATSD_SETTINGS = ("statsd_host", "statsd_prefix", "dogstatsd_tags", "enable_backlog_metric")
_CONTROL_SETTINGS = ("control_socket", "control_socket_mode", "control_socket_disable")


class Prepared(NamedTuple):
    """What was opened for settings that are not yet accepted."""

    pidfile: Optional[Pidfile]
    metrics: Any

    def close(self) -> None:
        """Give it back."""
        if self.pidfile is not None:
            self.pidfile.unlink()
        if self.metrics is not None:
            self.metrics.close()


class Presence:
    """What one arbiter shows of itself.

    Args:
        arbiter: whose presence it is.
    """

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter
        self._suffix = ""
        self._cfg: Any = None
        self.pidfile: Optional[Pidfile] = None
        # Each is imported when it is asked for, because a server without them should not carry them.
        self.control: Any = None
        self.metrics: Any = None
        self.statsd: Any = None
        self.publication: Any = None
        self._prepared: Optional[Prepared] = None
        self._history: Any = None
        self._failed = False  # numbers could not be taken, which was told

    def claim(self, cfg: Any, second: bool) -> None:
        """Write the pid file; ``second`` when the arbiter that started us still lives.

        Raises ConfigError when another server has the file.
        """
        self._suffix = SECOND if second else ""
        if cfg.pidfile:
            self.pidfile = Pidfile(cfg.pidfile + self._suffix)
            self.pidfile.create(self._arbiter.pid)

    def open(self, cfg: Any) -> None:
        """Open the endpoints. Raises BindError when metrics cannot be served."""
        self._cfg = cfg
        self._open_statsd()
        self._open_publication()
        self._open_control()
        if not self._suffix:
            self._open_metrics()

    def _open_statsd(self) -> None:
        if self._cfg.statsd_host:
            from server_core.observe.statsd import open_statsd

            self.statsd = open_statsd(self._arbiter, self._cfg)

    def _open_publication(self) -> None:
        """Make what the process of the sinks reads; a later reload leaves it to those who still read it."""
        if self._cfg.reporters and self.publication is None:
            from server_core.observe.publication import Publication

            self.publication = Publication()

    def _open_control(self) -> None:
        if not self._cfg.control_socket_disable:
            from server_core.control.server import open_control

            self.control = open_control(self._arbiter, self._cfg, self._suffix)

    def _open_metrics(self) -> None:
        if self._cfg.metrics_bind:
            from server_core.observe.endpoint import open_endpoint

            self.metrics = open_endpoint(self._arbiter, self._cfg.metrics_bind)
            self._say_metrics()

    def _say_metrics(self) -> None:
        if self.metrics is not None:
            self._arbiter.log.info("Metrics at: %s", self.metrics)

    def prepare(self, cfg: Any) -> None:
        """Open what changed settings need, before they are accepted.

        Raises:
            ServerError: it cannot be had; everything is as before then.
        """
        self.abandon()
        self._prepared = self._open_changed(cfg)

    def abandon(self) -> None:
        """The settings of ``prepare`` were rejected: give back what was opened for them."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()

    def _open_changed(self, cfg: Any) -> Prepared:
        pidfile = metrics = None
        if cfg.pidfile and cfg.pidfile != self._cfg.pidfile:
            pidfile = Pidfile(cfg.pidfile + self._suffix)
            pidfile.create(self._arbiter.pid)
        if cfg.metrics_bind and cfg.metrics_bind != self._cfg.metrics_bind and not self._suffix:
            from server_core.observe.endpoint import open_endpoint

            try:
                metrics = open_endpoint(self._arbiter, cfg.metrics_bind)
            except ServerError:
                Prepared(pidfile, None).close()
                raise
        return Prepared(pidfile, metrics)

    def renew(self, cfg: Any) -> None:
        """Follow changed settings, with what ``prepare`` opened for them.

        Settings that come back when a reload fails were not prepared; what cannot be had then is logged.
        """
        try:
            prepared = self._prepared or self._open_changed(cfg)
        except ServerError as error:
            self._arbiter.log.error("%s", error)  # noqa: TRY400 - it says all there is to say
            prepared = Prepared(None, None)
        self._prepared = None
        before, self._cfg = self._cfg, cfg
        if cfg.pidfile != before.pidfile:
            self._remove_pidfile()
            self.pidfile = prepared.pidfile
        else:
            self.resume()
        if any(getattr(cfg, name) != getattr(before, name) for name in _CONTROL_SETTINGS) or self._lost_control():
            if self.control is not None:
                self.control.close()
                self.control = None
            self._open_control()
        if cfg.metrics_bind != before.metrics_bind and not self._suffix:
            if self.metrics is not None:
                self.metrics.close()
            self.metrics = prepared.metrics
            self._say_metrics()
        if any(getattr(cfg, name) != getattr(before, name) for name in _STATSD_SETTINGS):
            if self.statsd is not None:
                self.statsd.close()
                self.statsd = None
            self._open_statsd()
        self._open_publication()

    def promote(self) -> None:
        """The first arbiter is gone: take its place. What cannot be had is logged, because the server serves."""
        self._suffix = ""
        for take in (self._promote_pidfile, self._promote_control, self._open_metrics):
            try:
                take()
            except (ServerError, OSError) as error:
                self._arbiter.log.error("%s", error)  # noqa: TRY400 - it says all there is to say

    def _promote_pidfile(self) -> None:
        if self.pidfile is not None:
            self.pidfile.rename(self.pidfile.path[: -len(SECOND)])

    def _promote_control(self) -> None:
        if self.control is not None:
            self.control.move(self.control.path[: -len(SECOND)])

    def _lost_control(self) -> bool:
        """Whether somebody removed the control socket."""
        return self.control is not None and not os.path.exists(self.control.path)

    def resume(self) -> None:
        """See that the pid file is there and ours: a second arbiter had it, or somebody removed it."""
        if self.pidfile is not None and self.pidfile.owner() != self._arbiter.pid:
            try:
                self.pidfile.create(self._arbiter.pid)
            except ServerError as error:
                self._arbiter.log.error("%s", error)  # noqa: TRY400 - it says all there is to say

    def tick(self, now: float) -> None:
        """Let the endpoints act on their deadlines, and give numbers to who wants some."""
        for act in (*(endpoint.tick for endpoint in self._endpoints()), self._publish, self._remember):
            try:
                act(now)
            except Exception:
                # Whatever is wrong with one number, a plugin's perhaps, must not end the arbiter.
                if not self._failed:
                    self._arbiter.log.exception("Exception while numbers were taken; further ones are not told")
                self._failed = True

    def _remember(self, now: float) -> None:
        if (self._history is not None or self.metrics is not None) and self.history.due(now):
            from server_core.observe.snapshot import take

            self.history.add(take(self._arbiter), now, time.time())

    @property
    def history(self) -> Any:
        """The last minutes, kept from now on if they were not until now."""
        if self._history is None:
            from server_core.control.history import History

            self._history = History()
        return self._history

    def _publish(self, _now: float) -> None:
        if self.publication is None:
            return
        from server_core.observe.metrics import collect
        from server_core.observe.publication import LIMIT, dump

        if not self.publication.serve(lambda: dump(collect(self._arbiter))):
            self._arbiter.log.warning("Metrics are not sent: expected at most %d bytes of them", LIMIT)

    def close_in_child(self) -> None:
        """Close our descriptors in a process that was just forked; the files stay."""
        for endpoint in self._endpoints():
            endpoint.close_in_child()

    def close(self) -> None:
        """Remove everything."""
        self.abandon()
        for endpoint in self._endpoints():
            endpoint.close()
        self.control = self.metrics = self.statsd = None
        self._remove_pidfile()

    def _remove_pidfile(self) -> None:
        if self.pidfile is not None:
            try:
                self.pidfile.unlink()
            except OSError as error:
                path = self.pidfile.path
                self._arbiter.log.error("pidfile: cannot remove %r: %s", path, error.strerror)  # noqa: TRY400 - as is

    def _endpoints(self) -> List[Any]:
        return [endpoint for endpoint in (self.control, self.metrics, self.statsd) if endpoint is not None]
