"""The asgi worker: asyncio or uvloop, HTTP, WebSocket and lifespan."""

from server_workers_async.version import __version__

__all__ = ["__version__"]
