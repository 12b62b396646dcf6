"""What RFC 9113 forbids a client, section by section, and what it gets for it. Frames are made by hand.

An answer is ``("connection", code)``: GOAWAY and the end; ``("stream", number, code)``: RST_STREAM while the
connection goes on; or ``"ignored"``: nothing but SETTINGS and PING acknowledgements. Section 5.4.1 lets an endpoint
make a stream error one of the connection; where that is done, the row says so by its answer.
"""

# ruff: noqa: E501 - one row is one case

from __future__ import annotations

from typing import Any, Callable, List, Tuple, Union

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from server_http.events import ConnectionEnded, RequestReceived
from server_http.limits import Limits
from support.http2 import GET, POST, PREFACE, RawClient, raw

NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
CALM = 11

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
UPDATE = 0x10
ES, EH, PADDED, PRIO = 1, 4, 8, 32

Answer = Union[str, Tuple[str, int], Tuple[str, int, int]]
Script = Callable[[RawClient], bytes]


def frames(*parts: Any) -> Script:
    """Build a script of octets that do not depend on the connection."""
    return lambda client: b"".join(parts)


def block(client: RawClient, fields: List[Tuple[bytes, bytes]]) -> bytes:
    return client.encoder.encode(fields)


def head(number: int, fields: List[Tuple[bytes, bytes]] = GET, flags: int = ES | EH) -> Script:
    return lambda client: raw(HEADERS, flags, number, block(client, fields))


def then(*scripts: Any) -> Script:
    """Concatenate scripts and octets."""
    return lambda client: b"".join(s(client) if callable(s) else s for s in scripts)


def plus(*extra: Tuple[bytes, bytes], base: List[Tuple[bytes, bytes]] = GET) -> Script:
    return head(1, [*base, *extra])


def without(name: bytes, *extra: Tuple[bytes, bytes]) -> Script:
    return head(1, [item for item in GET if item[0] != name] + list(extra))


def word(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(code: int, value: int) -> bytes:
    return code.to_bytes(2, "big") + word(value)


OPEN = head(1, POST, EH)
HALF_CLOSED = head(1)
PEER_RESET = then(OPEN, raw(RST, 0, 1, word(8)))
MALFORMED: Answer = ("stream", 1, PROTOCOL)

CASES: List[Tuple[str, str, Script, Answer]] = [
    # -- 4: frames ---------------------------------------------------------------------------------------------
    ("4.1", "unknown frame type", frames(raw(0x77, 0xFF, 0, b"?"), raw(0x77, 0, 5, b"?")), "ignored"),
    ("4.1", "reserved bit set", then(raw(PING, 0, 0x80000000, b"12345678")), "ignored"),
    ("4.1", "undefined flags set", then(raw(PING, 0xFE, 0, b"12345678")), "ignored"),
    ("4.2", "frame longer than SETTINGS_MAX_FRAME_SIZE", then(OPEN, raw(DATA, 0, 1, b"x" * 16385)), ("connection", SIZE)),
    ("4.2", "unknown frame that is too long", frames(raw(0x77, 0, 0, b"x" * 16385)), ("connection", SIZE)),
    ("4.2", "header block that is too long", frames(raw(HEADERS, EH, 1, b"\x82" * 16385)), ("connection", SIZE)),
    ("4.3", "field block with an index of no entry", frames(raw(HEADERS, ES | EH, 1, b"\xff\x80\x01")), ("connection", COMPRESSION)),
    ("4.3", "field block with index 0", frames(raw(HEADERS, ES | EH, 1, b"\x80")), ("connection", COMPRESSION)),
    ("4.3", "field block that ends within a string", frames(raw(HEADERS, ES | EH, 1, b"\x00\x05ab")), ("connection", COMPRESSION)),
    ("4.3", "field block that ends within an integer", frames(raw(HEADERS, ES | EH, 1, b"\xff")), ("connection", COMPRESSION)),
    ("4.3", "integer without end", frames(raw(HEADERS, ES | EH, 1, b"\xff" + b"\xff" * 20)), ("connection", COMPRESSION)),
    ("4.3", "Huffman string with wrong padding", frames(raw(HEADERS, ES | EH, 1, b"\x00\x81\x00\x00")), ("connection", COMPRESSION)),
    ("4.3", "table size update above the limit", frames(raw(HEADERS, ES | EH, 1, b"\x3f\xe2\x1f")), ("connection", COMPRESSION)),
    ("4.3", "table size update behind a field", frames(raw(HEADERS, ES | EH, 1, b"\x82\x20")), ("connection", COMPRESSION)),
    ("4.3", "third table size update", frames(raw(HEADERS, ES | EH, 1, b"\x20\x21\x22\x82")), ("connection", COMPRESSION)),
    ("4.3", "another frame within a header block", then(head(1, GET, ES), raw(PING, 0, 0, b"12345678")), ("connection", PROTOCOL)),
    ("4.3", "unknown frame within a header block", then(head(1, GET, ES), raw(0x77, 0, 0, b"")), ("connection", PROTOCOL)),
    ("4.3", "HEADERS of another stream within a header block", then(head(1, GET, ES), head(3)), ("connection", PROTOCOL)),
    # -- 5.1: stream states ------------------------------------------------------------------------------------
    ("5.1", "idle: DATA", frames(raw(DATA, 0, 1, b"x")), ("connection", PROTOCOL)),
    ("5.1", "idle: RST_STREAM", frames(raw(RST, 0, 1, word(8))), ("connection", PROTOCOL)),
    ("5.1", "idle: WINDOW_UPDATE", frames(raw(WINDOW, 0, 1, word(8))), ("connection", PROTOCOL)),
    ("5.1", "idle: CONTINUATION", frames(raw(CONTINUATION, EH, 1, b"")), ("connection", PROTOCOL)),
    ("5.1", "idle: PRIORITY", frames(raw(PRIORITY, 0, 7, b"\0\0\0\0\x0f")), "ignored"),
    ("5.1", "idle beside an open one: DATA", then(OPEN, raw(DATA, 0, 3, b"x")), ("connection", PROTOCOL)),
    ("5.1", "idle beside an open one: RST_STREAM", then(OPEN, raw(RST, 0, 3, word(8))), ("connection", PROTOCOL)),
    ("5.1", "idle beside an open one: WINDOW_UPDATE", then(OPEN, raw(WINDOW, 0, 3, word(8))), ("connection", PROTOCOL)),
    ("5.1", "half-closed: DATA", then(HALF_CLOSED, raw(DATA, ES, 1, b"x")), ("stream", 1, CLOSED)),
    ("5.1", "half-closed: HEADERS", then(HALF_CLOSED, head(1)), ("stream", 1, CLOSED)),
    ("5.1", "half-closed: CONTINUATION", then(HALF_CLOSED, raw(CONTINUATION, EH, 1, b"")), ("connection", PROTOCOL)),
    ("5.1", "half-closed: WINDOW_UPDATE", then(HALF_CLOSED, raw(WINDOW, 0, 1, word(8))), "ignored"),
    ("5.1", "half-closed: PRIORITY", then(HALF_CLOSED, raw(PRIORITY, 0, 1, b"\0\0\0\0\x0f")), "ignored"),
    ("5.1", "half-closed: RST_STREAM", then(HALF_CLOSED, raw(RST, 0, 1, word(8))), "ignored"),
    ("5.1", "reset: DATA", then(PEER_RESET, raw(DATA, 0, 1, b"x")), ("stream", 1, CLOSED)),
    ("5.1", "reset: HEADERS", then(PEER_RESET, head(1)), ("stream", 1, CLOSED)),
    ("5.1", "reset: WINDOW_UPDATE", then(PEER_RESET, raw(WINDOW, 0, 1, word(8))), "ignored"),
    ("5.1", "reset: RST_STREAM", then(PEER_RESET, raw(RST, 0, 1, word(8))), "ignored"),
    ("5.1", "reset: PRIORITY", then(PEER_RESET, raw(PRIORITY, 0, 1, b"\0\0\0\0\x0f")), "ignored"),
    ("5.1.1", "even stream", head(2), ("connection", PROTOCOL)),
    ("5.1.1", "stream below an earlier one", then(head(5), head(3)), ("connection", PROTOCOL)),
    ("5.3.1", "stream that depends on itself", frames(raw(PRIORITY, 0, 1, b"\0\0\0\x01\x0f")), ("connection", PROTOCOL)),
    # -- 6: frame types ----------------------------------------------------------------------------------------
    ("6.1", "DATA on stream 0", frames(raw(DATA, 0, 0, b"x")), ("connection", PROTOCOL)),
    ("6.1", "DATA with more padding than content", then(OPEN, raw(DATA, PADDED, 1, b"\x09abc")), ("connection", PROTOCOL)),
    ("6.1", "padded DATA without a pad length", then(OPEN, raw(DATA, PADDED, 1, b"")), ("connection", SIZE)),
    ("6.2", "HEADERS on stream 0", head(0), ("connection", PROTOCOL)),
    ("6.2", "HEADERS with more padding than content", frames(raw(HEADERS, ES | EH | PADDED, 1, b"\x09\x82")), ("connection", PROTOCOL)),
    ("6.2", "HEADERS too short for its priority", frames(raw(HEADERS, ES | EH | PRIO, 1, b"\0\0")), ("connection", SIZE)),
    ("6.3", "PRIORITY on stream 0", frames(raw(PRIORITY, 0, 0, b"\0\0\0\x01\x0f")), ("connection", PROTOCOL)),
    ("6.3", "PRIORITY of 4 octets", frames(raw(PRIORITY, 0, 1, b"\0\0\0\0")), ("connection", SIZE)),
    ("6.4", "RST_STREAM on stream 0", then(OPEN, raw(RST, 0, 0, word(8))), ("connection", PROTOCOL)),
    ("6.4", "RST_STREAM of 3 octets", then(OPEN, raw(RST, 0, 1, b"\0\0\0")), ("connection", SIZE)),
    ("6.4", "RST_STREAM with an unknown code", then(OPEN, raw(RST, 0, 1, word(0xABCD))), "ignored"),
    ("6.5", "SETTINGS on a stream", frames(raw(SETTINGS, 0, 1, b"")), ("connection", PROTOCOL)),
    ("6.5", "SETTINGS of 5 octets", frames(raw(SETTINGS, 0, 0, b"12345")), ("connection", SIZE)),
    ("6.5", "SETTINGS acknowledgement with content", frames(raw(SETTINGS, 1, 0, setting(1, 1))), ("connection", SIZE)),
    ("6.5.2", "unknown setting", frames(raw(SETTINGS, 0, 0, setting(0x99, 1))), "ignored"),
    ("6.5.2", "SETTINGS_ENABLE_PUSH of 2", frames(raw(SETTINGS, 0, 0, setting(2, 2))), ("connection", PROTOCOL)),
    ("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1", frames(raw(SETTINGS, 0, 0, setting(4, 1 << 31))), ("connection", FLOW)),
    ("6.5.2", "SETTINGS_MAX_FRAME_SIZE below 16384", frames(raw(SETTINGS, 0, 0, setting(5, 16383))), ("connection", PROTOCOL)),
    ("6.5.2", "SETTINGS_MAX_FRAME_SIZE above 2^24-1", frames(raw(SETTINGS, 0, 0, setting(5, 1 << 24))), ("connection", PROTOCOL)),
    ("6.6", "PUSH_PROMISE", then(OPEN, lambda c: raw(PUSH, EH, 1, word(2) + block(c, GET))), ("connection", PROTOCOL)),
    ("6.7", "PING on a stream", frames(raw(PING, 0, 1, b"12345678")), ("connection", PROTOCOL)),
    ("6.7", "PING of 7 octets", frames(raw(PING, 0, 0, b"1234567")), ("connection", SIZE)),
    ("6.8", "GOAWAY on a stream", then(OPEN, raw(GOAWAY, 0, 1, b"\0" * 8)), ("connection", PROTOCOL)),
    ("6.8", "GOAWAY of 7 octets", then(OPEN, raw(GOAWAY, 0, 0, b"\0" * 7)), ("connection", SIZE)),
    ("6.9", "WINDOW_UPDATE of 3 octets", frames(raw(WINDOW, 0, 0, b"\0\0\1")), ("connection", SIZE)),
    ("6.9", "connection WINDOW_UPDATE of 0", frames(raw(WINDOW, 0, 0, word(0))), ("connection", PROTOCOL)),
    ("6.9", "stream WINDOW_UPDATE of 0", then(OPEN, raw(WINDOW, 0, 1, word(0))), ("stream", 1, PROTOCOL)),
    ("6.9.1", "connection window above 2^31-1", frames(raw(WINDOW, 0, 0, word((1 << 31) - 1))), ("connection", FLOW)),
    ("6.9.1", "stream window above 2^31-1", then(OPEN, raw(WINDOW, 0, 1, word((1 << 31) - 1))), ("stream", 1, FLOW)),
    ("6.9.1", "more content than the stream's window", then(OPEN, *[raw(DATA, 0, 1, b"x" * 16384)] * 5), ("connection", FLOW)),
    ("6.9.2", "settings that overflow a stream's window",
     then(OPEN, raw(WINDOW, 0, 1, word(1 << 30)), raw(SETTINGS, 0, 0, setting(4, (1 << 31) - 1))), ("connection", FLOW)),
    ("6.10", "CONTINUATION without HEADERS", then(HALF_CLOSED, raw(CONTINUATION, EH, 3, b"")), ("connection", PROTOCOL)),
    ("6.10", "CONTINUATION of another stream", then(head(1, GET, ES), raw(CONTINUATION, EH, 3, b"")), ("connection", PROTOCOL)),
    ("6.10", "CONTINUATION on stream 0", then(head(1, GET, ES), raw(CONTINUATION, EH, 0, b"")), ("connection", PROTOCOL)),
    # -- 8.1: messages -----------------------------------------------------------------------------------------
    ("8.1", "trailers without END_STREAM", then(OPEN, head(1, [(b"x", b"y")], EH)), ("connection", PROTOCOL)),
    ("8.1.1", "END_STREAM with a Content-Length", plus((b"content-length", b"3")), MALFORMED),
    ("8.1.1", "less content than Content-Length",
     then(head(1, [*POST, (b"content-length", b"3")], EH), raw(DATA, ES, 1, b"ab")), MALFORMED),
    ("8.1.1", "more content than Content-Length",
     then(head(1, [*POST, (b"content-length", b"3")], EH), raw(DATA, 0, 1, b"abcd")), MALFORMED),
    ("8.1.1", "trailers before the content is complete",
     then(head(1, [*POST, (b"content-length", b"3")], EH), head(1, [(b"x", b"y")])), MALFORMED),
    ("8.1.1", "Content-Length that is no number", head(1, [*POST, (b"content-length", b"+3")], EH), MALFORMED),
    ("8.1.1", "two Content-Lengths", head(1, [*POST, (b"content-length", b"3"), (b"content-length", b"4")], EH), MALFORMED),
    # -- 8.2: fields -------------------------------------------------------------------------------------------
    ("8.2.1", "upper case in a name", lambda c: raw(HEADERS, ES | EH, 1, block(c, GET) + b"\0\3X-A\1b"), MALFORMED),
    ("8.2.1", "empty name", plus((b"", b"x")), MALFORMED),
    ("8.2.1", "space in a name", plus((b"a b", b"x")), MALFORMED),
    ("8.2.1", "colon in a name", plus((b"a:b", b"x")), MALFORMED),
    ("8.2.1", "control in a name", plus((b"a\x01", b"x")), MALFORMED),
    ("8.2.1", "octet above 0x7f in a name", plus((b"a\xe4", b"x")), MALFORMED),
    ("8.2.1", "NUL in a value", plus((b"a", b"x\0y")), MALFORMED),
    ("8.2.1", "line feed in a value", plus((b"a", b"x\ny")), MALFORMED),
    ("8.2.1", "carriage return in a value", plus((b"a", b"x\ry")), MALFORMED),
    ("8.2.1", "space before a value", plus((b"a", b" x")), MALFORMED),
    ("8.2.1", "tab behind a value", plus((b"a", b"x\t")), MALFORMED),
    ("8.2.2", "connection", plus((b"connection", b"close")), MALFORMED),
    ("8.2.2", "keep-alive", plus((b"keep-alive", b"5")), MALFORMED),
    ("8.2.2", "proxy-connection", plus((b"proxy-connection", b"close")), MALFORMED),
    ("8.2.2", "transfer-encoding", plus((b"transfer-encoding", b"chunked")), MALFORMED),
    ("8.2.2", "upgrade", plus((b"upgrade", b"h2c")), MALFORMED),
    ("8.2.2", "te other than trailers", plus((b"te", b"gzip")), MALFORMED),
    # -- 8.3: pseudo-header fields -----------------------------------------------------------------------------
    ("8.3", "unknown pseudo-header field", head(1, [*GET, (b":foo", b"x")]), MALFORMED),
    ("8.3", "response pseudo-header field", head(1, [*GET, (b":status", b"200")]), MALFORMED),
    ("8.3", "pseudo-header field behind others", head(1, [*GET[:-1], (b"a", b"b"), GET[-1]]), MALFORMED),
    ("8.3", "pseudo-header field in trailers", then(OPEN, head(1, [(b":path", b"/")])), MALFORMED),
    ("8.3.1", "no :method", without(b":method"), MALFORMED),
    ("8.3.1", "no :scheme", without(b":scheme"), MALFORMED),
    ("8.3.1", "no :path", without(b":path"), MALFORMED),
    ("8.3.1", "neither :authority nor host", without(b":authority"), MALFORMED),
    ("8.3.1", ":method twice", head(1, [*GET, (b":method", b"GET")]), MALFORMED),
    ("8.3.1", ":path twice", head(1, [*GET, (b":path", b"/")]), MALFORMED),
    ("8.3.1", "empty :path", without(b":path", (b":path", b"")), MALFORMED),
    ("8.3.1", ":path without a slash", without(b":path", (b":path", b"a")), MALFORMED),
    ("8.3.1", ":path with a space", without(b":path", (b":path", b"/a b")), MALFORMED),
    ("8.3.1", ":path with an octet that is no ASCII", without(b":path", (b":path", b"/caf\xe9")), MALFORMED),
    ("8.3.1", ":path with a fragment", without(b":path", (b":path", b"/a#b")), MALFORMED),
    ("8.3.1", "asterisk with GET", without(b":path", (b":path", b"*")), MALFORMED),
    ("8.3.1", "empty :scheme", without(b":scheme", (b":scheme", b"")), MALFORMED),
    ("8.3.1", ":method that is no token", without(b":method", (b":method", b"G T")), MALFORMED),
    ("8.3.1", "user information in :authority", without(b":authority", (b":authority", b"u:p@example.com")), MALFORMED),
    ("8.3.1", "host that differs from :authority", plus((b"host", b"example.org")), MALFORMED),
    ("8.3.1", "host twice", without(b":authority", (b"host", b"example.com"), (b"host", b"example.com")), MALFORMED),
    ("8.5", "CONNECT with :path", head(1, [(b":method", b"CONNECT"), (b":authority", b"a:1"), (b":path", b"/")], EH), MALFORMED),
    ("8.5", "CONNECT with :scheme", head(1, [(b":method", b"CONNECT"), (b":authority", b"a:1"), (b":scheme", b"http")], EH), MALFORMED),
    ("8.5", "CONNECT without :authority", head(1, [(b":method", b"CONNECT"), (b"host", b"a:1")], EH), MALFORMED),
    ("8.5", "CONNECT without a port", head(1, [(b":method", b"CONNECT"), (b":authority", b"a")], EH), MALFORMED),
    ("RFC 8441 4", ":protocol with GET", head(1, [*GET, (b":protocol", b"websocket")]), MALFORMED),
    ("RFC 8441 4", "extended CONNECT without :path",
     head(1, [(b":method", b"CONNECT"), (b":protocol", b"websocket"), GET[1], GET[2]], EH), MALFORMED),
    ("RFC 9218 7.1", "PRIORITY_UPDATE on a stream", frames(raw(UPDATE, 0, 1, word(1) + b"u=1")), ("connection", PROTOCOL)),
    ("RFC 9218 7.1", "PRIORITY_UPDATE of 3 octets", frames(raw(UPDATE, 0, 0, b"\0\0\1")), ("connection", SIZE)),
    ("RFC 9218 7.1", "PRIORITY_UPDATE of stream 0", frames(raw(UPDATE, 0, 0, word(0) + b"u=1")), ("connection", PROTOCOL)),
    ("RFC 9218 7.1", "PRIORITY_UPDATE of a push", frames(raw(UPDATE, 0, 0, word(2) + b"u=1")), ("connection", PROTOCOL)),
    ("RFC 9218 7.1", "PRIORITY_UPDATE that cannot be read", frames(raw(UPDATE, 0, 0, word(1) + b"\xff=;,")), "ignored"),
]  # fmt: skip


def seen(client: RawClient) -> Answer:
    """Classify what the engine answered."""
    frames = client.collect()
    for frame in frames:
        if isinstance(frame, GoAwayFrame):
            [ended] = client.named(ConnectionEnded)
            assert ended.error is not None
            assert ended.error.h2_code == frame.error_code
            return ("connection", frame.error_code)
    for frame in frames:
        if isinstance(frame, RstStreamFrame):
            assert not client.ended
            return ("stream", frame.stream_id, frame.error_code)
    assert all(isinstance(frame, (SettingsFrame, PingFrame)) for frame in frames), frames
    return "ignored"


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize(
    ("section", "script", "answer"), [row[0:1] + row[2:] for row in CASES], ids=[f"{r[0]} {r[1]}" for r in CASES]
)
def test_what_the_rfc_forbids_gets_its_answer(section: str, script: Script, answer: Answer, piece: int) -> None:
    client = RawClient(piece=piece)
    client.give(script(client))
    assert seen(client) == answer
    if answer[0] != "connection":  # the connection still works, and HPACK is in step
        client.headers(21)
        assert [e.stream for e in client.named(RequestReceived)][-1] == 21


# Frames that change nothing; what they are answered with, ``seen`` overlooks.
HARMLESS = st.lists(
    st.one_of(
        st.binary(min_size=8, max_size=8).map(lambda data: raw(PING, 0, 0, data)),
        st.sampled_from(
            [
                raw(SETTINGS, 0, 0), raw(SETTINGS, 0, 0, setting(2, 0) + setting(1, 100)), raw(SETTINGS, 0, 0, setting(0x99, 7)),
                raw(WINDOW, 0, 0, word(9)), raw(PRIORITY, 0, 9, b"\0\0\0\0\x0f"), raw(UPDATE, 0, 0, word(15) + b"u=1"),
            ]
        ),
        st.tuples(st.integers(0x11, 0xFF), st.integers(0, 255), st.binary(max_size=30)).map(
            lambda item: raw(item[0], item[1], 0, item[2])
        ),
    ),
    max_size=6,
).map(b"".join)  # fmt: skip


@settings(max_examples=15 * len(CASES), deadline=None)
@given(st.sampled_from(CASES), HARMLESS, HARMLESS, st.lists(st.integers(1, 60), max_size=40))
def test_what_the_rfc_forbids_gets_its_answer_wherever_it_comes_and_however_it_is_cut(
    case: Tuple[str, str, Script, Answer], before: bytes, behind: bytes, sizes: List[int]
) -> None:
    _, _, script, answer = case
    client = RawClient()
    data = before + script(client)
    if answer[0] == "connection":  # nothing is read any more
        data += behind
    for size in [*sizes, len(data)]:
        client.give(data[:size])
        data = data[size:]
    assert seen(client) == answer


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize(
    ("section", "start"),
    [
        ("3.4", b"GET / HTTP/1.1\r\n\r\n"),
        ("3.4", PREFACE[:-1] + b"x"),
        ("3.4", PREFACE + raw(PING, 0, 0, b"12345678")),
        ("3.4", PREFACE + raw(SETTINGS, 1, 0, b"")),
        ("3.4", PREFACE + raw(HEADERS, ES | EH, 1, b"\x82\x84\x86\x01\x01a")),
    ],
)
def test_a_wrong_preface_ends_the_connection(section: str, start: bytes, piece: int) -> None:
    client = RawClient(piece=piece, preface=False)
    client.give(start)
    client.collect()
    assert client.named(ConnectionEnded)[0].error.h2_code == PROTOCOL


def test_a_stream_beyond_the_maximum_is_refused_and_the_others_go_on() -> None:
    """Section 5.1.2: REFUSED_STREAM says that a retry is safe."""
    client = RawClient(Limits(h2_max_streams=2))
    for stream in (1, 3, 5):
        client.headers(stream)
    [reset] = [f for f in client.collect() if isinstance(f, RstStreamFrame)]
    assert (reset.stream_id, reset.error_code) == (5, REFUSED)
    assert [e.stream for e in client.named(RequestReceived)] == [1, 3]
    client.frame(RST, 0, 1, word(8))
    client.headers(7)
    assert [e.stream for e in client.named(RequestReceived)] == [1, 3, 7]


def test_padding_and_old_priority_in_a_header_block_are_left_out() -> None:
    client = RawClient()
    fields = block(client, GET)
    client.frame(HEADERS, ES | EH | PADDED | PRIO, 1, b"\x05\0\0\0\0\xff" + fields + b"\0" * 5)
    assert client.named(RequestReceived)[0].request.path == b"/"


def test_a_header_block_may_come_in_pieces() -> None:
    client = RawClient()
    fields = block(client, [*GET, (b"a", b"b" * 100)])
    client.frame(HEADERS, ES, 1, fields[:5])
    client.frame(CONTINUATION, 0, 1, fields[5:5])
    client.frame(CONTINUATION, 0, 1, fields[5:50])
    client.frame(CONTINUATION, EH, 1, fields[50:])
    assert client.named(RequestReceived)[0].request.header(b"a") == b"b" * 100


def test_a_ping_is_answered_with_its_octets() -> None:
    client = RawClient()
    client.frame(PING, 0, 0, b"12345678")
    [pong] = client.collect()
    assert isinstance(pong, PingFrame)
    assert pong.opaque_data == b"12345678"
    assert "ACK" in pong.flags


def test_options_may_ask_for_the_server_itself() -> None:
    client = RawClient()
    client.headers(1, [(b":method", b"OPTIONS"), *GET[1:-1], (b":path", b"*")])
    assert client.named(RequestReceived)[0].request.path == b"*"


def test_a_host_field_stands_in_for_authority() -> None:
    client = RawClient()
    client.headers(1, [*GET[:2], GET[3], (b"host", b"example.com")])
    request = client.named(RequestReceived)[0].request
    assert request.authority == b"example.com"
    assert request.headers == [(b"host", b"example.com")]
