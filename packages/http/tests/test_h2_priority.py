"""Who goes first on a connection, and that nobody waits for ever."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest
from hyperframe.frame import DataFrame

from server_http.events import RequestReceived
from server_http.h2.priority import DEFAULT, Scheduler, parse_priority
from server_http.limits import Limits
from support.http2 import GET, RawClient


class Waiting:
    """What the scheduler asks of a stream."""

    def __init__(self, number: int, urgency: int = 3, incremental: bool = True) -> None:
        self.number = number
        self.urgency = urgency
        self.incremental = incremental


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", DEFAULT),
        (b"u=0", (0, False)),
        (b"u=7, i", (7, True)),
        (b"i", (3, True)),
        (b"i=?1,u=5", (5, True)),
        (b"i=?0", (3, False)),
        (b"u=1;x=2, i;y", (1, True)),
        (b"  u=2 ,\ti ", (2, True)),
        (b"u=8", DEFAULT),
        (b"u=-1", DEFAULT),
        (b"u=1.0", DEFAULT),
        (b"u", DEFAULT),
        (b"u=?1", DEFAULT),
        (b"i=1", DEFAULT),
        (b"u=2, u=6", (6, False)),  # the last of a dictionary's members counts
        (b"foo, bar=7, u=4", (4, False)),
        (b"\xff\x00,,,=;", DEFAULT),
    ],
)
def test_a_priority_is_read_and_what_cannot_be_read_is_ignored(value: bytes, expected: Tuple[int, bool]) -> None:
    assert parse_priority(value) == expected


def turns(streams: List[Waiting], count: int) -> List[int]:
    scheduler = Scheduler()
    for stream in streams:
        scheduler.add(stream)
    return [scheduler.next().number for _ in range(count)]


def test_the_lowest_urgency_goes_first() -> None:
    assert turns([Waiting(1, 5), Waiting(3, 0), Waiting(5, 3)], 3) == [3, 3, 3]


def test_incremental_streams_take_turns() -> None:
    assert turns([Waiting(1), Waiting(3), Waiting(5)], 6) == [1, 3, 5, 1, 3, 5]


def test_others_go_one_after_the_other_in_the_order_of_their_numbers() -> None:
    assert turns([Waiting(n, 3, False) for n in (5, 1, 3)], 3) == [1, 1, 1]


def test_neither_kind_starves_the_other_within_an_urgency() -> None:
    order = turns([Waiting(1, 3, False), Waiting(3, 3, False), Waiting(5), Waiting(7)], 8)
    assert order == [1, 5, 1, 7, 1, 5, 1, 7]


def test_a_stream_waits_once_however_often_it_is_added() -> None:
    scheduler = Scheduler()
    stream = Waiting(1)
    scheduler.add(stream)
    scheduler.add(stream)
    assert len(scheduler) == 1
    scheduler.remove(stream)
    scheduler.remove(stream)
    assert scheduler.next() is None


# -- on a connection ----------------------------------------------------------------------------------------------


def download(priorities: List[Optional[bytes]], size: int = 60000, limits: Optional[Limits] = None) -> RawClient:
    """Ask for one response per priority, all ready at once, with windows that never close."""
    client = RawClient(limits or Limits(send_high_water=16384))
    client.frame(8, 0, 0, (1 << 30).to_bytes(4, "big"))
    for index, priority in enumerate(priorities):
        number = 2 * index + 1
        client.headers(number, GET if priority is None else [*GET, (b"priority", priority)])
        client.frame(8, 0, number, (1 << 24).to_bytes(4, "big"))
    client.collect()
    client.frames.clear()
    for index in range(len(priorities)):
        client.engine.respond(2 * index + 1, 200, [], 0.0)
        client.engine.send(2 * index + 1, b"d" * size, 0.0)
        client.engine.end(2 * index + 1, 0.0)
    return client


def order(client: RawClient) -> List[int]:
    """Take everything; return the streams of the DATA frames with content."""
    while client.collect():
        pass
    return [f.stream_id for f in client.frames if isinstance(f, DataFrame) and f.data]


def finish(numbers: List[int]) -> List[int]:
    """Return the streams in the order of their last frames."""
    return sorted(set(numbers), key=lambda number: len(numbers) - numbers[::-1].index(number))


def test_without_a_signal_streams_share_fairly() -> None:
    numbers = order(download([None] * 4))
    assert numbers[:8] == [1, 3, 5, 7] * 2


def test_the_field_decides_who_goes_first() -> None:
    numbers = order(download([b"u=5", b"u=0", b"u=3"]))
    assert finish(numbers) == [3, 5, 1]
    assert numbers == sorted(numbers, key=[3, 5, 1].index)


def test_an_update_frame_decides_anew() -> None:
    client = download([b"u=3", b"u=3", b"u=3"])
    client.frame(0x10, 0, 0, (5).to_bytes(4, "big") + b"u=0")
    assert finish(order(client)) == [5, 1, 3]


def test_an_update_frame_may_come_before_its_stream() -> None:
    client = RawClient()
    client.frame(0x10, 0, 0, (1).to_bytes(4, "big") + b"u=6, i")
    client.headers(1, [*GET, (b"priority", b"u=1")])
    assert client.named(RequestReceived)[0].request.priority == (6, True)


def test_updates_for_streams_to_come_are_bounded() -> None:
    client = RawClient(Limits(h2_max_streams=10))
    for number in range(1, 401, 2):
        client.frame(0x10, 0, 0, number.to_bytes(4, "big") + b"u=6")
    assert len(client.engine._incoming._signals) == 10


def test_the_priority_is_offered_to_the_application() -> None:
    client = RawClient()
    client.headers(1, [*GET, (b"priority", b"u=2"), (b"priority", b"i")])
    client.headers(3)
    first, second = (e.request.priority for e in client.named(RequestReceived))
    assert first == (2, True)
    assert second is None


def test_a_stream_without_window_does_not_hold_up_less_urgent_ones() -> None:
    client = RawClient()
    client.frame(8, 0, 0, (1 << 30).to_bytes(4, "big"))
    client.headers(1, [*GET, (b"priority", b"u=0")])
    client.headers(3, [*GET, (b"priority", b"u=7")])
    for number in (1, 3):
        client.engine.respond(number, 200, [], 0.0)
        client.engine.send(number, b"d" * 100000, 0.0)
    numbers = order(client)
    assert sum(1 for n in numbers if n == 3) == sum(1 for n in numbers if n == 1) == 4


def test_an_urgent_response_that_comes_late_waits_for_little() -> None:
    client = download([b"u=5"], size=1 << 20)
    client.collect()
    client.headers(3, [*GET, (b"priority", b"u=0")])
    client.engine.respond(3, 200, [], 0.0)
    client.engine.send(3, b"now" * 1000, 0.0)
    client.engine.end(3, 0.0)
    client.frames.clear()
    numbers = order(client)
    assert numbers.index(3) <= 2


def test_many_small_responses_need_few_pieces() -> None:
    client = download([None] * 20, size=100, limits=Limits())
    segments: List[Any] = client.engine.segments()
    assert len(segments) == 1
