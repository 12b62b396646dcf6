"""Applications for heavy work: what users write, and how settings name it.

Owns: ``DirtyApp``, ``batch``, the form ``module:Class[:N]``, finding and calling an action.
Must not know: sockets, processes, frames.
"""

from __future__ import annotations

import importlib
import threading
import time
from functools import wraps
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Type

from server_dirty.errors import DirtyAppNotFoundError


class DirtyApp:
    """Base of applications; any class with ``init``, ``__call__`` and ``close`` serves as well.

    Class attributes:
        workers: in how many dirty workers the application is loaded; None means in all.
        num_cpus, num_gpus: what each worker takes of a cluster, where a backend has one to run it on.
        resources: named slots, ``{"gpu": 1}``: each worker gets as many device numbers of its own.
        stashes: tables of the stash that are made before the first call.
    """

    workers: Optional[int] = None
    num_cpus: Optional[float] = None
    num_gpus: Optional[float] = None
    resources: Dict[str, int] = {}  # noqa: RUF012 - a declaration that subclasses replace, never edited
    stashes: List[str] = []  # noqa: RUF012 - as above

    # Set before init(): the device numbers of this worker, for example {"gpu": [3]}.
    devices: Dict[str, List[int]]

    def init(self) -> None:
        """Load what is heavy; called once in each worker, before it takes a call."""

    def __call__(self, action: str, *args: Any, **kwargs: Any) -> Any:
        """Run ``action``: the public method of that name. A generator or async generator streams."""
        return find_action(self, action)(*args, **kwargs)

    def close(self) -> None:
        """Let go; called once as the worker ends."""


def find_action(app: Any, action: str) -> Callable[..., Any]:
    """Return the public method ``action`` of ``app``.

    Raises:
        AttributeError: there is none, or its name begins with an underscore.
    """
    method = None if action.startswith("_") else getattr(app, action, None)
    if not callable(method) or action in ("init", "close"):
        raise AttributeError(f"action: expected a public method of {type(app).__name__}, got {action!r}")
    found: Callable[..., Any] = method
    return found


class Declaration(NamedTuple):
    """What a class says of itself: in how many workers it wants to be, what it needs of each."""

    workers: Optional[int] = None
    resources: Dict[str, int] = {}  # noqa: RUF012 - a default that is never edited
    stashes: List[str] = []  # noqa: RUF012 - as above
    num_cpus: Optional[float] = None
    num_gpus: Optional[float] = None


def declared(path: str) -> Declaration:
    """Import ``module:Class`` and return its declaration. Raises ValueError for one that makes no sense."""
    cls = load_class(path)
    workers = getattr(cls, "workers", None)
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"{path}.workers: expected an integer >= 1 or None, got {workers!r}")
    shares = [getattr(cls, name, None) for name in ("num_cpus", "num_gpus")]
    for name, share in zip(("num_cpus", "num_gpus"), shares):
        if share is not None and (not isinstance(share, (int, float)) or share < 0):
            raise ValueError(f"{path}.{name}: expected a number >= 0 or None, got {share!r}")
    return Declaration(workers, dict(getattr(cls, "resources", {})), list(getattr(cls, "stashes", [])), *shares)


class AppSpec(NamedTuple):
    """One entry of ``dirty_apps``: ``path`` is ``"module:Class"``, ``workers`` its N or None."""

    path: str
    workers: Optional[int]


def parse_spec(text: str) -> AppSpec:
    """Read ``module:Class`` or ``module:Class:N``. Raises ValueError."""
    parts = text.strip().split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"dirty_apps: expected MODULE:CLASS or MODULE:CLASS:N, got {text!r}")
    if len(parts) == 2:
        return AppSpec(text.strip(), None)
    if not parts[2].isdigit() or int(parts[2]) < 1:
        raise ValueError(f"dirty_apps: expected a number of workers >= 1 after {parts[0]}:{parts[1]}, got {parts[2]!r}")
    return AppSpec(f"{parts[0]}:{parts[1]}", int(parts[2]))


def load_class(path: str) -> Type[Any]:
    """Import ``module:Class``.

    Raises:
        DirtyAppNotFoundError: the module or the class does not exist. Errors from inside the
            module's own code pass through.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise DirtyAppNotFoundError(f"dirty_apps: no module {error.name!r} (from {path})", {"app_path": path}) from None
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise DirtyAppNotFoundError(
            f"dirty_apps: {module_name} has no class {name!r} (from {path})", {"app_path": path}
        )
    return found


class _Gathering:
    """The calls that wait to become one batch."""

    __slots__ = ("done", "error", "full", "items", "results")

    def __init__(self) -> None:
        self.items: List[Any] = []
        self.results: List[Any] = []
        self.error: Optional[BaseException] = None
        self.done = threading.Event()
        self.full = threading.Event()


class _Batcher:
    """Collects the calls of one method of one application object.

    The first caller of a batch leads it: it waits until the batch is full or ``max_wait`` has
    passed, runs it, and hands the results out. So there is no thread beside those that call.
    """

    def __init__(self, function: Callable[[List[Any]], Any], max_size: int, max_wait: float) -> None:
        self._function = function
        self._max_size = max_size
        self._max_wait = max_wait
        self._lock = threading.Lock()
        self._open: Optional[_Gathering] = None

    def call(self, item: Any) -> Any:
        batch, place, leads = self._join(item)
        if leads:
            self._lead(batch)
        else:
            batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return batch.results[place]

    def _join(self, item: Any) -> tuple[_Gathering, int, bool]:
        with self._lock:
            leads = self._open is None
            batch = self._open = self._open or _Gathering()
            batch.items.append(item)
            if len(batch.items) >= self._max_size:
                self._open = None
                batch.full.set()
            return batch, len(batch.items) - 1, leads

    def _lead(self, batch: _Gathering) -> None:
        batch.full.wait(self._max_wait)
        with self._lock:
            if self._open is batch:
                self._open = None
        try:
            batch.results = self._run(batch.items)
        except BaseException as error:  # every caller of the batch gets it
            batch.error = error
        finally:
            batch.done.set()

    def _run(self, items: List[Any]) -> List[Any]:
        results = list(self._function(items))
        if len(results) != len(items):
            raise ValueError(f"batch: expected {len(items)} results, got {len(results)}")
        return results


def batch(max_size: int = 32, max_wait: float = 0.005) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make one call of several: the method takes a list of items and returns a list of results.

    Callers call it with one item and receive their own result. It pays with ``dirty_threads`` > 1,
    because calls of other threads are what fills a batch.

    Args:
        max_size: items of one batch.
        max_wait: seconds that the first item waits for others.
    """
    if max_size < 1 or max_wait < 0:
        raise ValueError(f"batch: expected max_size >= 1 and max_wait >= 0, got {max_size} and {max_wait}")

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        attribute = f"_batcher_{method.__name__}"
        guard = threading.Lock()

        @wraps(method)
        def call(self: Any, item: Any) -> Any:
            batcher = self.__dict__.get(attribute)
            if batcher is None:
                with guard:
                    batcher = self.__dict__.setdefault(
                        attribute, _Batcher(lambda items: method(self, items), max_size, max_wait)
                    )
            return batcher.call(item)

        return call

    return decorate


def deadline_after(seconds: Optional[float]) -> Optional[float]:
    """Return the monotonic time ``seconds`` from now; None and 0 mean no deadline."""
    return time.monotonic() + seconds if seconds else None
