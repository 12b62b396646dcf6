"""The file that holds the arbiter's process id.

Owns: how it is made, checked, renamed and removed.
Must not know: when.
"""

from __future__ import annotations

import os
from typing import Optional

from server_core.errors import ConfigError


def _has_ended(pid: int) -> bool:
    """Whether a process is only waited for: some containers have nobody who does. Needs ``/proc``; False without."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


class Pidfile:
    """One pid file.

    Args:
        path: where it stands.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.pid: Optional[int] = None

    def create(self, pid: int) -> None:
        """Write ``pid``. Raises ConfigError when another server lives under this file, or it cannot be written."""
        other = self.owner()
        if other is not None and other != pid:
            raise ConfigError(f"pidfile: already running as process {other} (from {self.path!r})")
        self.pid = pid
        self._write()

    def rename(self, path: str) -> None:
        """Move to ``path``: written there first, then removed here."""
        old = self.path
        self.path = path
        self._write()
        self._remove(old)

    def unlink(self) -> None:
        """Remove the file, if it is still ours."""
        self._remove(self.path)

    def owner(self) -> Optional[int]:
        """Return the process id in the file when that process lives."""
        pid = self._read(self.path)
        if pid is None or pid <= 0:
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return pid  # it lives, as somebody else
        return None if _has_ended(pid) else pid

    def _write(self) -> None:
        folder = os.path.dirname(self.path) or "."
        name = ""
        try:
            import tempfile

            fd, name = tempfile.mkstemp(dir=folder)
            with os.fdopen(fd, "w") as file:
                file.write(f"{self.pid}\n")
            os.chmod(name, 0o644)
            os.rename(name, self.path)  # a reader never sees a file half written
        except OSError as error:
            if name:
                os.unlink(name)
            raise ConfigError(f"pidfile: cannot write {self.path!r}: {error.strerror}") from error

    def _remove(self, path: str) -> None:
        if self._read(path) == self.pid:
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    @staticmethod
    def _read(path: str) -> Optional[int]:
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None
