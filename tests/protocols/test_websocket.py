"""WebSockets with real clients: by HTTP/1.1 the ``websockets`` library, by HTTP/2 frames over an extended CONNECT."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from typing import Iterator, List, Optional, Tuple

import pytest
from hyperframe.frame import SettingsFrame

from protocols.http2_client import Http2Client
from support import ServerProcess, until

websockets_client = pytest.importorskip("websockets.sync.client")
websockets_exceptions = pytest.importorskip("websockets.exceptions")

APP = """
import asyncio
import os


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    path = scope["path"]
    await receive()
    if path == "/denied":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"why", b"teapot")]})
        await send({"type": "websocket.http.response.body", "body": b"no, "  , "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"thanks"})
        return
    if path == "/refused":
        await send({"type": "websocket.close"})
        return
    chosen = "b" if "b" in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"extra", b"field")]})
    if path == "/closes":
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
        return
    if path == "/floods":
        sent = 0
        try:
            while sent < 1 << 28:
                await send({"type": "websocket.send", "bytes": os.urandom(65536)})
                sent += 65536
                with open("flooded", "w") as file:
                    file.write(str(sent))
        except OSError:
            pass
        return
    if path == "/deaf":
        while not os.path.exists("heard"):
            await asyncio.sleep(0.02)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", path, message["code"], message["reason"], flush=True)
            return
        await send({**message, "type": "websocket.send"})
"""

HTTP2 = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
BOUNDED = 16 << 20  # octets: far above what buffers hold, far below what a flood sends


def serve(*arguments: str) -> ServerProcess:
    """The application of this module."""
    return ServerProcess(["app:app", "-k", "asgi", *HTTP2, *arguments], app=APP)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve("--websocket-max-message-size", "1000000", "--access-logfile", "-") as process:
        yield process


def connect(server: ServerProcess, path: str, **options: object) -> websockets_client.ClientConnection:
    """A connection of the ``websockets`` client."""
    return websockets_client.connect(f"ws://{server.host}:{server.port}{path}", **options)


class Http2Socket:
    """A WebSocket on a stream of an HTTP/2 connection (RFC 8441)."""

    def __init__(self, client: Http2Client, path: str, headers: Tuple[Tuple[str, str], ...] = ()) -> None:
        client.until(lambda: client.settings.get(SettingsFrame.ENABLE_CONNECT_PROTOCOL) == 1)
        self.client = client
        fields = [("sec-websocket-version", "13"), *headers]
        self.stream = client.ask(path, "CONNECT", fields, end=False, protocol="websocket")
        self.answer = client.streams[self.stream]
        client.until(lambda: bool(self.answer.status))

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked with zeros."""
        size = len(payload)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else struct.pack(
            "!BBH", 0x80 | opcode, 0x80 | 126, size
        )  # fmt: skip
        self.client.data(self.stream, head + b"\0\0\0\0" + payload)

    def receive(self) -> Tuple[int, bytes]:
        """The next frame."""
        first, size = struct.unpack("!BB", self._take(2))
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        return first & 0x0F, self._take(size)

    def _take(self, size: int) -> bytes:
        self.client.until(lambda: len(self.answer.body) >= size or self.answer.ended)
        taken = bytes(self.answer.body[:size])
        del self.answer.body[:size]
        return taken


def open_http2(server: ServerProcess, **options: object) -> Http2Client:
    """A connection by HTTP/2."""
    return Http2Client((server.host, server.port), **options)  # type: ignore[arg-type]


def test_messages_subprotocol_headers_and_compression_by_http1(server: ServerProcess) -> None:
    with connect(server, "/echo", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers["extra"] == "field"
        assert client.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        for message in ("text", "ü" * 40_000, b"", bytes(range(256)) * 300):
            client.send(message)
            assert client.recv() == message
        client.send(iter(["frag", "ment", "ed"]))
        assert client.recv() == "fragmented"
        assert client.ping().wait(10)
        client.close(4000, "bye")
    server.wait_for_log("disconnect /echo 4000 bye")


def test_messages_and_close_by_http2_beside_other_streams(server: ServerProcess) -> None:
    with open_http2(server) as client:
        first = Http2Socket(client, "/echo", (("sec-websocket-protocol", "a, b"),))
        second = Http2Socket(client, "/echo")
        assert (first.answer.status, first.answer.headers["sec-websocket-protocol"]) == (200, "b")
        for number in range(3):
            first.send(TEXT, b"first %d" % number)
            second.send(BINARY, b"second" * 1000)
            assert second.receive() == (BINARY, b"second" * 1000)
            assert first.receive() == (TEXT, b"first %d" % number)
        first.send(PING, b"p")
        assert first.receive() == (PONG, b"p")
        first.send(CLOSE, struct.pack("!H", 4002) + b"over")
        assert first.receive() == (CLOSE, struct.pack("!H", 4002) + b"over")
        client.wait(first.stream)
        second.send(TEXT, b"still here")
        assert second.receive() == (TEXT, b"still here")
    server.wait_for_log("disconnect /echo 4002 over")


def test_the_application_closes_with_its_code(server: ServerProcess) -> None:
    with connect(server, "/closes") as client:
        with pytest.raises(websockets_exceptions.ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4001, "enough")
    with open_http2(server) as client:
        assert Http2Socket(client, "/closes").receive() == (CLOSE, struct.pack("!H", 4001) + b"enough")


@pytest.mark.parametrize(("path", "status", "body"), [("/denied", 418, b"no, thanks"), ("/refused", 403, None)])
def test_a_denial_is_a_response(server: ServerProcess, path: str, status: int, body: Optional[bytes]) -> None:
    with pytest.raises(websockets_exceptions.InvalidStatus) as caught:
        connect(server, path)
    assert caught.value.response.status_code == status
    assert body is None or caught.value.response.body == body
    with open_http2(server) as client:
        denied = Http2Socket(client, path)
        client.wait(denied.stream)
        assert denied.answer.status == status
        assert body is None or bytes(denied.answer.body) == body


def test_a_message_above_the_limit_is_1009(server: ServerProcess) -> None:
    with connect(server, "/echo") as client:
        client.send(b"x" * 1_000_001)
        with pytest.raises(websockets_exceptions.ConnectionClosed):
            client.recv()
        assert client.close_code == 1009


def test_each_websocket_is_an_access_line(server: ServerProcess) -> None:
    with connect(server, "/echo?one"):
        pass
    server.wait_for_log('"GET /echo?one HTTP/1.1" 101')
    with open_http2(server) as client:
        Http2Socket(client, "/echo?two").send(CLOSE, b"")
        server.wait_for_log('/echo?two HTTP/2" 200')


def _flooded(server: ServerProcess) -> int:
    try:
        return int((server.cwd / "flooded").read_text() or 0)
    except FileNotFoundError:
        return 0


def _settles(server: ServerProcess) -> int:
    """The octets the application could send once it does not get on any more."""
    seen: List[int] = []

    def stands() -> bool:
        seen.append(_flooded(server))
        return len(seen) > 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

    until(stands, 20.0, "the application waits")
    return seen[-1]


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_a_peer_that_does_not_read_stops_the_application(protocol: str) -> None:
    with serve() as server:
        if protocol == "http2":
            with open_http2(server, credits=False) as client:
                Http2Socket(client, "/floods")
                assert _settles(server) < BOUNDED
        else:
            with socket.create_connection((server.host, server.port), 10.0) as sock:
                sock.sendall(
                    b"GET /floods HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert _settles(server) < BOUNDED


def test_an_application_that_does_not_receive_stops_the_peer_and_nobody_else() -> None:
    with serve() as server, open_http2(server) as client:
        deaf, other = Http2Socket(client, "/deaf"), Http2Socket(client, "/echo")
        sent = 0
        while client.room(deaf.stream) >= 16_008:
            deaf.send(BINARY, b"x" * 16_000)
            sent += 16_000
            client.settle()
        assert sent < BOUNDED
        other.send(TEXT, b"beside")
        assert other.receive() == (TEXT, b"beside")
        (server.cwd / "heard").touch()
        for _ in range(sent // 16_000):
            assert deaf.receive() == (BINARY, b"x" * 16_000)


def test_a_silent_client_is_pinged_and_one_that_is_gone_is_given_up() -> None:
    with serve("--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3") as server, open_http2(server) as client:
        silent = Http2Socket(client, "/echo?silent")
        opcode, payload = silent.receive()
        assert opcode == PING
        silent.send(PONG, payload)
        assert silent.receive()[0] == PING  # the answer kept it; this one gets none
        client.wait(silent.stream)
        server.wait_for_log("disconnect /echo 1011")


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_a_stop_closes_with_1012(protocol: str) -> None:
    with serve() as server:
        if protocol == "http2":
            with open_http2(server) as client:
                held = Http2Socket(client, "/echo")
                server.send_signal(signal.SIGTERM)
                opcode, payload = held.receive()
                assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1012))
                held.send(CLOSE, payload[:2])
                assert client.closed()
        else:
            with connect(server, "/echo") as websocket:
                threading.Timer(0.0, server.send_signal, [signal.SIGTERM]).start()
                with pytest.raises(websockets_exceptions.ConnectionClosed):
                    websocket.recv(timeout=20)
                assert websocket.close_code == 1012
        assert server.wait() == 0
