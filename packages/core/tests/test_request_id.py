"""Ids of requests: taken over, made, answered."""

from __future__ import annotations

from server_core.request_id import RequestIds
from server_core.settings import Settings
from server_http.events import Request


def request(*headers):
    made = Request(1, "GET", b"/", "1.1")
    made.headers = list(headers)
    return made


def test_off_means_none():
    assert RequestIds.from_settings(Settings.make()) is None


def test_an_id_that_came_is_kept_and_others_are_made_once():
    ids = RequestIds.from_settings(Settings.make(request_id="on"))
    assert ids.give(request((b"x-request-id", b"theirs"))) == b"theirs"
    ours = request()
    first = ids.give(ours)
    assert ids.give(ours) == first
    assert ours.headers == [(b"x-request-id", first)]
    assert ids.give(request()) != first
    assert len(first) == 24


def test_two_workers_never_make_the_same():
    one, two = (RequestIds("X-Request-ID", False) for _ in range(2))
    assert not {one.give(request()) for _ in range(50)} & {two.give(request()) for _ in range(50)}


def test_responses_carry_it_only_when_asked_and_once():
    cfg = Settings.make(request_id="response", request_id_header="X-Trace")
    ids = RequestIds.from_settings(cfg)
    req = request((b"x-trace", b"t"))
    assert ids.answer(req, [(b"a", b"b")]) == [(b"a", b"b"), (b"x-trace", b"t")]
    assert ids.answer(req, [(b"X-Trace", b"app's")]) == [(b"X-Trace", b"app's")]
    assert RequestIds("X-Trace", False).answer(req, []) == []
    found = ids.record_fields(req)
    assert found == {"request_id": "t"}
