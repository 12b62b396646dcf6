"""What holds for every input: the engine never raises, never hangs, keeps its bounds, and does not mind the cuts."""

from __future__ import annotations

from typing import Any, List, Tuple

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server_http.config import HttpConfig
from server_http.errors import ApplicationFault
from server_http.events import BodyReceived, ConnectionEnded, RequestReceived, StreamClosed
from server_http.h1.engine import Http1Engine
from server_http.limits import Limits
from support.http1 import Talk, new_engine, talk, written

SMALL = Limits(
    request_line=60, header_count=6, header_field=60, head=300, body=50, chunk_extension=20, chunk_overhead=200,
    trailer_count=3, trailer_octets=60, unread_body_drain=40, receive_high_water=64, send_high_water=100,
    send_low_water=20,
)  # fmt: skip
CONFIG = HttpConfig(limits=SMALL)

PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"HEAD / HTTP/1.0\r\n", b"CONNECT h:1 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n", b"GET http://h/ HTTP/1.1\r\n", b"Host: a\r\n", b"Host: b:80\r\n", b"\r\n",
        b"\r", b"\n",
        b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
        b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"X_Y: 1\r\n",
        b"hello", b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"0\r\n\r\n", b"0\r\n", b"X: 1\r\n", b" ", b":", b"\0",
        b"ffff\r\n",
    ]
)  # fmt: skip
STREAMS = st.one_of(st.lists(PIECES, max_size=20).map(b"".join), st.binary(max_size=100))


def cut(octets: bytes, places: List[int]) -> List[bytes]:
    marks = sorted({0, len(octets), *(place % (len(octets) + 1) for place in places)})
    return [octets[a:b] for a, b in zip(marks, marks[1:])]


@settings(max_examples=400)
@given(STREAMS, st.lists(st.integers(0, 500), max_size=6))
def test_the_cuts_do_not_matter(octets: bytes, places: List[int]) -> None:
    assert talk(cut(octets, places), CONFIG).facts() == talk([octets], CONFIG).facts()


@settings(max_examples=200)
@given(STREAMS)
def test_octet_by_octet_is_no_different(octets: bytes) -> None:
    assert talk([octets[i : i + 1] for i in range(len(octets))], CONFIG).facts() == talk([octets], CONFIG).facts()


TOKENS = st.text("abcXYZ019!#$%&'*+-.^`|~", min_size=1, max_size=10).map(str.encode)
VALUES = st.text('abc XYZ\t09:;,"\\()\u00ff', max_size=15).map(lambda text: text.encode("latin-1").strip(b" \t"))
RESERVED = {b"host", b"content-length", b"content-type", b"transfer-encoding", b"connection", b"expect", b"upgrade"}


@given(
    st.sampled_from(["GET", "POST", "DELETE", "M-SEARCH"]),
    st.text("abc/%20~;=@:!$&'()*+,-._", max_size=20).map(lambda text: b"/" + text.encode()),
    st.lists(st.tuples(TOKENS.filter(lambda name: name.lower() not in RESERVED), VALUES), max_size=5),
    st.one_of(st.none(), st.binary(max_size=40)),
    st.booleans(),
)
def test_what_was_sent_is_what_the_application_sees(
    method: str, target: bytes, fields: List[Tuple[bytes, bytes]], body: Any, chunked: bool
) -> None:
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target), b"Host: a", *(b"%b: %b" % field for field in fields)]
    octets = b""
    if body is not None and chunked:
        lines.append(b"Transfer-Encoding: chunked")
        octets = b"".join(b"1\r\n%b\r\n" % body[i : i + 1] for i in range(len(body))) + b"0\r\n\r\n"
    elif body is not None:
        lines.append(b"Content-Length: %d" % len(body))
        octets = body
    (seen,) = talk([b"\r\n".join(lines) + b"\r\n\r\n" + octets]).seen
    request = seen.request
    assert (request.method, request.target) == (method, target)
    got = [field for field in request.headers if field[0] not in RESERVED]
    assert got == [(name.lower(), value) for name, value in fields]
    assert seen.body == (body or b"")
    assert seen.complete


class AnyDriver(RuleBasedStateMachine):
    """Any order of input and of an application's commands; after each of them the bounds hold."""

    def __init__(self) -> None:
        super().__init__()
        self.engine: Http1Engine = new_engine(CONFIG.replace(limits=SMALL.replace(keepalive=10.0)))
        self.now = 0.0
        self.stream = 0
        self.open = False
        self.head = False
        self.ended = False
        self.taken = 0
        self.given = 0
        self.wire = b""

    def note(self, events: Any) -> None:
        for event in events:
            assert not isinstance(event, ConnectionEnded) or not self.ended
            if isinstance(event, RequestReceived):
                assert not self.open  # one at a time
                assert event.stream == self.stream + 1
                self.stream, self.open, self.head, self.taken, self.given = event.stream, True, False, 0, 0
            elif isinstance(event, BodyReceived):
                assert self.open
                self.given += event.credit
            elif isinstance(event, StreamClosed):
                assert self.open
                self.open = False
            elif isinstance(event, ConnectionEnded):
                self.ended = True

    @precondition(lambda self: self.engine.want_read())
    @rule(octets=STREAMS)
    def receive(self, octets: bytes) -> None:
        self.note(self.engine.receive_data(octets, self.now))

    @precondition(lambda self: not self.open and self.engine.want_read())
    @rule()
    def receive_request(self) -> None:
        octets = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        self.note(self.engine.receive_data(octets, self.now))

    @rule()
    def receive_eof(self) -> None:
        self.note(self.engine.receive_eof(self.now))

    @rule(status=st.sampled_from([200, 204, 304, 404]), length=st.sampled_from([None, 0, 3, 200]))
    def respond(self, status: int, length: Any) -> None:
        if self.open and not self.head:
            headers = [] if length is None else [(b"Content-Length", b"%d" % length)]
            self.engine.respond(self.stream, status, headers, self.now)
            self.head = True

    @rule()
    def respond_badly(self) -> None:
        if self.open and not self.head:
            before = written(self.engine)
            try:
                self.engine.respond(self.stream, 200, [(b"X", b"\r\n")], self.now)
            except ApplicationFault:
                assert written(self.engine) == before

    @rule(status=st.sampled_from([100, 103]))
    def inform(self, status: int) -> None:
        if self.open:
            self.engine.inform(self.stream, status, [], self.now)

    @rule(size=st.integers(0, 150))
    def send(self, size: int) -> None:
        if self.open and self.head:
            self.engine.send(self.stream, b"x" * size, self.now)

    @rule()
    def end(self) -> None:
        if self.open and self.head:
            self.engine.end(self.stream, self.now)
            self.note(self.engine.advance(self.now))
            self.head = False
            self.finish()

    def finish(self) -> None:
        self.write(10**6)
        assert not self.open

    @rule()
    def reset(self) -> None:
        if self.open:
            self.engine.reset(self.stream, 0, self.now)
            self.finish()
            assert self.ended

    @rule(n=st.integers(1, 100))
    def consume(self, n: int) -> None:
        if self.open:
            n = min(n, self.given - self.taken)
            self.taken += n
            self.engine.consumed(self.stream, n)

    @rule(size=st.integers(0, 300))
    def write(self, size: int) -> None:
        octets = written(self.engine)[:size]
        self.wire += octets
        self.engine.sent(len(octets))
        self.note(self.engine.advance(self.now))

    @rule()
    def drain(self) -> None:
        self.engine.drain(self.now)
        self.note(self.engine.advance(self.now))

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.engine.deadline()
        if deadline is not None and deadline <= self.now:
            self.note(self.engine.handle_timer(self.now))
            later = self.engine.deadline()
            assert later is None or later > self.now  # else a driver would spin

    @invariant()
    def pending_is_what_waits(self) -> None:
        assert sum(map(len, self.engine.segments())) == len(written(self.engine))

    @invariant()
    def nothing_is_read_at_the_end(self) -> None:
        if self.ended:
            assert not self.engine.want_read()

    @invariant()
    def a_peer_that_should_act_has_a_deadline(self) -> None:
        if not self.ended and not self.open and not self.engine.segments():
            assert self.engine.deadline() is not None


AnyDriver.TestCase.settings = settings(max_examples=150, stateful_step_count=25)
test_any_driver = AnyDriver.TestCase


def test_an_endless_line_is_not_kept() -> None:
    it = Talk(CONFIG)
    for _ in range(1000):
        it.feed(b"a" * 50)
    assert it.error_status == 414
