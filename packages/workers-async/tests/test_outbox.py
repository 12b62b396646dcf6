"""When the answers of one turn of the loop are written."""

from __future__ import annotations

import time

import pytest

from server_workers_async import session as session_module

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
CLIENTS = 4
ATTEMPTS = 5
SLOW = 0.002  # seconds, longer than requests may be at work before their answers go out


@pytest.fixture
def order(monkeypatch):
    """``app`` for every application that ran, ``write`` for every write to a socket."""
    seen = []
    transmit = session_module.transmit

    def noting(*args):
        seen.append("write")
        return transmit(*args)

    monkeypatch.setattr(session_module, "transmit", noting)
    return seen


async def ask_together(serve, order, seconds):
    """Send one request on each of several connections, so that all are ready in one turn of the loop."""

    async def app(scope, receive, send):
        order.append("app")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    served = serve(app)
    clients = [await served.connect() for _ in range(CLIENTS)]
    for client in clients:
        await client.say(GET)
        await client.response()
    del order[:]
    for client in clients:
        client.sock.send(GET)
    for client in clients:
        assert (await client.response())[2] == b"ok"


def test_the_answers_of_a_turn_are_written_together(run, order):
    async def test(serve):
        for _ in range(ATTEMPTS):  # where the machine stops for a moment, answers wait no longer for one another
            await ask_together(serve, order, 0.0)
            assert sorted(order) == ["app"] * CLIENTS + ["write"] * CLIENTS
            if order[:2] == ["app", "app"]:
                return
        raise AssertionError(f"each answer was written by itself: {order}")

    run(test)


def test_the_answers_of_slow_applications_do_not_wait_for_one_another(run, order):
    async def test(serve):
        await ask_together(serve, order, SLOW)
        assert order == ["app", "write"] * CLIENTS

    run(test)
