"""What is supervised: the HTTP workers and other services, each a group of children.

Owns: the ``Service`` contract, and ``HttpService``.
Must not know: how children are started or watched.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from server_core.errors import ConfigError
from server_core.scoreboard.layout import GROUPS
from server_core.supervise.events import GroupPlan

HTTP = "http"


class Service:
    """A kind of children. Plugins of the group ``server.services`` are such classes.

    Attributes:
        name: the group's name, unique.
    """

    name = ""

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """Return how the group is to be kept under ``cfg``; None when the service is off."""
        raise NotImplementedError

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Make what children inherit (sockets); called in the arbiter before the first child of a
        generation. Raises ServerError when the settings cannot be used."""

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> Any:
        """Return the worker object of one child (``server_core.worker.Worker``), before the fork."""
        raise NotImplementedError

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
        )

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Let the worker class check the settings."""
        worker_class = cfg.worker_class
        if hasattr(worker_class, "check_config"):
            worker_class.check_config(cfg, arbiter.log)

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> Any:
        """An object of the configured worker class, with the listeners of its slot."""
        return cfg.worker_class(
            age, arbiter.pid, arbiter.listeners_for(slot), arbiter.app, cfg.timeout / 2.0, cfg, arbiter.log
        )


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
            known[name] = plugins.load(plugins.SERVICES, name)()
    if len(known) > GROUPS:
        raise ConfigError(f"services: expected at most {GROUPS}, got {len(known)}: {', '.join(known)}")
