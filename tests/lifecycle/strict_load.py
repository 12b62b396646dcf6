"""Clients that never retry, and account for every request.

Owns: the connections, the pauses, and the verdict on each failure.
Must not know: what is done to the server meanwhile; it is told which processes were killed, and when.

A client pauses up to 0.8 x keepalive between two requests of a connection, so that a server that keeps its
promise never closes the connection under a request. It closes when an answer says so (``Connection: close``,
GOAWAY), and opens another.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Dict, List, NamedTuple, Optional

from hpack import Decoder, Encoder
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PAUSE_SHARE = 0.8  # of keepalive
LATE_SHARE = 0.9  # of keepalive
PID_FIELD = b"x-pid"  # the process that answered
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n%s\r\n"


class Kill(NamedTuple):
    """A process that was killed, between two moments."""

    began: float
    over: float
    process: int


@dataclass
class Failure:
    """A request that was not answered with 200."""

    opened: float
    at: float
    owner: Optional[int]  # the process that answered on this connection before, None on a new one
    what: str
    accounted: bool = False


@dataclass
class Tally:
    """What happened to all requests."""

    answered: int = 0
    connections: int = 0
    failures: List[Failure] = field(default_factory=list)
    by_process: Dict[int, int] = field(default_factory=dict)

    def account(self, kills: List[Kill]) -> List[Failure]:
        """Mark the failures that kills explain; return the others.

        A kill costs the connections that process owned, and those it had accepted without answering yet.
        """
        killed = {kill.process for kill in kills}
        for failure in self.failures:
            in_time = any(failure.opened <= kill.over and kill.began <= failure.at for kill in kills)
            failure.accounted = failure.owner in killed if failure.owner is not None else in_time
        return [failure for failure in self.failures if not failure.accounted]


class LostError(Exception):
    """A connection ended or answered wrongly."""


class Http1Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.usable = True

    def ask(self, last: bool) -> int:
        """Send a request, read its answer. Return the process id that answered."""
        self.sock.sendall(REQUEST % (b"Connection: close\r\n" if last else b""))
        head = self._head()
        lines = head.split(b"\r\n")
        if not lines[0].startswith(b"HTTP/1.1 200"):
            raise LostError(f"status line {lines[0]!r}")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        self._read(int(fields[b"content-length"]))
        self.usable = fields.get(b"connection") != b"close" and not last
        return int(fields[PID_FIELD])

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head

    def _read(self, length: int) -> None:
        while len(self.buffer) < length:
            self._more()
        self.buffer = self.buffer[length:]

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise LostError("closed inside a request")
        self.buffer += data


class Http2Connection:
    """One HTTP/2 connection with one request at a time; it takes no new request after GOAWAY.

    Made of frames, because the h2 library fails at frames that follow a GOAWAY, which the two-step
    shutdown of RFC 9113 section 6.8 sends.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.usable = True
        self.buffer = b""
        self.stream = -1
        self.encoder, self.decoder = Encoder(), Decoder()
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())

    def ask(self, last: bool) -> int:
        """Send a request, read its answer. Return the process id that answered, 0 when GOAWAY came before."""
        self._look()
        if not self.usable:
            return 0
        self.stream += 2
        names = [(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/")]
        self.sock.sendall(
            HeadersFrame(self.stream, self.encoder.encode(names), flags=["END_HEADERS", "END_STREAM"]).serialize()
        )
        fields: Dict[str, str] = {}
        while True:
            frame = self._next()
            if frame.stream_id != self.stream:
                continue
            if isinstance(frame, HeadersFrame):
                fields.update(self.decoder.decode(frame.data))
                if fields[":status"] != "200":
                    raise LostError(f"status {fields[':status']}")
            if isinstance(frame, RstStreamFrame):
                raise LostError(f"stream reset {frame.error_code}")
            if "END_STREAM" in frame.flags:
                self.usable = self.usable and not last
                return int(fields[PID_FIELD.decode()])

    def _look(self) -> None:
        """Take what arrived while the connection was idle."""
        self.sock.setblocking(False)
        try:
            self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self.sock.settimeout(TIMEOUT)
        while self._complete():
            self._next()

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise LostError("closed inside a request")
        self.buffer += data

    def _complete(self) -> bool:
        return len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big")

    def _next(self) -> Frame:
        """Return the next frame, having answered those that want an answer."""
        while not self._complete():
            self._receive()
        frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
        frame.parse_body(memoryview(self.buffer[9 : 9 + length]))
        self.buffer = self.buffer[9 + length :]
        if isinstance(frame, GoAwayFrame):
            self.usable = False
            if frame.last_stream_id < self.stream or frame.error_code:
                raise LostError(f"GOAWAY {frame.error_code} without stream {self.stream}")
        elif isinstance(frame, (SettingsFrame, PingFrame)) and "ACK" not in frame.flags:
            data = frame.opaque_data if isinstance(frame, PingFrame) else b""
            answer = PingFrame(0, data, flags=["ACK"]) if data else SettingsFrame(0, flags=["ACK"])
            self.sock.sendall(answer.serialize())
        return frame


TIMEOUT = 30.0  # seconds for one answer


class StrictLoad:
    """Clients that run until the block ends.

    Args:
        port: of the server.
        keepalive: the server's setting, seconds.
        tls: a context, or None for clear text.
        http2: speak HTTP/2.
        keeping: clients that keep their connections.
        closing: clients that make a connection for each request.
    """

    def __init__(
        self,
        port: int,
        keepalive: float,
        tls: Optional[ssl.SSLContext] = None,
        http2: bool = False,
        keeping: int = 8,
        closing: int = 3,
    ) -> None:
        self.port = port
        self.keepalive = keepalive
        self.tls = tls
        self.connection_class: Callable[[socket.socket], Http1Connection | Http2Connection]
        self.connection_class = Http2Connection if http2 else Http1Connection
        self.tally = Tally()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        clients = [(seed, seed >= keeping) for seed in range(keeping + closing)]
        self._threads = [threading.Thread(target=self._run, args=client, daemon=True) for client in clients]

    def __enter__(self) -> StrictLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request."""
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 5.0)

    def rate_over(self, seconds: float) -> float:
        """Return the requests answered per second during the next ``seconds``."""
        before, began = self.tally.answered, time.monotonic()
        self._stop.wait(seconds)
        return (self.tally.answered - before) / (time.monotonic() - began)

    def _run(self, seed: int, closing: bool) -> None:
        pauses = random.Random(seed)  # noqa: S311 - fixed, so that a run can be repeated
        while not self._stop.is_set():
            self._use_one_connection(pauses, closing)

    def _use_one_connection(self, pauses: random.Random, closing: bool) -> None:
        owner: Optional[int] = None
        opened = time.monotonic()
        sock: Optional[socket.socket] = None
        try:
            sock = self._connect()
            connection = self.connection_class(sock)
            asked = time.monotonic()
            # What has been idle for longer, because this thread came late, the server may close at any moment.
            while (
                connection.usable and not self._stop.is_set() and time.monotonic() - asked < LATE_SHARE * self.keepalive
            ):
                asked = time.monotonic()
                owner = connection.ask(last=closing) or owner
                with self._lock:
                    self.tally.answered += 1
                    self.tally.by_process[owner or 0] = self.tally.by_process.get(owner or 0, 0) + 1
                self._stop.wait(0.02 if closing else pauses.uniform(0, PAUSE_SHARE * self.keepalive))
        except (OSError, LostError, ValueError, KeyError) as error:
            what = f"{type(error).__name__}: {error}"
            with self._lock:
                self.tally.failures.append(Failure(opened, time.monotonic(), owner, what))
            self._stop.wait(0.05)
        finally:
            if sock is not None:
                sock.close()

    def _connect(self) -> socket.socket:
        with self._lock:
            self.tally.connections += 1
        sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is None:
            return sock
        try:
            return self.tls.wrap_socket(sock, server_hostname="localhost")
        except BaseException:
            sock.close()
            raise
