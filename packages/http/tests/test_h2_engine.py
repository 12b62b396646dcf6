"""What an HTTP/2 connection tells its driver, and what the peer gets to see."""

from __future__ import annotations

import base64
import os
from typing import Any, List

import h2.events
import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo, FileRegion
from server_http.errors import ApplicationFault, BadRequest, RequestTimeout, TooMuchAbuse
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    InputEnded,
    Request,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
)
from server_http.h2.engine import EVERY_STREAM, Http2Engine
from server_http.limits import Limits
from server_http.statuses import error_page
from support.http2 import GET, POST, PREFACE, Client, RawClient, octets, raw

PIECES = [0, 1, 7]
TEXT = [(b"Content-Type", b"text/plain")]


def answer(client: Any, stream: int, body: bytes = b"hello", status: int = 200) -> None:
    engine = client.engine
    engine.respond(stream, status, [*TEXT, (b"Content-Length", b"%d" % len(body))], client.now)
    engine.send(stream, body, client.now)
    engine.end(stream, client.now)


@pytest.mark.parametrize("piece", PIECES)
def test_a_request_becomes_an_event_and_its_answer_a_response(piece: int) -> None:
    client = Client(piece=piece)
    client.request(1, [*GET[:-1], (b":path", b"/a%20b?c=d"), (b"x-one", b"1")])
    [event] = [e for e in client.run() if type(e) is RequestReceived]
    request = event.request
    assert event.complete
    assert (request.method, request.target, request.path, request.query) == ("GET", b"/a%20b?c=d", b"/a%20b", b"c=d")
    assert (request.version, request.scheme, request.authority) == ("2", "http", b"example.com")
    assert request.headers == [(b"host", b"example.com"), (b"x-one", b"1")]
    assert request.client == ("192.0.2.1", 40000)
    assert request.content_length == 0
    answer(client, 1)
    client.run()
    assert client.head(1)[b":status"] == b"200"
    assert client.head(1)[b"content-type"] == b"text/plain"
    assert client.content(1) == b"hello"
    assert client.finished(1)
    [closed] = client.named(StreamClosed)
    assert (closed.stream, closed.status, closed.sent) == (1, 200, 5)


@pytest.mark.parametrize("piece", PIECES)
def test_two_streams_run_at_once_and_the_second_may_answer_first(piece: int) -> None:
    client = Client(piece=piece)
    client.request(1, POST, b"first ")
    client.request(3, POST, b"second ")
    client.run()
    assert [e.stream for e in client.named(RequestReceived)] == [1, 3]
    client.h2.send_data(3, b"more", end_stream=True)
    client.run()
    answer(client, 3, b"three")
    client.run()
    assert client.finished(3)
    assert not client.finished(1)
    client.h2.send_data(1, b"rest", end_stream=True)
    client.run()
    answer(client, 1, b"one")
    client.run()
    assert client.content(1) == b"one"
    assert b"".join(e.data for e in client.named(BodyReceived, 1)) == b"first rest"
    assert b"".join(e.data for e in client.named(BodyReceived, 3)) == b"second more"
    assert [e.stream for e in client.named(StreamClosed)] == [3, 1]


def test_trailers_of_a_request_are_apart_from_its_headers() -> None:
    client = Client()
    client.request(1, POST, b"x")
    client.h2.send_headers(1, [(b"x-sum", b"5"), (b"authorization", b"9")], end_stream=True)
    client.run()
    [ended] = client.named(BodyEnded)
    assert ended.trailers == [(b"x-sum", b"5")]  # what authorises is no trailer
    assert client.named(RequestReceived)[0].request.header(b"x-sum") is None


@pytest.mark.parametrize("length", [[], [(b"content-length", b"4")]])
def test_trailers_of_a_response_end_it(length: List[Any]) -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(1, 200, length, 0.0)
    client.engine.send(1, b"body", 0.0)
    client.engine.end(1, 0.0, [(b"Grpc-Status", b"0")])
    client.run()
    assert client.content(1) == b"body"
    if not length:
        [trailers] = [e for e in client.got if type(e) is h2.events.TrailersReceived]
        assert trailers.headers == [(b"grpc-status", b"0")]
    assert client.finished(1)


def test_early_hints_and_continue_come_before_the_final_head() -> None:
    client = Client()
    client.request(1, [*POST, (b"expect", b"100-continue")], b"")
    client.run()
    assert client.named(RequestReceived)[0].request.expects_continue
    client.engine.inform(1, 100, [], 0.0)
    client.engine.inform(1, 103, [(b"Link", b"</a>")], 0.0)
    client.run()
    informational = [e for e in client.got if type(e) is h2.events.InformationalResponseReceived]
    assert [dict(e.headers)[b":status"] for e in informational] == [b"100", b"103"]
    answer(client, 1)
    client.run()
    assert client.head(1)[b":status"] == b"200"


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"GET", 205)])
def test_responses_without_content_end_with_their_head(method: bytes, status: int) -> None:
    client = RawClient()
    client.headers(1, [(b":method", method), *GET[1:]])
    client.engine.respond(1, status, [(b"content-length", b"5")] if status == 200 else [], 0.0)
    client.engine.send(1, b"hello", 0.0)
    client.engine.end(1, 0.0)
    frames = client.collect()
    assert [type(f) for f in frames if f.stream_id] == [HeadersFrame]
    assert "END_STREAM" in frames[-1].flags
    assert [(e.status, e.sent) for e in client.named(StreamClosed)] == [(status, 0)]


def test_the_end_of_a_stream_is_told_only_after_the_application_ended() -> None:
    client = Client()
    client.request(1, [(b":method", b"HEAD"), *GET[1:]])
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.run()
    assert client.finished(1)
    assert not client.named(StreamClosed)
    client.engine.end(1, 0.0)
    client.run()
    assert len(client.named(StreamClosed)) == 1


def test_a_short_response_is_cut_with_internal_error() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(1, 200, [(b"content-length", b"10")], 0.0)
    client.engine.send(1, b"only", 0.0)
    client.engine.end(1, 0.0)
    client.run()
    assert client.reset_code(1) == 2
    assert client.named(Warned)
    assert len(client.named(StreamClosed)) == 1


def test_an_application_fault_leaves_the_stream_to_be_answered() -> None:
    client = Client()
    client.request(1)
    client.run()
    with pytest.raises(ApplicationFault):
        client.engine.respond(1, 200, [(b"bad name", b"x")], 0.0)
    headers, body = error_page(500)
    client.engine.respond(1, 500, headers, 0.0)
    client.engine.send(1, body, 0.0)
    client.engine.end(1, 0.0)
    client.run()
    assert client.head(1)[b":status"] == b"500"
    assert client.content(1) == body


def test_connection_specific_fields_of_the_application_are_left_out() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(
        1, 200, [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"X-A", b" b ")], 0.0
    )
    client.engine.end(1, 0.0)
    client.run()
    head = client.head(1)
    assert b"connection" not in head
    assert b"transfer-encoding" not in head
    assert head[b"x-a"] == b"b"


def test_commands_for_a_stream_that_is_gone_are_ignored() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.h2.reset_stream(1, 8)
    client.run()
    [reset] = client.named(StreamReset)
    assert reset.error.h2_code == 8
    assert [e.stream for e in client.named(StreamClosed)] == [1]
    engine = client.engine
    engine.respond(1, 200, [], 0.0)
    engine.send(1, b"x", 0.0)
    engine.send_file(1, 0, 0, 5, 0.0)
    engine.inform(1, 103, [], 0.0)
    engine.end(1, 0.0)
    engine.reset(1, 2, 0.0)
    engine.consumed(1, 5)
    assert engine.pending(1) == 0
    assert client.run() == []


def test_a_response_before_the_request_is_complete_asks_the_client_to_stop() -> None:
    client = Client()
    client.request(1, POST, b"some")
    client.run()
    answer(client, 1)
    client.run()
    assert client.finished(1)
    assert len(client.named(StreamClosed)) == 1
    client.tick(0.9)
    client.run()
    assert client.reset_code(1) is None  # it may see the response first
    client.tick(0.2)
    client.run()
    assert client.reset_code(1) == 0


@pytest.mark.parametrize("end", ["content", "trailers", "reset"])
def test_a_client_that_completes_its_upload_behind_the_response_is_not_reset(end: str) -> None:
    client = Client(Limits(h2_max_streams=1))
    client.request(1, POST, b"some")
    client.run()
    answer(client, 1)
    client.run()
    if end == "content":
        client.h2.send_data(1, b"rest", end_stream=True)
    elif end == "trailers":
        client.h2.send_headers(1, [(b"x", b"y")], end_stream=True)
    else:
        client.h2.reset_stream(1, 0)
    client.run()
    client.tick(1.5)
    client.request(3)
    client.run()
    assert client.reset_code(1) is None
    assert [e.stream for e in client.named(RequestReceived)] == [1, 3]


def test_uploads_that_nobody_reads_count_as_streams() -> None:
    client = RawClient(Limits(h2_max_streams=2))
    for stream in (1, 3, 5):
        client.headers(stream, POST, end=False)
        answer(client, stream)
        client.collect()
    assert [e.stream for e in client.named(RequestReceived)] == [1, 3]


def test_a_file_is_sent_without_being_read_by_the_engine(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 200)
    client = Client()
    client.request(1)
    client.run()
    fd = os.open(path, os.O_RDONLY)
    try:
        client.engine.respond(1, 200, [], 0.0)
        client.engine.send_file(1, fd, 16, 40000, 0.0)
        client.engine.end(1, 0.0)
        regions = [s for s in client.engine.segments() if isinstance(s, FileRegion)]
        assert [len(r) for r in regions] == [16384, 16384, 40000 - 2 * 16384]
        client.run()
    finally:
        os.close(fd)
    assert client.content(1) == (bytes(range(256)) * 200)[16:40016]
    assert client.named(StreamClosed)[0].sent == 40000


def test_the_end_of_a_reset_stream_waits_for_the_file_parts_that_are_framed(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 20000)
    client = Client()
    client.request(1)
    client.run()
    with path.open("rb") as file:
        client.engine.respond(1, 200, [], 0.0)
        client.engine.send_file(1, file.fileno(), 0, 20000, 0.0)
        client.engine.segments()  # framed, but not written
        client.engine.reset(1, 8, 0.0)
        client.events += client.engine.advance(0.0)
        assert not client.named(StreamClosed)
        client.run()
    assert len(client.named(StreamClosed)) == 1


def test_large_content_is_not_copied() -> None:
    client = Client()
    client.request(1)
    client.run()
    body = b"z" * 10000
    client.engine.respond(1, 200, [], 0.0)
    client.engine.send(1, body, 0.0)
    assert any(segment is body for segment in client.engine.segments())


def test_segments_stay_the_same_until_they_are_sent_in_part() -> None:
    client = Client()
    client.request(1)
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.engine.send(1, bytes(range(256)) * 100, 0.0)
    client.engine.end(1, 0.0)
    whole = octets(client.engine.segments())
    assert octets(client.engine.segments()) == whole
    written = b""
    while True:
        segments = client.engine.segments()
        if not segments:
            break
        part = octets(segments)[:777]
        client.engine.sent(len(part))
        written += part
    assert written.startswith(whole)
    client.got += client.h2.receive_data(written)
    assert client.content(1) == bytes(range(256)) * 100


def test_pending_counts_down_to_the_low_mark_and_says_so_once() -> None:
    client = Client(Limits(send_high_water=50000, send_low_water=10000))
    client.request(1)
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.engine.send(1, b"y" * 60000, 0.0)
    assert client.engine.pending(1) == 60000
    seen = []
    while client.engine.pending(1):
        out = octets(client.engine.segments())
        client.engine.sent(min(len(out), 5000))
        client.got += client.h2.receive_data(out[:5000])
        writable = [e for e in client.engine.advance(0.0) if type(e) is Writable]
        seen += [client.engine.pending(1) for _ in writable]
    assert len(seen) == 1
    assert seen[0] <= 10000


@pytest.mark.parametrize("piece", PIECES)
def test_connect_opens_a_tunnel_both_ways(piece: int) -> None:
    client = Client(piece=piece)
    client.request(1, [(b":method", b"CONNECT"), (b":authority", b"example.com:443")], b"")
    client.run()
    request = client.named(RequestReceived)[0].request
    assert (request.method, request.authority, request.path, request.content_length) == (
        "CONNECT",
        b"example.com:443",
        b"",
        None,
    )
    client.engine.respond(1, 200, [], 0.0)
    client.run()
    client.h2.send_data(1, b"ping")
    client.run()
    client.engine.send(1, b"pong", 0.0)
    client.run()
    assert client.content(1) == b"pong"
    assert client.named(BodyReceived)[0].data == b"ping"
    client.engine.end(1, 0.0)
    client.run()
    assert client.finished(1)


def test_extended_connect_is_announced_and_carries_its_protocol() -> None:
    client = Client()
    client.run()
    assert client.h2.remote_settings.enable_connect_protocol == 1
    fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:-1], (b":path", b"/chat?a=1")]
    client.request(1, fields, b"")
    client.run()
    request = client.named(RequestReceived)[0].request
    assert (request.method, request.protocol, request.path, request.query) == (
        "CONNECT",
        b"websocket",
        b"/chat",
        b"a=1",
    )


def test_an_extended_connect_for_a_protocol_that_is_not_served_is_501() -> None:
    client = Client()
    client.run()
    fields = [(b":method", b"CONNECT"), (b":protocol", b"connect-udp"), *GET[1:]]
    client.request(1, fields, body=b"")
    assert [type(e) for e in client.run()] == [Warned]
    assert client.head(1)[b":status"] == b"501"


def test_without_protocols_an_extended_connect_is_not_announced_and_malformed() -> None:
    client = Client(connect_protocols=())
    client.run()
    assert client.h2.remote_settings.enable_connect_protocol == 0
    client.request(1, [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]], body=b"")
    client.run()
    assert client.reset_code(1) == 1


def test_cookie_crumbs_are_joined() -> None:
    client = RawClient()
    client.headers(1, [*GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")])
    request = client.named(RequestReceived)[0].request
    assert request.headers[1:] == [(b"cookie", b"a=1; b=2; c=3"), (b"x", b"y")]


def test_a_refused_request_gets_the_page_of_its_status_and_the_others_go_on() -> None:
    client = Client(Limits(body=10, header_count=5, request_line=100))
    client.request(1, [*POST, (b"content-length", b"11")], b"")
    client.request(3, [*GET[:-1], (b":path", b"/" + b"a" * 200)])
    client.request(5, [*GET, (b"expect", b"a-miracle")])
    client.request(7, [*GET, *[(b"x-%d" % n, b"") for n in range(9)]])
    client.request(9)
    client.run()
    assert [client.head(n)[b":status"] for n in (1, 3, 5, 7)] == [b"413", b"414", b"417", b"431"]
    assert client.content(1) == error_page(413)[1]
    assert [e.stream for e in client.named(RequestReceived)] == [9]
    assert not client.ended


def test_a_body_that_grows_beyond_its_limit_is_answered_413() -> None:
    client = Client(Limits(body=10))
    client.request(1, POST, b"12345")
    client.run()
    client.h2.send_data(1, b"1234567")
    client.run()
    assert client.head(1)[b":status"] == b"413"
    assert client.named(StreamReset)[0].error.status == 413
    assert client.named(StreamClosed)[0].status == 413
    assert not client.ended


# -- ends ---------------------------------------------------------------------------------------------------------


def test_draining_says_goaway_twice_and_loses_no_request_on_its_way() -> None:
    client = RawClient()
    client.headers(1)
    client.engine.drain(client.now)
    first, ping = client.collect()[-2:]
    assert isinstance(first, GoAwayFrame)
    assert (first.last_stream_id, first.error_code) == (EVERY_STREAM, 0)
    assert isinstance(ping, PingFrame)
    client.headers(3)  # was on its way
    assert len(client.named(RequestReceived)) == 2
    client.frame(6, 1, 0, ping.opaque_data)
    [last] = [f for f in client.collect() if isinstance(f, GoAwayFrame)]
    assert (last.last_stream_id, last.error_code) == (3, 0)
    client.headers(5)  # too late: refused, so that the client may try elsewhere
    [reset] = [f for f in client.collect() if isinstance(f, RstStreamFrame)]
    assert (reset.stream_id, reset.error_code) == (5, 7)
    for stream in (1, 3):
        answer(client, stream)
        assert not client.ended
        client.collect()
    assert client.ended
    assert client.named(ConnectionEnded)[0].error is None


def test_draining_does_not_wait_for_a_peer_that_answers_no_ping() -> None:
    client = RawClient()
    client.engine.drain(0.0)
    client.collect()
    client.tick(1.5)
    assert client.ended
    assert [f.last_stream_id for f in client.collect() if isinstance(f, GoAwayFrame)] == [0]


def test_a_connection_that_opens_while_the_worker_stops_serves_what_it_brings() -> None:
    info = ConnectionInfo(("192.0.2.1", 1), ("192.0.2.9", 80))
    info.draining = True
    engine = Http2Engine(info, HttpConfig(), 0.0)
    client = RawClient(preface=False)
    client.engine = engine
    client.give(PREFACE + SettingsFrame(0).serialize())
    client.headers(1)
    assert len(client.named(RequestReceived)) == 1
    client.tick(2.0)
    answer(client, 1)
    client.collect()
    assert client.ended


def test_a_client_that_goes_away_still_gets_its_answers() -> None:
    client = RawClient()
    client.headers(1)
    client.frame(7, 0, 0, b"\0" * 8)
    assert not client.ended
    answer(client, 1, b"still here")
    frames = client.collect()
    assert b"".join(f.data for f in frames if isinstance(f, DataFrame)) == b"still here"
    assert client.ended


def test_a_client_that_goes_away_with_nothing_open_ends_the_connection() -> None:
    client = RawClient()
    client.frame(7, 0, 0, b"\0" * 8)
    assert client.ended


def test_the_end_of_input_loses_uploads_and_keeps_answers() -> None:
    client = RawClient()
    client.headers(1)
    client.headers(3, POST, end=False)
    client.events += client.engine.receive_eof(0.0)
    assert [e.stream for e in client.named(InputEnded)] == [1]
    assert [e.stream for e in client.named(StreamReset)] == [3]
    answer(client, 1)
    client.collect()
    assert client.ended


def test_a_connection_error_ends_every_stream_and_the_connection() -> None:
    client = RawClient()
    client.headers(1)
    client.headers(3, POST, end=False)
    client.frame(0, 0, 5, b"data of an idle stream")
    assert {e.stream for e in client.named(StreamReset)} == {1, 3}
    assert {e.stream for e in client.named(StreamClosed)} == {1, 3}
    [ended] = client.named(ConnectionEnded)
    assert ended.linger
    assert ended.error.h2_code == 1
    goaway = client.collect()[-1]
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code) == (3, 1)
    assert not client.engine.want_read()
    assert client.frame(6, 0, 0, b"12345678") == []


def test_events_before_an_error_in_the_same_octets_are_not_lost() -> None:
    client = RawClient(preface=False)
    block = client.encoder.encode(GET)
    from support.http2 import raw

    client.give(PREFACE + SettingsFrame(0).serialize() + raw(1, 5, 1, block) + raw(0, 0, 9, b"idle"))
    kinds = [type(e) for e in client.events]
    assert kinds == [RequestReceived, StreamReset, StreamClosed, ConnectionEnded]


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed() -> None:
    client = RawClient(Limits(first_request=5.0), preface=False)
    assert client.tick(4.9) == []
    client.tick(0.2)
    assert client.ended


def test_an_idle_connection_is_closed_after_keepalive_and_not_before() -> None:
    client = RawClient(Limits(keepalive=3.0, first_request=100.0))
    client.headers(1)
    client.tick(10.0)
    assert not client.ended
    answer(client, 1)
    client.collect()
    client.tick(2.9)
    assert not client.ended
    client.tick(0.2)
    assert client.ended
    assert [(f.last_stream_id, f.error_code) for f in client.collect() if isinstance(f, GoAwayFrame)] == [(1, 0)]


def test_without_timeouts_a_connection_waits_for_its_first_request() -> None:
    client = RawClient(Limits(keepalive=0.0, first_request=0.0))
    assert client.tick(100.0) == []
    assert not client.ended
    client.headers(1)
    answer(client, 1)
    client.collect()
    assert client.ended


def test_keepalive_zero_goes_after_the_first_answers() -> None:
    client = RawClient(Limits(keepalive=0.0))
    client.headers(1)
    answer(client, 1)
    client.collect()
    assert client.ended


def test_a_header_block_that_does_not_complete_ends_the_connection() -> None:
    client = RawClient(Limits(head_timeout=4.0))
    client.frame(1, 1, 1, client.encoder.encode(GET))  # no END_HEADERS
    client.tick(3.9)
    client.give(b"\0")  # progress does not buy more time
    client.tick(0.2)
    assert client.ended
    assert isinstance(client.named(ConnectionEnded)[0].error, RequestTimeout)


def test_frames_that_complete_one_after_the_other_are_in_time_wherever_they_are_cut() -> None:
    client = RawClient(Limits(head_timeout=10.0, body_timeout=10.0, h2_control_frames=10000))
    client.headers(1, POST, end=False)
    frames = raw(0, 0, 1, b"x") * 100
    client.give(frames[:5])
    for at in range(5, 995, 10):  # each piece ends within the header of a frame
        assert client.tick(1.0) == []
        client.give(frames[at : at + 10])
    assert not client.ended
    client.tick(11.0)
    assert client.ended


def test_a_body_that_is_wanted_and_does_not_come_is_answered_408() -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, POST, b"abc")
    client.run()
    client.tick(10.0)
    assert not client.named(StreamReset)  # nobody took what came, so more is not wanted
    client.engine.consumed(1, 3)
    client.tick(3.5)
    assert not client.named(StreamReset)
    client.tick(2.5)
    client.run()
    assert isinstance(client.named(StreamReset)[0].error, RequestTimeout)
    assert client.head(1)[b":status"] == b"408"


def test_a_body_that_waits_for_100_is_not_late() -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, [*POST, (b"expect", b"100-continue")], b"")
    client.run()
    client.tick(10.0)
    assert not client.named(StreamReset)
    client.engine.inform(1, 100, [], client.now)
    client.run()
    client.tick(3.5)
    assert not client.named(StreamReset)  # it has been invited just now
    client.tick(2.5)
    client.run()
    assert client.head(1)[b":status"] == b"408"


def test_a_body_that_nobody_reads_any_more_does_not_cut_the_response() -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, POST, b"")
    client.run()
    answer(client, 1, b"x" * 70_000)
    client.run()  # up to the window
    client.tick(10.0)
    client.credit(10_000, 1)
    client.run()
    assert len(client.content(1)) == 70_000
    assert client.finished(1)


def test_a_tunnel_may_be_silent() -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, [(b":method", b"CONNECT"), (b":authority", b"example.com:443")], b"")
    client.run()
    client.engine.respond(1, 200, [], 0.0)
    client.run()
    client.tick(60.0)
    assert not client.named(StreamReset)


def test_a_tunnel_that_nobody_opens_is_given_up() -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, [(b":method", b"CONNECT"), (b":authority", b"example.com:443")], b"")
    client.run()
    client.tick(3.0)
    client.tick(2.5)
    client.run()
    assert client.head(1)[b":status"] == b"408"


@pytest.mark.parametrize("answered", [False, True])
def test_a_websocket_may_be_silent(answered: bool) -> None:
    client = Client(Limits(body_timeout=4.0))
    client.request(1, [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]], b"")
    client.run()
    if answered:
        client.engine.respond(1, 200, [], 0.0)
        client.run()
    client.tick(60.0)
    assert not client.named(StreamReset)


def test_a_websocket_whose_peer_sends_nothing_more_has_ended() -> None:
    client = Client()
    client.request(1, [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]])
    client.run()
    assert [type(event) for event in client.events[-2:]] == [RequestReceived, InputEnded]


def test_a_peer_that_reads_nothing_is_cut_off() -> None:
    client = RawClient(Limits(send_timeout=4.0))
    client.headers(1)
    answer(client, 1, b"x" * 100)
    client.engine.segments()
    client.tick(3.9)
    assert not client.ended
    client.tick(2.0)
    assert isinstance(client.named(ConnectionEnded)[0].error, TooMuchAbuse)
    assert len(client.named(StreamClosed)) == 1
    assert client.engine.segments() == []  # or a driver would wait for it to be read


def test_a_stream_whose_window_stays_closed_is_reset_and_the_others_go_on() -> None:
    client = Client(Limits(send_timeout=4.0))
    client.h2.update_settings({4: 10})
    client.request(1)
    client.request(3)
    client.run()
    answer(client, 1, b"x" * 100)
    answer(client, 3, b"y" * 100)
    client.run()
    client.tick(3.0)
    client.h2.increment_flow_control_window(20, 3)
    client.run()
    client.tick(2.5)
    client.run()
    assert client.reset_code(1) == 11
    assert client.reset_code(3) is None
    assert not client.ended


def test_a_connection_window_that_stays_closed_ends_the_connection() -> None:
    client = RawClient(Limits(send_timeout=4.0))
    client.headers(1)
    client.frame(8, 0, 1, (1 << 20).to_bytes(4, "big"))
    answer(client, 1, b"x" * 70000)
    client.collect()
    client.collect()
    client.tick(6.0)
    [ended] = client.named(ConnectionEnded)
    assert ended.error.h2_code == 11


def test_a_response_that_waits_for_its_turn_is_not_given_up() -> None:
    client = Client(Limits(send_timeout=4.0))
    client.request(1, [*GET, (b"priority", b"u=3")])
    client.request(3, [*GET, (b"priority", b"u=3")])  # not incremental: after the first one
    client.run()
    client.h2.increment_flow_control_window(1 << 20, 1)
    client.run()
    answer(client, 1, b"x" * 100_000)
    answer(client, 3, b"y" * 100)
    for _ in range(6):
        client.run()
        client.tick(2.0)  # the window of the connection is closed most of the time, as with any peer on a slow line
        client.h2.increment_flow_control_window(1000)
    client.h2.increment_flow_control_window(100_000)
    client.run()
    assert (len(client.content(1)), client.content(3)) == (100_000, b"y" * 100)
    assert not client.named(StreamReset)
    assert not client.ended


# -- h2c ----------------------------------------------------------------------------------------------------------


def upgraded(settings: bytes) -> Http2Engine:
    request = Request(0, "GET", b"/old", "1.1")
    request.headers = [(b"host", b"example.com"), (b"connection", b"Upgrade, HTTP2-Settings"), (b"upgrade", b"h2c"),
                       (b"http2-settings", settings)]  # fmt: skip
    request.upgrade = b"h2c"
    info = ConnectionInfo(("192.0.2.1", 1), ("192.0.2.9", 80))
    return Http2Engine.from_upgrade(info, HttpConfig(), 0.0, request, settings)


def test_an_upgraded_request_is_stream_one() -> None:
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    settings = peer.initiate_upgrade_connection()
    assert settings is not None
    engine = upgraded(settings)
    [event] = engine.receive_data(peer.data_to_send(), 0.0)
    assert type(event) is RequestReceived
    assert (event.stream, event.complete, event.request.version) == (1, True, "2")
    assert [name for name, _ in event.request.headers] == [b"host"]
    engine.respond(1, 200, TEXT, 0.0)
    engine.send(1, b"new", 0.0)
    engine.end(1, 0.0)
    head, _, rest = octets(engine.segments()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    got = peer.receive_data(rest)
    assert b"".join(e.data for e in got if type(e) is h2.events.DataReceived) == b"new"
    peer.send_headers(3, GET, end_stream=True)
    assert [e.stream for e in engine.receive_data(peer.data_to_send(), 0.0)] == [3]


@pytest.mark.parametrize("settings", [b"!", b"AAM", base64.urlsafe_b64encode(b"\0\4\xff\xff\xff\xff"), b"AAMAAABkAAQ"])
def test_settings_of_an_upgrade_that_cannot_be_read_are_refused(settings: bytes) -> None:
    with pytest.raises(BadRequest):
        upgraded(settings)


def test_a_body_that_comes_whole_with_its_head_is_told_with_it_and_owes_no_credit() -> None:
    client = Client()
    client.request(1, POST, b"hello")
    client.h2.end_stream(1)
    client.request(3, POST, b"")
    client.h2.end_stream(3)
    client.run()
    told = client.named(RequestReceived)
    assert [(event.stream, event.complete, event.body) for event in told] == [(1, True, b"hello"), (3, True, b"")]
    assert not client.named(BodyReceived)


def test_a_body_is_told_with_no_head_but_its_own() -> None:
    client = Client()
    client.request(1, POST, b"")
    client.run()
    client.request(3, POST, b"")
    client.h2.send_data(1, b"of the first")
    client.h2.end_stream(3)
    client.run()
    assert [(event.stream, event.complete, event.body) for event in client.named(RequestReceived)] == [
        (1, False, None), (3, False, None)
    ]  # fmt: skip
    assert [event.data for event in client.named(BodyReceived, 1)] == [b"of the first"]
    assert [event.stream for event in client.named(BodyEnded)] == [3]


def test_what_comes_with_a_connect_is_told_by_itself() -> None:
    client = Client()
    fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
    client.h2.send_headers(1, fields)
    client.h2.send_data(1, b"x", end_stream=True)
    client.run()
    assert (client.named(RequestReceived)[0].complete, client.named(RequestReceived)[0].body) == (False, None)
    assert [event.data for event in client.named(BodyReceived, 1)] == [b"x"]
