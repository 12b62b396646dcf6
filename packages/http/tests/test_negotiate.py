"""Which engine takes a connection: by ALPN, by the client preface, by Upgrade: h2c, by nothing."""

from __future__ import annotations

import base64

import pytest

from server_http.config import HttpConfig
from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest
from server_http.events import ConnectionEnded, Handover, RequestReceived
from server_http.h1.engine import Http1Engine
from server_http.headers import HeaderPolicy
from server_http.negotiate import PREFACE, open_http, refusal
from server_http.proxy import ProxyHeader

pytest.importorskip("h2")

from server_http.h2.engine import Http2Engine

TRUSTED = ("127.0.0.1", 5000)
STRANGER = ("192.0.2.1", 5000)
BOTH = ("h2", "h1")
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def opened(client=TRUSTED, tls=None, alpn=None, proxy=None, draining=False, **config):
    info = ConnectionInfo(client, ("127.0.0.1", 80), tls, alpn, proxy)
    info.draining = draining
    return open_http(info, HttpConfig(**config), 0.0)


def kinds(events):
    return [type(event) for event in events]


def output(engine):
    return b"".join(bytes(segment) for segment in engine.segments())


def feed(engine, octets, size):
    events = []
    for start in range(0, len(octets), size):
        events.extend(engine.receive_data(octets[start : start + size], 0.0))
        for event in events:
            if type(event) is Handover:
                engine = event.engine
    return engine, events


class TestChoice:
    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            ({}, Http1Engine),
            ({"tls": True}, Http1Engine),
            ({"tls": True, "alpn": "http/1.1", "protocols": BOTH}, Http1Engine),
            ({"tls": True, "protocols": BOTH}, Http1Engine),
            ({"tls": True, "alpn": "h2", "protocols": BOTH}, Http2Engine),
            ({"protocols": BOTH}, Http1Engine),
            ({"protocols": ("h2",)}, Http1Engine),
            ({"protocols": BOTH, "http2_cleartext": "upgrade"}, Http1Engine),
            ({"protocols": BOTH, "http2_cleartext": "both", "client": STRANGER}, Http1Engine),
        ],
    )
    def test_is_made_at_once_where_it_can_be(self, arguments, kind):
        assert type(opened(**arguments)) is kind

    def test_a_proxy_that_ended_tls_says_what_it_negotiated(self):
        header = ProxyHeader(2, "TCP4", STRANGER, TRUSTED)
        header.alpn = b"h2"
        assert type(opened(proxy=header, protocols=BOTH)) is Http2Engine
        assert type(opened(proxy=header, protocols=("h1",))) is Http1Engine


class TestPriorKnowledge:
    CONFIG = {"protocols": BOTH, "http2_cleartext": "prior-knowledge"}  # noqa: RUF012 - never changed

    @pytest.mark.parametrize("size", [1, 5, 23, 24, 25, 1000])
    def test_preface_opens_http2(self, size):
        engine, events = feed(opened(**self.CONFIG), PREFACE + SETTINGS_FRAME, size)
        assert type(engine) is Http2Engine
        assert kinds(events)[0] is Handover
        assert output(engine)[3:4] == b"\x04"

    @pytest.mark.parametrize("size", [1, 3, 1000])
    @pytest.mark.parametrize("method", [b"GET", b"P", b"PRI", b"PROPFIND", b"PRIX"])
    def test_anything_else_opens_http1_and_loses_nothing(self, method, size):
        engine, events = feed(opened(**self.CONFIG), method + GET[3:], size)
        assert type(engine) is Http1Engine
        assert kinds(events)[0] is Handover
        if method in (b"GET", b"PROPFIND"):
            assert kinds(events)[-1] is RequestReceived

    def test_anything_else_is_refused_where_http1_is_not_spoken(self):
        engine = opened(protocols=("h2",), http2_cleartext="prior-knowledge")
        (event,) = engine.receive_data(GET, 0.0)
        assert (type(event.error), event.linger) == (BadRequest, True)
        assert output(engine).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert not engine.want_read()
        assert engine.receive_data(PREFACE, 0.0) == ()
        assert engine.receive_eof(0.0) == ()
        engine.sent(len(output(engine)))
        assert engine.segments() == []
        assert engine.deadline() is None

    def test_tls_without_alpn_is_refused_where_http1_is_not_spoken(self):
        engine = opened(tls=True, protocols=("h2",))
        assert kinds(engine.receive_data(GET, 0.0)) == [ConnectionEnded]

    def test_a_stranger_gets_a_clean_answer(self):
        engine = opened(client=STRANGER, **self.CONFIG)
        events = engine.receive_data(PREFACE + SETTINGS_FRAME, 0.0)
        assert kinds(events) == [ConnectionEnded]
        assert output(engine).startswith(b"HTTP/1.1 ")

    def test_a_peer_that_says_nothing_meets_the_deadline_of_a_first_request(self):
        engine = opened(**self.CONFIG)
        engine.receive_data(b"PRI", 0.0)
        at = engine.deadline()
        assert at == Http1Engine(ConnectionInfo(TRUSTED, TRUSTED), HttpConfig(), 0.0).deadline()
        assert kinds(engine.handle_timer(at)) == [ConnectionEnded]

    def test_drain_and_end_of_input_before_a_choice(self):
        engine = opened(**self.CONFIG)
        first = opened(protocols=BOTH)
        for target in (engine, first):
            target.drain(0.0)
        assert kinds(engine.advance(0.0)) == kinds(first.advance(0.0))
        assert engine.deadline() == first.deadline()
        assert kinds(opened(**self.CONFIG).receive_eof(0.0)) == [ConnectionEnded]

    def test_a_worker_that_stops_says_so_to_the_engine_that_takes_over(self):
        engine, _ = feed(opened(draining=True, **self.CONFIG), PREFACE + SETTINGS_FRAME, 1000)
        assert b"\x07" in output(engine)  # GOAWAY


class TestUpgrade:
    OFFER = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: %b\r\n\r\n"
    )
    SETTINGS = base64.urlsafe_b64encode(b"\x00\x03\x00\x00\x00\x64").rstrip(b"=")

    def offered(self, head, client=TRUSTED, mode="upgrade", policy=None):
        engine = opened(client, protocols=BOTH, http2_cleartext=mode, policy=policy or HeaderPolicy())
        return feed(engine, head, len(head))

    @pytest.mark.parametrize("mode", ["upgrade", "both"])
    def test_offer_is_taken(self, mode):
        engine, events = self.offered(self.OFFER % self.SETTINGS + PREFACE + SETTINGS_FRAME, mode=mode)
        assert type(engine) is Http2Engine
        assert output(engine).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        received = [event for event in events if type(event) is RequestReceived]
        assert [event.stream for event in received] == [1]

    @pytest.mark.parametrize(
        "head",
        [
            OFFER % b"***",
            (OFFER % SETTINGS).replace(b"Upgrade, HTTP2-Settings", b"Upgrade"),
            (OFFER % SETTINGS).replace(b"Upgrade: h2c", b"Upgrade: h2c\r\nHTTP2-Settings: "),
            (OFFER % SETTINGS).replace(b"Host: a", b"Host: a\r\nContent-Length: 1") + b"x",
        ],
    )
    def test_offer_that_is_not_complete_is_ignored(self, head):
        engine, events = self.offered(head)
        assert type(engine) is Http1Engine
        assert kinds(events)[0] is RequestReceived

    def test_offer_of_a_stranger_is_ignored(self):
        engine, events = self.offered(self.OFFER % self.SETTINGS, STRANGER)
        assert type(engine) is Http1Engine
        assert kinds(events) == [RequestReceived]


def test_refusal_is_a_whole_response():
    assert refusal(403, b"No.\n") == (
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\nNo.\n"
    )
