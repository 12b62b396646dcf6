"""What the tests of HTTP/2 serve: one application for WSGI and for ASGI, and how it is served and connected to.

Must not know: what is tested.
"""

from __future__ import annotations

from protocols.fronts import WORKERS
from protocols.http2_client import Http2Client
from support import ServerProcess

APPS = """
import asyncio
import os
import time

PIECE = b"x" * 65536
given = 0  # responses of /give that the server has taken whole


def give(octets):
    global given
    for _ in range(octets // len(PIECE)):
        yield PIECE
    given += 1


def app(environ, start_response):
    path = environ["PATH_INFO"]
    kind = [("Content-Type", "text/plain")]
    body = [path.encode()]
    if environ["REQUEST_METHOD"] == "CONNECT":
        return tunnel(environ, start_response)
    if path == "/sleep":
        time.sleep(0.5)
    elif path == "/read":
        environ["wsgi.input"].read()
    elif path == "/count":
        size = 0
        while True:
            part = environ["wsgi.input"].read(65536)
            if not part:
                break
            size += len(part)
        body = [b"%d" % size]
    elif path == "/unread":
        while not os.path.exists("released"):
            time.sleep(0.02)
    elif path == "/give":
        kind.append(("Content-Length", environ["QUERY_STRING"]))
        body = give(int(environ["QUERY_STRING"]))
    elif path == "/given":
        body = [b"%d" % given]
    elif path == "/trailers":
        environ["server.send_trailers"]([("checksum", "abc")])
        if environ["QUERY_STRING"]:
            kind.append(("Content-Length", str(len(body[0]))))
    elif path == "/malformed-trailers":
        environ["server.send_trailers"]([("check sum", "abc")])
    elif path == "/hints":
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    elif path == "/priority":
        body = [repr(environ["server.priority"]).encode()]
    elif path == "/nothing":
        start_response("204 No Content", [])
        return []
    elif path == "/unmodified":
        start_response("304 Not Modified", [("ETag", '"a"'), ("Content-Length", "1000")])
        return []
    elif path == "/pid":
        body = [b"%d" % os.getpid()]
    start_response("200 OK", kind)
    return body


def tunnel(environ, start_response):
    if environ["HTTP_HOST"] != "upper:1":
        start_response("403 Forbidden", [])
        return []
    start_response("200 OK", [])
    return (part.upper() for part in iter(lambda: environ["wsgi.input"].read1(1000), b""))


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    path, query = scope["path"], scope["query_string"]
    body, status, trailers = path.encode(), 200, False
    headers = [(b"content-type", b"text/plain")]
    if scope["method"] == "CONNECT":
        return await asgi_tunnel(scope, receive, send)
    if path == "/sleep":
        await asyncio.sleep(0.5)
    elif path in ("/read", "/count"):
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if path == "/count":
            body = b"%d" % size
    elif path == "/unread":
        while not os.path.exists("released"):
            await asyncio.sleep(0.02)
    elif path == "/give":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", query)]})
        for piece in give(int(query)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    elif path == "/given":
        body = b"%d" % given
    elif path in ("/trailers", "/malformed-trailers"):
        trailers = True
        if query:
            headers.append((b"content-length", b"%d" % len(body)))
    elif path == "/hints":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    elif path == "/priority":
        told = scope["extensions"]["http.response.priority"]
        body = repr((told["urgency"], told["incremental"])).encode()
    elif path == "/nothing":
        status, body = 204, b""
    elif path == "/unmodified":
        status, body, headers = 304, b"", [(b"etag", b'"a"'), (b"content-length", b"1000")]
    elif path == "/pid":
        body = b"%d" % os.getpid()
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": trailers})
    await send({"type": "http.response.body", "body": body})
    if trailers:
        name = b"checksum" if path == "/trailers" else b"check sum"
        await send({"type": "http.response.trailers", "headers": [(name, b"abc")]})


async def asgi_tunnel(scope, receive, send):
    status = 200 if (b"host", b"upper:1") in scope["headers"] else 403
    await send({"type": "http.response.start", "status": status, "headers": []})
    more = status == 200
    if more:
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b"").upper(), "more_body": True})
    await send({"type": "http.response.body"})
"""

CLEAR = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
THREADS = 12  # of gthread: streams that block and one more


def serve(worker: str, *arguments: str, **options: object) -> ServerProcess:
    """The application of this module by HTTP/2 in clear."""
    threads = ["--threads", str(THREADS)] if worker == "gthread" else []
    command = [*WORKERS[worker], *threads, *CLEAR, *arguments]
    return ServerProcess(command, app=APPS, **options)  # type: ignore[arg-type]


def memory_of(server: ServerProcess, what: str = "VmRSS") -> int:
    """Octets of memory of the first worker: resident now, or with ``VmHWM`` at most so far."""
    with open(f"/proc/{server.booted_pids()[0]}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(what + ":"))


def connect(server: ServerProcess, **options: object) -> Http2Client:
    """A connection to the first listener."""
    return Http2Client((server.host, server.port), **options)  # type: ignore[arg-type]
