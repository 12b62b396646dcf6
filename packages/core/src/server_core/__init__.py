"""Settings, arbiter, sockets, TLS, logs, scoreboard, drivers, and the sync and gthread workers."""

from server_core.version import __version__

__all__ = ["__version__"]
