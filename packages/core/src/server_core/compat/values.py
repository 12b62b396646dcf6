"""Values and small functions under gunicorn's names that exist only for files written for it.

Owns: these names.
Must not know: who imports them.
"""

from __future__ import annotations

import email.utils
import ipaddress
from typing import Any, Dict, List

from server_core import plugins
from server_core.settings.config import default_catalogue
from server_core.version import __version__

SERVER = "server"
SERVER_SOFTWARE = f"{SERVER}/{__version__}"
version_info = tuple(int(part) for part in __version__.split(".")[:3] if part.isdigit())


def __getattr__(name: str) -> Any:
    if name == "KNOWN_SETTINGS":
        return list(default_catalogue())
    if name == "SUPPORTED_WORKERS":
        return _supported_workers()
    raise AttributeError(name)


def _supported_workers() -> Dict[str, str]:
    return {plugin.name: plugin.value.replace(":", ".") for plugin in plugins.plugins(plugins.WORKERS)}


def load_class(uri: Any, default: str = "sync", section: str = "gunicorn.workers") -> Any:
    """Return the worker or logger class ``uri`` names (``gunicorn.util.load_class``)."""
    return plugins.logger_class(uri) if section.endswith("loggers") else plugins.worker_class(uri or default)


def is_ipv6(address: str) -> bool:
    """Whether ``address`` is an IPv6 address (``gunicorn.util.is_ipv6``)."""
    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def to_bytestring(value: Any, encoding: str = "utf-8") -> bytes:
    """Return text as octets (``gunicorn.util.to_bytestring``)."""
    return value if isinstance(value, bytes) else bytes(str(value), encoding)


def bytes_to_str(value: Any) -> str:
    """Return octets of a message as text (``gunicorn.util.bytes_to_str``)."""
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def http_date(timestamp: Any = None) -> str:
    """Return a time, epoch seconds or now, as HTTP writes it (``gunicorn.util.http_date``)."""
    return email.utils.formatdate(timestamp, usegmt=True)


def create_sockets(conf: Any, log: Any, fds: Any = None) -> List[Any]:
    """Open the listeners of ``conf`` (``gunicorn.sock.create_sockets``)."""
    from server_core import sockets

    options = sockets.SocketOptions(backlog=conf.backlog, reuse_port=conf.reuse_port, umask=conf.umask)
    if fds:
        return [sockets.adopt(fd, sockets.parse_address(f"fd://{fd}")) for fd in fds]
    return [sockets.open_listener(address, options, on_retry=log.error) for address in conf.address]


def ssl_context(conf: Any) -> Any:
    """Return a TLS context made of ``conf`` and its ``ssl_context`` hook (``gunicorn.sock.ssl_context``)."""
    from server_core import tls

    return tls.default_context(conf)
