"""A client that sends exactly the octets a test gives it, and reads answers strictly.

Owns: raw connections and a reader of HTTP/1.1 answers that trusts nothing: framing is checked, a close in
the middle of an answer is an error.
Must not know: the server's code, so that a mistake is not made on both sides.
"""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Iterable, List, Mapping, Optional, Tuple, Type, Union

from support.net import PATIENCE

Address = Union[Tuple[str, int], str]

READ_OCTETS = 65536


class BadAnswerError(AssertionError):
    """The server sent something that is no complete HTTP/1.1 answer."""


class Answer:
    """One answer: ``status``, ``reason``, ``headers`` (list of lower-case name and value), ``body``, ``trailers``."""

    def __init__(
        self, status: int, reason: str, headers: List[Tuple[str, str]], body: bytes, trailers: List[Tuple[str, str]]
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.trailers = trailers

    def header(self, name: str) -> Optional[str]:
        """The only value of a field, None when absent; a field that is there twice fails the test."""
        values = self.header_all(name)
        assert len(values) < 2, f"{name}: expected once, got {values!r}"
        return values[0] if values else None

    def header_all(self, name: str) -> List[str]:
        """All values of a field."""
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8")

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.headers!r} {self.body[:60]!r}>"


def connect(address: Address, timeout: float = PATIENCE) -> socket.socket:
    """A connected socket to ``(host, port)`` or to the path of a unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def encode_request(
    method: str,
    target: str,
    headers: Union[Mapping[str, str], Iterable[Tuple[str, str]]] = (),
    body: Union[bytes, None] = None,
    *,
    close: bool = False,
) -> bytes:
    """The octets of a request; Host and Content-Length are added where they are missing."""
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", "test"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    if close:
        fields.append(("Connection", "close"))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    return head.encode("latin-1") + (body or b"")


class RawClient:
    """One connection: ``send`` octets, ``read_answer`` one answer at a time, pipelining included."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float = PATIENCE,
        tls: Optional[ssl.SSLContext] = None,
        server_hostname: Optional[str] = None,
    ) -> None:
        self.sock: socket.socket = connect(address, timeout)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=server_hostname)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self.sock.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        headers: Union[Mapping[str, str], Iterable[Tuple[str, str]]] = (),
        body: Optional[bytes] = None,
    ) -> Answer:
        """One request and its answer; the connection stays open."""
        self.send(encode_request(method, target, headers, body))
        return self.read_answer(head_only=method == "HEAD")

    def read_answer(self, *, head_only: bool = False, interim: Optional[List[Answer]] = None) -> Answer:
        """The next final answer. 1xx answers go to ``interim``, or are dropped.

        Raises:
            BadAnswerError: the connection ended before a complete answer, or the framing is wrong.
        """
        while True:
            status, reason, headers = self._read_head()
            if status >= 200 or status == 101:
                break
            if interim is not None:
                interim.append(Answer(status, reason, headers, b"", []))
        if head_only or status in (101, 204, 304):
            return Answer(status, reason, headers, b"", [])
        body, trailers = self._read_body(headers)
        return Answer(status, reason, headers, body, trailers)

    def read_until(self, end: bytes) -> bytes:
        """Octets up to and with ``end``."""
        while end not in self.buffer:
            self._fill()
        at = self.buffer.index(end) + len(end)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def read_exactly(self, count: int) -> bytes:
        """Exactly ``count`` octets."""
        while len(self.buffer) < count:
            self._fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_to_end(self) -> bytes:
        """Everything up to the end of the connection; a reset counts as the end."""
        while True:
            try:
                data = self.sock.recv(READ_OCTETS)
            except ConnectionResetError:
                data = b""
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += data

    def closed_by_peer(self) -> bool:
        """Wait for the end of the connection; False when octets come instead or the timeout passes first."""
        try:
            data = self.sock.recv(READ_OCTETS)
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False
        self.buffer += data
        return not data

    def half_close(self) -> None:
        """Say that no more octets will come."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _fill(self) -> None:
        data = self.sock.recv(READ_OCTETS)
        if not data:
            raise BadAnswerError(f"connection ended, got only {self.buffer!r}")
        self.buffer += data

    def _read_head(self) -> Tuple[int, str, List[Tuple[str, str]]]:
        lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or len(code) != 3:
            raise BadAnswerError(f"status line: expected HTTP/1.x and a code, got {lines[0]!r}")
        return int(code), reason, _fields(lines[1:])

    def _read_body(self, headers: List[Tuple[str, str]]) -> Tuple[bytes, List[Tuple[str, str]]]:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value for name, value in headers if name == "transfer-encoding"]
        if lengths and codings:
            raise BadAnswerError(f"framing: both Content-Length {lengths} and Transfer-Encoding {codings}")
        if codings:
            return self._read_chunks()
        if len(lengths) > 1:
            raise BadAnswerError(f"Content-Length: expected once, got {lengths}")
        return (self.read_exactly(int(lengths[0])) if lengths else self.read_to_end()), []

    def _read_chunks(self) -> Tuple[bytes, List[Tuple[str, str]]]:
        parts = []
        while True:
            size = int(self.read_until(b"\r\n")[:-2], 16)
            if size == 0:
                break
            parts.append(self.read_exactly(size))
            if self.read_exactly(2) != b"\r\n":
                raise BadAnswerError(f"chunk of {size}: expected CRLF after it")
        lines = []
        while True:
            line = self.read_until(b"\r\n")[:-2]
            if not line:
                return b"".join(parts), _fields(lines)
            lines.append(line.decode("latin-1"))


def _fields(lines: List[str]) -> List[Tuple[str, str]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise BadAnswerError(f"header field: expected 'name: value', got {line!r}")
        fields.append((name.lower(), value.strip(" \t")))
    return fields


def request(
    address: Address,
    method: str = "GET",
    target: str = "/",
    headers: Union[Mapping[str, str], Iterable[Tuple[str, str]]] = (),
    body: Optional[bytes] = None,
    *,
    timeout: float = PATIENCE,
    tls: Optional[ssl.SSLContext] = None,
) -> Answer:
    """One request on a connection of its own, closed afterwards."""
    with RawClient(address, timeout=timeout, tls=tls) as client:
        client.send(encode_request(method, target, headers, body, close=True))
        return client.read_answer(head_only=method == "HEAD")
