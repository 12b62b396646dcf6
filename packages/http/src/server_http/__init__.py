"""Sans-I/O HTTP/1.1, HTTP/2, WebSocket, uwsgi and PROXY protocol engines, with WSGI and ASGI mappings."""

from server_http.version import __version__

__all__ = ["__version__"]
