"""What is served while the application cannot be imported and ``reload`` is on.

Owns: a page with the traceback, as a WSGI and as an ASGI application at once.
Must not know: workers, settings. It is made only for development: a traceback never goes to a
peer otherwise.
"""

from __future__ import annotations

import html
import sys
from typing import Any, Awaitable, Callable, List

from server_core.errors import AppImportError

_PAGE = (
    "<!doctype html><meta charset=utf-8><title>The application cannot be loaded</title>"
    "<style>body{{font:15px sans-serif;margin:3em}}pre{{background:#f4f4f4;padding:1em;overflow:auto}}</style>"
    "<h1>The application cannot be loaded</h1><p>{message}</p><pre>{traceback}</pre>"
    "<p>The server looks for changes and loads it again at the next save.</p>\n"
)


class BrokenApplication:
    """A callable that answers every request with status 500 and the traceback.

    With two arguments it is a WSGI application, with three an ASGI one.
    """

    def __init__(self, error: AppImportError) -> None:
        self.error = error
        page = _PAGE.format(message=html.escape(str(error)), traceback=html.escape(error.traceback or ""))
        self.body = page.encode("utf-8", "backslashreplace")

    def __call__(self, *arguments: Any) -> Any:
        if len(arguments) == 2:
            return self._wsgi(*arguments)
        return self._asgi(*arguments)

    def _wsgi(self, _environ: Any, start_response: Callable[..., Any]) -> List[bytes]:
        length = str(len(self.body))
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", length)]
        start_response("500 Internal Server Error", headers, sys.exc_info())
        return [self.body]

    async def _asgi(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await _finish_lifespan(receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(self.body))]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": self.body})
        else:
            await send({"type": "websocket.close", "code": 1011})


async def _finish_lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
