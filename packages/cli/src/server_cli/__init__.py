"""The commands of the application server: server and serverctl."""

from server_cli.version import __version__

__all__ = ["__version__"]
