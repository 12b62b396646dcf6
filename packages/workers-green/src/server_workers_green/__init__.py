"""The gevent and eventlet workers."""

from server_workers_green.version import __version__

__all__ = ["__version__"]
