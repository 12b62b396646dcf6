"""Floods: each is bounded by a limit with a name and answered with ENHANCE_YOUR_CALM; honest use is not."""

from __future__ import annotations

from typing import Any, Callable, List

import pytest
from hyperframe.frame import GoAwayFrame

from server_http.errors import TooMuchAbuse
from server_http.events import ConnectionEnded
from server_http.h2.guard import FREE_PER_REQUEST, FloodGuard
from server_http.limits import Limits
from support.http2 import GET, POST, Client, RawClient, raw

CALM = 11
LIMITS = Limits(h2_resets=20, h2_control_frames=50, h2_continuations=4, h2_header_list=4000, flood_interval=10.0)


def rapid_reset(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number)
        client.frame(3, 0, number, (8).to_bytes(4, "big"))


def made_to_reset(client: RawClient) -> None:
    """CVE-2025-8671: the peer makes the server reset, so that it never has to itself."""
    for number in range(1, 2001, 2):
        client.headers(number)
        client.frame(8, 0, number, b"\0\0\0\0")


def malformed_requests(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number, [*GET, (b"connection", b"close")])


def window_overflows(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number)
        client.frame(8, 0, number, b"\x7f\xff\xff\xff")


def content_on_half_closed(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number)
        client.frame(0, 1, number, b"x")


def heads_on_half_closed(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number)
        client.headers(number)


def content_beyond_its_length(client: RawClient) -> None:
    for number in range(1, 2001, 2):
        client.headers(number, [*POST, (b"content-length", b"1")], end=False)
        client.frame(0, 0, number, b"xy")


def refused_streams(client: RawClient) -> None:
    for number in range(1, 4001, 2):
        client.headers(number, POST, end=False)


def many_settings(client: RawClient) -> None:
    client.frame(4, 0, 0, b"".join(number.to_bytes(2, "big") + b"\0\0\0\1" for number in range(0x100, 0x200)))


def opened_octet_by_octet(client: RawClient) -> None:
    """CVE-2019-9511: each window update lets the server send one octet."""
    client.frame(4, 0, 0, b"\0\4\0\0\0\0")
    client.headers(1)
    client.engine.respond(1, 200, [], client.now)
    client.engine.send(1, b"x" * 10000, client.now)
    for _ in range(1000):
        client.collect()
        client.frame(8, 0, 1, b"\0\0\0\1")


def repeat(frame: bytes, opened: bool = False) -> Callable[[RawClient], None]:
    def flood(client: RawClient) -> None:
        if opened:
            client.headers(1, POST, end=False)
        for _ in range(1000):
            client.give(frame)

    return flood


def continuations(client: RawClient) -> None:
    client.frame(1, 1, 1, b"")
    for _ in range(1000):
        client.frame(9, 0, 1, b"")


def large_block(client: RawClient) -> None:
    client.frame(1, 1, 1, b"\0" * 2000)
    client.frame(9, 0, 1, b"\0" * 2001)


def hpack_bomb(client: RawClient) -> None:
    """A large entry in the table, then one octet for each copy of it."""
    block = client.encoder.encode([*GET, (b"a", b"b" * 3000)])
    client.frame(1, 5, 1, block + b"\xbe" * 200)


def data_of_closed_streams(client: RawClient) -> None:
    client.headers(1, POST, end=False)
    client.frame(3, 0, 1, (8).to_bytes(4, "big"))
    for _ in range(1000):
        client.frame(0, 0, 1, b"x")


FLOODS: List[Any] = [
    rapid_reset,
    made_to_reset,
    malformed_requests,
    window_overflows,
    continuations,
    large_block,
    hpack_bomb,
    content_on_half_closed,
    heads_on_half_closed,
    content_beyond_its_length,
    refused_streams,
    many_settings,
    opened_octet_by_octet,
    data_of_closed_streams,
    pytest.param(repeat(raw(6, 0, 0, b"12345678")), id="ping"),
    pytest.param(repeat(raw(6, 1, 0, b"12345678")), id="ping_acknowledgements"),
    pytest.param(repeat(raw(4, 0, 0, b"\0\3\0\0\0\1")), id="settings"),
    pytest.param(repeat(raw(4, 1, 0)), id="settings_acknowledgements"),
    pytest.param(repeat(raw(0, 0, 1), opened=True), id="empty_data"),
    pytest.param(repeat(raw(0, 8, 1, b"\0"), opened=True), id="empty_data_with_a_pad_length"),
    pytest.param(repeat(raw(0, 8, 1, b"\3\0\0\0"), opened=True), id="padding_alone"),
    pytest.param(repeat(raw(0, 0, 1, b"x") + raw(6, 0, 0, b"12345678"), opened=True), id="ping_behind_each_octet"),
    pytest.param(repeat(raw(7, 0, 0, b"\0" * 8), opened=True), id="goaway"),
    pytest.param(repeat(raw(2, 0, 1, b"\0\0\0\0\x0f")), id="priority"),
    pytest.param(repeat(raw(0x10, 0, 0, b"\0\0\0\1u=1")), id="priority_updates"),
    pytest.param(repeat(raw(8, 0, 0, b"\0\0\0\1")), id="window_updates"),
    pytest.param(repeat(raw(0x55, 0, 0, b"")), id="unknown_frames"),
]


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_in_enhance_your_calm(flood: Callable[[RawClient], None], piece: int) -> None:
    client = RawClient(LIMITS, piece=piece)
    flood(client)
    [ended] = client.named(ConnectionEnded)
    assert isinstance(ended.error, TooMuchAbuse) or ended.error.h2_code == CALM
    client.collect()
    assert [f.error_code for f in client.frames if isinstance(f, GoAwayFrame)] == [CALM]
    assert len(client.engine._output.segments()) == 0


def test_settings_nobody_knows_are_not_kept() -> None:
    client = RawClient()
    for start in range(0x100, 0x100 + 32 * 500, 32):
        entries = [number.to_bytes(2, "big") + b"\0\0\0\1" for number in range(start, start + 32)]
        client.frame(4, 0, 0, b"".join(entries))
        client.collect()
    assert not client.ended
    assert len(client.engine._session._connection.remote_settings) < 10


@pytest.mark.parametrize("piece", [0, 1])
def test_a_slow_stream_of_the_same_frames_is_no_flood(piece: int) -> None:
    client = RawClient(LIMITS, piece=piece)
    for number in range(1, 401, 2):
        client.now += 2.0
        client.headers(number)
        client.frame(3, 0, number, (8).to_bytes(4, "big"))
        for _ in range(5):
            client.frame(6, 0, 0, b"12345678")
        client.collect()
    assert not client.ended


def test_a_busy_honest_client_is_no_flood() -> None:
    """Window updates and pings that requests and responses explain do not count against it."""
    client = Client(Limits(h2_control_frames=50))
    client.run()
    for number in range(1, 401, 2):
        client.request(number)
        client.run()
        client.engine.respond(number, 200, [], 0.0)
        client.engine.send(number, b"d" * 30000, 0.0)
        client.engine.end(number, 0.0)
        client.run()
        client.credit(15000)
        client.credit(15000)
        client.h2.ping(b"12345678")
        client.run()
    assert not client.ended


def test_the_header_list_has_no_bound_when_the_limit_is_zero() -> None:
    client = RawClient(Limits(h2_header_list=0, header_count=0))
    client.headers(1, [*GET, *[(b"x-%d" % n, b"v" * 100) for n in range(140)]])
    assert not client.ended


def test_the_guard_names_both_numbers() -> None:
    guard = FloodGuard(Limits(h2_resets=2, h2_control_frames=3, flood_interval=10.0))
    guard.reset(0.0)
    guard.reset(0.0)
    with pytest.raises(TooMuchAbuse, match=r"at most 2 in 10 s, got 3"):
        guard.reset(9.9)
    for _ in range(3):
        guard.control(0.0, "PING")
    with pytest.raises(TooMuchAbuse, match=r"at most 3 in 10 s, got 4 \(last a PING\)"):
        guard.control(0.0, "PING")


def test_the_budgets_begin_anew_after_the_interval() -> None:
    guard = FloodGuard(Limits(h2_resets=2, h2_control_frames=3, flood_interval=10.0))
    for second in range(0, 100, 10):
        guard.reset(second)
        guard.reset(second)
        for _ in range(3):
            guard.control(second, "PING")


def test_work_explains_control_frames() -> None:
    guard = FloodGuard(Limits(h2_control_frames=3, flood_interval=10.0))
    guard.control(0.0, "PING")
    guard.worked()
    for _ in range(2 + FREE_PER_REQUEST):
        guard.control(0.0, "PING")
    with pytest.raises(TooMuchAbuse):
        guard.control(0.0, "PING")
