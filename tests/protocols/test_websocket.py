"""WebSockets by HTTP/1.1 and by HTTP/2 (RFC 8441): the same tests over both, frame by frame; and with other clients."""

from __future__ import annotations

import signal
import socket
import struct
import zlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from protocols.websocket_clients import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Dial,
    Http1Socket,
    Http2Socket,
    close_payload,
    masked,
)
from support import ServerProcess, until

websockets_client = pytest.importorskip("websockets.sync.client")
wsproto = pytest.importorskip("wsproto")

APP = """
import asyncio
import os


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    path, query = scope["path"], scope["query_string"].decode()
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
    if path == "/returns":
        return
    if path == "/floods":
        sent = 0
        try:
            while sent < 1 << 28:
                await send({"type": "websocket.send", "bytes": os.urandom(65536)})
                sent += 65536
                with open(query, "w") as file:
                    file.write(str(sent))
        except OSError:
            pass
        return
    if path == "/deaf":
        while not os.path.exists(query):
            await asyncio.sleep(0.02)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", path, message["code"], message["reason"], flush=True)
            return
        await send({**message, "type": "websocket.send"})
"""

HTTP2 = ["--http-protocols", "h2,h1", "--http2-cleartext", "prior-knowledge"]
LIMIT = 1_000_000  # octets of a message
BOUNDED = 16 << 20  # octets: far above what buffers hold, far below what a flood sends
DEFLATE = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")


def serve(*arguments: str) -> ServerProcess:
    """The application of this module."""
    return ServerProcess(["app:app", "-k", "asgi", *HTTP2, *arguments], app=APP)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve("--websocket-max-message-size", str(LIMIT), "--access-logfile", "-") as process:
        yield process


@pytest.fixture(params=[Http1Socket, Http2Socket], ids=["http1", "http2"])
def dial(request: pytest.FixtureRequest) -> Dial:
    """How a WebSocket is opened: one of the two ways."""
    kind: Dial = request.param
    return kind


def test_messages_of_all_sizes_fragments_and_what_stands_between_them(server: ServerProcess, dial: Dial) -> None:
    with dial(server, "/echo") as client:
        for size in (0, 1, 125, 126, 65535, 65536, 300_000):
            client.send(TEXT, b"t" * size)
            assert client.receive() == (TEXT, b"t" * size)
        client.send(BINARY, bytes(range(256)))
        assert client.receive() == (BINARY, bytes(range(256)))
        client.send(TEXT, "fräg".encode()[:3], fin=False)  # within a character
        client.send(PING, b"between")
        client.send(CONTINUATION, "fräg".encode()[3:], fin=False)
        client.send(PONG, b"unasked")
        client.send(CONTINUATION, b"", fin=True)
        assert client.receive() == (PONG, b"between")
        assert client.receive() == (TEXT, "fräg".encode())


def test_subprotocol_headers_close_code_and_reason(server: ServerProcess, dial: Dial) -> None:
    with dial(server, "/echo", [("sec-websocket-protocol", "a, b")]) as client:
        assert client.accepted
        assert (client.headers["sec-websocket-protocol"], client.headers["extra"]) == ("b", "field")
        client.send(CLOSE, close_payload(4002, "over"))
        assert client.receive() == (CLOSE, close_payload(4002, "over"))
        client.wait_for_end()
    server.wait_for_log("disconnect /echo 4002 over")
    with dial(server, "/closes") as client:
        assert client.receive() == (CLOSE, close_payload(4001, "enough"))
    with dial(server, "/returns") as client:
        assert client.receive() == (CLOSE, close_payload(1011))


@pytest.mark.parametrize(
    ("path", "fields", "status", "told"),
    [
        ("/denied", {}, 418, ("why", "teapot")),
        ("/refused", {}, 403, None),
        ("/echo", {"sec-websocket-version": "8"}, 426, ("sec-websocket-version", "13")),
        ("/echo", {"sec-websocket-protocol": "a b"}, 400, None),
    ],
)
def test_what_is_not_accepted_is_an_ordinary_response(
    server: ServerProcess, dial: Dial, path: str, fields: Dict[str, str], status: int, told: Optional[Tuple[str, str]]
) -> None:
    with dial(server, path, list(fields.items())) as client:
        assert client.status == status
        assert told is None or client.headers[told[0]] == told[1]
        assert path != "/denied" or client.body() == b"no, thanks"


TOO_LARGE = masked(FIN | BINARY, b"")[:1] + b"\xff" + struct.pack("!Q", LIMIT + 1) + b"\0\0\0\0"
ILLEGAL: List[Tuple[str, bytes, int]] = [
    ("no mask", bytes((FIN | TEXT, 1)) + b"x", 1002),
    ("unknown opcode", masked(FIN | 0x3, b"x"), 1002),
    ("reserved bit", masked(FIN | 0x20 | TEXT, b"x"), 1002),
    ("continuation of nothing", masked(FIN | CONTINUATION, b"x"), 1002),
    ("ping in fragments", masked(PING, b"x"), 1002),
    ("close of one octet", masked(FIN | CLOSE, b"\x03"), 1002),
    ("close with 1006", masked(FIN | CLOSE, close_payload(1006)), 1002),
    ("no UTF-8, and the message goes on", masked(TEXT, b"good\xff"), 1007),
    ("half a character at the end", masked(FIN | TEXT, b"\xc3"), 1007),
    ("more than the limit, as its header says", TOO_LARGE, 1009),
]


def test_what_the_rfc_forbids_closes_with_its_code(server: ServerProcess, dial: Dial) -> None:
    for name, octets, code in ILLEGAL:
        with dial(server, "/echo") as client:
            client.send(TEXT, b"before")
            assert client.receive() == (TEXT, b"before")
            client.write(octets)
            assert client.receive() == (CLOSE, close_payload(code)), name
            client.wait_for_end()


def test_compression_is_agreed_upon_and_inflates_no_further_than_the_limit(server: ServerProcess, dial: Dial) -> None:
    with dial(server, "/echo", [DEFLATE]) as client:
        assert client.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        packer, unpacker = zlib.compressobj(wbits=-12), zlib.decompressobj(-15)
        for number in range(3):
            message = b"message %d " % number * 1000
            packed = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
            client.send(TEXT, packed[:-4], rsv=RSV1)
            opcode, echo = client.receive()
            assert opcode == TEXT | RSV1
            assert len(echo) < 1000
            assert unpacker.decompress(echo + b"\0\0\xff\xff") == message
        bomb = packer.compress(bytes(10 * LIMIT)) + packer.flush(zlib.Z_SYNC_FLUSH)
        client.send(BINARY, bomb[:-4], rsv=RSV1)
        assert client.receive() == (CLOSE, close_payload(1009))
    with dial(server, "/echo") as client:
        assert "sec-websocket-extensions" not in client.headers


def _flooded(server: ServerProcess, name: str) -> int:
    try:
        return int((server.cwd / name).read_text() or 0)
    except FileNotFoundError:
        return 0


def _settles(server: ServerProcess, name: str) -> int:
    """The octets the application could send once it does not get on any more."""
    seen: List[int] = []

    def stands() -> bool:
        seen.append(_flooded(server, name))
        return len(seen) > 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

    until(stands, 20.0, "the application waits")
    return seen[-1]


def test_a_peer_that_does_not_read_stops_the_application(server: ServerProcess, dial: Dial) -> None:
    with dial(server, f"/floods?{dial.__name__}", credits=False):
        assert _settles(server, dial.__name__) < BOUNDED


def test_an_application_that_does_not_receive_stops_the_peer_and_nobody_else(server: ServerProcess, dial: Dial) -> None:
    with dial(server, f"/deaf?heard-{dial.__name__}") as deaf, dial(server, "/echo", beside=deaf) as other:
        sent = 0
        while sent < BOUNDED and deaf.offer(BINARY, b"x" * 16_000):
            sent += 16_000
        assert sent < BOUNDED
        other.send(TEXT, b"beside")
        assert other.receive() == (TEXT, b"beside")
        (server.cwd / f"heard-{dial.__name__}").touch()
        for _ in range(sent // 16_000):
            assert deaf.receive() == (BINARY, b"x" * 16_000)


def test_a_peer_that_sends_and_reads_nothing_is_stopped(server: ServerProcess, dial: Dial) -> None:
    with dial(server, "/echo", credits=False) as client:
        sent = 0
        while sent < BOUNDED and client.offer(BINARY, b"x" * 16_000):
            sent += 16_000
        assert sent < BOUNDED


def test_pings_of_a_peer_that_reads_nothing_are_not_answered_for_ever(server: ServerProcess) -> None:
    with Http2Socket(server, "/echo", credits=False) as client:
        sent = 0
        while sent < BOUNDED and client.offer(PING, b"x" * 125, times=100):
            sent += 131 * 100
        assert sent < BOUNDED


def test_each_websocket_is_an_access_line(server: ServerProcess) -> None:
    with Http1Socket(server, "/echo?one"):
        pass
    server.wait_for_log('"GET /echo?one HTTP/1.1" 101')
    with Http2Socket(server, "/echo?two") as client:
        client.send(CLOSE, b"")
        server.wait_for_log('/echo?two HTTP/2.0" 200')


def test_several_websockets_share_a_connection_of_http2(server: ServerProcess) -> None:
    with Http2Socket(server, "/echo") as first, Http2Socket(server, "/echo", beside=first) as second:
        assert first.client is second.client
        for number in range(3):
            first.send(TEXT, b"first %d" % number)
            second.send(BINARY, b"second" * 1000)
            assert second.receive() == (BINARY, b"second" * 1000)
            assert first.receive() == (TEXT, b"first %d" % number)
        first.send(CLOSE, close_payload(1000))
        first.wait_for_end()
        second.send(TEXT, b"still here")
        assert second.receive() == (TEXT, b"still here")


def test_the_key_of_http1_is_asked_for_and_answered(server: ServerProcess) -> None:
    with Http1Socket(server, "/echo") as client:
        assert client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
    with Http1Socket(server, "/echo", [("sec-websocket-key", "short")]) as client:
        assert client.status == 400


def test_a_silent_client_is_pinged_and_one_that_is_gone_is_given_up(dial: Dial) -> None:
    with serve("--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3") as server, dial(server, "/echo") as silent:
        opcode, payload = silent.receive()
        assert opcode == PING
        silent.send(PONG, payload)
        assert silent.receive()[0] == PING  # the answer kept it; this one gets none
        silent.wait_for_end()
        server.wait_for_log("disconnect /echo 1011")


def test_a_stop_closes_with_1012() -> None:
    quick = ["--graceful-timeout", "4"]  # WebSockets are closed one after the other, over half of it
    with serve(*quick) as server, Http1Socket(server, "/echo") as first, Http2Socket(server, "/echo") as second:
        server.send_signal(signal.SIGTERM)
        for held in (first, second):
            assert held.receive() == (CLOSE, close_payload(1012))
            held.send(CLOSE, close_payload(1012))
            held.wait_for_end()
        assert server.wait() == 0


def test_the_client_of_websockets(server: ServerProcess) -> None:
    url = f"ws://{server.host}:{server.port}/echo"
    with websockets_client.connect(url, subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        for message in ("text", "ü" * 40_000, b"", bytes(range(256)) * 300):
            client.send(message)
            assert client.recv() == message
        client.send(iter(["frag", "ment", "ed"]))
        assert client.recv() == "fragmented"
        assert client.ping().wait(10)
        client.close(4000, "bye")
    server.wait_for_log("disconnect /echo 4000 bye")


def test_the_client_of_wsproto(server: ServerProcess) -> None:
    from wsproto import events
    from wsproto.extensions import PerMessageDeflate

    def read(sock: socket.socket, kind: Any) -> Any:
        while True:
            for event in client.events():
                if isinstance(event, kind):
                    return event
            client.receive_data(sock.recv(65536) or None)

    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    with socket.create_connection((server.host, server.port), 10.0) as sock:
        hello = events.Request(host="h", target="/echo", subprotocols=["b"], extensions=[PerMessageDeflate()])
        sock.sendall(client.send(hello))
        accepted = read(sock, events.AcceptConnection)
        assert accepted.subprotocol == "b"
        assert [extension.name for extension in accepted.extensions] == ["permessage-deflate"]
        for message in ("wsproto " * 100, "short"):
            sock.sendall(client.send(events.TextMessage(message)))
            assert read(sock, events.TextMessage).data == message
        sock.sendall(client.send(events.Ping(b"there?")))
        assert bytes(read(sock, events.Pong).payload) == b"there?"
        sock.sendall(client.send(events.CloseConnection(4003, "done")))
        assert read(sock, events.CloseConnection).code == 4003
    server.wait_for_log("disconnect /echo 4003 done")
