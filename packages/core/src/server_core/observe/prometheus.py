"""Metrics that the application makes with ``prometheus_client``, kept in the page of its process.

Owns: the value class that takes the place of that library's own, and what identifies a value.
Must not know: how values of several processes become one (``application``).

This module alone imports ``prometheus_client``, in workers, when a setting asks for it.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Optional, Sequence

import prometheus_client.values

from server_core.observe.pages import PageWriter


class _Process:
    """Where the values of this process are: a page, or nowhere that others see."""

    def __init__(self) -> None:
        self.page: Optional[PageWriter] = None
        self.log: Any = None
        self.lock = threading.RLock()  # a destructor or a signal handler may count while somebody counts

    def leave(self) -> None:
        """A fork: the page belongs to the parent, and nobody here holds the lock."""
        self.page = None
        self.lock = threading.RLock()


_process = _Process()


class SharedValue:
    """A number with the interface of ``prometheus_client.values.MmapedValue``."""

    _multiprocess = True

    def __init__(
        self, typ: str, metric_name: str, name: str, labelnames: Sequence[str], labelvalues: Sequence[Any],
        help_text: str, multiprocess_mode: str = "", **_others: Any,
    ) -> None:  # fmt: skip
        labels = [[label, str(value)] for label, value in zip(labelnames, labelvalues)]
        self._key = json.dumps([metric_name, typ, multiprocess_mode, name, labels, help_text]).encode()
        self._page: Optional[PageWriter] = None
        self._floats: Any = [0.0, 0.0]
        self._place = 0
        with _process.lock:
            self._bind()

    def _bind(self) -> None:
        """Use the page of this process; values that have none are seen here only."""
        page = self._page = _process.page
        place = page.place(self._key) if page is not None else None
        if page is None or place is None:
            self._floats, self._place = [0.0, 0.0], 0
        else:
            self._floats, self._place = page.floats, place
        if page is not None and place is None and _process.log is not None:
            _process.log.warning("Application metrics: no room for %s; application_metrics_size sets how much there"
                                 " is, further ones are only counted", self._key.decode()[:200])  # fmt: skip
            _process.log = None

    def inc(self, amount: float) -> None:
        """Add ``amount``."""
        with _process.lock:
            if self._page is not _process.page:
                self._bind()
            self._floats[self._place] += amount
            self._floats[self._place + 1] = 0.0

    def set(self, value: float, timestamp: Optional[float] = None) -> None:
        """Set the value, and when it was taken (seconds since the epoch)."""
        with _process.lock:
            if self._page is not _process.page:
                self._bind()
            self._floats[self._place] = value
            self._floats[self._place + 1] = timestamp or 0.0

    def get(self) -> float:
        """Return the value of this process."""
        with _process.lock:
            if self._page is not _process.page:
                self._bind()
            return float(self._floats[self._place])

    def set_exemplar(self, exemplar: Any) -> None:
        """Nothing: exemplars do not exist with several processes, as in the library."""

    def get_exemplar(self) -> None:
        """None; see ``set_exemplar``."""


def install(page: PageWriter, log: Any) -> None:
    """Keep the values of this process in ``page``: those of metrics made from now on, and of those made
    before a fork by a template that did the same.

    Args:
        log: told once when the page is full.
    """
    if prometheus_client.values.ValueClass is not SharedValue:
        prometheus_client.values.ValueClass = SharedValue
        os.register_at_fork(after_in_child=_process.leave)
    _process.page = page
    _process.log = log
