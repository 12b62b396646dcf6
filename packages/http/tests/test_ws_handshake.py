"""The opening handshake over HTTP/1.1 and HTTP/2, and what is agreed upon in it."""

from __future__ import annotations

from typing import Any, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server_http.errors import ApplicationFault, BadRequest, ProtocolError, UpgradeRequired
from server_http.events import BodyReceived, Request, RequestReceived
from server_http.exchange import Exchange
from server_http.limits import Limits
from server_http.ws.deflate import Deflate, negotiate
from server_http.ws.engine import WebSocket
from server_http.ws.handshake import Handshake, is_websocket, refusal
from support.http2 import Client

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")


def request(*fields: Any, method: str = "GET", version: str = "1.1") -> Request:
    made = Request(1, method, b"/chat", version)
    made.headers = [(b"host", b"example.com"), *fields]
    if version == "2":
        made.method, made.protocol, made.content_length = "CONNECT", b"websocket", None
    else:
        made.upgrade = b"websocket"
    return made


def test_the_example_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    made = request(KEY, VERSION, (b"sec-websocket-protocol", b"chat, superchat"))
    assert is_websocket(made)
    handshake = Handshake(made, Limits())
    assert handshake.subprotocols == ["chat", "superchat"]
    status, fields, deflate = handshake.accept("chat", [(b"X-Mine", b"1")])
    assert status == 101
    assert fields == [
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"Sec-WebSocket-Protocol", b"chat"),
        (b"X-Mine", b"1"),
    ]
    assert deflate is None
    assert isinstance(handshake.websocket(deflate, 0.0), WebSocket)


def test_the_response_rules_let_the_acceptance_through() -> None:
    made = request(KEY, VERSION)
    status, fields, _ = Handshake(made, Limits()).accept()
    exchange = Exchange("GET", "1.1", True, made.upgrade)
    assert exchange.respond(status, fields) == fields
    assert exchange.connection() == b"Upgrade"


def test_over_http2_there_is_no_key() -> None:
    handshake = Handshake(request(VERSION, (b"sec-websocket-protocol", b"a"), version="2"), Limits())
    assert handshake.accept("a")[:2] == (200, [(b"Sec-WebSocket-Protocol", b"a")])


def test_an_ordinary_request_is_none() -> None:
    assert not is_websocket(Request(1, "GET", b"/", "1.1"))
    assert not is_websocket(Request(1, "CONNECT", b"a:1", "2"))


@pytest.mark.parametrize(
    ("fields", "method", "version", "error"),
    [
        ([KEY], "GET", "1.1", UpgradeRequired),
        ([KEY, (b"sec-websocket-version", b"12")], "GET", "1.1", UpgradeRequired),
        ([KEY, VERSION, VERSION], "GET", "1.1", UpgradeRequired),
        ([VERSION], "GET", "1.1", BadRequest),
        ([KEY, KEY, VERSION], "GET", "1.1", BadRequest),
        ([(b"sec-websocket-key", b"c2hvcnQ="), VERSION], "GET", "1.1", BadRequest),
        ([(b"sec-websocket-key", b"!" * 24), VERSION], "GET", "1.1", BadRequest),
        ([KEY, VERSION], "POST", "1.1", BadRequest),
        ([KEY, VERSION], "GET", "1.0", BadRequest),
        ([KEY, VERSION, (b"sec-websocket-protocol", b"a b")], "GET", "1.1", BadRequest),
        ([KEY, VERSION, (b"sec-websocket-protocol", b"a,,b")], "GET", "1.1", BadRequest),
        ([(b"sec-websocket-version", b"8")], "GET", "2", UpgradeRequired),
    ],
)
def test_a_handshake_that_is_wrong_is_refused(fields: List[Any], method: str, version: str, error: type) -> None:
    with pytest.raises(ProtocolError) as raised:
        Handshake(request(*fields, method=method, version=version), Limits())
    assert type(raised.value) is error
    status, answer, body = refusal(raised.value)
    assert status == error.status  # type: ignore[attr-defined]
    assert body
    assert ((b"Sec-WebSocket-Version", b"13") in answer) == (status == 426)


def test_a_body_has_no_place_in_a_handshake() -> None:
    made = request(KEY, VERSION)
    made.content_length = 5
    with pytest.raises(BadRequest):
        Handshake(made, Limits())


@pytest.mark.parametrize(
    ("subprotocol", "headers"),
    [
        ("other", []),
        (None, [(b"Sec-WebSocket-Accept", b"x")]),
        (None, [(b"sec-websocket-protocol", b"chat")]),
        (None, [(b"SEC-WEBSOCKET-EXTENSIONS", b"x")]),
    ],
)
def test_an_application_cannot_break_the_handshake(subprotocol: Optional[str], headers: List[Any]) -> None:
    handshake = Handshake(request(KEY, VERSION, (b"sec-websocket-protocol", b"chat")), Limits())
    with pytest.raises(ApplicationFault):
        handshake.accept(subprotocol, headers)


# -- compression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (b"permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (
            b"permessage-deflate; client_max_window_bits",
            b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            b"permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            b"permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
        ),
        (
            b'permessage-deflate;server_no_context_takeover;client_no_context_takeover; server_max_window_bits="9"',
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        ),
        (b"x-other, permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (
            b"permessage-deflate; server_max_window_bits=8, permessage-deflate",
            b"permessage-deflate; server_max_window_bits=12",
        ),
        (b"permessage-deflate; server_max_window_bits=8", None),
        (b"permessage-deflate; server_max_window_bits=16", None),
        (b"permessage-deflate; server_max_window_bits=09", None),
        (b"permessage-deflate; server_max_window_bits", None),
        (b"permessage-deflate; client_max_window_bits=", None),
        (b"permessage-deflate; server_no_context_takeover=1", None),
        (b"permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        (b"permessage-deflate; unknown", None),
        (b"x-webkit-deflate-frame", None),
        (b"", None),
        (b";;,,==", None),
    ],
)
def test_the_first_offer_that_can_be_met_is_accepted(offer: bytes, answer: Optional[bytes]) -> None:
    agreed = negotiate([offer])
    assert (None if agreed is None else agreed.header()) == answer
    handshake = Handshake(request(KEY, VERSION, (b"sec-websocket-extensions", offer)), Limits())
    _, fields, deflate = handshake.accept()
    assert dict(fields).get(b"Sec-WebSocket-Extensions") == answer
    assert (deflate is None) == (answer is None)


def test_compression_can_be_switched_off() -> None:
    made = request(KEY, VERSION, (b"sec-websocket-extensions", b"permessage-deflate"))
    assert Handshake(made, Limits(), compress=False).accept()[2] is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_offers_of_any_kind_never_raise(values: List[bytes]) -> None:
    agreed = negotiate(values)
    assert agreed is None or isinstance(agreed, Deflate)


# -- over HTTP/2 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [0, 1])
def test_a_websocket_lives_on_an_http2_stream(piece: int) -> None:
    """RFC 8441 section 5.1."""
    client = Client(piece=piece)
    fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":path", b"/chat"),
              (b":authority", b"example.com"), VERSION]  # fmt: skip
    client.request(1, fields, b"")
    client.run()
    made = client.named(RequestReceived)[0].request
    assert is_websocket(made)
    handshake = Handshake(made, Limits())
    status, answer, deflate = handshake.accept()
    client.engine.respond(1, status, answer, 0.0)
    socket = handshake.websocket(deflate, 0.0)
    client.run()
    assert client.head(1)[b":status"] == b"200"
    client.h2.send_data(1, b"\x81\x85\0\0\0\0hello\x88\x82\0\0\0\0\x03\xe8")
    client.run()
    messages = []
    for event in client.named(BodyReceived):
        messages += socket.receive_data(event.data, 0.0)
    assert messages[0] == "hello"
    client.engine.send(1, socket.send_text("too late") + socket.take(), 0.0)
    assert socket.ended
    client.engine.end(1, 0.0)
    client.run()
    assert client.content(1) == b"\x88\x02\x03\xe8"
    assert client.finished(1)
