"""The metrics listener in the arbiter's loop: ``/metrics``, ``/livez``, ``/readyz``, and the status page.

Owns: the listening socket, and what is served at which path.
Must not know: what metrics there are (``metrics``), HTTP's rules (the engine), how connections are served
(``loopserver``).
"""

from __future__ import annotations

import json
import os
import socket
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, Tuple

from server_core.control.overview import overview
from server_core.errors import BindError
from server_core.loopserver import Client, LoopServer, Octets
from server_core.observe import exposition, snapshot
from server_core.observe.metrics import collect
from server_core.sockets import SocketOptions, open_listener, parse_address
from server_http.config import HttpConfig
from server_http.defaults import ResponseDefaults
from server_http.engine import ConnectionInfo, FileRegion
from server_http.events import ConnectionEnded, Request, RequestReceived
from server_http.h1.engine import Http1Engine
from server_http.limits import Limits

MAX_CONNECTIONS = 32
LIMITS = Limits(
    request_line=2048, header_count=64, header_field=4096, body=1, head_timeout=5.0, body_timeout=5.0, send_timeout=5.0,
    keepalive=75.0, first_request=10.0, unread_body_drain=0,
)  # fmt: skip

Page = Tuple[int, str, bytes]  # status, content type, body
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"


class Pages:
    """What is served. A page sees the request and returns status, type and body.

    Args:
        arbiter: where the numbers come from.
    """

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter
        self._pages: Dict[bytes, Callable[[Request], Page]] = {
            b"/metrics": self._metrics,
            b"/livez": self._livez,
            b"/readyz": self._readyz,
            b"/": self._status_page,
            b"/status.json": self._status,
        }

    def answer(self, request: Request) -> Page:
        """Return the page for a request."""
        if request.method not in ("GET", "HEAD"):
            return 405, TEXT, b"expected GET\n"
        page = self._pages.get(request.path)
        if page is None:
            return 404, TEXT, b"expected one of " + b", ".join(sorted(self._pages)) + b"\n"
        try:
            return page(request)
        except Exception:
            # Whatever is wrong with one page, a plugin's numbers perhaps, must not end the arbiter.
            self._arbiter.log.exception("Exception in the page %s", request.path.decode("latin-1"))
            return 500, TEXT, b"the page failed; the server's log says why\n"

    def _metrics(self, request: Request) -> Page:
        wanted = request.header(b"accept") or b""
        openmetrics = b"application/openmetrics-text" in wanted
        found = collect(self._arbiter)
        kind = exposition.OPENMETRICS if openmetrics else exposition.PROMETHEUS
        return 200, kind, exposition.render(found, openmetrics).encode()

    def _livez(self, _request: Request) -> Page:
        return 200, TEXT, b"ok\n"  # the loop that answers is the one that is asked about

    def _readyz(self, _request: Request) -> Page:
        now = snapshot.take(self._arbiter)
        if now.is_ready():
            return 200, TEXT, b"ok\n"
        why = "stopping" if now.draining else "; ".join(now.unready) or "no worker is ready"
        return 503, TEXT, f"{why}\n".encode()

    def _status_page(self, _request: Request) -> Page:
        return 200, HTML, status_page()[0]

    def _status(self, _request: Request) -> Page:
        return 200, JSON, json.dumps(overview(self._arbiter, public=True), separators=(",", ":")).encode()


@lru_cache(maxsize=1)
def status_page() -> Tuple[bytes, bytes]:
    """Return the page and its Content-Security-Policy: its own script and style, requests to us, nothing else."""
    import base64
    import hashlib

    path = os.path.join(os.path.dirname(__file__), "status.html")
    with open(path, "rb") as file:
        page = file.read()

    def own(tag: bytes) -> bytes:
        text = page.partition(b"<" + tag + b">")[2].partition(b"</" + tag + b">")[0]
        return b"'sha256-" + base64.b64encode(hashlib.sha256(text).digest()) + b"'"

    policy = b"default-src 'none'; connect-src 'self'; script-src %s; style-src %s; base-uri 'none'; form-action 'none'"
    return page, policy % (own(b"script"), own(b"style")) + b"; frame-ancestors 'none'"


class MetricsEndpoint:
    """The listener of ``metrics_bind``.

    Args:
        arbiter: the arbiter; its loop calls back.
        bind: the address.

    Raises:
        BindError: the address cannot be used.
    """

    def __init__(self, arbiter: Any, bind: str) -> None:
        self.bind = bind
        self._pages = Pages(arbiter)
        self._config = HttpConfig(limits=LIMITS, defaults=ResponseDefaults(b"server"))
        self._listener = open_listener(parse_address(bind), SocketOptions(), attempts=1)
        self._server = LoopServer(arbiter, self._listener, self._welcome, MAX_CONNECTIONS)

    def __str__(self) -> str:
        return str(self._listener)

    def tick(self, now: float) -> None:
        """Act on deadlines of connections."""
        self._config.defaults.set_date(time.time())
        self._server.tick(now)

    def close(self) -> None:
        """Close everything."""
        self._listener.unlink()
        self._server.close()

    def close_in_child(self) -> None:
        """Close the descriptors only; in a process that was just forked."""
        self._server.close_in_child()

    def _welcome(self, accepted: socket.socket) -> Client:
        info = ConnectionInfo(None, ("metrics", None))
        return _HttpClient(accepted, Http1Engine(info, self._config, time.monotonic()), self._pages)


class _HttpClient(Client):
    """One connection of the metrics listener."""

    def __init__(self, sock: socket.socket, engine: Http1Engine, pages: Pages) -> None:
        super().__init__(sock)
        self._engine = engine
        self._pages = pages
        self._answered = False  # the engine may have the next request

    def receive(self, data: bytes, now: float) -> None:
        self._handle(self._engine.receive_data(data, now) if data else self._engine.receive_eof(now), now)

    def has_work(self) -> bool:
        return self._answered

    def work(self, now: float) -> None:
        self._answered = False
        self._handle(self._engine.advance(now), now)

    def output(self) -> Octets:
        segments = self._engine.segments()
        if not segments:
            return b""
        assert not isinstance(segments[0], FileRegion)  # noqa: S101 - no page is a file
        return segments[0]

    def sent(self, count: int) -> None:
        self._engine.sent(count)
        self.finished = self.finished or not self._engine.want_read()

    def tick(self, now: float) -> None:
        due = self._engine.deadline()
        if due is not None and now >= due:
            self._handle(self._engine.handle_timer(now), now)

    def _handle(self, events: Iterable[Any], now: float) -> None:
        for event in events:
            if type(event) is RequestReceived:
                self._respond(event.request, now)
                self._answered = True
            elif type(event) is ConnectionEnded:
                self.finished = True

    def _respond(self, request: Request, now: float) -> None:
        status, kind, body = self._pages.answer(request)
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if kind == HTML:
            headers.append((b"content-security-policy", status_page()[1]))
        self._engine.respond(request.stream, status, headers, now)
        self._engine.send(request.stream, body, now)
        self._engine.end(request.stream, now)


def open_endpoint(arbiter: Any, bind: str) -> MetricsEndpoint:
    """Return the endpoint at the address ``bind``. Raises BindError."""
    try:
        return MetricsEndpoint(arbiter, bind)
    except BindError as error:
        raise BindError(f"metrics_bind: {error}") from None
