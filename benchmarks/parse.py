"""What one HTTP/1 request costs in the engine, beside other parsers, without sockets: ``python benchmarks/parse.py``.

Prints µs of one core, the best of many short repeats, for the interpreter and the build it is run with. Other parsers
are measured in the same run where they are installed: ``pip install httptools gunicorn_h1c``.
"""

from __future__ import annotations

import gc
import time
from typing import Callable, Dict, List

from server_http._compiled import compiled_modules
from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo
from server_http.h1.engine import Http1Engine

BROWSER = (
    b"GET /catalogue/shoes/page-12.html?colour=blue HTTP/1.1\r\n"
    b"Host: www.example.org\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: https://www.example.org/catalogue/shoes/\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: session=5f2b7c0d9e8a4b6f; theme=dark; consent=functional%2Cstatistics\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Cache-Control: max-age=0\r\n"
    b"\r\n"
)
SHORT = b"GET / HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: probe\r\nAccept: */*\r\n\r\n"
HEADERS = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"13")]
REPEATS = 200
CALLS = 200


def best(call: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    """Return the time of one call in µs: the best of ``REPEATS`` runs of ``CALLS``."""
    shortest = float("inf")
    gc.disable()
    try:
        for _ in range(REPEATS):
            prepare()
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            shortest = min(shortest, time.perf_counter() - began)
    finally:
        gc.enable()
    return shortest / CALLS * 1e6


def new_engine() -> Http1Engine:
    return Http1Engine(ConnectionInfo(("192.0.2.1", 50000), ("127.0.0.1", 8000)), CONFIG, 0.0)


CONFIG = HttpConfig()


def parse(request: bytes) -> float:
    """Octets to RequestReceived, a new engine for each."""
    engines: List[Http1Engine] = []

    def prepare() -> None:
        engines[:] = [new_engine() for _ in range(CALLS)]

    return best(lambda: engines.pop().receive_data(request, 0.0), prepare)


def exchange(request: bytes) -> float:
    """A whole exchange on one connection, with a response of 13 octets."""
    engine = new_engine()
    CONFIG.defaults.set_date(1e9)

    def call() -> None:
        stream = engine.receive_data(request, 0.0)[0].stream  # type: ignore[union-attr]
        engine.respond(stream, 200, HEADERS, 0.0)
        engine.send(stream, b"Hello, world!", 0.0)
        engine.end(stream, 0.0)
        engine.sent(len(engine.segments()[0]))
        engine.advance(0.0)

    return best(call)


def upload(size: int) -> float:
    """A chunked body in chunks of one octet, as microseconds for each octet of content."""
    engine = new_engine()
    engine.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0.0)
    octets = b"1\r\nx\r\n" * size
    pieces = [octets[i : i + 65536] for i in range(0, len(octets), 65536)]
    began = time.perf_counter()
    for piece in pieces:
        for event in engine.receive_data(piece, 0.0):
            engine.consumed(1, event.credit)  # type: ignore[union-attr]
    return (time.perf_counter() - began) / size * 1e6


class _Seen:
    def __init__(self) -> None:
        self.headers: List[object] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        pass

    def on_message_complete(self) -> None:
        pass


def others(request: bytes) -> Dict[str, float]:
    """The parsers that are installed."""
    found: Dict[str, float] = {}
    try:
        import httptools

        found["httptools"] = best(lambda: httptools.HttpRequestParser(_Seen()).feed_data(request))
    except ImportError:
        pass
    try:
        import gunicorn_h1c

        found["gunicorn_h1c"] = best(lambda: gunicorn_h1c.parse_request(request))
    except ImportError:
        pass
    return found


def main() -> None:
    build = "compiled" if compiled_modules("server_http") else "interpreted"
    print(f"server_http is {build}; µs, best of {REPEATS} x {CALLS}")
    for name, request in (("browser, 12 fields", BROWSER), ("short, 3 fields", SHORT)):
        print(f"{name}: parse {parse(request):.2f}, whole exchange {exchange(request):.2f}")
        for other, cost in others(request).items():
            print(f"    {other} {cost:.2f}")
    for size in (65536, 1048576):
        print(f"chunked upload of {size} octets in chunks of one: {upload(size):.3f} for each octet")


if __name__ == "__main__":
    main()
