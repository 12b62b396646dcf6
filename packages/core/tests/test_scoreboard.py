"""The scoreboard: what children write, what others read, across a fork."""

from __future__ import annotations

import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_core.scoreboard import Scoreboard, detached_slot, slots_for
from server_core.scoreboard import layout as at
from server_core.scoreboard.record import latency_bucket


def new_slot(board: Scoreboard, number: int = 0, group: int = 0) -> int:
    index = board.claim(group, number, age=1, now=10.0)
    assert index is not None
    return index


def test_a_claimed_slot_is_booting_and_shown_with_its_numbers() -> None:
    board = Scoreboard(slots=4)
    index = board.claim(group=1, number=7, age=12, now=10.5)
    board.set_pid(index, 4711)
    view = board.reader().slot(index)
    assert (view.pid, view.number, view.group, view.age, view.state) == (4711, 7, 1, 12, at.BOOTING)
    assert view.started == view.heartbeat == 10.5
    assert board.slot(index).number == 7


def test_slots_run_out_and_come_back() -> None:
    board = Scoreboard(slots=2)
    first, second = new_slot(board), new_slot(board)
    assert board.claim(0, 0, 1, 0.0) is None
    board.release(first)
    assert new_slot(board) == first
    assert [view.index for view in board.reader().slots()] == [first, second]


def test_there_is_room_for_a_reload_of_all_workers() -> None:
    assert slots_for(2) == 256
    assert slots_for(100) == 400


def test_a_request_is_shown_while_it_runs_and_counted_when_it_ends() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    record = board.slot(index).record(0)
    entry = record.begin("GET", b"/a?b=c", 100.0)
    assert [(r.text, r.began) for r in board.reader().running(index)] == [("GET /a?b=c", 100.0)]
    assert board.reader().counters(index).running == 1
    record.finish(entry, 404, 1234, 100.0, 100.2)
    counters = board.reader().counters(index)
    assert board.reader().running(index) == []
    assert (counters.began, counters.finished, counters.running, counters.sent) == (1, 1, 0, 1234)
    assert counters.statuses == (0, 0, 0, 0, 1, 0)
    assert counters.seconds == pytest.approx(0.2)
    assert counters.latency[at.LATENCY_BOUNDS.index(0.25)] == 1


def test_control_characters_of_a_request_reach_no_log_and_no_terminal() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    board.slot(index).record(0).begin("GET", b"/a\nb\x1b[31m\x9bm\xe4", 5.0)
    assert [request.text for request in board.reader().running(index)] == ["GET /a\\nb\\x1b[31m\\x9bm\\xe4"]


def test_running_requests_are_listed_oldest_first() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    slot = board.slot(index)
    slot.record(0).begin("GET", b"/young", 5.0)
    slot.record(1).begin("POST", b"/old", 1.0)
    assert [request.text for request in board.reader().running(index)] == ["POST /old", "GET /young"]


def test_a_full_table_counts_what_it_cannot_show() -> None:
    board = Scoreboard(slots=1, running=2)
    index = new_slot(board)
    record = board.slot(index).record(0)
    entries = [record.begin("GET", b"/", 1.0) for _ in range(3)]
    assert entries[2] == -1
    for entry in entries:
        record.finish(entry, 200, 0, 1.0, 2.0)
    counters = board.reader().counters(index)
    assert (counters.overflow, counters.finished) == (1, 3)
    assert counters.seconds == pytest.approx(3.0), "a request without an entry has a duration all the same"
    assert record.begin("GET", b"/", 3.0) >= 0


@pytest.mark.parametrize("target", [b"", b"/" + b"x" * 10_000, bytes(range(256)), bytearray(b"/array")])
def test_any_target_is_kept_as_far_as_there_is_room(target: bytes) -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    board.slot(index).record(0).begin("PROPFIND", target, 1.0)
    text = board.reader().running(index)[0].text
    kept = (b"PROPFIND " + bytes(target))[: at.ENTRY_TEXT].decode("latin-1")
    assert text == (kept if kept.isprintable() else kept.encode("unicode_escape").decode())


@pytest.mark.parametrize("status", [-5, 0, 99, 600, 999])
def test_a_status_outside_the_classes_counts_as_other(status: int) -> None:
    slot = detached_slot()
    slot.record(0).finish(-1, status, 0, 1.0, 1.0)
    assert slot.board.reader().counters(0).statuses[0 if not 100 <= status < 200 else 1] == 1


@given(st.floats(0, 1000))
def test_the_latency_bucket_is_the_first_bound_that_holds(seconds: float) -> None:
    bucket = latency_bucket(seconds)
    assert bucket == 0 or at.LATENCY_BOUNDS[bucket - 1] < seconds
    assert bucket == len(at.LATENCY_BOUNDS) or seconds <= at.LATENCY_BOUNDS[bucket]


def test_counters_of_a_dead_child_are_folded_into_its_group_once() -> None:
    board = Scoreboard(slots=3)
    for group in (0, 0, 1):
        index = new_slot(board, group=group)
        record = board.slot(index).record(2)
        record.finish(record.begin("GET", b"/", 1.0), 200, 10, 1.0, 1.5)
        record.count(at.RECEIVED, 7)
    reader = board.reader()
    before = reader.totals(0)
    board.release(0)
    board.release(0)
    assert reader.totals(0) == before
    assert (before.began, before.sent, before.received, before.seconds) == (2, 20, 14, 1.0)
    assert reader.totals(1).began == 1
    index = new_slot(board)
    assert index == 0
    assert reader.counters(index).began == 0


def test_a_child_killed_inside_a_request_leaves_nothing_running_to_its_successor() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    board.slot(index).record(0).begin("GET", b"/", 1.0)
    board.release(index)
    index = new_slot(board)
    assert board.reader().running(index) == []
    board.slot(index).record(0).begin("GET", b"/next", 2.0)
    assert [request.text for request in board.reader().running(index)] == ["GET /next"]


def test_a_request_that_died_with_its_child_ended_without_an_answer() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    board.slot(index).record(0).begin("GET", b"/", 1.0)
    board.release(index)
    totals = board.reader().totals(0)
    assert (totals.running, totals.finished, totals.statuses[0]) == (0, 1, 1)
    assert sum(totals.latency) == 0  # nobody knows how long it was at work


def test_short_requests_are_what_the_longer_ones_and_the_refused_ones_leave() -> None:
    board = Scoreboard(slots=1)
    record = board.slot(new_slot(board)).record(0)
    for seconds in (0.0, 0.001, 0.002, 0.2, 100.0):
        record.finish(record.begin("GET", b"/", 5.0), 200, 0, 0.0, seconds)
    record.shed()
    latency = board.reader().totals(0).latency
    assert (latency[0], latency[1], latency[at.LATENCY_BOUNDS.index(0.25)], latency[-1]) == (2, 1, 1, 1)
    assert sum(latency) == 5


def test_queue_times_are_counted_by_bucket_and_short_ones_are_what_is_left() -> None:
    board = Scoreboard(slots=1)
    index = new_slot(board)
    record = board.slot(index).record(0)
    for waited in (0.0, 0.001, 0.002, 0.2, 100.0):
        record.finish(record.begin("GET", b"/", 5.0, waited), 200, 0, 5.0, 5.0)
    record.shed()
    before = board.reader().totals(0)
    assert (before.queue[0], before.queue[1], before.queue[at.LATENCY_BOUNDS.index(0.25)], before.queue[-1]) == (
        2, 1, 1, 1,
    )  # fmt: skip
    assert before.queued_seconds == pytest.approx(100.202)
    assert (before.shed, before.codes[503], before.finished, before.running) == (1, 1, 6, 0)
    board.release(index)
    assert board.reader().totals(0) == before


def test_a_child_with_threads_is_busy_while_they_run_and_one_with_a_loop_says_so() -> None:
    board = Scoreboard(slots=2)
    threaded, looping = board.slot(new_slot(board)), board.slot(new_slot(board))
    threaded.capacity(2)
    record = threaded.record(1)
    record.finish(record.begin("GET", b"/", 10.0), 200, 0, 10.0, 11.0)
    threaded.record(2).begin("GET", b"/long", 12.0)
    looping.busy(7.5)
    reader = board.reader()
    assert reader.busy_seconds(0, 15.0) == pytest.approx(4.0)
    assert reader.busy_seconds(1, 15.0) == 7.5
    assert [view.capacity for view in reader.slots()] == [2, 0]


def test_threads_beyond_the_records_share_them() -> None:
    board = Scoreboard(slots=1, threads=2)
    slot = board.slot(new_slot(board))
    assert slot.record(3) is slot.record(1)


def test_a_worker_sees_the_fewest_connections_of_its_ready_siblings() -> None:
    board = Scoreboard(slots=8)
    slots = [board.slot(new_slot(board, number)) for number in range(4)]
    other_group = board.slot(new_slot(board, group=1))
    for slot, connections in zip([*slots, other_group], [5, 3, 1, 9, 0]):
        slot.connections(connections)
        slot.set_state(at.READY)
    slots[2].set_state(at.BOOTING)
    assert slots[0].fewest_connections() == 3
    assert slots[1].fewest_connections() == 5
    alone = detached_slot()
    alone.connections(4)
    assert alone.fewest_connections() == 4


def test_what_a_child_process_writes_is_read_while_it_writes_and_never_torn() -> None:
    board = Scoreboard(slots=1, running=1)
    index = new_slot(board)
    pid = os.fork()
    if pid == 0:
        slot = board.slot(index)
        record = slot.record(0)
        for n in range(10_000_000):
            letter = b"abc"[n % 3 : n % 3 + 1]
            record.finish(record.begin("GET", letter * 200, float(n)), 200, 1, float(n), float(n))
        os._exit(0)
    try:
        reader = board.reader()
        seen, deadline, last = 0, time.monotonic() + 20, 0
        while seen < 200 and time.monotonic() < deadline:
            for request in reader.running(index):
                assert len(set(request.text[4:])) == 1, "two requests mixed"
                seen += 1
            began = reader.counters(index).began
            assert began >= last
            last = began
        assert seen
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
