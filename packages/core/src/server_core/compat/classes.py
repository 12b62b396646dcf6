"""Classes under gunicorn's names that exist only to be subclassed or compared with.

Owns: ``AsyncWorker``, ``ALREADY_HANDLED`` and ``Statsd``.
Must not know: who imports them.
"""

from __future__ import annotations

from typing import Any, NoReturn

from server_core.errors import ConfigError
from server_core.log.setup import Logger
from server_core.worker import Worker

#: What an application returned to gunicorn's gevent worker that had taken the socket itself. No worker here gives the
#: socket away, so it is never returned; a subclass may compare with it.
ALREADY_HANDLED = object()


class AsyncWorker(Worker):
    """gunicorn's base of workers with green threads: a subclass that brings its own ``run`` works."""

    def run(self) -> None:
        """Serve; the subclass does it."""
        self._missing("run")

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection: there is no such step here."""
        self._missing("handle")

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Serve one request: there is no such step here."""
        self._missing("handle_request")

    def is_already_handled(self, respiter: Any) -> bool:
        """Whether the application took the socket."""
        return respiter is ALREADY_HANDLED

    def _missing(self, name: str) -> NoReturn:
        raise ConfigError(
            f"worker_class: expected {type(self).__name__} to bring its own {name}, got gunicorn's AsyncWorker.{name}, "
            "which has no counterpart; write instead: worker_class = 'gevent' or 'eventlet', or a subclass of theirs"
        )


class Statsd(Logger):
    """gunicorn's logger that sends metrics. Here the arbiter sends them, whatever the logger, when ``statsd_host`` is
    set; a subclass's own metrics have nowhere to go, and calling for one says so."""

    def gauge(self, name: str, value: Any) -> None:
        """Set a metric of one's own: not sent."""
        self._not_sent(name)

    def increment(self, name: str, value: Any, sampling_rate: float = 1.0) -> None:
        """Count up: not sent."""
        self._not_sent(name)

    def decrement(self, name: str, value: Any, sampling_rate: float = 1.0) -> None:
        """Count down: not sent."""
        self._not_sent(name)

    def histogram(self, name: str, value: Any) -> None:
        """Add to a distribution: not sent."""
        self._not_sent(name)

    def timer(self, name: str, value: Any) -> None:
        """Note a duration: not sent."""
        self._not_sent(name)

    _told = False

    def _not_sent(self, name: str) -> None:
        if not self._told:
            self._told = True
            self.warning("statsd: %s is not sent: metrics of an application need a client of its own", name)
