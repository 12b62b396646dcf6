"""WSGI applications that the tests of the workers serve; the text of ``app.py``.

Owns: the applications. Each is behind ``wsgiref.validate``, so that a server which breaks PEP 3333 is found out.
Must not know: which worker serves it.
"""

from __future__ import annotations

APPS = """
import contextvars
import os
import sys
import tempfile
import threading
import time
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
closed = []
seen = contextvars.ContextVar("seen", default="nothing")


class Closing:
    def __init__(self, parts, name):
        self.parts = iter(parts)
        self.name = name

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.parts)

    def close(self):
        closed.append(self.name)


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def echo(environ, start_response):
    data = environ["wsgi.input"].read(-1)
    start_response("200 OK", TEXT + [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [data]


def lines(environ, start_response):
    found = [line for line in environ["wsgi.input"]]
    start_response("200 OK", TEXT)
    return [b"|".join(line.rstrip() for line in found)]


def stream(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing([b"one,", b"", b"two,", b"three"], "stream")


def tunnel(environ, start_response):
    start_response("101 Switching Protocols", TEXT + [("Upgrade", "tunnel")])

    def parts():
        yield b"one,"
        time.sleep(float(environ["QUERY_STRING"]))
        yield b"two,"
        yield environ["wsgi.input"].read(-1) + b"end"

    return parts()


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"by ")
    write(b"write, ")
    return [b"and by iterable"]


def late_error(environ, start_response):
    start_response("200 OK", TEXT)

    def parts():
        yield b"begun"
        raise RuntimeError("secret of the application")

    return Closing(parts(), "late_error")


def early_error(environ, start_response):
    raise RuntimeError("secret of the application")


def replaced(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError("never shown")
    except ValueError:
        start_response("503 Replaced", TEXT, sys.exc_info())
    return [b"replaced"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def environ(environ, start_response):
    start_response("200 OK", TEXT)
    shown = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [repr(shown).encode("utf-8")]


def context(environ, start_response):
    before = seen.get()
    seen.set("something")
    start_response("200 OK", TEXT)
    return [before.encode()]


def was_closed(environ, start_response):
    start_response("200 OK", TEXT)
    return [",".join(closed).encode()]


def pid(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"%d" % os.getpid()]


def slow(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or "0.5"))
    start_response("200 OK", TEXT)
    return [b"slow"]


def large(environ, start_response):
    count = int(environ["QUERY_STRING"] or "160")
    start_response("200 OK", TEXT)
    return (b"x" * 65536 for _ in range(count))


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", TEXT)
    return [b"hinted"]


def file(environ, start_response):
    found = tempfile.TemporaryFile()
    found.write(b"0123456789" * 100_000)
    found.seek(10)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](found)


def rss(environ, start_response):
    start_response("200 OK", TEXT)
    with open("/proc/self/statm") as statm:
        return [b"%d" % (int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))]


def exits(environ, start_response):
    raise SystemExit(3)


def meet(environ, start_response, barrier=threading.Barrier(2)):
    barrier.wait(5)
    start_response("200 OK", TEXT)
    return [b"met"]


def draining(environ, start_response):
    start_response("200 OK", TEXT)

    def parts():
        yield b"begun"
        until = time.monotonic() + 20
        while not environ["server.draining"]() and time.monotonic() < until:
            time.sleep(0.02)
        yield b", ended"

    return parts()


RAW = {"file": file, "hints": hints, "draining": draining}  # the validator hides what they use
CHECKED = {
    name: validator(value)
    for name, value in list(globals().items())
    if callable(value) and name.islower() and getattr(value, "__module__", "") == __name__ and name not in RAW
}


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
    if name == "unchecked":  # the validator's iterable has no length
        return hello(environ, start_response)
    if name == "rss" or name in RAW:
        return globals()[name](environ, start_response)
    return CHECKED[name](environ, start_response)
"""
