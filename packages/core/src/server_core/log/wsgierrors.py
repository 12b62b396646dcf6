"""``wsgi.errors``: what applications write there goes to the error log, in whole lines (PEP 3333).

Owns: the stream object.
Must not know: requests, environs.
"""

from __future__ import annotations

import logging
import threading
from typing import Iterable

LINE_LIMIT = 64 * 1024  # characters kept of a line that does not end


class WsgiErrors:
    """A text stream that all requests of a worker share; each thread has its own unfinished line.

    Args:
        logger: the error log, whose handlers' streams are written to.

    Attributes:
        as_records: write records in the format of the log, because its lines are for programs; else the text as it is.
    """

    encoding = "utf-8"

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.as_records = False
        self._local = threading.local()

    def write(self, text: str) -> int:
        """Take text and pass on its whole lines; returns its length."""
        rest = getattr(self._local, "rest", "")
        whole, newline, rest = (rest + text).rpartition("\n")
        if len(rest) > LINE_LIMIT:
            whole, newline, rest = whole + newline + rest, "\n", ""
        self._local.rest = rest
        if newline:
            self._pass_on(whole + newline)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """End and pass on an unfinished line."""
        if getattr(self._local, "rest", ""):
            self.write("\n")

    def _pass_on(self, text: str) -> None:
        for handler in self._logger.handlers:
            if not isinstance(handler, logging.StreamHandler):
                continue
            if self.as_records:
                message = text.rstrip("\n")
                handler.handle(self._logger.makeRecord(self._logger.name, logging.ERROR, "", 0, message, (), None))
            else:
                handler.acquire()
                try:
                    handler.stream.write(text)
                    handler.flush()
                finally:
                    handler.release()
