"""Disconnects, and applications that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from server_core.drive.streams import ClientGoneError
from server_http.errors import ApplicationFault
from server_workers_async.channel import stems_from_disconnect

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


class Observed:
    """What an application saw."""

    def __init__(self):
        self.started = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.sends = []

    async def wait_for_disconnect(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    async def wait(self):
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def wait_for(event):
    await asyncio.wait_for(event.wait(), 10)


async def hello(send, body=b"hello"):
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


# Disconnects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["end", "reset"])
def test_a_disconnect_is_told_and_the_task_cancelled_after_the_grace_period(run, leave):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.started.set()
            await seen.wait_for_disconnect(receive)
            await seen.wait()

        served = serve(app, asgi_disconnect_grace_period=0.5)
        client = await served.connect()
        await client.say(GET)
        await wait_for(seen.started)
        getattr(client, leave)()
        await wait_for(seen.disconnected)
        left = time.monotonic()
        await asyncio.sleep(0.2)
        assert not seen.cancelled.is_set()
        await wait_for(seen.cancelled)
        assert time.monotonic() - left >= 0.4
        await served.until(lambda: not served.service.tasks and not served.service.connections)
        assert served.log.at("error") == []

    run(test)


def test_without_grace_period_the_task_is_cancelled_at_once(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.started.set()
            await seen.wait()

        client = await serve(app, asgi_disconnect_grace_period=0).connect()
        await client.say(GET)
        await wait_for(seen.started)
        client.reset()
        await wait_for(seen.cancelled)

    run(test)


def test_an_application_that_finishes_within_the_grace_period_is_not_cancelled(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.started.set()
            await seen.wait_for_disconnect(receive)
            await asyncio.sleep(0.05)
            seen.go_on.set()
            await seen.wait()
            seen.sends.append("finished")

        client = await serve(app, asgi_disconnect_grace_period=1).connect()
        await client.say(GET)
        await wait_for(seen.started)
        client.reset()
        await wait_for(seen.go_on)
        await asyncio.sleep(0)
        assert seen.sends == ["finished"]
        assert not seen.cancelled.is_set()

    run(test)


def test_a_half_closed_client_gets_what_is_finished_within_the_grace_period(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await seen.wait_for_disconnect(receive)
            await hello(send)

        client = await serve(app).connect()
        await client.say(GET)
        client.end()
        assert (await client.response())[2] == b"hello"
        assert await client.rest() == b""

    run(test)


def test_half_close_can_mean_disconnect(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await seen.wait_for_disconnect(receive)
            try:
                await hello(send)
            except OSError as error:
                seen.sends.append(error)

        served = serve(app, half_close="disconnect")
        client = await served.connect()
        await client.say(GET)
        client.end()
        assert await client.rest() == b""
        await served.until(lambda: seen.sends)

    run(test)


def test_send_raises_oserror_after_a_reset_and_nothing_is_logged(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.started.set()
            await seen.wait_for_disconnect(receive)
            try:
                await hello(send)
            except OSError as error:
                seen.sends.append(error)
                raise

        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        await wait_for(seen.started)
        client.reset()
        await served.until(lambda: seen.sends and not served.service.tasks)
        assert served.log.at("error") == []

    run(test)


def test_a_blocked_send_ends_when_the_client_leaves(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 100000, "more_body": True})
                    seen.started.set()
            except OSError as error:
                seen.sends.append(error)

        served = serve(app)
        client = await served.connect(rcvbuf=4096)
        await client.say(GET)
        await wait_for(seen.started)
        await asyncio.sleep(0.1)
        client.reset()
        await served.until(lambda: seen.sends)

    run(test)


# The end of a stream arrives only behind what was sent before it, so that must fit into the kernel's buffers.
@pytest.mark.parametrize(("leave", "size"), [("end", 110_000), ("reset", 50_000_000)])
def test_a_disconnect_during_a_paused_upload_is_noticed(run, leave, size):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.started.set()
            await seen.wait()

        served = serve(app, asgi_disconnect_grace_period=0.3)
        client = await served.connect()
        await client.say(POST % 100_000_000)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.loop.sock_sendall(client.sock, b"x" * size), 0.3)
        await wait_for(seen.started)
        getattr(client, leave)()
        await wait_for(seen.cancelled)
        await served.until(lambda: not served.service.tasks)

    run(test)


def test_what_a_half_closing_client_sent_before_is_still_delivered(run):
    async def test(serve):
        length = 1_000_000

        async def app(scope, receive, send):
            await asyncio.sleep(0.3)  # reading is paused meanwhile, with the end of the stream behind it
            size = 0
            while True:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    break
            await hello(send, b"%d" % size)

        client = await serve(app).connect()
        await client.say(POST % length + b"x" * length)
        client.end()
        assert (await client.response())[2] == b"%d" % length

    run(test)


def test_background_work_after_the_response_is_not_cancelled(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await hello(send)
            assert (await receive())["type"] in ("http.request", "http.disconnect")
            assert (await receive())["type"] == "http.disconnect"
            await asyncio.sleep(0.3)
            seen.sends.append("worked")

        served = serve(app, asgi_disconnect_grace_period=0)
        client = await served.connect()
        await client.say(GET)
        await client.response()
        client.reset()
        await served.until(lambda: seen.sends)

    run(test)


def test_the_next_request_does_not_wait_for_background_work(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await hello(send)
            if scope["path"] == "/":
                await seen.go_on.wait()

        client = await serve(app).connect()
        await client.say(GET + GET.replace(b"/ ", b"/b ", 1))
        await client.response()
        await client.response()
        seen.go_on.set()

    run(test)


def test_applications_in_the_background_of_one_connection_are_bounded(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            seen.sends.append(1)
            await hello(send)
            await seen.go_on.wait()

        client = await serve(app).connect()
        for _ in range(16):
            await client.say(GET)
            await client.response()
        await client.say(GET)
        await asyncio.sleep(0.05)
        assert len(seen.sends) == 16
        seen.go_on.set()
        await client.response()

    run(test)


# receive -------------------------------------------------------------------------------------------------------------


def test_several_tasks_may_receive(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            first, second = asyncio.ensure_future(receive()), asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            seen.started.set()
            messages = await asyncio.gather(first, second)
            await hello(send, b"".join(sorted(message["body"] for message in messages)))

        client = await serve(app).connect()
        await client.say(POST % 2)
        await wait_for(seen.started)
        await client.say(b"a")
        await asyncio.sleep(0.02)
        await client.say(b"b")
        assert (await client.response())[2] == b"ab"

    run(test)


def test_a_cancelled_receive_raises_and_loses_nothing(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            for _ in range(50):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(receive(), 0.001)
            assert not receive.__self__._readers
            seen.started.set()
            await hello(send, (await receive())["body"])

        client = await serve(app).connect()
        await client.say(POST % 2)
        await wait_for(seen.started)
        await client.say(b"ok")
        assert (await client.response())[2] == b"ok"

    run(test)


def test_after_the_body_receive_waits_for_the_disconnect(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
            seen.started.set()
            await seen.wait_for_disconnect(receive)

        client = await serve(app).connect()
        await client.say(GET)
        await wait_for(seen.started)
        await asyncio.sleep(0.02)
        assert not seen.disconnected.is_set()
        client.reset()
        await wait_for(seen.disconnected)

    run(test)


def test_a_body_that_is_too_large_ends_in_a_disconnect(run):
    async def test(serve):
        seen = Observed()

        async def app(scope, receive, send):
            await seen.wait_for_disconnect(receive)

        client = await serve(app, limit_request_body=1000).connect()
        await client.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.say(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert b" 413 " in await client.until(b"\r\n\r\n")
        await wait_for(seen.disconnected)

    run(test)


# Misbehaviour --------------------------------------------------------------------------------------------------------

START = {"type": "http.response.start", "status": 200, "headers": []}


async def returns(scope, receive, send):
    pass


async def returns_after_start(scope, receive, send):
    await send(START)


async def raises(scope, receive, send):
    raise ValueError("secret")


async def raises_after_start(scope, receive, send):
    await send(START)
    raise ValueError("secret")


async def bad_header(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"secret\r\nb: c")]})
    await send({"type": "http.response.body"})


async def bad_type(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [("a", "secret")]})
    await send({"type": "http.response.body"})


async def bad_status(scope, receive, send):
    await send({"type": "http.response.start", "status": 99})
    await send({"type": "http.response.body"})


async def body_first(scope, receive, send):
    await send({"type": "http.response.body", "body": b"secret"})


async def no_message(scope, receive, send):
    await send({"no": "type"})


async def cancels_itself(scope, receive, send):
    raise asyncio.CancelledError


async def exits(scope, receive, send):
    raise SystemExit(3)


class OwnError(BaseException):
    """As groups of exceptions and the timeouts of libraries are: no Exception."""


async def raises_what_is_no_exception(scope, receive, send):
    await asyncio.sleep(0)
    raise OwnError("secret")


async def raises_what_closes_coroutines(scope, receive, send):
    await asyncio.sleep(0)
    raise GeneratorExit


@pytest.mark.parametrize(
    "app",
    [
        returns, returns_after_start, raises, raises_after_start, bad_header, bad_type, bad_status, body_first,
        no_message, cancels_itself, exits, raises_what_is_no_exception,
        raises_what_closes_coroutines,
    ],
)  # fmt: skip
def test_a_failure_before_the_head_is_a_500_logged_once(run, app):
    async def test(serve):
        served = serve(app)
        client = await served.connect()
        for _ in range(2):
            await client.say(GET)
            status, _fields, body = await client.response()
            assert status == 500
            assert b"secret" not in body
        assert len(served.log.at("error")) == 2
        await served.until(lambda: not served.service.tasks)

    run(test)


def test_an_application_that_exits_while_its_worker_drains_ends_its_request_only(run):
    async def test(serve):
        served = serve(exits)
        client = await served.connect()
        await client.say(GET)
        assert (await client.response())[0] == 500
        served.worker.alive = False
        await client.say(GET)
        assert (await client.response())[0] == 500

    run(test)


def test_after_a_message_that_was_refused_the_application_can_still_answer(run):
    async def app(scope, receive, send):
        await send(START)
        with pytest.raises(ApplicationFault):
            await send({"type": "http.response.body", "body": "no octets"})
        await send({"type": "http.response.body", "body": b"octets"})

    async def test(serve):
        client = await serve(app).connect()
        await client.say(GET)
        status, _fields, body = await client.response()
        assert (status, body) == (200, b"octets")

    run(test)


def test_a_failure_after_the_head_cuts_the_stream(run):
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("secret")

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        answer = await client.rest()
        assert b"part" in answer
        assert not answer.endswith(b"0\r\n\r\n")
        assert b"secret" not in answer
        assert len(served.log.at("error")) == 1

    run(test)


def test_malformed_trailers_cut_the_stream(run):
    async def app(scope, receive, send):
        await send({**START, "trailers": True})
        await send({"type": "http.response.body", "body": b"part"})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"1\r\nsecret: 2")]})

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        answer = await client.rest()
        assert answer.endswith(b"part\r\n")
        assert len(served.log.at("error")) == 1

    run(test)


def test_a_response_that_is_never_completed_is_cut(run):
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"part", "more_body": True})

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        assert len(served.log.at("error")) == 1

    run(test)


def test_a_message_after_the_response_raises_and_does_not_hurt_it(run):
    async def app(scope, receive, send):
        await hello(send)
        await send({"type": "http.response.body", "body": b"more"})

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        for _ in range(2):
            await client.say(GET)
            assert (await client.response())[2] == b"hello"
        assert len(served.log.at("error")) == 2

    run(test)


def test_octets_beyond_the_content_length_are_dropped_with_one_warning(run):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body"})

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET + GET)
        assert (await client.response())[2] == b"ab"
        assert (await client.response())[2] == b"ab"
        assert len(served.log.at("warning")) == 2

    run(test)


def test_bodies_and_headers_of_the_applications_own_classes_are_accepted(run):
    class Octets(bytes):
        pass

    class Message(dict):
        pass

    async def app(scope, receive, send):
        fields = [[Octets(b"content-length"), Octets(b"3")], (b"x-a", Octets(b"b"))]
        await send(Message(type="http.response.start", status=200, headers=fields))
        await send(Message(type="http.response.body", body=Octets(b"a"), more_body=True))
        await send(Message(type="http.response.body", body=bytearray(b"b"), more_body=True))
        await send(Message(type="http.response.body", body=memoryview(b"c")))

    async def test(serve):
        client = await serve(app).connect()
        await client.say(GET)
        status, fields, body = await client.response()
        assert (status, fields["x-a"], body) == (200, "b", b"abc")

    run(test)


def test_an_exception_is_known_to_stem_from_a_disconnect():
    gone = ClientGoneError("gone")
    framework = RuntimeError("framework")
    framework.__cause__ = gone
    assert stems_from_disconnect(framework)
    group = RuntimeError("group")
    group.exceptions = (ValueError(), gone)
    assert stems_from_disconnect(group)
    assert not stems_from_disconnect(ValueError())
