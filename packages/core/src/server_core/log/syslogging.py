"""Sending records to syslog (settings ``syslog*``).

Owns: addresses of syslog servers, and the handler.
Must not know: which log a record is of.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import socket
import time
from typing import Any, Optional, Tuple, Union

from server_core.errors import ConfigError

FACILITIES = logging.handlers.SysLogHandler.facility_names
CONNECT_SECONDS = 1.0  # for a connection to a TCP server that was away
AGAIN_SECONDS = 5.0  # between two tries
Address = Tuple[Optional[socket.SocketKind], Union[str, Tuple[str, int]]]


def parse_address(text: str) -> Address:
    """Return the kind of socket (None: either works) and the address of a ``syslog_addr``.

    Raises:
        ConfigError: it is none of ``unix://PATH[#dgram|#stream]``, ``udp://HOST[:PORT]``, ``tcp://HOST[:PORT]``.
    """
    scheme, found, rest = text.partition("://")
    if found and scheme == "unix":
        path, _, kind = rest.partition("#")
        kinds = {"": None, "dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        if path and kind in kinds:
            return kinds[kind], path
    elif found and scheme in ("udp", "tcp") and rest:
        host, colon, port = rest.rpartition(":")
        if not colon:
            host, port = rest, "514"
        if port.isdigit() and int(port) < 65536:
            return socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM, (host.strip("[]").lower(), int(port))
    raise ConfigError(
        f"syslog_addr: expected unix://PATH#dgram, unix://PATH#stream, udp://HOST:PORT or tcp://HOST:PORT, got {text!r}"
    )


def facility(name: str) -> int:
    """Return the number of a facility (``user``, ``local0`` ...); raises ConfigError."""
    try:
        return int(FACILITIES[name.lower()])
    except KeyError:
        raise ConfigError(f"syslog_facility: expected one of {', '.join(FACILITIES)}, got {name!r}") from None


class SyslogHandler(logging.handlers.SysLogHandler):
    """A syslog handler that survives forks and a server that is away.

    Args:
        ident: what each message begins with, ``gunicorn.NAME.error``.
    """

    def __init__(self, address: Address, facility: int, ident: str) -> None:
        kind, where = address
        if kind is None:
            kind = socket.SOCK_DGRAM
        super().__init__(where, facility, kind)
        self.ident = f"{ident}[{os.getpid()}]: "
        self._name = ident
        self._away = 0.0 if self.unixsocket else AGAIN_SECONDS  # a file that nobody listens at is found out at once
        self._again: Optional[float] = None  # when to connect again, monotonic seconds; None while connected

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, with the number of the process that logs it; it is lost while a server is away."""
        if self._again is not None and not self._connect(self._again):
            return
        self.ident = f"{self._name}[{record.process}]: "
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is given
        """Say on standard error what went wrong, once; a connection is made anew for the next record."""
        super().handleError(record)
        if self.unixsocket or self.socktype == socket.SOCK_STREAM:
            if self.socket:  # a closed handler has none
                self.socket.close()
            self._again = 0.0

    def _connect(self, due: float) -> bool:
        now = time.monotonic()
        if now < due:
            return False
        try:
            self._connect_at_once()
        except OSError:
            self._again = now + self._away
            return False
        self._again = None
        return True

    def _connect_at_once(self) -> None:
        if self.unixsocket:
            self._connect_unixsocket(self.address)  # type: ignore[attr-defined]  # of the class above, for such servers
            return
        self.socket = socket.create_connection(self.address, CONNECT_SECONDS)  # type: ignore[arg-type]  # it is TCP
        self.socket.settimeout(None)


def handler(cfg: Any, log: str) -> SyslogHandler:
    """Return the handler for one log (``error`` or ``access``); raises ConfigError."""
    name = cfg.syslog_prefix or cfg.proc_name.replace(":", ".")
    try:
        made = SyslogHandler(parse_address(cfg.syslog_addr), facility(cfg.syslog_facility), f"gunicorn.{name}.{log}")
    except OSError as error:
        raise ConfigError(f"syslog_addr: expected a syslog server at {cfg.syslog_addr!r}: {error}") from None
    return made
