"""Watching source files while developing (setting ``reload``).

Owns: which files count, how their changes are seen, and the thread that looks.
Must not know: how workers are replaced: the arbiter is asked by the signal that an operator would send.

One worker watches, the one of slot 0: its modules are the application's. What it sees makes the arbiter
replace all workers, new ones ready first, so that a browser never meets a closed port.
"""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
import re
import signal
import sys
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set

INTERVAL = 1.0  # seconds between two looks of the poller
_COMPILED = re.compile(r"\.py[co]$")


def module_files() -> Set[str]:
    """Return the source files of all imported modules."""
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            found.add(os.path.abspath(_COMPILED.sub(".py", path)))
    return found


def expanded(patterns: Iterable[str]) -> Set[str]:
    """Return the files that match ``patterns`` now; ``**`` crosses directories."""
    found: Set[str] = set()
    for pattern in patterns:
        if glob.has_magic(pattern):
            found.update(os.path.abspath(path) for path in glob.iglob(pattern, recursive=True))
        else:
            found.add(pattern)
    return found


class Poller:
    """Sees changes by comparing modification times with those of the look before; the first look is now.

    Args:
        patterns: extra files and globs; they are expanded at every look, so new files are seen.
        files: returns the files of the application.
    """

    def __init__(self, patterns: Iterable[str], files: Callable[[], Set[str]] = module_files) -> None:
        self._patterns = list(patterns)
        self._files = files
        self._times: Dict[str, float] = {}
        self._extra = expanded(self._patterns)
        self.changed()

    def changed(self) -> Optional[str]:
        """Return a file that changed, appeared or went since the last look, or None.

        A module that was imported since then is not a change; an extra file that appeared is.
        """
        extra = expanded(self._patterns)
        appeared = extra ^ self._extra
        self._extra = extra
        changed = None
        for path in sorted(extra | self._files() | set(self._times)):
            time = _modified(path)
            before = self._times.get(path)
            self._times[path] = time
            if (before is not None and time != before) or path in appeared:
                changed = changed or path
        return changed

    def directories(self) -> List[str]:
        """Return the directories in which changes can happen."""
        roots = {os.path.dirname(path) for path in self._files() | self._extra}
        roots |= {root for pattern in self._patterns for root in _roots(pattern)}
        return sorted(root for root in roots if os.path.isdir(root))

    def watch(self, stop: threading.Event) -> Iterator[str]:
        """Yield files as they change, until ``stop`` is set."""
        while not stop.wait(INTERVAL):
            path = self.changed()
            if path is not None:
                yield path


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return -1.0  # a file that is away; many editors replace files


def _roots(pattern: str) -> Set[str]:
    """Return the directories in which files matching ``pattern`` may appear."""
    directory = os.path.dirname(pattern)
    if not glob.has_magic(directory):
        return {directory}
    return {path for path in glob.iglob(directory, recursive=True) if os.path.isdir(path)}


class Watcher(Poller):
    """Looks when the operating system says that something happened, through ``watchfiles``."""

    def watch(self, stop: threading.Event) -> Iterator[str]:
        """Yield files as they change, until ``stop`` is set."""
        watch = importlib.import_module("watchfiles").watch  # an extra; its own imports are not typed for 3.9
        while not stop.is_set():
            directories = self.directories()
            waking = watch(*directories, stop_event=stop, recursive=False, watch_filter=None, yield_on_timeout=True,
                           rust_timeout=int(INTERVAL * 1000), raise_interrupt=False)  # fmt: skip
            yield from self._look_at(waking, directories)

    def _look_at(self, waking: Iterable[Any], directories: List[str]) -> Iterator[str]:
        """Look at each waking, until modules were imported from other directories. The first waking comes
        without a reason: it finds what happened before the watch had begun."""
        begun = False
        for reasons in waking:
            if reasons or not begun:
                begun = True
                path = self.changed()
                if path is not None:
                    yield path
            if self.directories() != directories:
                return


class Reloader(threading.Thread):
    """The thread that waits for changes and calls ``on_change(path)`` for each.

    It goes on after a change: a reload may fail, and then the worker stays and the next save may mend it.

    Args:
        engine: a ``Poller`` or ``Watcher``.
    """

    def __init__(self, engine: Any, on_change: Callable[[str], None]) -> None:
        super().__init__(name="reloader", daemon=True)
        self._engine = engine
        self._on_change = on_change
        self._stop_event = threading.Event()

    def run(self) -> None:
        """Wait for changes until ``stop``."""
        for path in self._engine.watch(self._stop_event):
            if self._stop_event.is_set():
                return
            self._on_change(path)

    def stop(self) -> None:
        """Look no more."""
        self._stop_event.set()


def engine(cfg: Any, files: Callable[[], Set[str]] = module_files) -> Any:
    """Return the watcher that ``reload_engine`` asks for, over ``files`` and ``reload_extra_files``."""
    wanted = cfg.reload_engine
    if wanted == "auto":
        wanted = "watchfiles" if importlib.util.find_spec("watchfiles") is not None else "poll"
    return (Watcher if wanted == "watchfiles" else Poller)(cfg.reload_extra_files, files)


def start(worker: Any) -> Reloader:
    """Watch for a worker: at a change tell the hook ``worker_int`` and ask the arbiter to reload."""

    def on_change(path: str) -> None:
        if not worker.alive:  # it has a successor, which watches
            return
        worker.log.info("Worker reloading: %s modified", path)
        worker.hooks.worker_int(worker)
        os.kill(worker.ppid, signal.SIGHUP)

    def files() -> Set[str]:
        return module_files() | set(getattr(worker.app, "broken_files", ()))

    reloader = Reloader(engine(worker.cfg, files), on_change)
    reloader.start()
    return reloader
