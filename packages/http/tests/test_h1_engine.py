"""One HTTP/1 connection from its first octet to its end, with a clock that is an argument."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.errors import ApplicationFault, BadRequest, ContentTooLarge, RequestTimeout, StateError
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Handover,
    InputEnded,
    RequestReceived,
    StreamClosed,
    Warned,
    Writable,
)
from server_http.h1.engine import Http1Engine
from server_http.limits import Limits
from server_http.statuses import error_page
from support.http1 import CLIENT, SERVER, every_cut, new_engine, octet_by_octet, quiet, talk, written

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
LENGTH_2 = [(b"Content-Length", b"2")]


def configured(**limits: Any) -> HttpConfig:
    return HttpConfig(limits=Limits().replace(**limits))


def flush(engine: Http1Engine, now: float = 0.0, size: Optional[int] = None) -> List[Any]:
    """Write what waits, or its first octets, and return the facts."""
    engine.sent(len(written(engine)) if size is None else size)
    return list(engine.advance(now))


def answer(engine: Http1Engine, stream: int = 1, status: int = 200, now: float = 0.0) -> None:
    engine.respond(stream, status, LENGTH_2, now)
    engine.send(stream, b"hi", now)
    engine.end(stream, now)


# -- exchanges -------------------------------------------------------------------------------------------------------


def test_a_small_response_leaves_as_one_piece() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    answer(engine)
    assert engine.segments() == [b"HTTP/1.1 200 OK\r\nServer: server\r\nContent-Length: 2\r\n\r\nhi"]
    closed = flush(engine)[0]
    assert isinstance(closed, StreamClosed)
    assert (closed.stream, closed.status, closed.sent) == (1, 200, 2)
    assert engine.segments() == []


def test_date_and_server_come_from_what_the_listener_shares() -> None:
    config = HttpConfig()
    config.defaults.set_date(784111777)
    it = talk([GET], config)
    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in it.output


def test_the_next_request_waits_until_the_response_is_written() -> None:
    engine = new_engine()
    assert quiet(engine.receive_data(GET + GET, 0.0)) == ["RequestReceived"]
    answer(engine)
    assert quiet(engine.advance(0.0)) == []
    assert quiet(flush(engine, size=10)) == []
    assert quiet(flush(engine)) == ["StreamClosed", "RequestReceived"]
    answer(engine, 2)
    assert quiet(flush(engine)) == ["StreamClosed"]


def test_pipelined_requests_are_answered_in_order_however_they_are_cut() -> None:
    octets = GET + POST + b"hello" + CHUNKED_POST + b"2\r\nhi\r\n0\r\nX: 1\r\n\r\n\r\n" + GET_CLOSE
    whole = talk([octets])
    assert [(s.request.method, s.body, s.trailers) for s in whole.seen] == [
        ("GET", b"", []),
        ("POST", b"hello", []),
        ("POST", b"hi", [(b"x", b"1")]),
        ("GET", b"", []),
    ]
    assert whole.output.count(b"HTTP/1.1 200 OK") == 4
    assert whole.ended is not None
    assert whole.ended.error is None
    for pieces in every_cut(octets):
        assert talk(pieces).facts() == whole.facts()


def test_trailers_never_join_the_headers() -> None:
    it = talk([CHUNKED_POST + b"0\r\nX-Late: 1\r\n\r\n"])
    assert it.seen[0].trailers == [(b"x-late", b"1")]
    assert it.seen[0].request.header(b"x-late") is None


@pytest.mark.parametrize(
    ("request_head", "line", "persists"),
    [
        (GET, b"", True),
        (GET_CLOSE, b"Connection: close\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", b"Connection: close\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"Connection: keep-alive\r\n", True),
    ],
)
def test_the_connection_persists_by_the_rules(request_head: bytes, line: bytes, persists: bool) -> None:
    it = talk([request_head])
    assert (b"Connection:" in it.output) is bool(line)
    assert line in it.output
    assert (it.ended is None) is persists
    if not persists:
        it.feed(GET)
        assert len(it.seen) == 1


def test_without_keepalive_each_answer_closes() -> None:
    it = talk([GET + GET], configured(keepalive=0))
    assert b"Connection: close" in it.output
    assert len(it.seen) == 1


def test_a_close_that_the_client_announced_does_not_linger() -> None:
    ended = talk([GET_CLOSE]).ended
    assert ended is not None
    assert not ended.linger
    ended = talk([GET], configured(keepalive=0)).ended
    assert ended is not None
    assert ended.linger  # it may have sent more, and a reset would destroy the answer


def test_a_response_of_unknown_length_is_chunked() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"hello", 0.0)
    engine.send(1, b"", 0.0)
    engine.send(1, b"x" * 20000, 0.0)
    engine.end(1, 0.0, [(b"X", b"1")])
    head, _, body = written(engine).partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nServer: server\r\nTransfer-Encoding: chunked"
    assert body == b"5\r\nhello\r\n4e20\r\n" + b"x" * 20000 + b"\r\n0\r\nX: 1\r\n\r\n"
    assert all(len(part) < 200 or part == b"x" * 20000 for part in engine.segments())  # large parts are not copied
    assert flush(engine)[0].sent == 20005


def test_an_http_1_0_client_reads_until_the_end_of_the_connection() -> None:
    engine = new_engine()
    engine.receive_data(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"hello", 0.0)
    engine.end(1, 0.0)
    assert written(engine) == b"HTTP/1.1 200 OK\r\nServer: server\r\nConnection: close\r\n\r\nhello"
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


def test_the_answer_to_head_has_no_body_and_the_connection_persists() -> None:
    it = talk([b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET])
    assert it.output.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 200 OK")
    assert len(it.seen) == 2


def test_the_reason_phrase_of_the_application_is_used() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 299, LENGTH_2, 0.0, b"Quite Fine")
    assert written(engine).startswith(b"HTTP/1.1 299 Quite Fine\r\n")
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 299, LENGTH_2, 0.0)
    assert written(engine).startswith(b"HTTP/1.1 299 Unknown\r\n")


def test_early_hints_come_before_the_final_head() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.inform(1, 103, [(b"Link", b"</a>")], 0.0)
    assert written(engine) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answer(engine)
    engine.inform(1, 103, [], 0.0)
    assert written(engine).count(b"HTTP/1.1 103") == 1


def test_a_file_is_a_segment_of_its_own() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"100")], 0.0)
    engine.send_file(1, 9, 1000, 150, 0.0)
    engine.end(1, 0.0)
    head, region = engine.segments()
    assert isinstance(region, FileRegion)
    assert (region.fd, region.offset, region.count) == (9, 1000, 100)  # never more than Content-Length says
    engine.sent(len(head) + 30)
    (region,) = engine.segments()
    assert (region.offset, len(region)) == (1030, 70)
    assert quiet(engine.advance(0.0)) == []  # the file is still needed
    engine.sent(70)
    assert quiet(engine.advance(0.0)) == ["StreamClosed"]


def test_a_file_in_a_chunked_response_is_one_chunk() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send_file(1, 9, 0, 16, 0.0)
    engine.end(1, 0.0)
    assert written(engine).endswith(b"\r\n\r\n10\r\n" + b"\0" * 16 + b"\r\n0\r\n\r\n")


# -- the application's faults ----------------------------------------------------------------------------------------


def test_a_response_that_falls_short_closes_and_is_logged_once() -> None:
    engine = new_engine()
    engine.receive_data(GET + GET, 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"5")], 0.0)
    engine.send(1, b"hi", 0.0)
    engine.end(1, 0.0)
    events = flush(engine)
    assert [type(e) for e in events] == [Warned, StreamClosed, ConnectionEnded]
    assert events[1].sent == 2
    assert quiet(engine.receive_data(GET, 0.0)) == []


def test_a_response_that_is_too_long_is_cut_off_and_logged_once() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, LENGTH_2, 0.0)
    engine.send(1, b"hello", 0.0)
    engine.send(1, b"hello", 0.0)
    engine.end(1, 0.0)
    assert written(engine).endswith(b"\r\n\r\nhe")
    assert [type(e) for e in flush(engine)] == [Warned, StreamClosed]


def test_a_fault_in_the_head_leaves_room_for_a_500() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    with pytest.raises(ApplicationFault):
        engine.respond(1, 200, [(b"X", b"a\r\nSet-Cookie: b")], 0.0)
    assert engine.segments() == []
    headers, page = error_page(500)
    engine.respond(1, 500, headers, 0.0)
    engine.send(1, page, 0.0)
    engine.end(1, 0.0)
    assert b"Set-Cookie" not in written(engine)
    assert flush(engine)[0].status == 500


def test_a_reset_shows_that_the_rest_is_missing() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"hi", 0.0)
    engine.reset(1, 2, 0.0)
    assert written(engine).endswith(b"2\r\nhi\r\n")
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


@pytest.mark.parametrize(
    ("version", "headers", "aborts"),
    [(b"1.0", [], True), (b"1.1", [], False), (b"1.0", [(b"Content-Length", b"5")], False)],
)
def test_only_where_framing_cannot_show_the_cut_a_reset_is_asked_for(
    version: bytes, headers: List[Any], aborts: bool
) -> None:
    for cut in (True, False):
        engine = new_engine()
        engine.receive_data(b"GET / HTTP/%b\r\nHost: h\r\nConnection: close\r\n\r\n" % version, 0.0)
        engine.respond(1, 200, headers, 0.0)
        engine.send(1, b"hi", 0.0)
        if cut:
            engine.reset(1, 2, 0.0)
        else:
            engine.end(1, 0.0)
        ended = flush(engine)[-1]
        assert isinstance(ended, ConnectionEnded)
        assert ended.abort is (cut and aborts)
        assert not (ended.abort and ended.linger)


def test_commands_for_a_stream_that_is_over_are_ignored() -> None:
    it = talk([GET])
    engine = it.engine
    engine.respond(1, 200, [], 0.0)
    engine.inform(1, 103, [], 0.0)
    engine.send(1, b"x", 0.0)
    engine.send_file(1, 9, 0, 1, 0.0)
    engine.end(1, 0.0)
    engine.reset(1, 0, 0.0)
    engine.consumed(1, 5)
    assert engine.segments() == []
    assert engine.want_read()


def test_commands_for_a_stream_that_never_was_are_a_defect() -> None:
    engine = new_engine()
    for call in (lambda: engine.respond(1, 200, [], 0.0), lambda: engine.end(2, 0.0)):
        with pytest.raises(StateError):
            call()


# -- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_is_handed_out_as_it_comes() -> None:
    engine = new_engine()
    (received,) = engine.receive_data(POST, 0.0)
    assert isinstance(received, RequestReceived)
    assert not received.complete
    data = b"hell"
    (part,) = engine.receive_data(data, 0.0)
    assert isinstance(part, BodyReceived)
    assert (part.data, part.credit) == (data, 4)
    assert quiet(engine.receive_data(b"o", 0.0)) == ["BodyReceived", "BodyEnded"]


def test_reading_pauses_while_nobody_takes_the_body() -> None:
    engine = new_engine(configured(receive_high_water=10, body_timeout=5.0))
    engine.receive_data(CHUNKED_POST, 0.0)
    engine.receive_data(b"9\r\n123456789\r\n", 0.0)
    assert engine.want_read()
    engine.receive_data(b"9\r\n123456789\r\n", 0.0)
    assert not engine.want_read()
    assert engine.deadline() is None  # the peer is held up by us
    engine.consumed(1, 9)
    assert engine.want_read()
    assert quiet(engine.handle_timer(100.0)) == []  # and has all its time when it is not
    assert engine.deadline() == 105.0


def test_a_peer_that_was_held_up_has_all_its_time_whoever_notes_it_first() -> None:
    engine = new_engine(configured(receive_high_water=10, body_timeout=5.0))
    engine.receive_data(CHUNKED_POST, 0.0)
    engine.receive_data(b"10\r\n1234567890123456\r\n", 0.0)
    engine.consumed(1, 16)
    assert quiet(engine.advance(100.0)) == []
    assert engine.deadline() == 105.0


def test_an_answer_that_is_read_gives_a_slow_body_no_more_time() -> None:
    engine = new_engine(configured(body_timeout=5.0))
    engine.receive_data(CHUNKED_POST, 0.0)
    engine.respond(1, 200, [], 0.0)
    for second in range(5):
        engine.send(1, b"part", float(second))
        flush(engine, float(second))
    engine.send(1, b"part", 4.5)
    engine.sent(sum(map(len, engine.segments())))
    assert quiet(engine.handle_timer(5.0)) == ["StreamReset", "StreamClosed", "ConnectionEnded"]


def test_a_head_in_parts_is_read_also_behind_a_body_that_was_discarded() -> None:
    engine = new_engine(configured(unread_body_drain=10))
    engine.receive_data(CHUNKED_POST, 0.0)
    answer(engine)
    flush(engine)
    engine.receive_data(b"9\r\n123456789\r\n", 0.0)
    engine.receive_data(b"9\r\n123456789\r\n0\r\n\r\n", 0.0)
    engine.receive_data(GET[:5], 0.0)
    assert engine.want_read()
    assert quiet(engine.receive_data(GET[5:], 0.0)) == ["RequestReceived"]


def test_the_next_part_of_a_response_has_its_own_time_to_be_read() -> None:
    engine = new_engine(configured(send_timeout=10.0))
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"read", 0.0)
    engine.sent(sum(map(len, engine.segments())))
    engine.send(1, b"never read", 100.0)
    assert "ConnectionEnded" in quiet(engine.handle_timer(110.0))


def test_octets_behind_a_request_are_kept_up_to_a_limit() -> None:
    engine = new_engine(configured(receive_high_water=100))
    engine.receive_data(GET, 0.0)
    while engine.want_read():
        engine.receive_data(GET, 0.0)
    answer(engine)
    assert quiet(flush(engine)) == ["StreamClosed", "RequestReceived"]


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def unread_post(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def test_a_short_body_that_nobody_read_is_passed_over() -> None:
    engine = new_engine()
    engine.receive_data(unread_post(len(SMUGGLED)) + SMUGGLED[:10], 0.0)
    answer(engine)
    assert b"Connection: close" not in written(engine)
    assert quiet(flush(engine)) == ["StreamClosed"]
    assert quiet(engine.receive_data(SMUGGLED[10:], 0.0)) == []
    (received,) = engine.receive_data(GET, 0.0)
    assert received.request.path == b"/"


def test_a_chunked_body_that_nobody_read_is_passed_over_too() -> None:
    engine = new_engine()
    engine.receive_data(CHUNKED_POST, 0.0)
    answer(engine)
    flush(engine)
    assert quiet(engine.receive_data(b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED), 0.0)) == []
    (received,) = engine.receive_data(b"0\r\nX: 1\r\n\r\n" + GET, 0.0)
    assert received.request.path == b"/"


def test_a_long_body_that_nobody_read_ends_the_connection() -> None:
    engine = new_engine(configured(unread_body_drain=10))
    engine.receive_data(unread_post(100), 0.0)
    answer(engine)
    assert b"Connection: close" in written(engine)
    _, ended = flush(engine)
    assert ended.linger
    assert quiet(engine.receive_data(SMUGGLED * 3, 0.0)) == []


def test_a_body_of_unknown_length_that_nobody_read_is_discarded_up_to_a_limit() -> None:
    engine = new_engine(configured(unread_body_drain=10))
    engine.receive_data(CHUNKED_POST, 0.0)
    answer(engine)
    assert quiet(flush(engine)) == ["StreamClosed"]
    assert quiet(engine.receive_data(b"8\r\n12345678\r\n", 0.0)) == []
    (ended,) = engine.receive_data(b"8\r\n12345678\r\n", 0.0)
    assert ended.linger


@pytest.mark.parametrize(("limit", "admitted"), [(4, False), (5, True), (0, True)])
def test_a_body_that_is_announced_as_too_long_is_refused_with_its_head(limit: int, admitted: bool) -> None:
    engine = new_engine(configured(body=limit))
    *_, event = engine.receive_data(POST, 0.0)
    if admitted:
        assert isinstance(event, RequestReceived)
        return
    assert isinstance(event, ConnectionEnded)
    assert str(event.error) == "body: expected at most 4 octets, got 5"
    assert written(engine).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_arrives_behind_the_answer_is_never_a_request() -> None:
    engine = new_engine()
    engine.receive_data(unread_post(len(SMUGGLED)), 0.0)
    answer(engine)
    assert quiet(engine.receive_data(SMUGGLED, 0.0)) == []  # before the answer is written
    assert quiet(flush(engine)) == ["StreamClosed"]
    assert quiet(engine.receive_data(GET, 0.0)) == ["RequestReceived"]


def test_a_malformed_body_behind_the_answer_is_not_answered_again() -> None:
    engine = new_engine()
    engine.receive_data(CHUNKED_POST, 0.0)
    answer(engine)
    assert quiet(engine.receive_data(b"zz\r\n" + SMUGGLED, 0.0)) == []
    octets = written(engine)
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]
    assert octets.count(b"HTTP/1.1") == 1
    engine = new_engine()
    engine.receive_data(CHUNKED_POST, 0.0)
    answer(engine)
    flush(engine)
    assert quiet(engine.receive_data(b"zz\r\n" + SMUGGLED, 0.0)) == ["ConnectionEnded"]
    assert engine.segments() == []


def test_the_limit_of_a_chunked_body_is_answered_while_it_can_be() -> None:
    engine = new_engine(configured(body=5))
    events = engine.receive_data(CHUNKED_POST + b"3\r\nabc\r\n3\r\n", 0.0)
    assert quiet(events) == ["RequestReceived", "BodyReceived", "StreamReset", "StreamClosed", "ConnectionEnded"]
    assert isinstance(events[2].error, ContentTooLarge)
    assert events[3].status == 413
    assert events[4].linger
    assert written(engine).startswith(b"HTTP/1.1 413 ")


def test_an_error_in_a_body_behind_the_response_head_cuts_the_response() -> None:
    engine = new_engine()
    engine.receive_data(CHUNKED_POST, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"hi", 0.0)
    events = engine.receive_data(b"zz\r\n", 0.0)
    assert quiet(events) == ["StreamReset", "StreamClosed", "ConnectionEnded"]
    assert isinstance(events[0].error, BadRequest)
    assert written(engine).endswith(b"2\r\nhi\r\n")
    assert b"400" not in written(engine)


# -- 100 (Continue) --------------------------------------------------------------------------------------------------


def test_continue_is_said_when_the_driver_asks_and_once() -> None:
    engine = new_engine()
    (received,) = engine.receive_data(EXPECTING, 0.0)
    assert received.request.expects_continue
    assert engine.deadline() is None  # the client waits for us
    engine.inform(1, 100, [], 1.0)
    engine.inform(1, 100, [], 1.0)
    assert written(engine) == b"HTTP/1.1 100 Continue\r\n\r\n"
    flush(engine)
    assert engine.deadline() == 31.0
    assert quiet(engine.receive_data(b"hello", 2.0)) == ["BodyReceived", "BodyEnded"]
    answer(engine)
    assert b"Connection: close" not in written(engine)


def test_continue_is_not_said_when_the_body_is_coming_already() -> None:
    engine = new_engine()
    engine.receive_data(EXPECTING + b"h", 0.0)
    engine.inform(1, 100, [], 0.0)
    assert engine.segments() == []


def test_a_final_status_instead_of_continue_closes() -> None:
    engine = new_engine()
    engine.receive_data(EXPECTING, 0.0)
    answer(engine, status=403)
    engine.inform(1, 100, [], 0.0)
    assert written(engine).count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in written(engine)
    _, ended = flush(engine)
    assert ended.linger
    assert quiet(engine.receive_data(b"hello" + GET, 0.0)) == []


# -- tunnels ---------------------------------------------------------------------------------------------------------


def tunnel(data: bytes = UPGRADE) -> Http1Engine:
    engine = new_engine()
    engine.receive_data(data, 0.0)
    engine.respond(1, 101, [(b"Upgrade", b"websocket")], 0.0)
    return engine


def test_switching_protocols_opens_a_tunnel() -> None:
    engine = tunnel()
    assert written(engine) == (
        b"HTTP/1.1 101 Switching Protocols\r\nServer: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    flush(engine)
    (part,) = engine.receive_data(b"\x81\x00GET / HTTP/1.1\r\n\r\n", 0.0)
    assert part.data.startswith(b"\x81\x00GET")
    engine.send(1, b"raw", 0.0)
    assert written(engine) == b"raw"
    assert engine.deadline() == 30.0
    engine.end(1, 0.0)
    closed, ended = flush(engine)
    assert closed.status == 101
    assert ended.linger


def test_octets_behind_the_head_that_opened_a_tunnel_belong_to_it() -> None:
    for pieces in every_cut(UPGRADE + b"early"):
        engine = new_engine()
        for piece in pieces:
            engine.receive_data(piece, 0.0)
        engine.respond(1, 101, [(b"Upgrade", b"websocket")], 0.0)
        (part,) = flush(engine)
        assert part.data == b"early"


def test_connect_opens_a_tunnel() -> None:
    engine = new_engine()
    engine.receive_data(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"5")], 0.0)
    assert written(engine) == b"HTTP/1.1 200 OK\r\nServer: server\r\n\r\n"
    assert quiet(engine.receive_data(b"x", 0.0)) == ["BodyReceived"]


def test_the_end_of_the_input_ends_one_way_of_a_tunnel() -> None:
    engine = tunnel()
    assert quiet(engine.receive_eof(0.0)) == ["BodyEnded", "InputEnded"]
    engine.send(1, b"bye", 0.0)
    assert written(engine).endswith(b"bye")
    engine.end(1, 0.0)
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


def test_an_offer_that_is_not_taken_is_answered_as_usual() -> None:
    it = talk([UPGRADE + GET])
    assert len(it.seen) == 2


def test_h2c_is_handed_over_to_who_takes_it() -> None:
    offer = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    other = new_engine()
    asked: List[Any] = []

    def take(request: Any, rest: bytes, now: float) -> Any:
        asked.append((request.upgrade, rest, now))
        return other, [Warned("first")]

    engine = Http1Engine(ConnectionInfo(CLIENT, SERVER), HttpConfig(), 0.0, take)
    handover, first = engine.receive_data(offer + b"PRI", 3.0)
    assert isinstance(handover, Handover)
    assert handover.engine is other
    assert first.message == "first"
    assert asked == [(b"h2c", b"PRI", 3.0)]
    assert quiet(engine.receive_data(GET, 3.0)) == []

    engine = Http1Engine(ConnectionInfo(CLIENT, SERVER), HttpConfig(), 0.0, lambda *_: None)
    assert quiet(engine.receive_data(offer, 0.0)) == ["RequestReceived"]


# -- the end of the input --------------------------------------------------------------------------------------------


def test_the_end_of_an_idle_connection_is_the_end() -> None:
    for octets in (b"", GET, b"GET / HT", GET + b"GET"):
        it = talk([octets])
        it.feed_eof()
        assert it.ended is not None
        assert it.ended.error is None
        assert not it.ended.linger
        assert b" 4" not in it.output


def test_a_client_that_half_closes_gets_its_answer() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    (event,) = engine.receive_eof(0.0)
    assert isinstance(event, InputEnded)
    assert not engine.want_read()
    assert quiet(engine.receive_eof(0.0)) == []
    answer(engine)
    assert written(engine).endswith(b"hi")
    closed, ended = flush(engine)
    assert closed.sent == 2
    assert not ended.linger


def test_a_client_that_half_closes_gets_all_its_answers() -> None:
    engine = new_engine()
    engine.receive_data(GET + GET + b"GET", 0.0)
    engine.receive_eof(0.0)
    answer(engine)
    assert quiet(flush(engine)) == ["StreamClosed", "RequestReceived", "InputEnded"]
    answer(engine, 2)
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


def test_a_body_that_ends_too_early_is_an_error() -> None:
    for head, part in ((POST, b"hell"), (CHUNKED_POST, b"5\r\nhello\r\n")):
        engine = new_engine()
        engine.receive_data(head + part, 0.0)
        assert quiet(engine.receive_eof(0.0)) == ["StreamReset", "StreamClosed", "ConnectionEnded"]
        assert written(engine).startswith(b"HTTP/1.1 400 ")


def test_the_end_while_a_body_is_discarded_is_the_end() -> None:
    engine = new_engine()
    engine.receive_data(POST, 0.0)
    answer(engine)
    flush(engine)
    assert quiet(engine.receive_eof(0.0)) == ["ConnectionEnded"]


# -- deadlines -------------------------------------------------------------------------------------------------------

TIMES: Dict[str, Any] = {
    "head_timeout": 3.0, "body_timeout": 5.0, "send_timeout": 7.0, "keepalive": 11.0, "first_request": 13.0,
}  # fmt: skip


def timed(now: float = 0.0, **changes: Any) -> Http1Engine:
    return new_engine(configured(**{**TIMES, **changes}), now)


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    engine = timed(100.0)
    assert engine.deadline() == 113.0
    assert quiet(engine.handle_timer(112.9)) == []
    assert quiet(engine.handle_timer(113.0)) == ["ConnectionEnded"]
    assert engine.segments() == []
    assert engine.deadline() is None


def test_a_head_has_its_time_from_its_first_octet_whatever_comes() -> None:
    engine = timed()
    for at, piece in enumerate(octet_by_octet(GET[:8])):
        engine.receive_data(piece, 1.0 + at / 10)
        assert engine.deadline() == 4.0
    (ended,) = engine.handle_timer(4.0)
    assert isinstance(ended.error, RequestTimeout)
    assert ended.linger
    assert written(engine).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_an_empty_line_is_no_request_to_answer() -> None:
    engine = timed()
    engine.receive_data(b"\r\n", 1.0)
    (ended,) = engine.handle_timer(4.0)
    assert ended.error is None
    assert engine.segments() == []


def test_a_body_has_its_time_for_each_progress() -> None:
    engine = timed()
    engine.receive_data(POST, 1.0)
    assert engine.deadline() == 6.0
    engine.receive_data(b"h", 5.0)
    assert engine.deadline() == 10.0
    reset, closed, ended = engine.handle_timer(10.0)
    assert isinstance(reset.error, RequestTimeout)
    assert closed.status == 408
    assert ended.linger
    assert written(engine).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_has_the_keepalive_time() -> None:
    engine = timed()
    engine.receive_data(GET, 1.0)
    assert engine.deadline() is None  # the application works
    answer(engine, now=2.0)
    assert engine.deadline() == 9.0
    flush(engine, 3.0)
    assert engine.deadline() == 14.0
    (ended,) = engine.handle_timer(14.0)
    assert ended.error is None
    assert engine.segments() == []


def test_a_peer_that_does_not_read_is_given_up() -> None:
    engine = timed()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"1000")], 1.0)
    engine.send(1, b"x" * 100, 2.0)
    assert engine.deadline() == 8.0
    flush(engine, 4.0, size=100)
    assert engine.deadline() == 11.0  # it reads, slowly
    reset, closed, ended = engine.handle_timer(11.0)
    assert isinstance(reset.error, RequestTimeout)
    assert closed.sent < 100
    assert (ended.linger, ended.abort) == (False, True)
    assert engine.segments() == []


def test_progress_whose_time_is_not_known_counts() -> None:
    engine = timed()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"1000")], 1.0)
    engine.sent(10)
    assert quiet(engine.handle_timer(8.0)) == []
    assert engine.deadline() == 15.0


def test_an_answer_to_an_error_that_nobody_reads_is_given_up() -> None:
    engine = timed()
    engine.receive_data(b"BAD\r\n\r\n", 2.0)
    deadline = engine.deadline()
    assert deadline is not None
    engine.handle_timer(deadline)
    assert engine.segments() == []
    assert engine.deadline() is None


def test_a_body_that_is_discarded_has_its_time_too() -> None:
    engine = timed()
    engine.receive_data(POST, 0.0)
    answer(engine)
    flush(engine, 1.0)
    assert engine.deadline() == 6.0
    assert quiet(engine.handle_timer(6.0)) == ["ConnectionEnded"]


def test_deadlines_of_zero_are_none() -> None:
    engine = timed(head_timeout=0, body_timeout=0, send_timeout=0, first_request=0)
    assert engine.deadline() is None
    engine.receive_data(POST[:5], 0.0)
    assert engine.deadline() is None
    engine.receive_data(POST[5:], 0.0)
    assert engine.deadline() is None
    engine.respond(1, 200, [], 0.0)
    assert engine.deadline() is None
    assert quiet(engine.handle_timer(1e9)) == []


# -- back-pressure ---------------------------------------------------------------------------------------------------


def test_the_application_hears_when_it_may_write_again() -> None:
    engine = new_engine(configured(send_high_water=1000, send_low_water=100))
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"x" * 5000, 0.0)
    assert engine.pending(1) > 5000
    assert engine.pending(7) == 0
    assert quiet(flush(engine, size=4000)) == []
    events = flush(engine, size=engine.pending(1) - 100)
    assert [type(e) for e in events] == [Writable]
    assert quiet(flush(engine)) == []


def test_many_small_parts_cost_linear_time_and_few_segments() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    engine.respond(1, 200, [(b"Content-Length", b"20000")], 0.0)
    for _ in range(20000):
        engine.send(1, b"x", 0.0)
    engine.end(1, 0.0)
    assert len(engine.segments()) < 20
    assert written(engine).endswith(b"x" * 20000)


# -- draining --------------------------------------------------------------------------------------------------------


def test_a_draining_connection_answers_what_is_there_and_closes() -> None:
    engine = new_engine()
    engine.receive_data(GET + GET, 0.0)
    engine.drain(0.0)
    answer(engine)
    assert b"Connection: close" in written(engine)
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


def test_a_draining_idle_connection_stays_for_a_request_that_may_be_on_its_way() -> None:
    engine = timed()
    engine.drain(1.0)
    assert quiet(engine.advance(1.0)) == []
    assert engine.deadline() == 11.0
    engine.receive_data(GET, 2.0)
    answer(engine, now=2.0)
    assert b"Connection: close" in written(engine)
    assert quiet(flush(engine)) == ["StreamClosed", "ConnectionEnded"]


def test_without_keepalive_a_draining_connection_stays_for_its_first_request() -> None:
    engine = timed(keepalive=0)
    engine.drain(1.0)
    assert quiet(engine.advance(1.0)) == []
    assert engine.deadline() == 2.0
    assert quiet(engine.receive_data(GET, 1.5)) == ["RequestReceived"]
    engine = timed(keepalive=0)
    engine.drain(1.0)
    assert quiet(engine.handle_timer(2.0)) == ["ConnectionEnded"]


def test_a_connection_of_a_draining_worker_closes_with_its_first_answer() -> None:
    info = ConnectionInfo(CLIENT, SERVER)
    info.draining = True
    engine = Http1Engine(info, HttpConfig(), 0.0)
    engine.receive_data(GET, 0.0)
    answer(engine)
    assert b"Connection: close" in written(engine)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_behind_a_response_waits_for_it() -> None:
    engine = new_engine()
    engine.receive_data(GET + b"BAD\r\n\r\n" + GET, 0.0)
    answer(engine)
    events = flush(engine)
    assert quiet(events) == ["StreamClosed", "ConnectionEnded"]
    assert events[1].linger
    assert written(engine).startswith(b"HTTP/1.1 400 ")


def test_nothing_of_the_input_is_in_an_error_page() -> None:
    it = talk([b"GET /<script> secret HTTP/1.1\r\n\r\n"])
    assert it.error_status == 400
    assert b"script" not in it.output
    assert b"secret" not in it.output


def test_other_octet_types_are_taken() -> None:
    engine = new_engine()
    assert quiet(engine.receive_data(bytearray(GET), 0.0)) == ["RequestReceived"]  # type: ignore[arg-type]
    engine.respond(1, 200, [], 0.0)
    data = bytearray(b"hi")
    engine.send(1, data, 0.0)  # type: ignore[arg-type]
    data[:] = b"no"
    engine.send(1, memoryview(b"hi"), 0.0)  # type: ignore[arg-type]
    assert written(engine).endswith(b"2\r\nhi\r\n2\r\nhi\r\n")


def test_no_events_for_no_octets() -> None:
    assert list(new_engine().receive_data(b"", 0.0)) == []


def test_the_body_events_name_their_stream() -> None:
    engine = new_engine()
    engine.receive_data(GET, 0.0)
    answer(engine)
    flush(engine)
    events = [*engine.receive_data(POST, 0.0), *engine.receive_data(b"hello", 0.0)]
    assert [(type(e), e.stream) for e in events] == [(RequestReceived, 2), (BodyReceived, 2), (BodyEnded, 2)]


@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (POST + b"hello", b"hello"),
        (CHUNKED_POST + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (CHUNKED_POST + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (CHUNKED_POST + b"0\r\n\r\n", b""),
    ],
)
def test_a_body_that_comes_whole_with_its_head_is_told_with_it(octets: bytes, body: bytes) -> None:
    engine = new_engine()
    (event,) = engine.receive_data(octets + GET, 0.0)
    assert (event.complete, event.body) == (True, body)
    answer(engine)
    (closed, behind) = flush(engine)
    assert isinstance(closed, StreamClosed)
    assert (behind.stream, behind.complete, behind.body) == (2, True, None)


@pytest.mark.parametrize(
    ("first", "second", "events"),
    [
        (POST + b"hell", b"o", ["RequestReceived", "BodyReceived", "BodyReceived", "BodyEnded"]),
        (CHUNKED_POST, b"0\r\n\r\n", ["RequestReceived", "BodyEnded"]),
        (CHUNKED_POST + b"1\r\nx\r\n", b"0\r\n\r\n", ["RequestReceived", "BodyReceived", "BodyEnded"]),
        (CHUNKED_POST + b"1\r\nx\r\n0\r\nA: b\r\n\r\n", b"", ["RequestReceived", "BodyReceived", "BodyEnded"]),
    ],
)
def test_a_body_that_comes_later_or_with_trailers_is_told_by_itself(
    first: bytes, second: bytes, events: List[str]
) -> None:
    engine = new_engine()
    told = [*engine.receive_data(first, 0.0), *engine.receive_data(second, 0.0)]
    assert quiet(told) == events
    assert not told[0].complete
    assert told[0].body is None
