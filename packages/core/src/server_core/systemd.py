"""What systemd and this server tell one another.

Owns: the environment of socket activation, and notifications (sd_notify(3)).
Must not know: when something is worth telling.
"""

from __future__ import annotations

import os
import socket
from typing import List, MutableMapping, Optional, Tuple

FIRST_FD = 3  # SD_LISTEN_FDS_START


def take_passed_sockets(environ: MutableMapping[str, str], pid: int) -> List[Tuple[int, str]]:
    """Return ``(descriptor, name)`` of each passed socket, and remove the variables.

    They are removed so that children do not believe the sockets are meant for them.
    """
    owner = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "")
    if not count.isdigit() or owner != str(pid):
        return []
    found = names.split(":") if names else []
    return [(FIRST_FD + i, found[i] if i < len(found) else "") for i in range(int(count))]


class Notifier:
    """Sends notifications to the service manager, if there is one.

    Args:
        environ: ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` are read and stay, for a second arbiter.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_interval: Optional[float] = int(usec) / 2e6 if usec.isdigit() and for_us else None

    def __bool__(self) -> bool:
        return bool(self._address)

    def send(self, message: str) -> Optional[str]:
        """Send a notification of ``KEY=value`` lines. Return what went wrong, None when nothing did."""
        if not self._address:
            return None
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # the arbiter waits for nobody
                sock.connect(address)
                sock.send(message.encode())
        except OSError as error:
            return f"NOTIFY_SOCKET: cannot notify {self._address!r}: {error.strerror}"
        return None
