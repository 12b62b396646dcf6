"""Flow control both ways: who is stopped by whom, and what an engine may hold meanwhile."""

from __future__ import annotations

from typing import List

import h2.events
import h2.exceptions
import pytest

from server_http.events import BodyEnded, BodyReceived, RequestReceived
from server_http.limits import Limits
from support.http2 import POST, Client, RawClient, octets


def upload(client: Client, stream: int, size: int) -> int:
    """Send as much of ``size`` octets as the windows let through; return how much that was."""
    sent = 0
    while sent < size:
        room = min(client.h2.local_flow_control_window(stream), 16384, size - sent)
        if room == 0:
            break
        client.h2.send_data(stream, b"u" * room)
        sent += room
        client.run()
    return sent


def test_blocked_uploads_do_not_stop_another() -> None:
    """With connection credit on consumption the last stream would wait for ever."""
    client = Client(Limits(h2_max_streams=60))
    blocked = range(1, 101, 2)
    for stream in blocked:
        client.request(stream, POST, b"")
    client.run()
    for stream in blocked:
        assert upload(client, stream, 1 << 20) == 65535
    client.request(201, POST, b"")
    client.run()
    taken = 0
    for _ in range(100):
        taken += upload(client, 201, 16384)
        client.engine.consumed(201, 16384)
        client.run()
    assert taken == 100 * 16384
    assert sum(e.credit for e in client.named(BodyReceived, 1)) == 65535


def test_memory_is_bounded_by_the_streams_windows() -> None:
    client = Client(Limits(h2_initial_window=20000))
    client.run()
    for stream in (1, 3, 5):
        client.request(stream, POST, b"")
        client.run()
        assert upload(client, stream, 1 << 20) == 20000


@pytest.mark.parametrize("window", [1000, 65535, 1 << 20])
def test_an_upload_that_is_taken_goes_on(window: int) -> None:
    client = Client(Limits(h2_initial_window=window))
    client.run()
    client.request(1, POST, b"")
    client.run()
    total = 0
    while total < 5 * window:
        before = len(client.named(BodyReceived))
        assert upload(client, 1, window // 2) > 0
        for event in client.named(BodyReceived)[before:]:
            client.engine.consumed(1, event.credit)
            total += event.credit
        client.run()


def test_padding_is_credited_by_the_engine() -> None:
    client = Client()
    client.request(1, POST, b"")
    client.run()
    for _ in range(1000):  # 1000 x 257 octets of window, 1000 octets of content
        client.h2.send_data(1, b"x", pad_length=255)
        client.run()
        client.engine.consumed(1, 1)
        client.run()
    assert sum(len(e.data) for e in client.named(BodyReceived)) == 1000


def test_the_rest_of_a_reset_upload_is_credited() -> None:
    client = RawClient(Limits(h2_control_frames=10**6))
    for stream in range(1, 601, 2):
        client.headers(stream, POST, end=False)
        client.engine.reset(stream, 8, 0.0)
        for _ in range(4):  # was on its way: 300 x 64 KiB are far more than the connection's window
            client.frame(0, 0, stream, b"d" * 16000)
        client.collect()
    assert not client.ended
    client.headers(1001, POST, end=False)
    client.frame(0, 1, 1001, b"d" * 16000)
    assert client.named(BodyEnded, 1001)


def test_the_rest_of_an_answered_upload_is_credited() -> None:
    client = Client()
    for stream in range(1, 201, 2):
        client.request(stream, POST, b"")
        client.run()
        client.engine.respond(stream, 200, [], 0.0)
        client.engine.end(stream, 0.0)
        client.h2.send_data(stream, b"d" * 16384)
        client.h2.send_data(stream, b"d" * 16384)
        client.run()
        client.tick(0.1)  # ten at a time have not been asked to stop yet
        client.run()
    client.request(301, POST, b"")
    client.run()
    assert upload(client, 301, 65535) == 65535


def test_the_rest_of_a_refused_upload_is_credited_also_while_its_page_waits() -> None:
    client = Client(Limits(body=100000, h2_control_frames=10**6, h2_max_streams=1000))
    for stream in range(1, 81, 2):
        client.request(stream, [*POST, (b"content-length", b"100001")], b"d" * 16000)
        client.h2.send_data(stream, b"d" * 16000)
        client.h2.send_data(stream, b"d" * 16000)
        client.give(client.h2.data_to_send())
        client.h2.increment_flow_control_window(1)  # keeps the client's own book out of the test
        client.h2.outbound_flow_control_window = 1 << 20
    client.run()
    client.request(301, POST, b"")
    client.run()
    assert upload(client, 301, 65535) == 65535


def test_a_response_the_peer_does_not_take_stays_with_the_application() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    for _ in range(20):
        client.engine.send(1, b"r" * 10000, 0.0)
    client.run()
    assert len(client.content(1)) == 65535
    assert client.engine.pending(1) == 200000 - 65535
    client.credit(200000, 1)
    client.run()
    assert len(client.content(1)) == 200000
    assert client.engine.pending(1) == 0


def test_no_more_is_framed_ahead_than_the_high_water_mark() -> None:
    client = Client(Limits(send_high_water=32768))
    client.request(1)
    client.run()
    client.credit(1 << 24, 1)
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.engine.send(1, b"r" * (1 << 20), 0.0)
    assert len(octets(client.engine.segments())) < 32768 + 16384 + 100


def test_a_window_that_shrinks_below_zero_only_delays() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.engine.send(1, b"r" * 60000, 0.0)
    client.run()
    client.h2.update_settings({4: 100})
    client.run()
    client.engine.send(1, b"r" * 10000, 0.0)
    client.engine.end(1, 0.0)
    client.run()
    assert len(client.content(1)) == 60000
    client.credit(100000, 1)
    client.run()
    assert len(client.content(1)) == 70000
    assert client.finished(1)


def test_frames_are_no_larger_than_the_peer_takes() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.credit(1 << 20, 1)
    client.run()
    client.engine.respond(1, 200, [(b"x-large", b"v" * 40000)], 0.0)
    client.engine.send(1, b"r" * 100000, 0.0)
    client.engine.end(1, 0.0)
    client.run()
    sizes: List[int] = [len(e.data) for e in client.got if type(e) is h2.events.DataReceived]
    assert max(sizes) <= 16384
    assert client.head(1)[b"x-large"] == b"v" * 40000


def test_reading_pauses_while_the_peer_reads_no_answers() -> None:
    client = RawClient(Limits(h2_control_frames=10**6, send_high_water=1000))
    assert client.engine.want_read()
    while client.engine.want_read():
        client.frame(6, 0, 0, b"12345678")
        client.engine.segments()
    assert len(octets(client.engine.segments())) < 5000
    client.collect()
    assert client.engine.want_read()


def test_a_gibibyte_goes_through_in_flat_memory() -> None:
    """One block, sent again and again: nothing may keep what was written."""
    client = RawClient()
    client.headers(1)
    client.frame(8, 0, 0, ((1 << 31) - 1 - 65535).to_bytes(4, "big"))
    client.frame(8, 0, 1, ((1 << 31) - 1 - 65535).to_bytes(4, "big"))
    engine = client.engine
    engine.respond(1, 200, [], 0.0)
    block = bytes(1 << 20)
    written = 0
    for _ in range(1024):
        engine.send(1, block, 0.0)
        while engine.pending(1):
            segments = engine.segments()
            size = sum(map(len, segments))
            assert size < 64 * 1024 + 16384 + 100
            engine.sent(size)
            written += size
    engine.end(1, 0.0)
    assert written > 1 << 30


def test_requests_are_complete_when_content_length_says_so_only_with_end_stream() -> None:
    client = Client()
    client.request(1, [*POST, (b"content-length", b"3")], b"abc")
    client.run()
    assert client.named(RequestReceived)[0].request.content_length == 3
    assert not client.named(BodyEnded)
    client.h2.end_stream(1)
    client.run()
    assert len(client.named(BodyEnded)) == 1
