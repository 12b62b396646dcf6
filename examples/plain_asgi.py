"""An ASGI application without a framework: ``server plain_asgi:app -k asgi``."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Dict

Message = Dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TEXT = (b"content-type", b"text/plain; charset=utf-8")


async def app(scope: Dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer by the type of the scope, and by path."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["path"] == "/count":
        await count(send)
    else:
        await hello(send)


async def lifespan(receive: Receive, send: Send) -> None:
    """Say when the application has started and stopped."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def hello(send: Send) -> None:
    """Greet."""
    body = b"Hello, World!\n"
    headers = [TEXT, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def count(send: Send) -> None:
    """Count to five, a line each tenth of a second."""
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for number in range(1, 6):
        await send({"type": "http.response.body", "body": f"{number}\n".encode(), "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b""})


async def chat(receive: Receive, send: Send) -> None:
    """A WebSocket that answers every message with itself."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            kind = "text" if message.get("text") is not None else "bytes"
            await send({"type": "websocket.send", kind: message[kind]})
        else:
            return
