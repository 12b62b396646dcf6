"""The rule book of responses: what is said, dropped, framed, counted; each rule with its section."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_http.defaults import ResponseDefaults, http_date
from server_http.errors import ApplicationFault, StateError
from server_http.exchange import Exchange
from server_http.states import (
    AWAITING,
    BODY,
    CHUNKED,
    COMMANDS,
    CUT,
    DELIMITED,
    ENDED,
    LENGTH,
    NO_BODY,
    RAW,
    STATES,
    TRANSITIONS,
    TUNNEL,
    UNTIL_CLOSE,
)
from server_http.statuses import REASONS, error_page, reason

Fields = List[Tuple[bytes, bytes]]


def exchange(method: str = "GET", version: str = "1.1", keep_alive: bool = True, **more: Any) -> Exchange:
    return Exchange(method, version, keep_alive, **more)


def length(n: int) -> Tuple[bytes, bytes]:
    return (b"Content-Length", b"%d" % n)


# section, method, version, status, the application's length, expected framing, whether the connection persists
FRAMING = [
    ("9112-6.3", "GET", "1.1", 200, 5, LENGTH, True),
    ("9112-6.3", "GET", "1.1", 200, 0, LENGTH, True),
    ("9112-6.3", "GET", "1.1", 200, None, CHUNKED, True),
    ("9112-6.3", "GET", "1.0", 200, None, UNTIL_CLOSE, False),
    ("9112-6.3", "GET", "1.0", 200, 5, LENGTH, True),
    ("9113-8.1", "GET", "2", 200, None, DELIMITED, True),
    ("9113-8.1", "GET", "2", 200, 5, LENGTH, True),
    ("9110-9.3.2", "HEAD", "1.1", 200, 5, NO_BODY, True),
    ("9110-9.3.2", "HEAD", "1.0", 200, None, NO_BODY, True),
    ("9110-15.3.5", "GET", "1.1", 204, None, NO_BODY, True),
    ("9110-15.4.5", "GET", "1.1", 304, 5, NO_BODY, True),
    ("9110-15.3.6", "GET", "1.1", 205, None, LENGTH, True),
    ("9110-9.3.6", "CONNECT", "1.1", 200, None, RAW, False),
    ("9110-9.3.6", "CONNECT", "2", 200, None, RAW, False),
    ("9110-9.3.6", "CONNECT", "1.1", 404, 5, LENGTH, True),
]


@pytest.mark.parametrize(("section", "method", "version", "status", "size", "framing", "persists"), FRAMING)
def test_framing(section: str, method: str, version: str, status: int, size: Any, framing: int, persists: bool) -> None:
    it = exchange(method, version)
    it.respond(status, [] if size is None else [length(size)])
    assert it.framing == framing
    assert it.keep_alive is persists
    assert it.status == status
    assert it.state == (TUNNEL if framing == RAW else BODY)


FIELDS = [
    ("plain", [(b"X", b"1"), (b"x", b"2")], [(b"X", b"1"), (b"x", b"2")]),
    ("9112-9.6 connection", [(b"Connection", b"close")], []),
    ("9110-7.6.1 keep-alive", [(b"Keep-Alive", b"timeout=5"), (b"Proxy-Connection", b"x"), (b"TE", b"x")], []),
    ("9112-6.1 coding", [(b"transfer-encoding", b"chunked")], []),
    ("9110-7.8 upgrade", [(b"Upgrade", b"websocket")], []),
    ("9110-8.6 equal lengths", [length(5), length(5)], [length(5)]),
    ("date", [(b"Date", b"a"), (b"date", b"b")], [(b"Date", b"a")]),
    ("server", [(b"SERVER", b"a"), (b"Server", b"b")], [(b"SERVER", b"a")]),
    ("obs-text", [(b"X", b"\xff\t ")], [(b"X", b"\xff\t ")]),
]


@pytest.mark.parametrize(("name", "headers", "expected"), FIELDS, ids=[row[0] for row in FIELDS])
def test_fields_that_go_on_the_wire(name: str, headers: Fields, expected: Fields) -> None:
    it = exchange()
    assert it.respond(200, headers) == expected


def test_the_applications_own_date_and_server_replace_the_defaults() -> None:
    it = exchange()
    it.respond(200, [(b"Date", b"a"), (b"Server", b"b")])
    assert it.own_date
    assert it.own_server


FAULTS = [
    ("CR LF in value", 200, [(b"X", b"a\r\nY: b")]),
    ("LF in value", 200, [(b"X", b"a\nb")]),
    ("CR in value", 200, [(b"X", b"a\rb")]),
    ("NUL in value", 200, [(b"X", b"a\0b")]),
    ("control in value", 200, [(b"X", b"a\x01b")]),
    ("value of a dropped field", 200, [(b"Connection", b"a\r\nX: b")]),
    ("space in name", 200, [(b"X Y", b"a")]),
    ("colon in name", 200, [(b"X:", b"a")]),
    ("CR LF in name", 200, [(b"X\r\nY", b"a")]),
    ("empty name", 200, [(b"", b"a")]),
    ("name not ASCII", 200, [(b"\xe9", b"a")]),
    ("length no digits", 200, [(b"Content-Length", b"five")]),
    ("length negative", 200, [(b"Content-Length", b"-1")]),
    ("length empty", 200, [(b"Content-Length", b"")]),
    ("length of 2**64 + 5", 200, [(b"Content-Length", b"18446744073709551621")]),
    ("two lengths", 200, [length(1), length(2)]),
    ("status 99", 99, []),
    ("status 0", 0, []),
    ("status 1000", 1000, []),
    ("status 100", 100, []),
    ("status 103", 103, []),
    ("switching without an offer", 101, [(b"Upgrade", b"websocket")]),
]


@pytest.mark.parametrize(("name", "status", "headers"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_head_that_http_forbids_is_the_applications_fault_and_changes_nothing(
    name: str, status: int, headers: Fields
) -> None:
    it = exchange()
    with pytest.raises(ApplicationFault):
        it.respond(status, headers)
    assert it.state == AWAITING
    page, _ = error_page(500)
    assert it.respond(500, page) == page  # what the driver then says


def test_a_reason_phrase_is_checked() -> None:
    with pytest.raises(ApplicationFault):
        exchange().respond(200, [], b"OK\r\nX: 1")
    exchange().respond(200, [], b"Fine \xe9")


def test_subclasses_and_numbers_of_the_application_are_accepted() -> None:
    class Octets(bytes):
        pass

    it = exchange()
    headers: Any = [[Octets(b"X-Sub"), Octets(b"1")], (b"Content-Length", Octets(b"3"))]
    assert [tuple(item) for item in it.respond(HTTPStatus.OK, headers)] == [(b"X-Sub", b"1"), length(3)]
    assert it.status == 200


def test_an_upgrade_is_known_behind_more_names_than_are_kept():
    for number in range(2000):
        exchange().respond(200, [(b"X-Made-Up-%d" % number, b"1")])
    fields = exchange(upgrade=b"websocket").respond(101, [(b"uPGRADE", b"websocket")])
    assert (b"uPGRADE", b"websocket") in fields


@pytest.mark.parametrize("status", [204, 205, 101])
def test_a_length_is_not_said_where_it_must_not_be(status: int) -> None:
    it = exchange(upgrade=b"websocket")
    fields = it.respond(status, [length(5), (b"Upgrade", b"websocket")])
    assert (b"Content-Length", b"5") not in fields
    assert ((b"Content-Length", b"0") in fields) is (status == 205)


def test_content_is_counted_and_what_exceeds_the_length_is_cut_off() -> None:
    it = exchange()
    it.respond(200, [length(5)])
    assert [it.send(3), it.send(4), it.send(1)] == [3, 2, 0]
    assert "5 octets" in it.take_warning()
    assert it.take_warning() == ""
    assert it.end() == []
    assert it.state == ENDED
    assert it.keep_alive
    assert it.sent == 5


def test_missing_content_cuts_the_stream() -> None:
    it = exchange()
    it.respond(200, [length(5)])
    it.send(4)
    it.end()
    assert it.state == CUT
    assert not it.keep_alive
    assert "expected 5 octets" in it.take_warning()


@pytest.mark.parametrize(("method", "status", "warns"), [("HEAD", 200, False), ("GET", 204, True), ("GET", 304, True)])
def test_content_is_dropped_where_none_may_be(method: str, status: int, warns: bool) -> None:
    it = exchange(method)
    it.respond(status, [])
    assert [it.send(5), it.send(5), it.send(0)] == [0, 0, 0]
    it.end()
    assert it.state == ENDED
    assert bool(it.take_warning()) is warns
    assert it.sent == 0


CONNECTION = [
    ("1.1", True, [], b""),
    ("1.1", False, [], b"close"),
    ("1.1", True, [(b"Connection", b"Close")], b"close"),
    ("1.0", True, [length(0)], b"keep-alive"),
    ("1.0", True, [], b"close"),
    ("1.0", False, [length(0)], b"close"),
]


@pytest.mark.parametrize(("version", "keep_alive", "headers", "expected"), CONNECTION)
def test_connection(version: str, keep_alive: bool, headers: Fields, expected: bytes) -> None:
    it = exchange(version=version, keep_alive=keep_alive)
    it.respond(200, headers)
    assert it.connection() == expected


def test_switching_protocols() -> None:
    it = exchange(upgrade=b"websocket")
    fields = it.respond(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")])
    assert fields == [(b"Upgrade", b"websocket")]
    assert (it.framing, it.connection()) == (RAW, b"Upgrade")
    assert it.send(7) == 7
    it.end()
    assert it.state == ENDED


def test_switching_protocols_says_to_which() -> None:
    with pytest.raises(ApplicationFault):
        exchange(upgrade=b"websocket").respond(101, [])


def test_upgrade_required_may_say_to_what() -> None:
    it = exchange()
    assert it.respond(426, [(b"Upgrade", b"h2c")]) == [(b"Upgrade", b"h2c")]
    assert it.connection() == b"Upgrade"
    it = exchange(keep_alive=False)
    it.respond(426, [(b"Upgrade", b"h2c")])
    assert it.connection() == b"Upgrade, close"


INFORM = [
    ("early hints", "1.1", False, 103, [(b"Link", b"</a>")], [(b"Link", b"</a>")]),
    ("to 1.0", "1.0", False, 103, [(b"Link", b"</a>")], None),
    ("100, awaited", "1.1", True, 100, [], []),
    ("100, not awaited", "1.1", False, 100, [], None),
    ("nothing that frames", "2", False, 103, [length(5), (b"Connection", b"x"), (b"A", b"b")], [(b"A", b"b")]),
]


@pytest.mark.parametrize(("name", "version", "awaited", "status", "headers", "expected"), INFORM)
def test_informational(name: str, version: str, awaited: bool, status: int, headers: Fields, expected: Any) -> None:
    it = exchange(version=version, expects_continue=awaited)
    assert it.inform(status, headers) == expected
    assert it.state == AWAITING


def test_continue_is_said_once_and_never_behind_a_final_head() -> None:
    it = exchange(expects_continue=True)
    assert it.inform(100, []) == []
    assert it.inform(100, []) is None
    it = exchange(expects_continue=True)
    it.respond(200, [length(0)])
    assert it.inform(100, []) is None
    assert it.inform(103, []) is None
    assert not it.keep_alive  # nobody knows whether the body comes


@pytest.mark.parametrize("status", [101, 99, 200])
def test_other_statuses_are_no_information(status: int) -> None:
    with pytest.raises(ApplicationFault):
        exchange().inform(status, [])


TRAILERS = [
    ("1.1", [], [(b"X", b"1")], [(b"X", b"1")], False),
    ("1.1", [length(0)], [(b"X", b"1")], [], False),
    ("1.0", [], [(b"X", b"1")], [], False),
    ("2", [], [(b"X", b"1")], [(b"X", b"1")], False),
    ("2", [length(0)], [(b"X", b"1")], [(b"X", b"1")], False),
    ("1.1", [], [(b"Content-Length", b"1"), (b"Host", b"a"), (b"Y", b"2")], [(b"Y", b"2")], True),
]


@pytest.mark.parametrize(("version", "headers", "trailers", "expected", "warns"), TRAILERS)
def test_trailers(version: str, headers: Fields, trailers: Fields, expected: Fields, warns: bool) -> None:
    it = exchange(version=version)
    it.respond(200, headers)
    assert it.end(trailers) == expected
    assert bool(it.take_warning()) is warns


def test_malformed_trailers_are_the_applications_fault() -> None:
    it = exchange()
    it.respond(200, [])
    with pytest.raises(ApplicationFault):
        it.end([(b"X", b"a\r\n")])
    assert it.state == BODY


def _do(it: Exchange, command: str) -> None:
    if command == "inform":
        it.inform(103, [])
    elif command == "respond":
        it.respond(200, [])
    elif command == "send":
        it.send(1)
    elif command == "end":
        it.end()
    elif command == "abandon":
        it.abandon()


def _reach(state: int) -> Exchange:
    it = exchange("CONNECT" if state == TUNNEL else "GET")
    if state != AWAITING:
        it.respond(200, [])
    if state == ENDED:
        it.end()
    elif state == CUT:
        it.abandon()
    return it


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", ["inform", "respond", "send", "end", "abandon"])
def test_commands_follow_the_table(state: int, command: str) -> None:
    it = _reach(state)
    assert it.state == state
    number = {name: number for number, name in COMMANDS.items()}[command]
    expected = TRANSITIONS.get((state, number))
    if expected is None:
        with pytest.raises(StateError):
            _do(it, command)
        assert it.state == state
    else:
        _do(it, command)
        assert it.state == expected


def test_the_date_is_made_once_a_second() -> None:
    defaults = ResponseDefaults(b"it")
    assert defaults.lines == b"Server: it\r\n"
    defaults.set_date(784111777.25)
    line = defaults.lines
    assert line == b"Server: it\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    defaults.set_date(784111777.99)
    assert defaults.lines is line
    defaults.set_date(784111778)
    assert defaults.date == b"Sun, 06 Nov 1994 08:49:38 GMT"
    assert ResponseDefaults(b"").lines == b""
    with pytest.raises(ValueError, match="Server"):
        ResponseDefaults(b"a\r\n")


@pytest.mark.parametrize(
    ("second", "text"),
    [(0, b"Thu, 01 Jan 1970 00:00:00 GMT"), (951782400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
     (4102444799, b"Thu, 31 Dec 2099 23:59:59 GMT")],
)  # fmt: skip
def test_http_date(second: int, text: bytes) -> None:
    assert http_date(second) == text


@given(st.integers(0, 253402300799))
def test_dates_are_those_of_the_calendar(second: int) -> None:
    at = datetime.fromtimestamp(second, timezone.utc)
    assert http_date(second) == format_datetime(at, usegmt=True).encode("ascii")


def test_error_pages_are_constant_and_have_their_length() -> None:
    for status in (*REASONS, 599):
        headers, body = error_page(status)
        assert dict(headers)[b"Content-Length"] == b"%d" % len(body)
        assert reason(status) in body
        headers.append((b"X", b"1"))
        assert error_page(status)[0] != headers
