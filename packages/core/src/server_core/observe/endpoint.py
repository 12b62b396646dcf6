"""The metrics listener in the arbiter's loop: ``/metrics``, ``/livez``, ``/readyz``.

Owns: the listening socket, its connections, and how much of the arbiter's time and memory they may take.
Must not know: what metrics there are (``exposition``), HTTP's rules (the engine).

Nothing here waits: a client that is slow only loses its own connection.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from server_core.errors import BindError
from server_core.observe import exposition, snapshot
from server_core.observe.metrics import collect
from server_core.sockets import SocketOptions, open_listener, parse_address
from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.events import ConnectionEnded, Request, RequestReceived
from server_http.exchange import ResponseDefaults
from server_http.h1.engine import Http1Engine
from server_http.limits import Limits

MAX_CONNECTIONS = 32
RECEIVE = 16 * 1024  # octets of one read
LIMITS = Limits(
    request_line=2048, header_count=64, header_field=4096, body=1, head_timeout=5.0, body_timeout=5.0, send_timeout=5.0,
    keepalive=75.0, first_request=10.0, unread_body_drain=0,
)  # fmt: skip

Page = Tuple[int, str, bytes]  # status, content type, body
TEXT = "text/plain; charset=utf-8"


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
        }

    def answer(self, request: Request) -> Page:
        """Return the page for a request."""
        if request.method not in ("GET", "HEAD"):
            return 405, TEXT, b"expected GET\n"
        page = self._pages.get(request.path)
        if page is None:
            return 404, TEXT, b"expected one of " + b", ".join(sorted(self._pages)) + b"\n"
        return page(request)

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
        why = "stopping" if now.draining else "no worker is ready"
        return 503, TEXT, f"{why}\n".encode()


class MetricsEndpoint:
    """The listener of ``metrics_bind``.

    Args:
        arbiter: the arbiter; its loop calls back.
        bind: the address.

    Raises:
        BindError: the address cannot be used.
    """

    def __init__(self, arbiter: Any, bind: str) -> None:
        self._arbiter = arbiter
        self.bind = bind
        self._pages = Pages(arbiter)
        self._config = HttpConfig(limits=LIMITS, defaults=ResponseDefaults(b"server"))
        self._listener = open_listener(parse_address(bind), SocketOptions(), attempts=1)
        self._connections: Dict[int, _Connection] = {}
        arbiter.watch(self._listener, self._accept)

    def __str__(self) -> str:
        return str(self._listener)

    def tick(self, now: float) -> None:
        """Act on deadlines of connections."""
        self._config.defaults.set_date(time.time())
        for connection in list(self._connections.values()):
            due = connection.engine.deadline()
            if due is not None and now >= due:
                connection.engine.handle_timer(now)
                self._settle(connection)

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._arbiter.unwatch(self._listener)
        self._listener.unlink()
        self._listener.close()

    def close_in_child(self) -> None:
        """Close the descriptors only; in a process that was just forked."""
        for connection in self._connections.values():
            connection.socket.close()
        self._listener.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # it has gone already, or there is no descriptor left: it may try again
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            accepted.close()
            return
        accepted.setblocking(False)
        info = ConnectionInfo(None, ("metrics", None))
        connection = _Connection(accepted, Http1Engine(info, self._config, time.monotonic()))
        self._connections[accepted.fileno()] = connection
        self._arbiter.watch(accepted, lambda: self._read(connection))

    def _read(self, connection: _Connection) -> None:
        now = time.monotonic()
        try:
            data = connection.socket.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection)
            return
        events = connection.engine.receive_data(data, now) if data else connection.engine.receive_eof(now)
        self._handle(connection, list(events), now)

    def _handle(self, connection: _Connection, events: List[Any], now: float) -> None:
        while events:
            for event in events:
                if type(event) is RequestReceived:
                    self._respond(connection.engine, event.request, now)
                elif type(event) is ConnectionEnded:
                    connection.ended = True
            if not self._write(connection):
                return
            events = list(connection.engine.advance(now))
        self._settle(connection)

    def _respond(self, engine: Http1Engine, request: Request, now: float) -> None:
        status, kind, body = self._pages.answer(request)
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        engine.respond(request.stream, status, headers, now)
        engine.send(request.stream, body, now)
        engine.end(request.stream, now)

    def _write(self, connection: _Connection) -> bool:
        """Write what can be written; return whether the connection still exists."""
        try:
            connection.flush()
        except OSError:
            self._drop(connection)
            return False
        return True

    def _flush(self, connection: _Connection) -> None:
        """The socket has room again."""
        if self._write(connection):
            now = time.monotonic()
            self._handle(connection, list(connection.engine.advance(now)), now)

    def _settle(self, connection: _Connection) -> None:
        if connection.socket.fileno() < 0:
            return
        waiting = bool(connection.engine.segments())
        if not waiting and (connection.ended or not connection.engine.want_read()):
            self._drop(connection)
        elif waiting != connection.writing:
            connection.writing = waiting
            self._arbiter.unwatch(connection.socket)
            if waiting:
                self._arbiter.watch(connection.socket, lambda: self._flush(connection), selectors.EVENT_WRITE)
            else:
                self._arbiter.watch(connection.socket, lambda: self._read(connection))

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._arbiter.unwatch(connection.socket)
            connection.socket.close()


class _Connection:
    """One client of the metrics listener."""

    def __init__(self, sock: socket.socket, engine: Http1Engine) -> None:
        self.socket = sock
        self.engine = engine
        self.writing = False
        self.ended = False

    def flush(self) -> None:
        while True:
            segments = self.engine.segments()
            if not segments:
                return
            data = segments[0]
            assert not isinstance(data, FileRegion)  # noqa: S101 - no page is a file
            try:
                self.engine.sent(self.socket.send(data))
            except (BlockingIOError, InterruptedError):
                return


def open_endpoint(arbiter: Any, cfg: Any) -> Optional[MetricsEndpoint]:
    """Return the endpoint that ``cfg`` asks for, or None. Raises BindError."""
    if not cfg.metrics_bind:
        return None
    try:
        return MetricsEndpoint(arbiter, cfg.metrics_bind)
    except BindError as error:
        raise BindError(f"metrics_bind: {error}") from None
