"""Hooks: functions of the config file that are called at an occasion."""

from typing import Any

from server_core.settings.declare import Group, Setting
from server_core.settings.references import Hook


def nothing(*_: Any) -> None:
    """What a hook is when nobody set it."""


def log_request(worker: Any, req: Any) -> None:
    """What ``pre_request`` is when nobody set it: a debug line for each request, as with gunicorn."""
    worker.log.debug("%s %s", req.method, req.path)


def default_context(_config: Any, default_ssl_context_factory: Any) -> Any:
    """What ``ssl_context`` is when nobody set it: the context made of the settings."""
    return default_ssl_context_factory()


def _hook(name: str, parameters: str, help: str, least: int = 0, default: Any = nothing) -> Setting:  # noqa: A002
    return Setting(name, Hook(parameters, least or None), default, help, cli=False)


GROUP = Group(
    "Server Hooks",
    [
        _hook("on_starting", "server", "Called in the arbiter before anything is opened."),
        _hook("on_reload", "server", "Called in the arbiter during a reload, before new workers are made."),
        _hook("when_ready", "server", "Called in the arbiter when the sockets are open."),
        _hook("pre_fork", "server, worker", "Called before each fork of a worker."),
        _hook("post_fork", "server, worker", "Called in a worker right after the fork."),
        _hook("post_worker_init", "worker", "Called in a worker that has loaded the application."),
        _hook("worker_int", "worker", "Called in a worker on SIGINT or SIGQUIT."),
        _hook("worker_abort", "worker", "Called in a worker on SIGABRT, which a timeout sends."),
        _hook("pre_exec", "server", "Called before a new arbiter is executed (USR2)."),
        _hook("pre_request", "worker, req",
              "Called in a worker before the application; what it raises is answered with 500.", default=log_request),
        _hook("post_request", "worker, req, environ, resp",
              "Called in a worker after a request, whatever became of it; may take two to four arguments.", 2),
        _hook("child_exit", "server, worker", "Called in the arbiter when a worker is gone."),
        _hook("worker_exit", "server, worker", "Called in a worker that ends."),
        _hook("nworkers_changed", "server, new_value, old_value",
              "Called in the arbiter when the number of workers is changed; the first old value is None."),
        _hook("on_exit", "server", "Called in the arbiter before it ends."),
        _hook("ssl_context", "config, default_ssl_context_factory",
              "Returns the SSLContext of the listeners.", default=default_context),
    ],
)  # fmt: skip
