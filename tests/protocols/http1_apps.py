"""One application for WSGI and for ASGI that does, by route, everything HTTP/1.1 has a rule about.

Every WSGI route that keeps the rules is behind ``wsgiref.validate``. ``/seen`` tells which requests came since it was
asked last, so that a test finds out about a request that nobody sent.
"""

APPS = r"""
import json
import os
import sys
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
NAME = os.path.abspath("served")
with open(NAME, "wb") as made:
    made.write(bytes(range(256)) * 1024)

seen = []
closed = []
HOP_BY_HOP = [
    ("Connection", "keep-alive, X-Secret"), ("Keep-Alive", "timeout=99"), ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"), ("Upgrade", "websocket"), ("Transfer-Encoding", "chunked"),
]


# -- WSGI ------------------------------------------------------------------------------------------------------------

class Closing:
    def __init__(self, name, parts):
        self.name = name
        self.parts = iter(parts)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.parts)

    def close(self):
        closed.append(self.name)


def told(environ, body):
    return {
        "method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "query": environ["QUERY_STRING"],
        "host": environ.get("HTTP_HOST", ""), "version": environ["SERVER_PROTOCOL"][5:], "body": body.decode("latin-1"),
        "fields": {k: v for k, v in environ.items() if k.startswith("HTTP_")},
    }


def facts(environ, start_response):
    body = json.dumps(told(environ, environ["wsgi.input"].read(-1))).encode()
    start_response("200 OK", TEXT + [("Content-Length", str(len(body)))])
    return Closing("facts", [body])


def unread(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "6")])
    return [b"unread"]


def stream(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing("stream", [b"", b"one,", b"", b"two", b""])


def lazy(environ, start_response):
    def parts():
        start_response("200 OK", TEXT)
        yield b""
        yield b"lazy"
    return Closing("lazy", parts())


def empty(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing("empty", [b"", b""])


def write(environ, start_response):
    say = start_response("200 OK", TEXT)
    say(b"by write, ")
    return Closing("write", [b"by iterable"])


def reading(environ, start_response):
    source = environ["wsgi.input"]
    got = [source.read(3), source.readline(), source.readline(2)] + list(source.readlines(1)) + list(source)
    got.append(source.read(1))
    start_response("200 OK", TEXT)
    return [json.dumps([part.decode() for part in got]).encode()]


def replaced(environ, start_response):
    start_response("200 OK", TEXT + [("X-First", "1")])
    try:
        raise ValueError("never shown")
    except ValueError:
        start_response("503 Replaced", TEXT, sys.exc_info())
    return Closing("replaced", [b"replaced"])


def raised_again(environ, start_response):
    def parts():
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            raise ValueError("never shown")
        except ValueError:
            start_response("500 Too Late", TEXT, sys.exc_info())
    return Closing("raised_again", parts())


def fails(environ, start_response):
    raise RuntimeError("secret of the application")


def fails_late(environ, start_response):
    def parts():
        yield b"begun"
        raise RuntimeError("secret of the application")
    start_response("200 OK", TEXT)
    return Closing("fails_late", parts())


def bodiless(environ, start_response):
    start_response(environ["QUERY_STRING"] + " Whatever", [] if environ["QUERY_STRING"] in ("204", "304") else TEXT)
    return []


def bodiless_with_body(environ, start_response):
    start_response(environ["QUERY_STRING"] + " Whatever", [("Content-Length", "4")])
    return [b"body"]


def too_few(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "10")])
    return Closing("too_few", [b"12345"])


def too_many(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "5")])
    return Closing("too_many", [b"123", b"4567890", b"more"])


def hop_by_hop(environ, start_response):
    start_response("200 OK", TEXT + HOP_BY_HOP)
    return [b"hop"]


BAD_HEADS = {
    "crlf": ("200 OK", [("X-A", "a\r\nX-Injected: 1")]), "lf": ("200 OK", [("X-A", "a\nX-Injected: 1")]),
    "nul": ("200 OK", [("X-A", "a\0b")]), "name": ("200 OK", [("X-A: b\r\nX-Injected", "1")]),
    "space": ("200 OK", [("X A", "1")]), "reason": ("200 OK\r\nX-Injected: 1", []), "status": ("20 OK", []),
    "word": ("OK", []), "length": ("200 OK", [("Content-Length", "+5")]),
    "lengths": ("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]), "informational": ("103 Early Hints", []),
}


def bad_head(environ, start_response):
    status, headers = BAD_HEADS[environ["QUERY_STRING"]]
    start_response(status, headers)
    return [b"hello"]


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", TEXT)
    return [b"hinted"]


def file(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", str(os.path.getsize(NAME)))])
    return environ["wsgi.file_wrapper"](open(NAME, "rb"))


def was_closed(environ, start_response):
    names, closed[:] = list(closed), []
    start_response("200 OK", TEXT)
    return [json.dumps(names).encode()]


def was_seen(environ, start_response):
    names, seen[:] = list(seen), []
    start_response("200 OK", TEXT)
    return [json.dumps(names).encode()]


RULE_BREAKERS = {
    "bad_head": bad_head, "hints": hints, "file": file, "hop_by_hop": hop_by_hop,
    "bodiless_with_body": bodiless_with_body, "raised_again": raised_again, "was_seen": was_seen,
}
ROUTES = {
    name: validator(globals()[name]) for name in (
        "facts", "unread", "stream", "lazy", "empty", "write", "reading", "replaced", "fails", "fails_late", "bodiless",
        "too_few", "too_many", "was_closed",
    )
}
ROUTES.update(RULE_BREAKERS)


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if not name.startswith("was_"):
        seen.append(environ["PATH_INFO"])
    if name == "*":  # of no path, which the validator does not know (RFC 9112 section 3.2.4)
        return facts(environ, start_response)
    return ROUTES.get(name, ROUTES["facts"])(environ, start_response)


# -- ASGI ------------------------------------------------------------------------------------------------------------

async def read(receive):
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def raw(headers):
    return [(name.lower().encode(), value.encode()) for name, value in headers]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    name = scope["path"].strip("/")
    query = scope["query_string"].decode()

    async def start(status=200, headers=TEXT, **more):
        await send({"type": "http.response.start", "status": status, "headers": raw(headers), **more})

    async def body(*parts):
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    if not name.startswith("was_"):
        seen.append(scope["path"])
    if name == "was_seen":
        names, seen[:] = list(seen), []
        await start()
        await body(json.dumps(names).encode())
    elif name == "unread":
        await start(headers=TEXT + [("Content-Length", "6")])
        await body(b"unread")
    elif name == "stream":
        await start()
        await body(b"", b"one,", b"", b"two", b"")
    elif name == "empty":
        await start()
        await body(b"", b"")
    elif name == "fails":
        raise RuntimeError("secret of the application")
    elif name == "fails_late":
        await start()
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("secret of the application")
    elif name == "bodiless":
        await start(int(query), [])
        await body()
    elif name == "bodiless_with_body":
        await start(int(query), [("Content-Length", "4")])
        await body(b"body")
    elif name == "too_few":
        await start(headers=TEXT + [("Content-Length", "10")])
        await body(b"12345")
    elif name == "too_many":
        await start(headers=TEXT + [("Content-Length", "5")])
        await body(b"123", b"4567890", b"more")
    elif name == "hop_by_hop":
        await start(headers=TEXT + HOP_BY_HOP)
        await body(b"hop")
    elif name == "bad_head":
        status, headers = BAD_HEADS[query]
        digits = status.split()[0]
        await start(int(digits) if digits.isdigit() else digits, headers)
        await body(b"hello")
    elif name == "hints":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await send({"type": "http.response.informational", "status": 103, "headers": [(b"link", b"</b.css>")]})
        await start()
        await body(b"hinted")
    elif name == "trailers":
        promised = "http.response.trailers" in scope["extensions"]
        await start(trailers=promised)
        await body(b"with trailers")
        if promised:
            await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"abc"), (b"host", b"evil")]})
    elif name == "file":
        await start(headers=TEXT + [("Content-Length", str(os.path.getsize(NAME)))])
        await send({"type": "http.response.pathsend", "path": NAME})
    else:
        content = await read(receive)
        fields = {}
        for key, value in scope["headers"]:
            fields["HTTP_" + key.decode().upper().replace("-", "_")] = value.decode("latin-1")
        answer = json.dumps({
            "method": scope["method"], "path": scope["path"], "query": query, "host": fields.get("HTTP_HOST", ""),
            "version": scope["http_version"], "body": content.decode("latin-1"), "fields": fields,
        }).encode()
        await start(headers=TEXT + [("Content-Length", str(len(answer)))])
        await body(answer)
"""
