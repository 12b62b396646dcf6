"""Dirty workers and the stash as groups that the arbiter supervises.

Owns: ``DirtyService`` and ``StashService``: plans from settings, worker objects, the pool's sockets.
Must not know: how children are started, watched, replaced.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from server_core import plugins
from server_core.control.commands import count_argument, scale
from server_core.control.views import workers_of
from server_core.errors import ConfigError
from server_core.observe.families import COUNTER, GAUGE, HISTOGRAM, Distribution
from server_core.observe.metrics import Metric
from server_core.process import take_identity
from server_core.supervise.events import GroupPlan
from server_core.supervise.services import Service
from server_dirty import paths
from server_dirty.app import AppSpec, Declaration
from server_dirty.codec import PICKLE_VARIABLE
from server_dirty.health import BOUNDS, OUTCOMES, AppNumbers, HealthBoard
from server_dirty.host import Seat
from server_dirty.pool import Pool, Sockets, parse_specs, read_declarations
from server_dirty.stash.app import PATH as STASH_PATH
from server_dirty.stash.app import SIZE_VARIABLE, VALUE_VARIABLE
from server_dirty.stash.client import URL_VARIABLE
from server_dirty.worker import DirtyWorker

API = 1
STASH_QUEUE = 1024  # operations that may wait; each takes microseconds
STOPS = ("TERM", "INT", "QUIT")  # signals that end the wait for applications that are imported
POOLS_KEPT = 8  # plans of earlier settings
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
        self._pools: List[Tuple[Any, Pool]] = []  # with the settings they were planned from, the newest last
        self.health = HealthBoard()
        self.companions: Sequence[Service] = (StashService(self),)
        self._arbiter: Any = None
        self._served: Set[str] = set()
        self._complete = False

    def plan(self, cfg: Any) -> Optional[GroupPlan]:
        """The settings of dirty workers as a plan; off without workers or applications."""
        if not cfg.dirty_workers or not cfg.dirty_apps:
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

    def check(self, cfg: Any, log: Any) -> None:
        """Import the applications in a child, and see whether workers and applications fit."""
        _plan_pool(cfg, stopped=lambda: False)

    def prepare(self, arbiter: Any, cfg: Any) -> None:
        """Plan the pool of this generation and open its queues. Raises ConfigError, AppImportError."""
        specs, pool = _plan_pool(cfg, stopped=lambda: arbiter.inbox.holds(STOPS))
        for spec in specs:
            self._count(spec.path)
        first = self.sockets is None
        sockets = self.open_sockets(cfg)
        for spec in specs:
            sockets.listener(spec.path, cfg.dirty_queue)
        sockets.give_to(cfg.uid, cfg.gid)
        self._arbiter = arbiter
        self._pools = [*self._pools[-POOLS_KEPT:], (cfg, pool)]
        if first:
            cfg.on_dirty_starting(arbiter)

    def environment(self, cfg: Any) -> Dict[str, str]:
        """What callers and applications have to know of the settings."""
        return {
            URL_VARIABLE: cfg.dirty_stash,
            PICKLE_VARIABLE: str(int(cfg.dirty_pickle)),
            SIZE_VARIABLE: str(cfg.dirty_stash_size),
            VALUE_VARIABLE: str(cfg.dirty_stash_value),
        }

    def _count(self, path: str) -> None:
        try:
            self.health.add(path)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def pool_of(self, cfg: Any) -> Pool:
        """Return the plan made from ``cfg``: a reload that fails goes back to earlier settings."""
        return next((pool for known, pool in reversed(self._pools) if known is cfg), self._pools[-1][1])

    def open_sockets(self, cfg: Any) -> Sockets:
        """Return the pool's sockets; the directory is made, and made known to clients, the first time."""
        if self.sockets is None:
            self.sockets = Sockets({os.geteuid(), cfg.uid})
            os.environ[paths.VARIABLE] = self.sockets.directory
        return self.sockets

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> DirtyWorker:
        """A worker with the applications and devices of its slot."""
        assert self.sockets is not None  # noqa: S101 - prepare() comes before every spawn
        seats = [
            (self.sockets.listener(seat.path, cfg.dirty_queue), seat)
            for seat in self.pool_of(cfg).seats_of(slot, cfg.dirty_threads)
        ]
        row = self.health.claim()
        meters = {seat.path: self.health.meter(row, seat.path) for _, seat in seats}
        return DirtyWorker(
            age, arbiter.pid, seats, meters, cfg.dirty_max_memory, cfg.dirty_backend, row, cfg.dirty_timeout / 2.0,
            cfg, arbiter.log,
        )  # fmt: skip

    def child_started(self, arbiter: Any, worker: Any) -> None:
        """Tell the hook of a new worker, in the arbiter."""
        worker.cfg.dirty_post_fork(arbiter, worker)

    def child_gone(self, arbiter: Any, worker: Any) -> None:
        """Keep what the worker counted, and tell the hook that it is gone, in the arbiter."""
        self.health.release(worker.row)
        self._close_unused()
        worker.cfg.dirty_worker_exit(arbiter, worker)

    def _close_unused(self) -> None:
        """Close the queues of applications that are neither wanted nor served any more."""
        if self.sockets is None or self._arbiter.state.stop is not None:
            return
        workers = [child.worker for child in self._arbiter.processes.living.values() if child.service is self]
        served = [path for worker in workers if worker is not None for path in worker.paths]
        self.sockets.keep_only({*self._paths(), *served, STASH_PATH})

    def commands(self) -> Dict[str, Any]:
        """The control commands of the pool."""
        return {"dirty": self.show, "show dirty": self.show, "dirty add": dirty_add, "dirty remove": dirty_remove}

    def show(self, arbiter: Any, _args: List[Any]) -> Dict[str, Any]:
        """The dirty applications: workers, queue, calls, errors; and the dirty workers."""
        rows = workers_of(arbiter, self.name)
        now = time.time()
        return {"apps": [self._app_row(path, now) for path in self._paths()], "workers": rows, "count": len(rows)}

    def _app_row(self, path: str, now: float) -> Dict[str, Any]:
        numbers = self.health.read(path)
        return {
            "app": path,
            "wanted": self._wanted(path),
            "ready": numbers.ready,
            "busy": numbers.busy,
            "running": numbers.running,
            "queued": self._queued(path),
            "queue": self._limit(),
            "refused": self._refused(path),
            "calls": sum(numbers.outcomes),
            **dict(zip(OUTCOMES[1:], numbers.outcomes[1:])),
            "seconds": round(numbers.seconds, 6),
            "last_error": numbers.error or None,
            "last_error_age": round(now - numbers.error_at, 1) if numbers.error else None,
        }

    def unready(self, arbiter: Any) -> str:
        """Why calls cannot be answered: an application that no worker has loaded.

        One that a reload brings does not count before it was loaded once: nobody calls it yet.
        """
        wanted = self._paths()
        ready = {path for path in wanted if self.health.read(path).ready}
        missing = [path for path in wanted if path not in ready and (path in self._served or not self._complete)]
        self._served |= ready
        self._complete = self._complete or not missing
        return f"dirty applications are not loaded: {', '.join(missing)}" if missing else ""

    def metrics(self) -> Sequence[Metric]:
        """The numbers of each application."""
        return tuple(
            Metric(name, kind, text, labels, _reader(self, read)) for name, kind, text, labels, read in _METRICS
        )

    def _paths(self) -> List[str]:
        """The applications of the settings in force; none after a reload that turned the pool off."""
        if not self._pools or self.plan(self._arbiter.cfg) is None:
            return []
        return list(self.pool_of(self._arbiter.cfg).declarations)

    def _wanted(self, path: str) -> int:
        group = self._arbiter.state.groups.get(self.name) if self._arbiter is not None else None
        if not self._pools or group is None:
            return 0
        pool = self.pool_of(self._arbiter.cfg)
        return sum(path in pool.apps_of(slot) for slot in range(group.target))

    def _limit(self) -> int:
        return int(self._arbiter.cfg.dirty_queue) if self._arbiter is not None else 0

    def _queued(self, path: str) -> int:
        return self.sockets.queued(path) if self.sockets is not None else 0

    def _refused(self, path: str) -> int:
        return self.sockets.refused(path) if self.sockets is not None else 0

    def close(self) -> None:
        """Close the queues and remove their directory."""
        if self.sockets is not None:
            self.sockets.close()
            self.sockets = None


def _plan_pool(cfg: Any, stopped: Callable[[], bool]) -> Tuple[Sequence[AppSpec], Pool]:
    """Return the applications that ``cfg`` names and their pool; raises ConfigError, AppImportError."""
    plugins.look_up(plugins.DIRTY_BACKENDS, cfg.dirty_backend)
    specs = parse_specs(cfg.dirty_apps)
    declarations = read_declarations(
        [spec.path for spec in specs],
        cfg.boot_timeout,
        stopped=stopped,
        become=lambda: take_identity(cfg.uid, cfg.gid, cfg.initgroups),
    )
    return specs, Pool(specs, declarations, cfg.dirty_workers)


Numbers = Callable[[DirtyService, str, AppNumbers], Iterable[Tuple[Tuple[str, ...], Any]]]


def _reader(service: DirtyService, read: Numbers) -> Callable[[Any], Iterable[Any]]:
    """Read the numbers of each application."""
    return lambda _snapshot: [
        ((path, *labels), number)
        for path in service._paths()
        for labels, number in read(service, path, service.health.read(path))
    ]


_APP = ("app",)

# name, kind, help, labels, read
_METRICS: Sequence[Tuple[str, str, str, Tuple[str, ...], Numbers]] = (
    ("server_dirty_calls", COUNTER, "Calls of a dirty application that ended, by outcome: answered, failed (it raised),"
     " timed_out, cancelled (the caller had gone).", ("app", "outcome"),
     lambda _s, _p, n: [((name,), count) for name, count in zip(OUTCOMES, n.outcomes)]),
    ("server_dirty_call_duration_seconds", HISTOGRAM, "Time in a worker, the wait in the queue excluded.", _APP,
     lambda _s, _p, n: [((), Distribution(BOUNDS, n.latency, n.seconds))]),
    ("server_dirty_calls_running", GAUGE, "Calls that run.", _APP, lambda _s, _p, n: [((), n.running)]),
    ("server_dirty_queue", GAUGE, "Calls that wait for a worker.", _APP, lambda s, p, _n: [((), s._queued(p))]),
    ("server_dirty_queue_limit", GAUGE, "Calls that may wait.", _APP, lambda s, _p, _n: [((), s._limit())]),
    ("server_dirty_calls_refused", COUNTER, "Calls refused because the queue was full.", _APP,
     lambda s, p, _n: [((), s._refused(p))]),
    ("server_dirty_workers", GAUGE, "Workers of an application: wanted, ready, busy.", ("app", "state"),
     lambda s, p, n: [(("wanted",), s._wanted(p)), (("ready",), n.ready), (("busy",), n.busy)]),
)  # fmt: skip


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
        """Open the queue of the stash."""
        sockets = self._dirty.open_sockets(cfg)
        sockets.listener(STASH_PATH, STASH_QUEUE)
        sockets.give_to(cfg.uid, cfg.gid)

    def make_worker(self, arbiter: Any, cfg: Any, age: int, slot: int) -> StashWorker:
        """The stash's process."""
        listener = self._dirty.open_sockets(cfg).listener(STASH_PATH, STASH_QUEUE)
        seats = [(listener, Seat(STASH_PATH, Declaration(), {}, 1))]
        meters = {STASH_PATH: HealthBoard.detached()}
        return StashWorker(age, arbiter.pid, seats, meters, 0, "local", None, cfg.timeout / 2.0, cfg, arbiter.log)
