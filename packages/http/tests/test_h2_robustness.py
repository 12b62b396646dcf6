"""Octets and frames of any kind: never an exception, never more memory than the limits say."""

from __future__ import annotations

from typing import Any, List, Tuple

from hpack import Encoder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server_http.errors import StateError
from server_http.events import BodyReceived, ConnectionEnded, RequestReceived, StreamClosed, StreamReset
from server_http.limits import Limits
from support.http2 import GET, POST, PREFACE, connect, octets, raw

LIMITS = Limits(h2_max_streams=5, h2_header_list=2000, h2_control_frames=100, h2_resets=10)

STREAMS = st.sampled_from([0, 1, 1, 1, 3, 5, 7, 9, 2, 4, (1 << 31) - 1])
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"", b"\0\0\0\0", b"\0\0\0\x08", b"\x7f\xff\xff\xff", b"12345678", b"\0\4\0\0\0\0", b"\0\0\0\1u=1, i"]
    ),
    st.just(b"x" * 16384),
    st.just(b"x" * 16385),
)
BLOCKS = st.lists(
    st.one_of(
        st.sampled_from([*GET, *POST, (b"content-length", b"3"), (b"cookie", b"a"), (b":protocol", b"websocket")]),
        st.tuples(st.binary(max_size=8), st.binary(max_size=8)),
    ),
    max_size=8,
).map(lambda fields: Encoder().encode(fields))
VALID = st.sampled_from([GET, POST, [(b":method", b"CONNECT"), (b":authority", b"a:1")]]).map(
    lambda fields: Encoder().encode(fields, huffman=False)
)
FRAMES = st.one_of(
    st.tuples(st.integers(0, 0x12), st.integers(0, 255), STREAMS, PAYLOADS),
    st.tuples(st.just(1), st.sampled_from([0, 1, 4, 5, 12, 36]), STREAMS, st.one_of(BLOCKS, VALID)),
    st.tuples(st.just(1), st.sampled_from([4, 5]), st.sampled_from([1, 3, 5, 7, 9, 11, 13]), VALID),
    st.tuples(st.just(0), st.sampled_from([0, 1]), st.sampled_from([1, 3, 5, 7]), PAYLOADS),
)
ACTIONS = st.sampled_from(["respond", "send", "end", "reset", "consume", "inform", "flush", "drain", "time", "nothing"])


class Driver:
    """Drives an engine as its contract says, and checks what the contract promises."""

    def __init__(self) -> None:
        self.engine = connect(LIMITS)
        self.now = 0.0
        self.live: List[int] = []
        self.held = 0
        self.over = False

    def take(self, events: Any) -> None:
        for event in events:
            kind = type(event)
            assert not self.over or kind in (StreamClosed, StreamReset), event
            if kind is RequestReceived:
                assert event.stream not in self.live
                self.live.append(event.stream)
                assert len(self.live) <= 2 * LIMITS.h2_max_streams
            elif kind is StreamClosed:
                self.live.remove(event.stream)
            elif kind is BodyReceived:
                assert event.stream in self.live
                self.held += event.credit
            elif kind is ConnectionEnded:
                self.over = True

    def feed(self, data: bytes) -> None:
        self.take(self.engine.receive_data(data, self.now))

    def act(self, action: str) -> None:
        engine, now = self.engine, self.now
        if action == "flush":
            out = octets(engine.segments())
            engine.sent(len(out))
        elif action == "drain":
            engine.drain(now)
        elif action == "time":
            self.now += 7.0
            self.take(engine.handle_timer(self.now))
        else:
            for stream in self.live[:2]:
                self.command(action, stream)
        self.take(engine.advance(self.now))
        at = engine.deadline()
        assert at is None or at >= 0

    def command(self, action: str, stream: int) -> None:
        engine, now = self.engine, self.now
        try:
            if action == "respond":
                engine.respond(stream, 200, [(b"x", b"y")], now)
            elif action == "send":
                engine.send(stream, b"d" * 5000, now)
            elif action == "end":
                engine.end(stream, now, [(b"t", b"1")])
            elif action == "inform":
                engine.inform(stream, 103, [(b"link", b"x")], now)
            elif action == "reset":
                engine.reset(stream, 2, now)
            elif action == "consume":
                engine.consumed(stream, 1)
        except StateError:
            return  # a driver keeps the order; this one does not


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(FRAMES, ACTIONS), max_size=40))
def test_frames_and_commands_of_any_kind_never_raise(steps: List[Any]) -> None:
    driver = Driver()
    driver.feed(PREFACE + raw(4, 0, 0))
    for step in steps:
        if isinstance(step, str):
            driver.act(step)
        else:
            driver.feed(raw(*step))
    driver.act("flush")
    if driver.over:
        assert not driver.engine.want_read()
    assert len(octets(driver.engine.segments())) <= 2 * LIMITS.send_high_water


@settings(max_examples=150, deadline=None)
@example([(7, 0, 0, b"\0" * 8), (1, 0, 0, b"")], [10, 40])
@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 40), max_size=200))
def test_pieces_make_no_difference(steps: List[Tuple[int, int, int, bytes]], sizes: List[int]) -> None:
    data = PREFACE + raw(4, 0, 0) + b"".join(raw(*step) for step in steps)
    whole, parts = Driver(), Driver()
    first = [describe(e) for e in whole.engine.receive_data(data, 0.0)]
    second: List[Any] = []
    at = 0
    for size in [*sizes, len(data)]:
        second += [describe(e) for e in parts.engine.receive_data(data[at : at + size], 0.0)]
        at += size
    assert first == second
    assert octets(whole.engine.segments()) == octets(parts.engine.segments())


def describe(event: Any) -> Any:
    data = getattr(event, "data", None)
    return type(event), getattr(event, "stream", None), data, str(getattr(event, "error", ""))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_octets_of_any_kind_never_raise(data: bytes, prefaced: bool) -> None:
    driver = Driver()
    driver.feed((PREFACE + raw(4, 0, 0) if prefaced else b"") + data)
    driver.act("flush")
    driver.take(driver.engine.receive_eof(0.0))
    driver.act("flush")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=5))
def test_blocks_of_any_kind_never_raise(blocks: List[bytes]) -> None:
    driver = Driver()
    driver.feed(PREFACE + raw(4, 0, 0))
    for index, block in enumerate(blocks):
        driver.feed(raw(1, 5, 2 * index + 1, block))
    driver.act("flush")
