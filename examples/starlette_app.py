"""Starlette, with a WebSocket: ``server starlette_app:app -k asgi``."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def hello(request: Request) -> PlainTextResponse:
    """Greet."""
    return PlainTextResponse("Hello from Starlette\n")


async def echo(request: Request) -> JSONResponse:
    """Give back the JSON that was posted."""
    return JSONResponse({"got": await request.json()})


async def chat(socket: WebSocket) -> None:
    """Answer each text with itself."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


app = Starlette(routes=[Route("/", hello), Route("/echo", echo, methods=["POST"]), WebSocketRoute("/chat", chat)])
