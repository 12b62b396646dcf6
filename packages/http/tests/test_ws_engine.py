"""A WebSocket's life: messages, control frames, errors by their close codes, and time."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from server_http.errors import ApplicationFault
from server_http.limits import Limits
from server_http.ws.deflate import Deflate
from server_http.ws.engine import PONGS_MAX, Closed, WebSocket
from server_http.ws.frames import frame, unmask

LIMITS = Limits(ws_message=1000, ws_ping_interval=20.0, ws_ping_timeout=10.0, ws_close_timeout=5.0)
MASK = b"\x11\x92\x03\xf4"
PIECES = [0, 1, 3]


def masked(first: int, payload: bytes = b"", length: Optional[bytes] = None, mask: bytes = MASK) -> bytes:
    """Return a client's frame, right or wrong."""
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes((0x80 | size,))
        elif size < 65536:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
    return bytes((first,)) + length + mask + bytes(octet ^ mask[i & 3] for i, octet in enumerate(payload))


def feed(socket: WebSocket, data: bytes, piece: int = 0, now: float = 0.0) -> List[Any]:
    """Give octets in pieces; ``Closed`` as a tuple, so that it compares."""
    size = piece or len(data) or 1
    events: List[Any] = []
    for at in range(0, len(data), size):
        events += socket.receive_data(data[at : at + size], now)
    return [shown(event) for event in events]


def shown(event: Any) -> Any:
    return (event.code, event.reason) if isinstance(event, Closed) else event


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(0x88, code.to_bytes(2, "big") + reason)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 999])
def test_messages_arrive_whole_whatever_their_size(size: int, piece: int) -> None:
    socket = WebSocket(LIMITS, 0.0)
    data = masked(0x81, b"t" * size) + masked(0x82, b"\xff" * size) + masked(0x81, b"last")
    assert feed(socket, data, piece) == ["t" * size, b"\xff" * size, "last"]
    assert socket.take() == b""


def test_a_large_message_has_the_longest_header() -> None:
    socket = WebSocket(Limits(), 0.0)
    assert feed(socket, masked(0x82, b"x" * 70000), 1000) == [b"x" * 70000]
    assert socket.send_bytes(b"y" * 70000)[:10] == b"\x82\x7f" + (70000).to_bytes(8, "big")


@pytest.mark.parametrize("piece", PIECES)
def test_fragments_become_one_message_and_control_frames_may_stand_between(piece: int) -> None:
    socket = WebSocket(LIMITS, 0.0)
    data = (
        masked(0x01, "hä".encode()[:2]) + masked(0x89, b"are you there") + masked(0x00, "hä".encode()[2:])
        + masked(0x8A) + masked(0x80, b"!") + masked(0x02, b"a") + masked(0x00, b"") + masked(0x80, b"b")
    )  # fmt: skip
    assert feed(socket, data, piece) == ["hä!", b"ab"]
    assert socket.take() == frame(0x8A, b"are you there")


ERRORS: List[Tuple[str, bytes, int]] = [
    ("frame without a mask", b"\x81\x03abc", 1002),
    ("RSV1 without compression", masked(0xC1, b"x"), 1002),
    ("RSV2", masked(0xA1, b"x"), 1002),
    ("RSV3", masked(0x91, b"x"), 1002),
    ("RSV1 on a control frame", masked(0xC9, b"x"), 1002),
    ("unknown data opcode", masked(0x83, b"x"), 1002),
    ("unknown control opcode", masked(0x8B, b"x"), 1002),
    ("continuation of nothing", masked(0x80, b"x"), 1002),
    ("new message within a message", masked(0x01, b"x") + masked(0x81, b"y"), 1002),
    ("fragmented control frame", masked(0x09, b"x"), 1002),
    ("control frame of 126 octets", masked(0x89, b"x" * 126), 1002),
    ("length of 16 bits that fits in 7", masked(0x82, b"x", b"\xfe\0\1"), 1002),
    ("length of 64 bits that fits in 16", masked(0x82, b"x", b"\xff" + (1).to_bytes(8, "big")), 1002),
    ("length above 2^63", masked(0x82, b"x", b"\xff" + (1 << 63).to_bytes(8, "big")), 1002),
    ("text that is no UTF-8", masked(0x81, b"\xff"), 1007),
    ("text that ends within a character", masked(0x81, "ä".encode()[:1]), 1007),
    ("surrogate in text", masked(0x81, b"\xed\xa0\x80"), 1007),
    ("wrong octet in the first fragment of a text", masked(0x01, b"abc\xff"), 1007),
    ("wrong octet in a later fragment", masked(0x01, b"abc") + masked(0x00, b"\xc3\x28"), 1007),
    ("wrong octet in a frame that is incomplete", masked(0x81, b"ab\xff" + b"x" * 500)[:20], 1007),
    ("message that is too large", masked(0x82, b"x" * 1001)[:8], 1009),
    ("short message that is too large in fragments", masked(0x02, b"x" * 990) + masked(0x80, b"x" * 11), 1009),
    ("close with one octet", masked(0x88, b"\x03"), 1002),
    ("close with 999", masked(0x88, (999).to_bytes(2, "big")), 1002),
    ("close with 1004", masked(0x88, (1004).to_bytes(2, "big")), 1002),
    ("close with 1005", masked(0x88, (1005).to_bytes(2, "big")), 1002),
    ("close with 1006", masked(0x88, (1006).to_bytes(2, "big")), 1002),
    ("close with 1015", masked(0x88, (1015).to_bytes(2, "big")), 1002),
    ("close with 2999", masked(0x88, (2999).to_bytes(2, "big")), 1002),
    ("close with 5000", masked(0x88, (5000).to_bytes(2, "big")), 1002),
    ("close reason that is no UTF-8", masked(0x88, b"\x03\xe8\xff"), 1007),
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(("data", "code"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS])
def test_what_the_rfc_forbids_fails_the_connection(data: bytes, code: int, piece: int) -> None:
    socket = WebSocket(LIMITS, 0.0)
    events = feed(socket, masked(0x81, b"before") + data, piece)
    assert events == ["before", (code, "")]
    assert socket.take() == close_frame(code)
    assert socket.ended
    assert feed(socket, masked(0x81, b"after")) == []
    assert socket.deadline() is None


CHOPS = st.lists(st.integers(1, 50), max_size=60)
# What may precede an error: octets, and the messages in them.
HARMLESS = st.lists(
    st.one_of(
        st.binary(max_size=300).map(lambda data: (masked(0x82, data), [data])),
        st.text(max_size=60).map(lambda text: (masked(0x81, text.encode()), [text])),
        st.binary(max_size=125).map(lambda data: (masked(0x89, data), [])),
        st.binary(max_size=125).map(lambda data: (masked(0x8A, data), [])),
        st.lists(st.binary(max_size=40), min_size=1, max_size=4).map(
            lambda parts: (
                masked(0x02) + b"".join(masked(0x00, part) + masked(0x89, b"?") for part in parts) + masked(0x80),
                [b"".join(parts)],
            )
        ),
    ),
    max_size=6,
)


@settings(max_examples=40 * len(ERRORS), deadline=None)
@given(st.sampled_from(ERRORS), HARMLESS, st.binary(max_size=20), CHOPS)
def test_what_the_rfc_forbids_fails_wherever_it_comes_and_however_it_is_cut(
    case: Tuple[str, bytes, int], before: List[Tuple[bytes, List[Any]]], behind: bytes, sizes: List[int]
) -> None:
    _, data, code = case
    socket = WebSocket(LIMITS, 0.0)
    events: List[Any] = []
    for piece in chop(b"".join(octets for octets, _ in before) + data + behind, sizes):
        events += [shown(event) for event in socket.receive_data(piece, 0.0)]
    assert events == [*(message for _, messages in before for message in messages), (code, "")]
    assert socket.take().endswith(close_frame(code))
    assert socket.ended


def test_fragments_take_the_room_of_their_content() -> None:
    socket = WebSocket(Limits(), 0.0)
    feed(socket, masked(0x01, b"") + masked(0x00, b"ab") * 10)
    tiny = masked(0x00, b"") * 5000 + masked(0x00, b"ab") * 5000
    tracemalloc.start()
    try:
        for _ in range(4):
            assert feed(socket, tiny) == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 300_000
    assert feed(socket, masked(0x80, b"")) == ["ab" * 20_010]


def test_of_many_pings_at_once_some_and_the_last_are_answered() -> None:
    socket = WebSocket(LIMITS, 0.0)
    feed(socket, b"".join(masked(0x89, b"%06d" % number) for number in range(10_000)))
    pongs = socket.take()
    assert len(pongs) < 2 * PONGS_MAX
    assert pongs.startswith(frame(0x8A, b"000000") + frame(0x8A, b"000001"))
    assert pongs.endswith(frame(0x8A, b"009999"))
    assert socket.take() == b""


def test_nothing_is_said_behind_the_answer_to_a_close() -> None:
    socket = WebSocket(LIMITS, 0.0)
    feed(socket, masked(0x89, b"x" * 100) * 100 + masked(0x88, (1000).to_bytes(2, "big")))
    assert socket.take().endswith(close_frame(1000))
    assert socket.take() == b""


def test_messages_before_an_error_in_the_same_octets_are_not_lost() -> None:
    socket = WebSocket(LIMITS, 0.0)
    assert feed(socket, masked(0x81, b"one") + masked(0x82, b"two") + b"\x81\x01x") == ["one", b"two", (1002, "")]


# -- closing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1014, 3000, 4999])
def test_a_close_of_the_peer_is_answered_with_its_code(code: int, piece: int) -> None:
    socket = WebSocket(LIMITS, 0.0)
    payload = code.to_bytes(2, "big") + "tschüß".encode()
    assert feed(socket, masked(0x88, payload), piece) == [(code, "tschüß")]
    assert socket.take() == frame(0x88, payload)
    assert socket.ended
    assert socket.send_text("too late") == b""
    assert socket.close(0.0) == b""


def test_a_close_without_a_code_is_1005() -> None:
    socket = WebSocket(LIMITS, 0.0)
    assert feed(socket, masked(0x88)) == [(1005, "")]
    assert socket.take() == frame(0x88, b"")


def test_our_close_waits_for_the_peers() -> None:
    socket = WebSocket(LIMITS, 0.0)
    assert socket.close(1.0, 4000, "done") == close_frame(4000, b"done")
    assert not socket.ended
    assert socket.deadline() == 6.0
    # What was on its way is discarded, pings are not answered any more.
    assert feed(socket, masked(0x81, b"late") + masked(0x89, b"?") + masked(0x88, b"\x0f\xa0done")) == [(4000, "done")]
    assert socket.take() == b""
    assert socket.ended


def test_a_peer_that_answers_no_close_is_left() -> None:
    socket = WebSocket(LIMITS, 0.0)
    socket.close(1.0)
    assert socket.handle_timer(5.9) == []
    assert [shown(e) for e in socket.handle_timer(6.0)] == [(1006, "")]
    assert socket.ended
    assert socket.handle_timer(100.0) == []


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_must_not_be_sent_is_the_applications_fault(code: int) -> None:
    with pytest.raises(ApplicationFault):
        WebSocket(LIMITS, 0.0).close(0.0, code)


def test_a_reason_is_cut_at_a_whole_character() -> None:
    payload = WebSocket(LIMITS, 0.0).close(0.0, 1000, "ä" * 100)[2:]
    assert payload[2:].decode() == "ä" * 61


def test_the_end_of_the_stream_without_close_is_1006() -> None:
    socket = WebSocket(LIMITS, 0.0)
    feed(socket, masked(0x01, b"half"))
    assert [shown(e) for e in socket.receive_eof(1.0)] == [(1006, "")]
    assert socket.receive_eof(1.0) == []
    assert socket.ended


def test_a_lone_surrogate_in_text_is_the_applications_fault() -> None:
    with pytest.raises(ApplicationFault):
        WebSocket(LIMITS, 0.0).send_text("\ud800")


def test_subclasses_of_text_and_bytes_and_buffers_are_taken() -> None:
    class Text(str):
        pass

    class Octets(bytes):
        pass

    socket = WebSocket(LIMITS, 0.0)
    assert socket.send_text(Text("a")) == b"\x81\x01a"
    for data in (Octets(b"a"), bytearray(b"a"), memoryview(b"a")):
        assert socket.send_bytes(data) == b"\x82\x01a"  # type: ignore[arg-type]
    assert socket.receive_data(bytearray(masked(0x81, b"x")), 0.0) == ["x"]  # type: ignore[arg-type]


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_silent_peer_is_pinged_and_then_failed() -> None:
    socket = WebSocket(LIMITS, 0.0)
    assert socket.deadline() == 20.0
    assert socket.handle_timer(20.0) == []
    assert socket.take() == frame(0x89, b"")
    assert socket.deadline() == 30.0
    assert [shown(e) for e in socket.handle_timer(30.0)] == [(1011, "")]
    assert socket.take() == close_frame(1011)
    assert socket.ended


def test_anything_that_is_heard_keeps_a_connection_alive() -> None:
    socket = WebSocket(LIMITS, 0.0)
    socket.handle_timer(20.0)
    socket.take()
    feed(socket, masked(0x8A), now=29.0)
    assert socket.deadline() == 40.0
    feed(socket, masked(0x81, b"x"), now=39.0)
    assert socket.handle_timer(40.0) == []
    assert socket.take() == b""  # it was heard a second ago
    assert socket.deadline() == 59.0


def test_without_intervals_there_are_no_timers() -> None:
    socket = WebSocket(Limits(ws_ping_interval=0.0), 0.0)
    assert socket.deadline() is None


def test_pings_without_a_timeout_never_fail_a_connection() -> None:
    socket = WebSocket(Limits(ws_ping_interval=5.0, ws_ping_timeout=0.0), 0.0)
    for now in (5.0, 10.0, 15.0):
        assert socket.handle_timer(now) == []
    assert socket.take() == frame(0x89, b"") * 3


# -- compression --------------------------------------------------------------------------------------------------


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def agreed(server_fresh: bool = False, client_fresh: bool = True) -> Deflate:
    return Deflate(12, 15, server_fresh, client_fresh, False)


@pytest.mark.parametrize("piece", PIECES)
def test_compressed_messages_are_inflated_in_fragments_too(piece: int) -> None:
    text = "grün " * 100
    data = deflated(text.encode())
    socket = WebSocket(LIMITS, 0.0, agreed())
    octets = masked(0xC1, data) + masked(0x41, data[:5]) + masked(0x00, data[5:9]) + masked(0x80, data[9:])
    assert feed(socket, octets + masked(0x81, b"plain") + masked(0xC1, b"\x00"), piece) == [text, text, "plain", ""]


@pytest.mark.parametrize("piece", PIECES)
def test_a_message_is_inflated_no_further_than_its_limit(piece: int) -> None:
    bomb = deflated(bytes(50 << 20))[:900]
    socket = WebSocket(LIMITS, 0.0, agreed())
    assert feed(socket, masked(0xC2, bomb), piece) == [(1009, "")]


def test_a_message_of_exactly_the_limit_passes_and_one_octet_more_does_not() -> None:
    socket = WebSocket(LIMITS, 0.0, agreed())
    assert feed(socket, masked(0xC2, deflated(b"x" * 1000))) == [b"x" * 1000]
    split = deflated(b"x" * 1000)
    assert feed(socket, masked(0x42, split) + masked(0x80, b"")) == [b"x" * 1000]
    assert feed(socket, masked(0xC2, deflated(b"x" * 1001))) == [(1009, "")]


def test_a_final_block_ends_a_message_and_not_the_compression() -> None:
    """The example of RFC 7692 section 7.2.3.4, twice."""
    socket = WebSocket(LIMITS, 0.0, agreed(client_fresh=False))
    final = bytes.fromhex("f348cdc9c9070000")
    assert feed(socket, masked(0xC1, final) * 2 + masked(0xC1, deflated(b"more"))) == ["Hello", "Hello", "more"]


@pytest.mark.parametrize(
    "start", [b"", bytes.fromhex("f348cdc9c90700")], ids=["empty blocks", "behind the final block"]
)
def test_compressed_octets_that_come_to_nothing_are_bounded(start: bytes) -> None:
    socket = WebSocket(LIMITS, 0.0, agreed(client_fresh=False))
    assert feed(socket, masked(0x41, start)) == []
    events: List[Any] = []
    for _ in range(100):
        events += feed(socket, masked(0x00, b"\0\0\0\xff\xff" * 20))
    assert events == [(1009, "")]


def test_octets_that_are_not_deflated_fail_the_connection() -> None:
    socket = WebSocket(LIMITS, 0.0, agreed())
    assert feed(socket, masked(0xC2, b"\xff\xff\xff\xff")) == [(1002, "")]


def test_text_is_checked_behind_compression() -> None:
    socket = WebSocket(LIMITS, 0.0, agreed())
    assert feed(socket, masked(0xC1, deflated(b"abc\xff"))) == [(1007, "")]


def test_short_messages_go_out_as_they_are() -> None:
    socket = WebSocket(LIMITS, 0.0, agreed())
    assert socket.send_text("short") == b"\x81\x05short"
    assert socket.send_text("long " * 100)[0] == 0xC1


@pytest.mark.parametrize("server_fresh", [True, False])
@pytest.mark.parametrize("client_fresh", [True, False])
def test_websockets_understands_our_compression_and_we_its(server_fresh: bool, client_fresh: bool) -> None:
    socket = WebSocket(LIMITS, 0.0, agreed(server_fresh, client_fresh))
    peer = Protocol(Side.CLIENT, state=OPEN)
    peer.extensions = [PerMessageDeflate(server_fresh, client_fresh, 12, 15)]
    for text in ("hello " * 50, "x" * 900, "hello " * 50, "short", ""):
        peer.receive_data(socket.send_text(text))
        [got] = peer.events_received()
        assert isinstance(got, Frame)
        assert got.data.decode() == text
        peer.send_text(text.encode())
        assert feed(socket, b"".join(peer.data_to_send())) == [text]


# -- the same as others -------------------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.one_of(st.text(max_size=300), st.binary(max_size=300), st.tuples(st.just("ping"), st.binary(max_size=125))),
    max_size=8,
)


def chop(data: bytes, sizes: List[int]) -> List[bytes]:
    pieces, at = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[at : at + size])
        at += size
    return pieces


@settings(max_examples=100, deadline=None)
@given(MESSAGES, CHOPS)
def test_what_wsproto_sends_we_read_and_it_reads_what_we_send(messages: List[Any], sizes: List[int]) -> None:
    peer, socket = Connection(ConnectionType.CLIENT), WebSocket(Limits(), 0.0)
    data, expected, pongs = b"", [], b""
    for message in messages:
        if isinstance(message, str):
            data += peer.send(TextMessage(data=message))
            expected.append(message)
        elif isinstance(message, bytes):
            data += peer.send(BytesMessage(data=message))
            expected.append(message)
        else:
            data += peer.send(Ping(payload=message[1]))
            pongs += frame(0x8A, message[1])
    got: List[Any] = []
    for piece in chop(data, sizes):
        got += socket.receive_data(piece, 0.0)
    assert got == expected
    assert socket.take() == pongs
    back = b"".join(socket.send_text(m) if isinstance(m, str) else socket.send_bytes(m) for m in expected)
    for piece in chop(back + socket.close(0.0, 4001, "bye"), sizes):
        peer.receive_data(piece)
    seen = list(peer.events())
    closed = seen.pop()
    assert isinstance(closed, CloseConnection)
    assert (closed.code, closed.reason) == (4001, "bye")
    assert joined(seen) == expected


def joined(events: List[Any]) -> List[Any]:
    """Put messages together that were reported in pieces."""
    messages: List[Any] = []
    finished = True
    for event in events:
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        if finished:
            messages.append(data)
        else:
            messages[-1] += data
        finished = event.message_finished
    return messages


FRAMES = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, 0x83, 0xC1, 0x09]),
            st.one_of(st.binary(max_size=140), st.sampled_from([b"\x03\xe8", b"\x03\xe8ok", b"\x0b\xb8", b"\xc3"])),
        ).map(lambda item: masked(*item)),
        st.binary(max_size=6),
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(FRAMES)
def test_frames_of_any_kind_are_judged_as_websockets_judges_them(data: bytes) -> None:
    """Where both see a whole message it is the same, and what websockets refuses is refused with its code."""
    peer = Protocol(Side.SERVER, state=OPEN, max_size=1000)
    peer.receive_data(data)
    theirs = [event for event in peer.events_received() if isinstance(event, Frame)]
    socket = WebSocket(Limits(ws_message=1000), 0.0)
    ours = feed(socket, data)
    closed = [event for event in ours if isinstance(event, tuple)]
    messages = [event for event in ours if not isinstance(event, tuple)]
    complete = whole_messages(theirs)
    assert messages == complete[: len(messages)]
    if peer.parser_exc is not None:
        assert closed
    if not closed:
        assert messages == complete


def whole_messages(frames: List[Frame]) -> List[Any]:
    """Put the frames of messages together, as far as they are valid text."""
    messages: List[Any] = []
    parts, text = b"", False
    for item in frames:
        if item.opcode in (Opcode.TEXT, Opcode.BINARY):
            parts, text = bytes(item.data), item.opcode is Opcode.TEXT
        elif item.opcode is Opcode.CONT:
            parts += bytes(item.data)
        else:
            continue
        if item.fin:
            try:
                messages.append(parts.decode() if text else parts)
            except UnicodeDecodeError:
                break
    return messages


@settings(max_examples=300, deadline=None)
@given(FRAMES, CHOPS, st.booleans())
def test_octets_of_any_kind_never_raise_and_pieces_make_no_difference(
    data: bytes, sizes: List[int], deflate: bool
) -> None:
    whole = WebSocket(Limits(ws_message=500), 0.0, agreed() if deflate else None)
    parts = WebSocket(Limits(ws_message=500), 0.0, agreed() if deflate else None)
    first = feed(whole, data)
    second: List[Any] = []
    for piece in chop(data, sizes):
        second += [shown(e) for e in parts.receive_data(piece, 0.0)]
    assert first == second
    assert whole.take() == parts.take()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.binary(min_size=4, max_size=4), st.integers(0, 9), st.integers(0, 10))
def test_unmasking_is_xor_with_the_mask_repeated(data: bytes, mask: bytes, start: int, phase: int) -> None:
    size = max(0, len(data) - start)
    expected = bytes(data[start + i] ^ mask[(phase + i) % 4] for i in range(size))
    assert unmask(data, start, size, mask, phase) == expected


def test_a_peer_that_is_not_read_owes_no_answer() -> None:
    socket = WebSocket(LIMITS, 0.0)
    assert socket.handle_timer(20.0) == []
    assert socket.take() == frame(0x89, b"")
    socket.excuse()
    assert socket.handle_timer(30.0) == []
    assert socket.handle_timer(40.0) == []
    assert socket.take() == frame(0x89, b"")  # asked again
    assert [shown(e) for e in socket.handle_timer(50.0)] == [(1011, "")]
