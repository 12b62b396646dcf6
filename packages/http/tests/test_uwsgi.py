"""The uwsgi engine: packets in every piece, what variables mean, one exchange and its end."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http.config import HttpConfig
from server_http.defaults import ResponseDefaults
from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest, ContentTooLarge, Forbidden, RequestTimeout, StateError
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    InputEnded,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
)
from server_http.h1.rules import Grammar
from server_http.headers import AddressSet, HeaderPolicy
from server_http.limits import Limits
from server_http.uwsgi import open_uwsgi
from server_http.uwsgi_request import build_request, read_variables

LOCAL = ConnectionInfo(("127.0.0.1", 5000), ("127.0.0.1", 80))
BASE = {
    "REQUEST_METHOD": "GET",
    "REQUEST_URI": "/a%20b?q=1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "q=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "example.org",
}


def sized(text):
    octets = text.encode("latin-1") if isinstance(text, str) else text
    return struct.pack("<H", len(octets)) + octets


def packet(variables=BASE, modifier=0, **more):
    block = b"".join(sized(name) + sized(value) for name, value in {**variables, **more}.items())
    return struct.pack("<BHB", modifier, len(block), 0) + block


def engine(info=LOCAL, **kwargs):
    kwargs.setdefault("defaults", ResponseDefaults(b""))
    return open_uwsgi(info, HttpConfig(**kwargs), 0.0)


def kinds(events):
    return [type(event) for event in events]


def feed(target, octets, size, now=0.0):
    """Feed octets in pieces; neighbouring body parts become one."""
    events = []
    for start in range(0, len(octets), size):
        events.extend(target.receive_data(octets[start : start + size], now))
    return events


def output(target):
    octets = b"".join(bytes(segment) for segment in target.segments())
    target.sent(len(octets))
    return octets


def request_of(**variables):
    merged = {name: value for name, value in {**BASE, **variables}.items() if value is not None}
    return build_request(read(merged), LOCAL, Grammar())


def read(variables):
    octets = packet(variables)
    return read_variables(octets, 4, len(octets), 100)


class TestRequest:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 10_000])
    def test_is_received_in_whatever_pieces(self, size):
        target = engine()
        (event,) = feed(target, packet(), size)
        assert event.complete
        request = event.request
        assert (request.method, request.target, request.version) == ("GET", b"/a%20b?q=1", "1.1")
        assert (request.path, request.query, request.authority) == (b"/a%20b", b"q=1", b"example.org")
        assert request.headers == [(b"host", b"example.org")]
        assert request.client == LOCAL.client
        assert (request.scheme, request.content_length, request.script_name) == ("http", 0, None)
        assert request.variables == {}

    @pytest.mark.parametrize("cut", range(1, 120, 7))
    def test_body_follows_by_its_length(self, cut):
        octets = packet(REQUEST_METHOD="POST", CONTENT_LENGTH="5", CONTENT_TYPE="text/plain") + b"hello"
        target = engine()
        events = [*target.receive_data(octets[:cut], 0.0), *target.receive_data(octets[cut:], 0.0)]
        assert kinds(events)[0] is RequestReceived
        assert events[0].complete or kinds(events)[-1] is BodyEnded
        parts = [event.data for event in events if type(event) is BodyReceived]
        assert b"".join([events[0].body or b"", *parts]) == b"hello"
        fields = events[0].request.headers
        assert fields[1:] == [(b"content-type", b"text/plain"), (b"content-length", b"5")]

    def test_octets_behind_the_body_belong_to_nothing(self):
        target = engine()
        events = target.receive_data(packet(CONTENT_LENGTH="2") + b"okGET / HTTP/1.1\r\n\r\n", 0.0)
        assert kinds(events) == [RequestReceived]
        assert events[0].complete
        assert events[0].body == b"ok"
        assert target.receive_data(packet(), 0.0) == []

    @pytest.mark.parametrize(
        ("variables", "scheme"),
        [
            ({"HTTPS": "on"}, "https"),
            ({"HTTPS": "1"}, "https"),
            ({"HTTPS": "off"}, "http"),
            ({"HTTPS": ""}, "http"),
            ({"REQUEST_SCHEME": "https"}, "https"),
            ({"UWSGI_SCHEME": "https"}, "https"),
            ({"wsgi.url_scheme": "https"}, "https"),
            ({"REQUEST_SCHEME": "http"}, "http"),
        ],
    )
    def test_scheme(self, variables, scheme):
        assert request_of(**variables).scheme == scheme

    @pytest.mark.parametrize(
        ("variables", "path", "mount"),
        [
            ({"PATH_INFO": "/x", "REQUEST_URI": "/x"}, b"/x", None),
            ({"PATH_INFO": "/rewritten", "REQUEST_URI": "/x"}, b"/rewritten", None),
            ({"PATH_INFO": None, "REQUEST_URI": "/a%2Fb?x"}, b"/a/b", None),
            ({"PATH_INFO": "/100%", "REQUEST_URI": "/100%25"}, b"/100%25", None),
            ({"PATH_INFO": "/\xc3\xa9", "REQUEST_URI": "/%C3%A9"}, b"/%C3%A9", None),
            ({"PATH_INFO": "/app/x", "REQUEST_URI": "/app/x", "SCRIPT_NAME": "/app"}, b"/app/x", "/app"),
            ({"PATH_INFO": "/x", "REQUEST_URI": "/app/x", "SCRIPT_NAME": "/app"}, b"/app/x", "/app"),
            ({"PATH_INFO": "/app/x", "REQUEST_URI": "/app/app/x", "SCRIPT_NAME": "/app"}, b"/app/app/x", "/app"),
            ({"PATH_INFO": "", "REQUEST_URI": "/app", "SCRIPT_NAME": "/app/"}, b"/app", "/app"),
            ({"PATH_INFO": "/x", "REQUEST_URI": "/x", "SCRIPT_NAME": ""}, b"/x", None),
            ({"PATH_INFO": "*", "REQUEST_URI": "*", "REQUEST_METHOD": "OPTIONS"}, b"*", None),
        ],
    )
    def test_path_and_mount_point(self, variables, path, mount):
        request = request_of(**variables)
        assert (request.path, request.script_name) == (path, mount)

    @pytest.mark.parametrize(
        ("variables", "client"),
        [
            ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "77"}, ("192.0.2.1", 77)),
            ({"REMOTE_ADDR": "192.0.2.1"}, ("192.0.2.1", 0)),
            ({"REMOTE_ADDR": "unix:"}, None),
            ({}, LOCAL.client),
        ],
    )
    def test_client(self, variables, client):
        assert request_of(**variables).client == client

    def test_server_and_authority(self):
        request = request_of(SERVER_NAME="s", SERVER_PORT="81")
        assert (request.authority, request.server) == (b"example.org", ("s", 81))
        request = request_of(SERVER_NAME="s", SERVER_PORT="81", HTTP_HOST=None)
        assert (request.authority, request.server) == (b"s:81", ("s", 81))

    def test_variables_become_fields_or_are_offered(self):
        request = request_of(
            HTTP_X_THING="v",
            HTTP_CONTENT_LENGTH="7",
            HTTP_TRANSFER_ENCODING="chunked",
            REMOTE_USER="u",
            **{"wsgi.x": "y"},
        )
        assert request.headers == [(b"host", b"example.org"), (b"x-thing", b"v")]
        assert request.variables == {"REMOTE_USER": "u"}
        assert request.content_length == 0

    def test_the_last_of_a_name_counts(self):
        twice = [("HTTP_X", "1"), ("REMOTE_USER", "a"), ("QUERY_STRING", "b"), ("HTTP_Y", "")]
        twice += [("HTTP_X", "2"), ("REMOTE_USER", "c"), ("QUERY_STRING", "d")]
        block = packet()[4:] + b"".join(sized(name) + sized(value) for name, value in twice)
        request = build_request(read_variables(block, 0, len(block), 100), LOCAL, Grammar())
        assert request.headers == [(b"host", b"example.org"), (b"x", b"2"), (b"y", b"")]
        assert (request.query, request.variables) == (b"d", {"REMOTE_USER": "c"})

    @pytest.mark.parametrize(
        ("said", "version"), [("HTTP/1.0", "1.0"), ("HTTP/2.0", "2"), ("HTTP/1.1", "1.1"), ("", "1.1")]
    )
    def test_version(self, said, version):
        assert request_of(SERVER_PROTOCOL=said).version == version

    def test_target_is_made_up_where_the_proxy_does_not_say_it(self):
        assert request_of(REQUEST_URI=None).target == b"/a%20b?q=1"

    def test_mount_point_of_the_proxy_goes_before_the_environment(self):
        target = engine(policy=HeaderPolicy(script_name="/env"))
        (event,) = target.receive_data(packet(SCRIPT_NAME="/a b", PATH_INFO="/a b/x", REQUEST_URI="/a%20b/x"), 0.0)
        assert event.request.script_name == "/a b"

    def test_policy_of_trusted_proxies_holds_here_too(self):
        target = engine(policy=HeaderPolicy(forwarded_hops=1))
        (event,) = target.receive_data(packet(HTTP_X_FORWARDED_FOR="192.0.2.7", HTTP_X_FORWARDED_PROTO="https"), 0.0)
        assert (event.request.client, event.request.scheme) == (("192.0.2.7", 0), "https")


REFUSED = [
    ({"REQUEST_METHOD": ""}, "method: expected a token, got b''"),
    ({"REQUEST_METHOD": "GE T"}, "method: expected a token"),
    ({"CONTENT_LENGTH": "-1"}, "Content-Length"),
    ({"CONTENT_LENGTH": "5, 5"}, "Content-Length"),
    ({"CONTENT_LENGTH": str(2**64 + 5)}, "Content-Length"),
    ({"PATH_INFO": "x"}, "PATH_INFO: expected a path"),
    ({"HTTP_HOST": "a/b"}, "authority"),
    ({"HTTP_HOST": "u@a"}, "authority"),
    ({"HTTP_X": "a\r\nb"}, "field b'x': expected a value without control"),
    ({"HTTP_X Y": "a"}, "expected the name of a field"),
    ({"HTTP_": "a"}, "expected the name of a field"),
    ({"REMOTE_ADDR": "1.2.3.4", "REMOTE_PORT": "x"}, "REMOTE_PORT: expected a port"),
]


class TestRefusals:
    def fails(self, octets, error, status, **kwargs):
        for size in (len(octets), 1):
            target = engine(**kwargs)
            events = feed(target, octets, size)
            assert kinds(events) == [ConnectionEnded]
            assert type(events[0].error) is error
            assert output(target).startswith(b"HTTP/1.1 %d " % status)
            assert not target.want_read()
            assert target.receive_data(b"more", 1.0) == []
        return str(events[0].error)

    @pytest.mark.parametrize(("variables", "text"), REFUSED)
    def test_malformed_variables(self, variables, text):
        assert text in self.fails(packet(**variables), BadRequest, 400)

    @pytest.mark.parametrize("block", [b"\x05", b"\x05\x00ab", b"\x01\x00a", b"\x01\x00a\x02\x00b", b"\x01\x00a\x01"])
    def test_sizes_that_lead_beyond_the_packet(self, block):
        text = self.fails(struct.pack("<BHB", 0, len(block), 0) + block, BadRequest, 400)
        assert text.startswith("uwsgi packet: expected")

    def test_another_modifier(self):
        assert self.fails(packet(modifier=5), BadRequest, 400) == "uwsgi modifier1: expected 0, got 5"

    def test_http_on_a_uwsgi_port(self):
        self.fails(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest, 400)

    def test_too_many_variables(self):
        many = packet({f"V{number}": "" for number in range(11)})
        assert self.fails(many, BadRequest, 400, limits=Limits(uwsgi_vars=10)) == (
            "uwsgi variables: expected at most 10, got more"
        )

    def test_a_body_above_the_limit(self):
        self.fails(packet(CONTENT_LENGTH="11"), ContentTooLarge, 413, limits=Limits(body=10))

    def test_a_peer_that_may_not_speak_uwsgi(self):
        self.fails(packet(), Forbidden, 403, uwsgi_allow_ips=AddressSet(["10.0.0.0/8"]))

    def test_a_peer_of_an_allowed_block_may(self):
        info = ConnectionInfo(("10.1.2.3", 5), ("10.0.0.1", 80))
        target = engine(info, uwsgi_allow_ips=AddressSet(["10.0.0.0/8"]))
        assert kinds(target.receive_data(packet(), 0.0)) == [RequestReceived]

    def test_a_unix_peer_may(self):
        target = engine(ConnectionInfo(None, ("/s", None)), uwsgi_allow_ips=AddressSet([]))
        assert kinds(target.receive_data(packet(), 0.0)) == [RequestReceived]


class TestResponse:
    def started(self, **variables):
        target = engine(limits=Limits(send_high_water=100, send_low_water=10))
        target.receive_data(packet(**variables), 0.0)
        return target

    def test_with_a_length(self):
        target = self.started()
        target.respond(1, 200, [(b"Content-Length", b"2")], 0.0)
        target.send(1, b"ok", 0.0)
        target.end(1, 0.0)
        assert output(target) == b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        events = target.advance(0.0)
        assert kinds(events) == [StreamClosed, ConnectionEnded]
        assert (events[0].status, events[0].sent) == (200, 2)
        assert (events[1].error, events[1].linger) == (None, False)

    def test_without_a_length_ends_with_the_connection_and_is_never_chunked(self):
        target = self.started()
        target.respond(1, 200, [], 0.0)
        target.send(1, b"a", 0.0)
        target.send(1, bytearray(b"b"), 0.0)
        target.end(1, 0.0)
        octets = output(target)
        assert octets.endswith(b"\r\n\r\nab")
        assert b"chunked" not in octets

    def test_head_has_no_body(self):
        target = self.started(REQUEST_METHOD="HEAD")
        target.respond(1, 200, [(b"Content-Length", b"2")], 0.0)
        target.send(1, b"ok", 0.0)
        target.end(1, 0.0)
        assert output(target).endswith(b"Content-Length: 2\r\n\r\n")

    def test_is_cut_at_its_length_and_logged(self):
        target = self.started()
        target.respond(1, 200, [(b"Content-Length", b"1")], 0.0)
        target.send(1, b"ok", 0.0)
        target.end(1, 0.0)
        assert output(target).endswith(b"\r\n\r\no")
        assert kinds(target.advance(0.0)) == [Warned, StreamClosed, ConnectionEnded]

    def test_informational_ones_have_no_place(self):
        target = self.started()
        target.inform(1, 103, [(b"Link", b"</x>")], 0.0)
        assert target.segments() == []

    def test_file(self):
        target = self.started()
        target.respond(1, 200, [(b"Content-Length", b"5")], 0.0)
        target.send_file(1, 9, 3, 5, 0.0)
        target.end(1, 0.0)
        region = target.segments()[-1]
        assert (region.fd, region.offset, region.count) == (9, 3, 5)

    def test_back_pressure(self):
        target = self.started()
        target.respond(1, 200, [], 0.0)
        target.send(1, b"x" * 200, 0.0)
        assert target.pending(1) > 200
        assert target.advance(0.0) == []
        target.sent(target.pending(1) - 10)
        assert kinds(target.advance(0.0)) == [Writable]

    def test_stream_that_was_reset_ends_the_connection(self):
        target = self.started()
        target.respond(1, 200, [], 0.0)
        target.reset(1, 2, 0.0)
        target.send(1, b"late", 0.0)
        output(target)
        assert kinds(target.advance(0.0)) == [StreamClosed, ConnectionEnded]

    def test_a_body_that_nobody_read_asks_for_a_lingering_close(self):
        target = self.started(CONTENT_LENGTH="10")
        target.respond(1, 200, [(b"Content-Length", b"0")], 0.0)
        target.end(1, 0.0)
        output(target)
        events = target.advance(0.0)
        assert events[-1].linger
        assert target.receive_data(b"x" * 10, 0.0) == []

    def test_no_command_before_the_request(self):
        with pytest.raises(StateError, match="stream: expected at most 0, got 1"):
            engine().respond(1, 200, [], 0.0)


class TestEndOfInput:
    def test_before_the_packet_is_silent(self):
        for octets in (b"", packet()[:20]):
            target = engine()
            target.receive_data(octets, 0.0)
            (event,) = target.receive_eof(0.0)
            assert (event.error, target.segments()) == (None, [])

    def test_within_the_body_is_a_bad_request(self):
        target = engine()
        target.receive_data(packet(CONTENT_LENGTH="5") + b"he", 0.0)
        events = target.receive_eof(0.0)
        assert kinds(events) == [StreamReset, StreamClosed, ConnectionEnded]
        assert str(events[-1].error) == "body: expected 3 more octets, got the end of the input"
        assert output(target).startswith(b"HTTP/1.1 400 ")

    def test_within_the_body_after_the_head_of_the_answer_cuts_it(self):
        target = engine()
        target.receive_data(packet(CONTENT_LENGTH="5"), 0.0)
        target.respond(1, 200, [], 0.0)
        events = target.receive_eof(0.0)
        assert kinds(events) == [StreamReset, StreamClosed, ConnectionEnded]
        assert b" 400 " not in output(target)
        assert (events[-1].linger, events[-1].abort) == (False, True)  # its end would look like that of a whole one

    def test_within_the_body_after_the_head_of_an_answer_of_known_length_needs_no_reset(self):
        target = engine()
        target.receive_data(packet(CONTENT_LENGTH="5"), 0.0)
        target.respond(1, 200, [(b"Content-Length", b"9")], 0.0)
        assert not target.receive_eof(0.0)[-1].abort

    def test_after_the_request_leaves_the_answer(self):
        target = engine()
        target.receive_data(packet(), 0.0)
        assert kinds(target.receive_eof(0.0)) == [InputEnded]
        target.respond(1, 204, [], 0.0)
        target.end(1, 0.0)
        assert output(target).startswith(b"HTTP/1.1 204 ")


class TestTime:
    LIMITS = Limits(first_request=5, head_timeout=7, body_timeout=3, send_timeout=4)

    def test_of_a_peer_that_sends_nothing(self):
        target = engine(limits=self.LIMITS)
        assert target.deadline() == 5
        assert target.handle_timer(4.9) == []
        (event,) = target.handle_timer(5.0)
        assert (event.error, target.segments()) == (None, [])

    def test_of_a_packet(self):
        target = engine(limits=self.LIMITS)
        target.receive_data(b"\x00", 2.0)
        target.receive_data(b"\x00", 3.0)
        assert target.deadline() == 9
        (event,) = target.handle_timer(9.0)
        assert type(event.error) is RequestTimeout
        assert target.deadline() == 13  # the page has a time of its own
        assert output(target).startswith(b"HTTP/1.1 408 ")

    def test_of_a_body_begins_anew_with_each_part(self):
        target = engine(limits=self.LIMITS)
        target.receive_data(packet(CONTENT_LENGTH="5"), 1.0)
        target.receive_data(b"h", 2.0)
        assert target.deadline() == 5
        assert kinds(target.handle_timer(5.0)) == [StreamReset, StreamClosed, ConnectionEnded]

    def test_of_a_body_rests_while_nobody_takes_it(self):
        target = engine(limits=Limits(body_timeout=3, receive_high_water=4))
        target.receive_data(packet(CONTENT_LENGTH="9") + b"full", 1.0)
        assert not target.want_read()
        assert target.deadline() is None
        target.consumed(1, 4)
        assert target.want_read()
        target.advance(10.0)
        assert target.deadline() == 13

    def test_of_output_that_is_not_read(self):
        target = engine(limits=self.LIMITS)
        target.receive_data(packet(), 0.0)
        target.answer(1, 200, [], b"x" * 100, 1.0)
        assert target.deadline() == 5
        target.sent(1)
        target.advance(3.0)
        assert target.deadline() == 7
        events = target.handle_timer(7.0)
        assert kinds(events) == [StreamReset, StreamClosed, ConnectionEnded]
        assert events[1].sent == 0  # the octet was one of the head
        assert events[-1].abort
        assert target.segments() == []

    def test_drain_waits_for_a_packet_that_may_be_on_its_way_and_not_for_long(self):
        target = engine()
        target.drain(0.0)
        assert target.advance(0.0) == []
        assert target.deadline() == 2.0
        assert kinds(target.receive_data(packet(), 1.0)) == [RequestReceived]
        target = engine()
        target.drain(0.0)
        assert kinds(target.handle_timer(2.0)) == [ConnectionEnded]
        target = engine()
        target.receive_data(b"\x00", 0.0)
        target.drain(0.0)
        assert target.handle_timer(2.0) == []


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_arbitrary_octets_never_raise_and_stay_bounded(pieces, started):
    target = engine()
    held = 0
    for piece in ([packet(CONTENT_LENGTH="20")] if started else []) + pieces:
        if not target.want_read():
            break
        target.receive_data(piece, 0.0)
        held += len(piece)
    target.receive_eof(0.0)
    target.handle_timer(1e9)
    assert sum(map(len, target.segments())) <= 1000


@given(st.dictionaries(st.text("ABC_", min_size=1, max_size=9), st.binary(max_size=300), max_size=20))
def test_variables_survive_the_round_trip(variables):
    expected = {name: value.decode("latin-1") for name, value in variables.items()}
    assert read(variables).offered == expected


@given(
    st.dictionaries(st.sampled_from([*BASE, "SCRIPT_NAME", "HTTPS", "HTTP_X", "CONTENT_LENGTH"]), st.text(max_size=20))
)
def test_arbitrary_variables_give_a_request_or_a_refusal(variables):
    latin = {name: value.encode("latin-1", "replace") for name, value in variables.items()}
    try:
        request = build_request(read({**BASE, **latin}), LOCAL, Grammar())
    except BadRequest:
        return
    assert request.path[:1] in (b"/", b"*")
