"""What children are started from, and how that changes: settings, listeners and TLS of one start or reload.

Owns: the generations that children still run, and the settings in use with all that follows them in this process:
log, environment, process title, open listeners. Loading others, trying them, and going back when they are refused.
Must not know: when any of it happens (``state``), and processes.
"""

from __future__ import annotations

import os
from typing import Any, Dict, MutableMapping, Optional

from server_core import process, systemd
from server_core.errors import ConfigError, ServerError
from server_core.supervise.listeners import ListenerSet
from server_core.supervise.services import HTTP

BIND_ATTEMPTS = 5
RELOAD_BIND_ATTEMPTS = 1  # a reload does not wait for an address to become free


class Generation:
    """What children are started from: settings, listeners and TLS of one start or reload."""

    def __init__(self, number: int, cfg: Any, listeners: ListenerSet) -> None:
        self.number = number
        self.cfg = cfg
        self.listeners = listeners


class Environment:
    """The variables that settings set in this process, and what was there before them."""

    def __init__(self) -> None:
        self._before: Dict[str, Optional[str]] = {}

    def set(self, variables: Dict[str, str]) -> None:
        """Set ``variables`` here, once those of earlier settings are undone."""
        self._before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)

    def restore(self, environ: MutableMapping[str, str]) -> None:
        """Undo in ``environ`` what the settings set."""
        for name, value in self._before.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value


class Generations:
    """The generations of an arbiter, of which the newest is what new children run.

    Args:
        arbiter: whose ``app``, ``cfg``, ``log`` and listeners they are made from.

    Attributes:
        environment: what the settings in use set.
    """

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter
        self._known: Dict[int, Generation] = {}
        self._tried: Optional[Generation] = None  # loaded and open, and not used yet
        self._shown_listeners = ""
        self.environment = Environment()

    def __bool__(self) -> bool:
        return bool(self._known)

    def __getitem__(self, number: int) -> Generation:
        return self._known[number]

    @property
    def current(self) -> Generation:
        """What new children run."""
        return self._known[self._arbiter.state.generation]

    # --- the first --------------------------------------------------------------------------

    def begin(self) -> None:
        """Take what others left open for us, and open and check everything that the first children need.

        Raises:
            ServerError: the settings cannot be used.
        """
        arbiter = self._arbiter
        arbiter.listeners.take_passed(systemd.take_passed_sockets(os.environ, arbiter.pid))
        arbiter.listeners.take_over(os.environ)
        generation = self._make(arbiter.state.generation, arbiter.state.groups[HTTP].target, BIND_ATTEMPTS)
        self._known[generation.number] = generation
        self._shown_listeners = self._addresses(generation)
        arbiter.app.introduce(self._shown_listeners, arbiter.log)

    def _make(self, number: int, slots: int, attempts: int) -> Generation:
        """Check and open everything that children of the application's settings need."""
        arbiter = self._arbiter
        cfg = arbiter.app.cfg
        listeners = arbiter.listeners.open(cfg, slots, _make_tls(cfg), attempts, arbiter.log.error)
        for group in arbiter.plan(cfg).groups:
            arbiter.service(group.name).prepare(arbiter, cfg)
        self._prepare_application_metrics(cfg)
        return Generation(number, cfg, listeners)

    def _prepare_application_metrics(self, cfg: Any) -> None:
        """Make the memory for the application's metrics, before children that use it are forked; its size stays."""
        arbiter = self._arbiter
        if cfg.application_metrics and arbiter.application_metrics is None:
            from server_core.observe.application import ApplicationMetrics

            arbiter.application_metrics = ApplicationMetrics(arbiter.board.layout.slots, cfg.application_metrics_size)

    def _addresses(self, generation: Generation) -> str:
        return ", ".join(str(listener) for listener in self._arbiter.listeners.shown(generation.listeners))

    # --- others -----------------------------------------------------------------------------

    def load(self) -> Optional[str]:
        """Read the settings again and make all that children need of them. Return why they are refused, None if not;
        those before them are in use again then."""
        arbiter = self._arbiter
        before = arbiter.app.cfg
        open_before = arbiter.listeners.keys()
        try:
            arbiter.app.reload()
            cfg = arbiter.app.cfg
            with cfg.located():
                self._check_room(cfg)
                arbiter.log.setup(cfg)
                self._tried = self._make(0, cfg.workers, RELOAD_BIND_ATTEMPTS)
                arbiter.presence.prepare(cfg)
        except Exception as error:
            self._use_settings(before)
            arbiter.listeners.close_others(open_before)  # what was opened for the rejected settings
            if not isinstance(error, ServerError):
                arbiter.log.exception("Exception while loading the settings")
            elif error.traceback:
                arbiter.log.error("%s", error.traceback.rstrip())  # noqa: TRY400 - trimmed to the user's own frames
            return str(error) or type(error).__name__
        return None

    def _check_room(self, cfg: Any) -> None:
        """The scoreboard's size was settled at the start; threads beyond it would lose counts."""
        most = self._arbiter.board.layout.threads - 1  # the loop of a worker has a record, too
        if cfg.threads > most:
            raise ConfigError(
                f"threads: expected at most {most} in a reload, got {cfg.threads} (from {cfg.source('threads')}); "
                "restart the server, or upgrade it (USR2), for more"
            )

    def use(self, number: int) -> None:
        """Make generation ``number`` the one in use: what was loaded last, or, going back, one that is known."""
        arbiter = self._arbiter
        tried = self._tried
        new = tried is not None and number not in self._known
        if tried is not None and new:
            tried.number = number
            self._known[number] = tried
            self._tried = None
        generation = self._known[number]
        self._use_settings(generation.cfg)
        if new:
            self.log_warnings()
            arbiter.call_hook("on_reload")
            self._log_listeners(generation)
        arbiter.presence.renew(arbiter.cfg)

    def _use_settings(self, cfg: Any) -> None:
        """Make ``cfg`` the settings of this process; a directory that is gone since is logged, and ends no server."""
        arbiter = self._arbiter
        problems = []
        arbiter.cfg = cfg
        for use in (*([arbiter.app.use] if arbiter.app.cfg is not cfg else []), arbiter.log.setup):
            try:
                use(cfg)
            except ServerError as error:
                problems.append(error)
        for problem in problems:
            arbiter.log.error("%s; going on with what there was", problem)
        self.set_environment(cfg)
        arbiter.log.reopen_files()
        arbiter.log.close_on_exec()
        process.set_title(f"master [{cfg.proc_name}]")

    def set_environment(self, cfg: Any) -> None:
        """Set the services' variables and ``raw_env`` in this process, after undoing what earlier settings set."""
        self.environment.restore(os.environ)  # services look at it
        variables: Dict[str, str] = {}
        for group in self._arbiter.plan(cfg).groups:
            variables.update(self._arbiter.service(group.name).environment(cfg))
        variables.update(cfg.env)
        self.environment.set(variables)

    def log_warnings(self) -> None:
        """Log what the settings in use will not do."""
        cfg, log = self._arbiter.cfg, self._arbiter.log
        for warning in cfg.warnings:
            log.warning("%s", warning)
        if cfg.request_timeout and not getattr(cfg.worker_class, "ends_requests", False):
            log.warning("request_timeout: has no effect with the worker %r; all others have it", cfg.worker_class_str)

    def _log_listeners(self, generation: Generation) -> None:
        shown = self._addresses(generation)
        if shown != self._shown_listeners:
            self._shown_listeners = shown
            self._arbiter.log.info("Listening at: %s (%s)", shown, self._arbiter.pid)

    def drop_others(self, number: int) -> None:
        """Forget all generations but ``number``, and close what only they listened at."""
        self._known = {number: self._known[number]}
        self.close_dropped()

    def close_dropped(self) -> None:
        """Close the listeners that the generation in use does not have."""
        arbiter = self._arbiter
        arbiter.listeners.close_dropped(self.current.listeners, arbiter.state.shares_listeners)

    def refresh_tls(self, now: float) -> None:
        """Let each generation look whether its certificates changed, and log what it says."""
        for generation in self._known.values():
            if generation.listeners.tls is not None:
                for notice in generation.listeners.tls.refresh(now):
                    getattr(self._arbiter.log, notice.level)(notice.message)


def _make_tls(cfg: Any) -> Any:
    if not cfg.is_ssl:
        return None
    from server_core.tls import ServerTLS

    return ServerTLS.from_settings(cfg)
