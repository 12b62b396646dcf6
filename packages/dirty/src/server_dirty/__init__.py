"""Pools of processes for heavy work beside the web workers, with their client and stash."""

from server_dirty.version import __version__

__all__ = ["__version__"]
