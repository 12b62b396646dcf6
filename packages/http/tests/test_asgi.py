"""The ASGI mapping: scopes and the order of messages."""

from __future__ import annotations

import http

import pytest

from server_http import asgi
from server_http.engine import ConnectionInfo
from server_http.errors import ApplicationFault
from server_http.events import Request
from server_http.proxy import ProxyHeader


class Tls:
    def extension(self):
        return {"tls_version": 0x304}


def request(path=b"/", method="GET", version="1.1", **attributes):
    made = Request(1, method, path, version)
    made.client = ("192.0.2.7", 4711)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def template(**kwargs):
    return asgi.ScopeTemplate(ConnectionInfo(("192.0.2.7", 4711), ("198.51.100.1", 80)), **kwargs)


def test_a_scope_holds_every_key_of_the_specification():
    made = request(b"/a%20b", query=b"x=1", headers=[(b"host", b"h")])
    assert template(root_path="/mount").http(made) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1",
        "root_path": "/mount",
        "headers": [(b"host", b"h")],
        "server": ("198.51.100.1", 80),
        "client": ("192.0.2.7", 4711),
        "extensions": {
            "http.response.early_hint": {},
            "http.response.informational": {},
            "http.response.pathsend": {},
            "http.response.trailers": {},
        },
    }


def test_nothing_that_an_application_changes_reaches_the_next_scope():
    scopes, made, state = template(), request(headers=[(b"a", b"b")]), {"pool": 1}
    first = scopes.http(made, state)
    first["asgi"]["version"] = "9"
    first["extensions"].clear()
    first["headers"].append((b"x", b"y"))
    first["state"]["own"] = 2
    first["path"] = "/changed"
    second = scopes.http(made, state)
    assert second["asgi"]["version"] == "3.0"
    assert "http.response.pathsend" in second["extensions"]
    assert second["headers"] == [(b"a", b"b")] == made.headers
    assert second["state"] == {"pool": 1}
    assert second["path"] == "/"


def test_a_state_of_the_applications_own_class_keeps_its_class():
    class State(dict):
        def copy(self):
            return State(self)

    assert type(template().http(request(), State(a=1))["state"]) is State


@pytest.mark.parametrize(
    ("raw", "path"),
    [(b"/", "/"), (b"/%C3%A9", "/é"), (b"/%ff", "/�"), (b"/a%2Fb", "/a/b"), (b"/%zz", "/%zz"), (b"*", "*"), (b"", "")],
)
def test_the_path_is_percent_decoded_as_utf8(raw, path):
    scope = template().http(request(raw))
    assert (scope["path"], scope["raw_path"]) == (path, raw)


def test_what_a_trusted_proxy_said_wins():
    made = request(
        b"/app/x", script_name="/app", server=("example.org", 443), scheme="https", client=("203.0.113.9", 1)
    )
    scope = template(root_path="/other").http(made)
    assert scope["root_path"] == "/app"
    assert scope["server"] == ("example.org", 443)
    assert scope["scheme"] == "https"
    assert scope["client"] == ("203.0.113.9", 1)


def test_a_unix_socket_has_a_path_and_no_client():
    scopes = asgi.ScopeTemplate(ConnectionInfo(None, ("/run/app.sock", None)))
    scope = scopes.http(request(client=None))
    assert scope["server"] == ("/run/app.sock", None)
    assert scope["client"] is None


def test_trailers_are_not_offered_to_http_1_0():
    assert "http.response.trailers" not in template().http(request(version="1.0"))["extensions"]


def test_priority_and_tls_are_extensions_where_they_exist():
    info = ConnectionInfo(("192.0.2.7", 1), ("198.51.100.1", 443), tls=Tls())
    extensions = asgi.ScopeTemplate(info).http(request(version="2", priority=(3, True)))["extensions"]
    assert extensions["tls"] == {"tls_version": 0x304}
    assert extensions["http.response.priority"] == {"urgency": 3, "incremental": True}


def test_the_method_is_upper_case():
    assert template().http(request(method="patch"))["method"] == "PATCH"


def test_a_websocket_scope():
    scope = template(extensions={"server.shutdown": 1}).websocket(request(b"/ws", scheme="https"), ["a", "b"], {"s": 1})
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "wss"
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}, "server.shutdown": 1}
    assert scope["state"] == {"s": 1}
    assert "method" not in scope


def taken(order, messages):
    """Return the actions of messages in order, and the state behind them."""
    state, actions = 0, []
    for message in messages:
        action, state = asgi.take(order, state, message)
        actions.append(action)
    return actions, state


START = {"type": "http.response.start", "status": 200}
MORE = {"type": "http.response.body", "body": b"x", "more_body": True}
LAST = {"type": "http.response.body", "body": b"x"}
PATH = {"type": "http.response.pathsend", "path": "/x"}
HINT = {"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]}
PROMISED = {"type": "http.response.start", "status": 200, "trailers": True}
SOME = {"type": "http.response.trailers", "headers": [], "more_trailers": True}
ALL = {"type": "http.response.trailers", "headers": []}


@pytest.mark.parametrize(
    ("messages", "actions"),
    [
        ([START, LAST], [asgi.HEAD, asgi.LAST_BODY]),
        ([HINT, HINT, START, MORE, LAST], [asgi.INFORM, asgi.INFORM, asgi.HEAD, asgi.BODY, asgi.LAST_BODY]),
        ([START, PATH], [asgi.HEAD, asgi.FILE]),
        ([PROMISED, LAST, SOME, ALL], [asgi.HEAD, asgi.LAST_BODY, asgi.TRAILERS, asgi.LAST_TRAILERS]),
        ([PROMISED, PATH, ALL], [asgi.HEAD, asgi.FILE, asgi.LAST_TRAILERS]),
    ],
)
def test_messages_in_order(messages, actions):
    assert taken(asgi.HTTP_ORDER, messages) == (actions, asgi.COMPLETE)


@pytest.mark.parametrize(
    "messages",
    [
        [LAST],
        [PATH],
        [START, START],
        [START, HINT],
        [START, MORE, PATH],
        [START, LAST, LAST],
        [START, LAST, ALL],
        [PROMISED, LAST, LAST],
        [PROMISED, ALL],
        [{"type": "http.response.unheard"}],
        [{"type": "websocket.accept"}],
    ],
)
def test_a_message_out_of_order_is_the_applications_fault(messages):
    _, state = taken(asgi.HTTP_ORDER, messages[:-1])
    with pytest.raises(ApplicationFault, match=f"ASGI message: expected .* got '{messages[-1]['type']}'"):
        asgi.take(asgi.HTTP_ORDER, state, messages[-1])


ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "x"}
CLOSE = {"type": "websocket.close"}
DENY = {"type": "websocket.http.response.start", "status": 401}
DENIAL = {"type": "websocket.http.response.body", "body": b"no"}
DENIAL_MORE = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}


@pytest.mark.parametrize(
    ("messages", "actions"),
    [
        ([ACCEPT, TEXT, CLOSE], [asgi.ACCEPT, asgi.SEND, asgi.CLOSE]),
        ([CLOSE], [asgi.CLOSE]),
        ([DENY, DENIAL_MORE, DENIAL], [asgi.DENY, asgi.DENIAL_BODY, asgi.LAST_DENIAL_BODY]),
    ],
)
def test_websocket_messages_in_order(messages, actions):
    assert taken(asgi.WEBSOCKET_ORDER, messages) == (actions, asgi.CLOSED)


@pytest.mark.parametrize(
    "messages", [[TEXT], [ACCEPT, ACCEPT], [ACCEPT, DENY], [ACCEPT, CLOSE, TEXT], [DENY, ACCEPT], [DENIAL], [START]]
)
def test_websocket_messages_out_of_order(messages):
    _, state = taken(asgi.WEBSOCKET_ORDER, messages[:-1])
    with pytest.raises(ApplicationFault):
        asgi.take(asgi.WEBSOCKET_ORDER, state, messages[-1])


def test_headers_may_be_any_pairs_of_bytes_and_are_copied():
    class Name(bytes):
        pass

    given = [[b"a", b"1"], (Name(b"b"), b"2")]
    message = {"type": "http.response.start", "status": 200, "headers": given}
    taken = asgi.message_headers(message)
    given.clear()
    assert taken == [(b"a", b"1"), (b"b", b"2")]
    assert asgi.message_headers({"type": "x", "headers": (pair for pair in [(b"a", b"1")])}) == [(b"a", b"1")]
    assert asgi.message_headers({"type": "x"}) == []


@pytest.mark.parametrize("headers", [[("a", b"1")], [(b"a", "1")], [(b"a", 1)], [b"abc"], [1], [(b"a",)]])
def test_headers_of_other_types_are_refused(headers):
    with pytest.raises(ApplicationFault, match="header: expected"):
        asgi.message_headers({"type": "http.response.start", "headers": headers})


def test_the_status_may_be_any_integer_but_no_boolean():
    assert asgi.message_status({"type": "http.response.start", "status": http.HTTPStatus.NOT_FOUND}) == 404
    for wrong in ("200", None, True, 2.0):
        with pytest.raises(ApplicationFault, match="status: expected an integer"):
            asgi.message_status({"type": "http.response.start", "status": wrong})


def test_bodies_may_be_bytes_like():
    for body in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert asgi.message_body({"type": "x", "body": body}) == b"abc"
    assert asgi.message_body({"type": "x"}) == b""
    with pytest.raises(ApplicationFault, match="body: expected bytes, got str"):
        asgi.message_body({"type": "http.response.body", "body": "text"})


def test_informational_messages():
    assert asgi.informational(HINT) == (103, [(b"link", b"</a>; rel=preload")])
    other = {"type": "http.response.informational", "status": 102, "headers": [(b"a", b"b")]}
    assert asgi.informational(other) == (102, [(b"a", b"b")])
    with pytest.raises(ApplicationFault, match="links"):
        asgi.informational({"type": "http.response.early_hint", "links": ["text"]})


def test_websocket_values():
    assert asgi.message_data(TEXT) == "x"
    assert asgi.message_data({"type": "websocket.send", "bytes": b"x", "text": None}) == b"x"
    for wrong in ({}, {"bytes": "x"}, {"text": b"x"}, {"bytes": b"", "text": ""}):
        with pytest.raises(ApplicationFault, match=r"websocket\.send"):
            asgi.message_data({"type": "websocket.send", **wrong})
    assert asgi.close_code(CLOSE) == (1000, "")
    assert asgi.close_code({"type": "websocket.close", "code": 4000, "reason": "bye"}) == (4000, "bye")
    with pytest.raises(ApplicationFault):
        asgi.close_code({"type": "websocket.close", "code": "4000"})


def test_only_an_offered_subprotocol_can_be_accepted():
    assert asgi.accepted_subprotocol({"type": "websocket.accept"}, ["a"]) is None
    assert asgi.accepted_subprotocol({"type": "websocket.accept", "subprotocol": "a"}, ["a"]) == "a"
    with pytest.raises(ApplicationFault, match="subprotocol"):
        asgi.accepted_subprotocol({"type": "websocket.accept", "subprotocol": "z"}, ["a"])


def test_a_path_to_send_is_a_string():
    assert asgi.message_path(PATH) == "/x"
    with pytest.raises(ApplicationFault, match="path"):
        asgi.message_path({"type": "http.response.pathsend", "path": b"/x"})


def test_what_the_proxy_header_said_is_an_extension():
    info = ConnectionInfo(("192.0.2.7", 4711), ("198.51.100.1", 80), proxy=ProxyHeader(2, "TCP4"))
    assert asgi.ScopeTemplate(info).http(request())["extensions"]["server.proxy"] == {"PROXY_PROTOCOL": "TCP4"}
    assert "server.proxy" not in template().http(request())["extensions"]
