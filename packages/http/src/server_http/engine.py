"""The one contract between protocols and drivers: bytes in, events out, bytes out.

Owns: the ``Engine`` protocol, what a driver tells an engine about its connection, and the values
that all connections of a listener share.
Must not know: sockets, clocks, threads. ``now`` is monotonic seconds, given by the driver.

Rules of the contract, for every engine:

* Commands (``respond``, ``send``, ``end`` ...) never return events. Facts they cause (the next
  pipelined request, ``StreamClosed``, ``Writable``) are reported by the next call that returns
  events; ``advance`` is such a call without input, made after a driver wrote.
* ``receive_data`` never raises for what a peer sent: errors become answers and events.
* A command for a stream that is already closed or reset is ignored, because a stream can end while
  the application is still on its way to say something. A command out of order on a live stream
  raises ``StateError`` or, where the application is to blame, ``ApplicationFault``.
* A body that comes whole with its head is told with it (``RequestReceived.body``); of all others each part is told by
  itself, and ``consumed`` gives its credit back.
* Every byte received and not yet handed out stays bounded by ``Limits``; the driver stops reading
  while ``want_read()`` is False.
"""

from __future__ import annotations

from typing import Any, List, Optional, Protocol, Sequence, Tuple, Union

from server_http.events import Event, Headers

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]


class FileRegion:
    """A part of an open file that is to be sent: ``count`` octets from ``offset`` of ``fd``.

    The driver uses ``sendfile`` where it can and reads otherwise. The file stays owned by whoever
    called ``send_file``, who keeps it open until the stream is closed.
    """

    __slots__ = ("fd", "offset", "count")

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count

    def __len__(self) -> int:
        return self.count


Segment = Union[bytes, bytearray, memoryview, FileRegion]


@cython.freelist(8)
@cython.cclass
class ConnectionInfo:
    """What is known of a connection before its first protocol byte.

    Attributes:
        client: ``(host, port)``, or None for a unix peer; a PROXY header replaces it.
        peer: the address of the socket's other end, by which trust is decided; starts as ``client``.
        server: ``(host, port)`` of the listener, or ``(path, None)`` for a unix socket.
        tls: facts of the TLS session (``server_core.tls.TLSInfo``), or None in clear.
        alpn: the protocol chosen by ALPN, or None.
        proxy: the PROXY header that came first (``server_http.proxy.ProxyHeader``), or None.
        draining: the worker is stopping; the first answer already closes.
    """

    __slots__ = ("client", "peer", "server", "tls", "alpn", "proxy", "draining")

    def __init__(
        self,
        client: Optional[Tuple[str, int]],
        server: Tuple[str, Optional[int]],
        tls: Any = None,
        alpn: Optional[str] = None,
        proxy: Any = None,
    ) -> None:
        self.client = client
        self.peer = client
        self.server = server
        self.tls = tls
        self.alpn = alpn
        self.proxy = proxy
        self.draining = False

    def scheme(self) -> str:
        """``"https"`` when the connection is encrypted, here or (as its PROXY header says) at the
        proxy in front, else ``"http"``."""
        if self.tls is not None or (self.proxy is not None and self.proxy.tls is not None):
            return "https"
        return "http"


class Engine(Protocol):
    """One connection of one protocol. See the module's rules."""

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """Take octets from the peer and return what became known."""

    def receive_eof(self, now: float) -> Sequence[Event]:
        """The peer closed its sending side."""

    def advance(self, now: float) -> Sequence[Event]:
        """Return the facts that commands and ``sent`` caused since the last call."""

    def want_read(self) -> bool:
        """Whether the driver may read from the peer now.

        An engine with a ``queue`` always wants that while no stream is open and the connection has not ended.
        """

    @property
    def queue(self) -> Optional[List[Segment]]:
        """The list that ``segments`` returns, where it is the same for the engine's whole life: a driver sees without
        a call whether something waits. None where output is made when it is asked for."""

    def segments(self) -> List[Segment]:
        """The output that waits, in order; the same until ``sent`` says otherwise."""

    def sent(self, n: int) -> bool:
        """The first ``n`` octets of ``segments()`` were written. Returns False when ``advance`` has nothing to do, as
        in the middle of a response of which all is written that was said."""

    def respond(self, stream: int, status: int, headers: Headers, now: float, reason: bytes = b"") -> None:
        """Send the final response head; with 101 or 2xx to CONNECT the stream becomes a tunnel
        (``BodyReceived`` and ``send`` carry raw octets). Raises ApplicationFault for a head that
        HTTP forbids."""

    def inform(self, stream: int, status: int, headers: Headers, now: float) -> None:
        """Send a 1xx response; ignored for HTTP/1.0 peers and after the final head."""

    def send(self, stream: int, data: bytes, now: float) -> None:
        """Send a part of the response body."""

    def answer(self, stream: int, status: int, headers: Headers, body: bytes, now: float, reason: bytes = b"") -> None:
        """Send a whole response: ``respond``, ``send`` and ``end`` in one call."""

    def send_file(self, stream: int, fd: int, offset: int, count: int, now: float) -> None:
        """Send ``count`` octets of an open file as a part of the response body."""

    def end(self, stream: int, now: float, trailers: Headers = ()) -> None:  # type: ignore[assignment]  # any pairs
        """The response is complete."""

    def reset(self, stream: int, code: int, now: float) -> None:
        """Give the stream up. ``code`` is an HTTP/2 error code. Before the response head of
        HTTP/1 the driver answers a status instead (``respond``, ``end``)."""

    def consumed(self, stream: int, n: int) -> None:
        """The body's owner took ``n`` octets of credit; more may be received."""

    def pending(self, stream: int) -> int:
        """Octets of the stream that were accepted by ``send`` and are not yet written."""

    def drain(self, now: float) -> None:
        """The worker is stopping: answer what is there, take no further request (HTTP/1: say
        ``Connection: close``; HTTP/2: two-step GOAWAY)."""

    def deadline(self) -> Optional[float]:
        """When ``handle_timer`` wants to be called, in monotonic seconds.

        Of an engine with a ``queue`` no deadline is nearer, when it begins, than the shortest timeout of its limits: a
        driver that will call by then need not ask.
        """

    def handle_timer(self, now: float) -> Sequence[Event]:
        """Act on every deadline that has passed."""
