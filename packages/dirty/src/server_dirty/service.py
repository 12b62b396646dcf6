"""Dirty workers and the stash as groups that the arbiter supervises.

Owns: ``DirtyService`` and ``StashService``: plans from settings, worker objects, the pool's sockets.
Must not know: how children are started, watched, replaced.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence

from server_core.control.commands import count_argument, scale, workers_of
from server_core.supervise.events import GroupPlan
from server_core.supervise.services import Service
from server_dirty import paths
from server_dirty.pool import Pool, Sockets, parse_specs, read_declarations
from server_dirty.stash.app import PATH as STASH_PATH
from server_dirty.stash.app import SIZE_VARIABLE, VALUE_VARIABLE
from server_dirty.stash.client import URL_VARIABLE
from server_dirty.worker import DirtyWorker

API = 1
STASH_QUEUE = 1024  # operations that may wait; each takes microseconds
RANK = 1  # HTTP workers leave first: they may be inside calls
STASH_RANK = 2


class StashWorker(DirtyWorker):
    """The stash's process: a dirty worker of our own, of which the user's hooks are not told."""

    def loaded(self) -> None:
        """Nothing: the hook is for the user's applications."""


class DirtyService(Service):
    """The pool of dirty workers."""

    server_api = 1  # the plugin contract this class is written for

    name = "dirty"
    api = API

    def __init__(self) -> None:
        self.sockets: Optional[Sockets] = None
        self.pool: Optional[Pool] = None
        self.companions: Sequence[Service] = (StashService(self),)

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """The settings of dirty workers as a plan; off without workers, or when they run elsewhere."""
        if not cfg.dirty_workers or not cfg.dirty_apps or cfg.dirty_backend != "local":
            return None
        return GroupPlan(
            name=self.name,
            workers=cfg.dirty_workers,
            timeout=cfg.dirty_timeout,
            boot_timeout=cfg.boot_timeout,
            graceful_timeout=cfg.dirty_graceful_timeout,
            strategy=cfg.reload_strategy,
            rank=RANK,
        )

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Plan the pool of this generation and open its queues. Raises ConfigError, AppImportError."""
        os.environ[URL_VARIABLE] = cfg.dirty_stash
        specs = parse_specs(cfg.dirty_apps)
        pool = Pool(specs, read_declarations([spec.path for spec in specs]), cfg.dirty_workers)
        first = self.sockets is None
        sockets = self.open_sockets(cfg)
        for spec in specs:
            sockets.listener(spec.path, cfg.dirty_queue)
        sockets.keep_only([*(spec.path for spec in specs), STASH_PATH])
        sockets.give_to(cfg.uid, cfg.gid)
        self.pool = pool
        if first:
            cfg.on_dirty_starting(arbiter)

    def open_sockets(self, cfg: Any) -> Sockets:
        """Return the pool's sockets; the directory is made, and made known to clients, the first time."""
        if self.sockets is None:
            self.sockets = Sockets()
            os.environ[paths.VARIABLE] = self.sockets.directory
        return self.sockets

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> DirtyWorker:
        """A worker with the applications and devices of its slot."""
        assert self.pool is not None  # noqa: S101 - prepare() comes before every spawn
        assert self.sockets is not None  # noqa: S101
        listeners = [self.sockets.listener(path, cfg.dirty_queue) for path in self.pool.apps_of(slot)]
        devices = self.pool.devices_of(slot)
        return DirtyWorker(
            age, arbiter.pid, listeners, devices, cfg.dirty_threads, cfg.dirty_max_memory, cfg.dirty_timeout / 2.0,
            cfg, arbiter.log,
        )  # fmt: skip

    def child_started(self, arbiter: Any, worker: Any) -> None:
        """Tell the hook of a new worker, in the arbiter."""
        worker.cfg.dirty_post_fork(arbiter, worker)

    def child_gone(self, arbiter: Any, worker: Any) -> None:
        """Tell the hook of a worker that is gone, in the arbiter."""
        worker.cfg.dirty_worker_exit(arbiter, worker)

    def commands(self) -> Dict[str, Any]:
        """The control commands of the pool."""
        return {"show dirty": self.show, "dirty add": dirty_add, "dirty remove": dirty_remove}

    def show(self, arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
        """The dirty workers, and the applications with how many workers serve each."""
        rows = workers_of(arbiter, self.name)
        serving: Dict[str, int] = {}
        for row in rows:
            for path in self.pool.apps_of(row["slot"]) if self.pool is not None else ():
                serving[path] = serving.get(path, 0) + (row["state"] == "ready")
        return {"workers": rows, "count": len(rows), "apps": serving}

    def close(self) -> None:
        """Close the queues and remove their directory."""
        if self.sockets is not None:
            self.sockets.close()
            self.sockets = None


def dirty_add(arbiter: Any, args: List[Any]) -> Dict[str, int]:
    """Add N dirty workers (default 1)."""
    count = count_argument(args)
    return {"added": count, **scale(arbiter, DirtyService.name, count)}


def dirty_remove(arbiter: Any, args: List[Any]) -> Dict[str, int]:
    """Remove N dirty workers (default 1); one always stays."""
    answer = scale(arbiter, DirtyService.name, -count_argument(args))
    return {"removed": answer["previous"] - answer["total"], **answer}


class StashService(Service):
    """The stash's one process. It keeps its tables over reloads, and while dirty workers come and go."""

    name = "stash"

    def __init__(self, dirty: DirtyService) -> None:
        self._dirty = dirty

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """One child, kept over reloads; off when the stash is elsewhere or nothing dirty runs."""
        if not cfg.dirty_workers or cfg.dirty_stash != "local":
            return None
        return GroupPlan(
            name=self.name,
            workers=1,
            timeout=cfg.timeout,
            boot_timeout=cfg.boot_timeout,
            graceful_timeout=cfg.dirty_graceful_timeout,
            strategy="keep",
            rank=STASH_RANK,
        )

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Open the queue of the stash and pass its limits on."""
        os.environ[SIZE_VARIABLE] = str(cfg.dirty_stash_size)
        os.environ[VALUE_VARIABLE] = str(cfg.dirty_stash_value)
        sockets = self._dirty.open_sockets(cfg)
        sockets.listener(STASH_PATH, STASH_QUEUE)
        sockets.give_to(cfg.uid, cfg.gid)

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> StashWorker:
        """The stash's process."""
        listener = self._dirty.open_sockets(cfg).listener(STASH_PATH, STASH_QUEUE)
        return StashWorker(age, arbiter.pid, [listener], {}, 1, 0, cfg.timeout / 2.0, cfg, arbiter.log)
