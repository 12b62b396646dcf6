"""Conversations with the HTTP/1 engine: octets in, what the application saw and what went out. No sockets, no clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional, Tuple

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.errors import ProtocolError
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Event,
    InputEnded,
    Request,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
)
from server_http.h1.engine import Http1Engine

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "http1"
CLIENT = ("192.0.2.7", 50000)  # nobody a default policy trusts
SERVER = ("127.0.0.1", 8000)


def new_engine(config: Optional[HttpConfig] = None, now: float = 0.0, **info: Any) -> Http1Engine:
    """Return an engine for a connection from an untrusted client."""
    return Http1Engine(ConnectionInfo(CLIENT, SERVER, **info), config or HttpConfig(), now)


class Seen:
    """One request as an application sees it."""

    def __init__(self, request: Request, complete: bool) -> None:
        self.request = request
        self.body = b""
        self.trailers: List[Tuple[bytes, bytes]] = []
        self.complete = complete
        self.error: Optional[BaseException] = None

    def facts(self) -> Tuple[Any, ...]:
        """Everything that must not depend on how the octets were cut."""
        r = self.request
        head = (r.method, r.target, r.path, r.query, r.version, r.authority, tuple(r.headers), r.content_length)
        rest = (r.expects_continue, r.upgrade, r.keep_alive, r.scheme, self.body, tuple(self.trailers), self.complete)
        return (*head, *rest, getattr(self.error, "status", None))


class Talk:
    """Feeds an engine and answers each complete request with ``status`` and ``body``.

    Attributes:
        seen: the requests, in order.
        output: what a peer would have received.
        ended: the ConnectionEnded event, or None.
        events: everything that was reported.
    """

    def __init__(self, config: Optional[HttpConfig] = None, status: int = 200, body: bytes = b"ok") -> None:
        self.engine = new_engine(config)
        self.status = status
        self.body = body
        self.now = 0.0
        self.seen: List[Seen] = []
        self.output = b""
        self.ended: Optional[ConnectionEnded] = None
        self.events: List[Event] = []

    def feed(self, data: bytes) -> None:
        """Hand octets in and let the application answer."""
        self.handle(self.engine.receive_data(data, self.now))

    def feed_eof(self) -> None:
        """End the input."""
        self.handle(self.engine.receive_eof(self.now))

    def handle(self, events: Iterable[Event]) -> None:
        """Act on events as a driver does, until nothing more comes."""
        pending = list(events)
        while pending:
            for event in pending:
                self._handle(event)
            pending = list(self._write())

    def _handle(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RequestReceived):
            self.seen.append(Seen(event.request, event.complete))
            self.seen[-1].body = event.body or b""
            if event.complete:
                self._answer(event.stream)
        elif isinstance(event, BodyReceived):
            self.seen[event.stream - 1].body += bytes(event.data)
            self.engine.consumed(event.stream, event.credit)
        elif isinstance(event, BodyEnded):
            self.seen[event.stream - 1].trailers = event.trailers
            self.seen[event.stream - 1].complete = True
            self._answer(event.stream)
        elif isinstance(event, StreamReset):
            self.seen[event.stream - 1].error = event.error
        elif isinstance(event, ConnectionEnded):
            assert self.ended is None
            self.ended = event

    def _answer(self, stream: int) -> None:
        headers = [(b"Content-Length", b"%d" % len(self.body))]
        tunnel = self.seen[stream - 1].request.method == "CONNECT"  # what follows it has no form: it is refused
        self.engine.respond(stream, 405 if tunnel else self.status, headers, self.now)
        self.engine.send(stream, self.body, self.now)
        self.engine.end(stream, self.now)

    def _write(self) -> Iterable[Event]:
        octets = written(self.engine)
        self.output += octets
        self.engine.sent(len(octets))
        return self.engine.advance(self.now)

    @property
    def error_status(self) -> Optional[int]:
        """The status of the error that ended the connection."""
        error = self.ended.error if self.ended is not None else None
        return error.status if isinstance(error, ProtocolError) else None

    def facts(self) -> Tuple[Any, ...]:
        """Everything that must not depend on how the octets were cut."""
        ended = None if self.ended is None else (self.error_status, self.ended.linger)
        return (tuple(s.facts() for s in self.seen), self.output, ended)


def written(engine: Any) -> bytes:
    """Return what waits in an engine as octets; files as zeros."""
    return b"".join(b"\0" * len(s) if isinstance(s, FileRegion) else bytes(s) for s in engine.segments())


def talk(pieces: Iterable[bytes], config: Optional[HttpConfig] = None, **kwargs: Any) -> Talk:
    """Feed pieces one after another, as long as the engine takes them."""
    it = Talk(config, **kwargs)
    for piece in pieces:
        it.feed(piece)
    return it


def octet_by_octet(data: bytes) -> Iterator[bytes]:
    """Cut everywhere."""
    return (data[i : i + 1] for i in range(len(data)))


def every_cut(data: bytes) -> Iterator[List[bytes]]:
    """Cut once, at every place; then everywhere."""
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield list(octet_by_octet(data))


def corpus() -> List[bytes]:
    """Return the seeds of the fuzz target: messages, good and bad, that are worth trying everywhere."""
    return [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.suffix == ".http"]


def quiet(events: Iterable[Event]) -> List[str]:
    """Name the events, without log lines."""
    return [type(event).__name__ for event in events if not isinstance(event, Warned)]


__all__ = [
    "CLIENT",
    "CORPUS",
    "SERVER",
    "InputEnded",
    "Seen",
    "StreamClosed",
    "Talk",
    "corpus",
    "every_cut",
    "new_engine",
    "octet_by_octet",
    "quiet",
    "talk",
    "written",
]
