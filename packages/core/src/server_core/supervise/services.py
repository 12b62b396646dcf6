"""What is supervised: the HTTP workers and other services, each a group of children.

Owns: the ``Service`` contract, and ``HttpService``.
Must not know: how children are started or watched.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from server_core import plugins
from server_core.errors import ConfigError
from server_core.process import cores_missing
from server_core.scoreboard.layout import GROUPS
from server_core.supervise.events import GroupPlan
from server_core.supervise.listeners import socket_options

HTTP = "http"
SINKS = "sinks"  # the process that sends metrics where the arbiter must not
SETTLE = 1.0  # seconds: handshakes that had begun when new connections were led to other sockets


class Service:
    """A kind of children. Plugins of the group ``server.services`` are such classes.

    Attributes:
        name: the group's name, unique.
        companions: further groups that the service brings; they follow it.
    """

    name = ""
    companions: Sequence[Service] = ()

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """Return how the group is to be kept under ``cfg``; None when the service is off."""
        raise NotImplementedError

    def check(self, cfg: Any, log: Any) -> None:
        """Raise the ServerError that a start with ``cfg`` would, without making anything (``--check-config``)."""

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Make what children inherit (sockets); called in the arbiter before the first child of a
        generation. Raises ServerError when the settings cannot be used."""

    def environment(self, cfg: Any) -> Dict[str, str]:
        """Return the variables that children of every group find under ``cfg``; ``raw_env`` goes before them."""
        return {}

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> Any:
        """Return the worker object of one child (``server_core.worker.Worker``), before the fork."""
        raise NotImplementedError

    def prepare_template(self, arbiter: Any, cfg: Any) -> None:
        """Make a template process what the application expects, before it is loaded there."""

    def child_started(self, arbiter: Any, worker: Any) -> None:
        """A child exists; called in the arbiter."""

    def child_gone(self, arbiter: Any, worker: Any) -> None:
        """A child was reaped; called in the arbiter."""

    def commands(self) -> Dict[str, Any]:
        """Return control commands by name: ``command(arbiter, args) -> plain values`` (``control.commands``)."""
        return {}

    def metrics(self) -> Sequence[Any]:
        """Return the service's own metrics (``observe.metrics.Metric``), which are served with the server's.

        What the thread records of its children count is served without them."""
        return ()

    def unready(self, arbiter: Any) -> str:
        """Return why requests should not be sent to the server yet, though each group has a ready child; "" for
        nothing."""
        return ""

    def close(self) -> None:
        """Release what ``prepare`` made; called when the arbiter ends."""


class HttpService(Service):
    """The workers that serve the application over HTTP."""

    name = HTTP

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """The settings of workers as a plan."""
        return GroupPlan(
            name=HTTP,
            workers=cfg.workers,
            timeout=cfg.timeout,
            boot_timeout=cfg.boot_timeout,
            graceful_timeout=cfg.graceful_timeout,
            strategy=cfg.reload_strategy,
            template=cfg.preload_app,
            most=cfg.workers_max,
            adaptive=cfg.adaptive_workers,
            settle=SETTLE if cfg.reuse_port else 0.0,
        )

    def check(self, cfg: Any, log: Any) -> None:
        """Let the worker class check the settings; look at addresses, their owner, the protocol and certificates."""
        _let_check(cfg, log)
        plugins.load(plugins.PROTOCOLS, cfg.protocol)
        socket_options(cfg)
        _ = cfg.address  # which is taken apart by that
        if cfg.is_ssl:
            from server_core.tls import ServerTLS

            ServerTLS.from_settings(cfg)

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Let the worker class check the settings, and make what its workers share."""
        _let_check(cfg, arbiter.log)
        if hasattr(cfg.worker_class, "prepare"):
            cfg.worker_class.prepare(cfg)

    def prepare_template(self, arbiter: Any, cfg: Any) -> None:
        """Let the worker class do what must precede the application (green ones patch the library)."""
        set_up(cfg.worker_class)

    def child_gone(self, arbiter: Any, worker: Any) -> None:
        """Call gunicorn's hook."""
        arbiter.call_hook("child_exit", worker)

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> Any:
        """An object of the configured worker class, with the listeners of its slot."""
        return cfg.worker_class(
            age, arbiter.pid, arbiter.listeners_for(slot), arbiter.app, cfg.timeout / 2.0, cfg, arbiter.log
        )


def _let_check(cfg: Any, log: Any) -> None:
    missing = cores_missing(cfg.cpu_affinity)
    if missing:
        raise ConfigError(f"cpu_affinity: expected cores this process may use, got {missing!r}")
    if not hasattr(cfg.worker_class, "init_process"):  # it would fail in every worker, for ever
        raise ConfigError(f"worker_class: expected a class like server_core.worker.Worker, got {cfg.worker_class!r}")
    if hasattr(cfg.worker_class, "check_config"):
        cfg.worker_class.check_config(cfg, log)


def set_up(worker_class: Any) -> None:
    """Call the optional ``setup()`` of a worker class: in a worker or template, never in the arbiter."""
    if hasattr(worker_class, "setup"):
        worker_class.setup()


def add_services(known: Dict[str, Service], cfg: Any) -> None:
    """Add to ``known`` every service that ``cfg`` turns on, HTTP first.

    A service NAME is on when the setting ``NAME_workers`` is above 0; only then is it imported. The
    position in ``known`` is the group's number on the scoreboard.
    """
    from server_core import plugins

    if HTTP not in known:
        known[HTTP] = HttpService()
    for name in plugins.names(plugins.SERVICES):
        if name not in known and cfg.get(f"{name}_workers", 0) > 0:
            service: Service = plugins.load(plugins.SERVICES, name)()
            known[name] = service
            known.update((companion.name, companion) for companion in service.companions)
    if SINKS not in known and (cfg.reporters or cfg.statsd_host):
        from server_core.observe.sinks import SinkService

        known[SINKS] = SinkService()
    if len(known) > GROUPS:
        raise ConfigError(f"services: expected at most {GROUPS}, got {len(known)}: {', '.join(known)}")
