"""Standard output and standard error of a process, sent to a file (``capture_output``).

Owns: descriptors 1 and 2 while they are captured, and where they led before.
Must not know: settings, handlers, when a file is opened again.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Optional, Tuple

_STANDARD = (1, 2)


class StandardOutput:
    """Leads standard output and standard error to a file and back."""

    def __init__(self) -> None:
        self._before: Optional[Tuple[int, int]] = None  # copies of the descriptors; None: never captured

    def send_to(self, fd: Optional[int]) -> None:
        """Send both to the open file ``fd``; None: to where they led at first.

        Raises:
            OSError: the table of descriptors is full; nothing has changed.
        """
        if fd is None and self._before is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # nobody takes what was printed before
                stream.flush()
        before = self._before = self._before or _copies()
        for standard, target in zip(_STANDARD, before if fd is None else (fd, fd)):
            os.dup2(target, standard)


def _copies() -> Tuple[int, int]:
    output = os.dup(1)
    try:
        return output, os.dup(2)
    except OSError:
        os.close(output)
        raise
