"""The WSGI applications that all servers run."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterable, Iterator

HELLO = b"Hello, World!"
TEN_KIB = b"x" * 10240
CHUNK = b"c" * 1024
BLOCK_SIZE = 65536
BLOCK = b"b" * BLOCK_SIZE

Environ = Dict[str, Any]
StartResponse = Callable[..., Any]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """13 octets."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def ten_kib(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """10 KiB."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10240")])
    return [TEN_KIB]


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What was posted."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Ten chunks of 1 KiB, made one after another."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (CHUNK for _ in range(10))


def waits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """13 octets after 2 ms, as if a database had been asked."""
    time.sleep(0.002)
    return hello(environ, start_response)


def bulk(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``/sink`` counts what is posted, ``/source?N`` answers with N octets, in blocks."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if environ["PATH_INFO"] == "/sink":
        read = environ["wsgi.input"].read
        return [str(sum(len(block) for block in iter(lambda: read(BLOCK_SIZE), b""))).encode()]
    if environ["PATH_INFO"] == "/source":
        return (BLOCK for _ in range(int(environ["QUERY_STRING"]) // BLOCK_SIZE))
    return [HELLO]
