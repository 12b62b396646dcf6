"""A WSGI application without a framework: ``server plain_wsgi:app``."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterable, Iterator

Environ = Dict[str, Any]
StartResponse = Callable[..., Any]

TEXT = ("Content-Type", "text/plain; charset=utf-8")


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer by path."""
    page = PAGES.get(environ["PATH_INFO"], missing)
    return page(environ, start_response)


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Greet."""
    body = b"Hello, World!\n"
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


def show_environ(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What the server tells an application."""
    lines = [f"{name} = {value!r}\n".encode() for name, value in sorted(environ.items())]
    start_response("200 OK", [TEXT])
    return lines


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Give back what was posted."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def count(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Count to five, a line each tenth of a second: every line is sent when it is made."""
    start_response("200 OK", [TEXT])
    for number in range(1, 6):
        yield f"{number}\n".encode()
        time.sleep(0.1)


def missing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Name the pages there are."""
    body = ("Try one of: " + ", ".join(PAGES) + "\n").encode()
    start_response("404 Not Found", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


PAGES: Dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    "/": hello,
    "/environ": show_environ,
    "/echo": echo,
    "/count": count,
}
