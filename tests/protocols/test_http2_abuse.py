"""What a hostile HTTP/2 client gets, under every worker: each flood an ENHANCE_YOUR_CALM with its limit in the log,
each stall its end, and everybody else an answer.
"""

from __future__ import annotations

import socket
from typing import Dict, Iterator, Tuple

import pytest
from hpack import Encoder
from hyperframe.frame import SettingsFrame

from protocols.fronts import WITH_HTTP2
from protocols.http2_apps import connect, memory_of, serve
from protocols.http2_client import PREFACE, Http2Client
from support import RawClient, ServerProcess

CALM, REFUSED = 0xB, 0x7
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
TIMEOUT = 2  # seconds; of heads, bodies and sending
FIELDS = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/nothing")]
BLOCK = Encoder().encode(FIELDS, huffman=False)
STREAMS, PIECES = 4, 10_000  # uploads nobody reads, and their frames of one octet
RECEIVED_MAX = 2 << 20  # octets of memory that these may take; with an object for each they take 4 MB


def raw(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The octets of any frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def each_stream(*frames: Tuple[int, int, bytes], count: int = 250) -> bytes:
    """The frames on one new stream after the other."""
    return b"".join(raw(kind, flags, n, payload) for n in range(1, 2 * count, 2) for kind, flags, payload in frames)


REQUEST = (HEADERS, END_STREAM | END_HEADERS, BLOCK)
UPLOAD = raw(HEADERS, END_HEADERS, 1, Encoder().encode([*FIELDS[:3], (":path", "/read")], huffman=False))
UNKNOWN = b"".join(number.to_bytes(2, "big") + b"\0\0\0\1" for number in range(0x100, 0x130))
BOMB = Encoder().encode([*FIELDS, ("large", "x" * 3000)], huffman=False) + b"\xbe" * 30

# What is sent, and the words of the log that name the limit.
FLOODS: Dict[str, Tuple[bytes, str]] = {
    "rapid reset": (each_stream(REQUEST, (RST_STREAM, 0, b"\0\0\0\x08")), "RST_STREAM: expected at most 200 in 10 s"),
    "made to reset": (each_stream(REQUEST, (WINDOW_UPDATE, 0, b"\0\0\0\0")), "RST_STREAM: expected at most 200"),
    "content behind the end": (each_stream(REQUEST, (DATA, END_STREAM, b"x")), "RST_STREAM: expected at most 200"),
    "head behind the end": (each_stream(REQUEST, REQUEST), "RST_STREAM: expected at most 200"),
    "PING": (raw(PING, 0, 0, b"12345678") * 1200, "expected at most 1000 in 10 s, got 1001 (last a PING)"),
    "SETTINGS": (raw(SETTINGS, 0, 0, b"\0\3\0\0\0\1") * 1200, "(last a SETTINGS)"),
    "many settings": (raw(SETTINGS, 0, 0, UNKNOWN), "SETTINGS: expected at most 32 of them in a frame, got 48"),
    "PRIORITY": (raw(PRIORITY, 0, 1, b"\0\0\0\0\x0f") * 1200, "(last a PRIORITY)"),
    "PRIORITY_UPDATE": (raw(0x10, 0, 0, b"\0\0\0\1u=1") * 1200, "(last a PRIORITY_UPDATE)"),
    "WINDOW_UPDATE": (raw(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1200, "(last a WINDOW_UPDATE)"),
    "GOAWAY": (UPLOAD + raw(GOAWAY, 0, 0, b"\0" * 8) * 1200, "(last a GOAWAY)"),
    "unknown frames": (raw(0x77, 0, 0, b"?") * 1200, "(last a frame of an unknown type)"),
    "empty DATA": (UPLOAD + raw(DATA, 0, 1) * 1200, "(last a DATA without content)"),
    "padding alone": (UPLOAD + raw(DATA, PADDED, 1, b"\3\0\0\0") * 1200, "(last a DATA without content)"),
    "CONTINUATION": (raw(HEADERS, 0, 1) + raw(CONTINUATION, 0, 1) * 50, "expected at most 16 CONTINUATION frames"),
    "large block": (
        raw(HEADERS, 0, 1, b"\0" * 16384) + raw(CONTINUATION, 0, 1, b"\0" * 16384) * 4,
        "header block: expected at most 65536 octets, got 81920",
    ),
    "HPACK bomb": (raw(HEADERS, END_STREAM | END_HEADERS, 1, BOMB), "header list: expected at most 65536 octets"),
}


@pytest.fixture(scope="module", params=WITH_HTTP2)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    timeouts = [word for name in ("header", "body", "send") for word in (f"--{name}-timeout", str(TIMEOUT))]
    with serve(request.param, *timeouts, "--log-level", "debug") as process:
        yield process


def _assert_others_are_served(server: ServerProcess) -> None:
    with connect(server) as other:
        stream = other.ask("/after")
        other.wait(stream)
        assert bytes(other.streams[stream].body) == b"/after"
    assert len(server.booted_pids()) == 1


def test_floods_are_answered_with_enhance_your_calm_and_the_limit_is_in_the_log(server: ServerProcess) -> None:
    for name, (octets, words) in FLOODS.items():
        before = server.log.count(words)
        with connect(server) as client:
            client.sock.sendall(octets)
            assert client.closed()
            assert [code for _, code in client.goaways] == [CALM], name
        server.wait_for_log(words, count=before + 1)
    _assert_others_are_served(server)


def test_windows_opened_octet_by_octet_are_a_flood(server: ServerProcess) -> None:
    """CVE-2019-9511: every window update would have the server make a frame of one octet."""
    with connect(server, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}, credits=False) as client:
        stream = client.ask("/give?65536")
        client.until(lambda: bool(client.streams[stream].status))
        client.sock.sendall(raw(WINDOW_UPDATE, 0, stream, b"\0\0\0\1") * 1200)
        assert client.closed()
        assert [code for _, code in client.goaways] == [CALM]
    _assert_others_are_served(server)


def test_streams_beyond_the_maximum_are_refused(server: ServerProcess) -> None:
    with connect(server) as client:
        client.settle()
        streams = [client.ask("/read", "POST", end=False) for _ in range(client.settings[3] + 1)]
        client.wait(streams[-1])
        assert client.streams[streams[-1]].reset == REFUSED
        assert client.streams[streams[0]].reset is None


def test_content_octet_by_octet_that_nobody_reads_takes_little_memory(server: ServerProcess) -> None:
    with connect(server) as client:
        client.settle()
        streams = [client.ask("/unread", "POST", end=False) for _ in range(STREAMS)]
        client.sock.sendall(b"".join(raw(DATA, 0, stream, b"x") for stream in streams))
        try:
            client.settle()
            before = memory_of(server)
            for stream in streams:
                client.sock.sendall(raw(DATA, 0, stream, b"x") * PIECES)
                client.settle()
            grown = memory_of(server) - before
        finally:
            (server.cwd / "released").touch()
        client.wait(*streams)
        assert grown < RECEIVED_MAX, f"{STREAMS * PIECES} octets took {grown}"


def test_stalls_end_in_time_and_hold_nobody_up(server: ServerProcess) -> None:
    """All at once: a connection that says nothing, half a preface, half a head, a body that does not come, closed
    windows of a stream and of the connection, and a peer that takes no octet."""
    silent, half = RawClient((server.host, server.port)), RawClient((server.host, server.port))
    half.send(PREFACE[:20])
    head, body = connect(server), connect(server)
    head.sock.sendall(raw(HEADERS, END_STREAM, 1, BLOCK[:5]))
    upload = body.ask("/read", "POST", end=False)
    stream = connect(server, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    shut = stream.ask("/give?65536")
    whole = connect(server, credits=False)
    many = [whole.ask("/give?65536") for _ in range(3)]
    deaf = _deaf(server)
    try:
        _assert_others_are_served(server)
        assert silent.closed_by_peer()
        assert half.closed_by_peer()
        assert head.closed()
        assert len(head.goaways) == 1
        body.wait(upload)
        assert body.streams[upload].status == 408
        stream.wait(shut)
        assert (stream.streams[shut].reset, stream.goaways[:0]) == (CALM, [])
        assert whole.closed()
        assert [code for _, code in whole.goaways][-1] == CALM
        assert sum(whole.streams[one].received for one in many) <= 65535
        server.wait_for_log(f"output: expected the peer to read within {TIMEOUT} s")
        _assert_others_are_served(server)
    finally:
        for client in (head, body, stream, whole, deaf):
            client.sock.close()
        silent.close()
        half.close()


def _deaf(server: ServerProcess) -> Http2Client:
    """A client whose windows are wide open, and who takes nothing from its socket."""
    client = connect(server, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 30})
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.credit(1 << 30)
    client.ask("/give?67108864")
    return client
