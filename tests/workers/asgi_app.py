"""The ASGI application that the worker's tests serve."""

from __future__ import annotations

import asyncio
import json
import os

EVENTS = os.environ.get("EVENTS", "/dev/null")


def note(event):
    """Append to a file that the test reads: the order of things survives the process."""
    with open(EVENTS, "a") as stream:
        stream.write(f"{event}\n")


async def answer(send, body, status=200):
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    while True:
        message = await receive()
        note(message["type"])
        if message["type"] == "lifespan.startup":
            if os.environ.get("FAIL"):
                await send({"type": "lifespan.startup.failed", "message": os.environ["FAIL"]})
                return
            await send({"type": "lifespan.startup.complete", "shutdown_notice": True})
        elif message["type"] == "lifespan.shutdown":
            if os.environ.get("STUCK"):
                await asyncio.sleep(60)
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        await ROUTES[scope["path"]](scope, receive, send)


async def websocket(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            note(f"websocket {message['code']}")
            return
        await send({**message, "type": "websocket.send"})


async def hello(scope, receive, send):
    await answer(send, b"hello")


async def pid(scope, receive, send):
    await answer(send, b"%d" % os.getpid())


async def loop(scope, receive, send):
    await answer(send, type(asyncio.get_running_loop()).__module__.encode())


async def slow(scope, receive, send):
    note("slow begins")
    await asyncio.sleep(0.5)
    await answer(send, b"slow")
    note("slow ends")


async def scope_facts(scope, receive, send):
    facts = {key: scope[key] for key in ("scheme", "client", "server", "http_version", "root_path", "path")}
    facts["tls"] = scope["extensions"].get("tls", {}).get("tls_version")
    await answer(send, json.dumps(facts).encode())


async def echo(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await answer(send, body)


async def until_gone(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass
    note("gone")


async def never_reads(scope, receive, send):
    note("never-reads begins")
    await asyncio.sleep(30)


async def events(scope, receive, send):
    """Events until the worker stops, which the stream is told."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"data: begin\n\n", "more_body": True})
    deadline = await scope["extensions"]["server.shutdown"]
    note("told" if deadline > asyncio.get_running_loop().time() else "told late")
    await send({"type": "http.response.body", "body": b"data: end\n\n"})


async def endless(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begin", "more_body": True})
    try:
        await asyncio.Event().wait()
    finally:
        note("endless ends")


ROUTES = {
    "/": hello, "/pid": pid, "/loop": loop, "/slow": slow, "/scope": scope_facts, "/echo": echo,
    "/until-gone": until_gone, "/never-reads": never_reads, "/events": events, "/endless": endless,
}  # fmt: skip
