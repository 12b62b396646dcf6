"""The ASGI applications that all servers run."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, Tuple

Scope = Dict[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]

CHUNK = b"c" * 1024
BLOCK_SIZE = 65536
BLOCK = b"b" * BLOCK_SIZE
TEXT = (b"content-type", b"text/plain")


def answer(body: bytes) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The two messages of a small answer."""
    headers = [TEXT, (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


HELLO_START, HELLO_BODY = answer(b"Hello, World!")
TEN_START, TEN_BODY = answer(b"x" * 10240)
STREAM_START = {"type": "http.response.start", "status": 200, "headers": [TEXT]}
STREAM_PART = {"type": "http.response.body", "body": CHUNK, "more_body": True}


async def lifespan(receive: Receive, send: Send) -> None:
    """Start and stop without doing anything."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """13 octets."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(HELLO_START)
    await send(HELLO_BODY)


async def ten_kib(scope: Scope, receive: Receive, send: Send) -> None:
    """10 KiB."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(TEN_START)
    await send(TEN_BODY)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """What was posted."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    for message in answer(body):
        await send(message)


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Ten chunks of 1 KiB."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(STREAM_START)
    for _ in range(10):
        await send(STREAM_PART)
    await send({"type": "http.response.body", "body": b""})


async def websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Every message back."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def bulk(scope: Scope, receive: Receive, send: Send) -> None:
    """``/sink`` counts what is posted, ``/source?N`` answers with N octets, in blocks."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(STREAM_START)
    last = b""
    if scope["path"] == "/sink":
        total, more = 0, True
        while more:
            message = await receive()
            total += len(message.get("body", b""))
            more = message.get("more_body", False)
        last = str(total).encode()
    elif scope["path"] == "/source":
        for _ in range(int(scope["query_string"]) // BLOCK_SIZE):
            await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
    await send({"type": "http.response.body", "body": last or b"Hello, World!"})
