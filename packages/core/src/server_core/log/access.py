"""The access log of a worker: a line for each request, written in batches.

Owns: the batch, when it is written, and whether lines take the short way or Python's ``logging``.
Must not know: sockets and loops. A driver calls ``write`` when a request is finished, ``flush`` when it
is idle, and looks at ``deadline()`` so that no line waits longer than ``DELAY``.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, List, Mapping, Optional

from server_core.log.sink import Sink

DELAY = 0.05  # seconds a line may wait for others
BATCH = 64 * 1024  # octets after which a batch is written at once
SHORTENED = 256  # octets of a value in a line that was too long for its output

Line = Callable[[Any, Any, Optional[Mapping[str, Any]], float], bytes]


class AccessLog:
    """Writes a line for each request.

    Used by one thread, the one that owns the worker's connections.

    Args:
        line: makes the line of a request.
        sink: where lines go the short way; None when they never do.
        logger: asked with ``direct()`` before each batch whether the short way is allowed, and
            given requests by ``access(...)`` when it is not.
        enabled: False makes ``write`` do nothing.

    Attributes:
        enabled: drivers skip what they need only for the log when it is False.
    """

    def __init__(
        self,
        line: Line,
        sink: Optional[Sink],
        logger: Any,
        enabled: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.enabled = enabled
        self._line = line
        self._sink = sink
        self._logger = logger
        self._monotonic = monotonic
        self._lines: List[bytes] = []
        self._size = 0
        self._due: Optional[float] = None
        self._direct = True
        self._reported = 0

    @property
    def dropped(self) -> int:
        """Lines that were lost because the output took nothing."""
        return 0 if self._sink is None else self._sink.dropped

    def write(self, request: Any, response: Any, environ: Optional[Mapping[str, Any]], seconds: float) -> None:
        """Log one finished request.

        Args:
            request: the ``server_http.events.Request``.
            response: has ``status``, ``reason``, ``headers`` (list of pairs of bytes) and ``sent``
                (octets of the body).
            environ: the WSGI environ, or None.
            seconds: how long the request took.
        """
        if not self.enabled:
            return
        if not self._lines:
            self._direct = self._sink is not None and self._logger.direct()
            if self._due is None:
                self._due = self._monotonic() + DELAY
        if not self._direct:
            self._through_logging(request, response, environ, seconds)
            return
        line = self._line(request, response, environ, seconds)
        limit = self._sink.line_limit  # type: ignore[union-attr]  # _direct says that there is one
        if limit and len(line) >= limit:
            line = self._shortened(request, response, environ, seconds)
            if len(line) >= limit:
                self._sink.dropped += 1  # type: ignore[union-attr]  # as above
                return
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BATCH:
            self.flush()

    def deadline(self) -> Optional[float]:
        """Return when ``flush`` is due, in monotonic seconds; None when nothing waits."""
        return self._due

    def flush(self) -> None:
        """Write what waits. Costs nothing when nothing does."""
        if self._due is None:
            return
        self._due = None
        sink = self._sink
        if sink is None:
            return
        if self._lines:
            self._lines.append(b"")
            data = b"\n".join(self._lines)
            self._lines = []
            self._size = 0
            sink.write(data)
            self._report()
        else:
            sink.flush()
        if sink.pending:  # the output is blocked: try again later
            self._due = self._monotonic() + DELAY

    def finish(self, seconds: float = 0.5) -> None:
        """Write what waits before the process ends, waiting up to ``seconds`` for the output."""
        self.flush()
        if self._sink is not None:
            self._sink.finish(seconds)

    def _report(self) -> None:
        """Say once per batch how many lines were lost since."""
        lost = self.dropped - self._reported
        if lost:
            self._reported = self.dropped
            self._logger.warning("Access log: %d lines were dropped, because the output does not take them", lost)

    def _shortened(self, request: Any, response: Any, environ: Optional[Mapping[str, Any]], seconds: float) -> bytes:
        """Return the line with long values cut, because the output keeps only so much whole."""
        from server_core.compat.objects import GunicornRequest

        return self._line(GunicornRequest.shortened(request, SHORTENED), response, environ, seconds)

    def _through_logging(
        self, request: Any, response: Any, environ: Optional[Mapping[str, Any]], seconds: float
    ) -> None:
        """Hand the request to the logger, in the form that gunicorn's loggers know."""
        import datetime

        from server_core.compat.objects import GunicornRequest, GunicornResponse, environ_of

        known = GunicornRequest(request)
        self._logger.access(
            GunicornResponse(response),
            known,
            environ_of(request) if environ is None else environ,
            datetime.timedelta(seconds=seconds),
        )


def quiet(logger: logging.Logger, handlers: List[logging.Handler], formatter: Any) -> bool:
    """Whether ``logger`` does with a record only what this server set up: nobody added a filter,
    a handler or a formatter, nobody turned it off."""
    return (
        logger.handlers == handlers
        and not logger.filters
        and not logger.propagate
        and not logger.disabled
        and logger.isEnabledFor(logging.INFO)
        and all(not handler.filters and handler.formatter is formatter and handler.level <= logging.INFO
                for handler in handlers)
    )  # fmt: skip
