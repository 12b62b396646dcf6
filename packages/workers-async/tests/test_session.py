"""HTTP over real sockets: what is said, when it is written, and what becomes of a connection."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import sys

import pytest

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def post(length, body=b""):
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length + body


def plain(body, *fields):
    return [(b"content-length", b"%d" % len(body)), *fields]


async def answer(send, body=b"hello", status=200, headers=None):
    await send(
        {"type": "http.response.start", "status": status, "headers": plain(body) if headers is None else headers}
    )
    await send({"type": "http.response.body", "body": body})


async def read_all(receive):
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


async def hello(scope, receive, send):
    await answer(send)


async def echo(scope, receive, send):
    await answer(send, await read_all(receive))


def test_requests_of_one_connection_are_answered_and_counted(run):
    async def test(serve):
        served = serve(hello)
        client = await served.connect()
        for _ in range(3):
            await client.say(GET)
            assert (await client.response())[::2] == (200, b"hello")
        assert served.worker.counter.served == 3
        assert served.log.access_log_writer.lines == [("GET", "/", 200, 5)] * 3
        assert len(served.service.connections) == 1

    run(test)


def test_pipelined_requests_are_answered_in_order(run):
    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await asyncio.sleep(0.02)
        await answer(send, scope["path"].encode())

    async def test(serve):
        client = await serve(app).connect()
        await client.say(b"".join(GET.replace(b"/ ", b"/%s " % name) for name in (b"slow", b"a", b"b")))
        assert [(await client.response())[2] for _ in range(3)] == [b"/slow", b"/a", b"/b"]

    run(test)


def test_a_response_is_one_write(run, writes):
    async def test(serve):
        client = await serve(hello).connect()
        await client.say(GET)
        await client.response()
        assert len(writes) == 1

    run(test)


def test_all_that_is_said_in_one_turn_is_one_write(run, writes):
    async def app(scope, receive, send):
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        for number in range(10):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await send({"type": "http.response.body"})

    async def test(serve):
        client = await serve(app).connect()
        await client.say(GET)
        assert (await client.response())[2] == b"0123456789"
        assert len(writes) == 1

    run(test)


def test_a_stream_reaches_the_client_while_it_goes_on(run):
    async def test(serve):
        go_on = asyncio.Event()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"data: 2\n\n"})

        client = await serve(app).connect()
        await client.say(GET)
        await client.until(b"data: 1\n\n")
        go_on.set()
        await client.until(b"data: 2\n\n")

    run(test)


def test_bodies_arrive_whole_however_they_are_cut(run):
    async def test(serve):
        client = await serve(echo).connect()
        request = post(5, b"abcde")
        for octet in request:
            await client.say(bytes([octet]))
        assert (await client.response())[2] == b"abcde"
        await client.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await client.say(b"2\r\nde\r\n0\r\n\r\n")
        assert (await client.response())[2] == b"abcde"

    run(test)


def test_a_small_body_that_came_with_its_head_is_one_message(run):
    async def app(scope, receive, send):
        message = await receive()
        assert message == {"type": "http.request", "body": b"abc", "more_body": False}
        await answer(send)

    async def test(serve):
        client = await serve(app).connect()
        await client.say(post(3, b"abc"))
        assert (await client.response())[0] == 200

    run(test)


def test_a_body_that_came_with_its_head_is_received_without_waiting(run):
    async def test(serve):
        waited = []

        async def app(scope, receive, send):
            called = []
            asyncio.get_running_loop().call_soon(called.append, True)
            body = await read_all(receive)
            waited.append(bool(called))
            await answer(send, body)

        client = await serve(app).connect()
        for body in (b"", b"ok", b"x" * 1000):
            await client.say(post(len(body), body))
            assert (await client.response())[2] == body
        assert waited == [False, False, False]

    run(test)


def test_100_is_sent_when_the_application_reads(run):
    async def test(serve):
        read = asyncio.Event()

        async def app(scope, receive, send):
            await read.wait()
            await answer(send, await read_all(receive))

        client = await serve(app).connect()
        await client.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1, socket.MSG_PEEK)
        read.set()
        assert b" 100 " in await client.until(b"\r\n\r\n")
        await client.say(b"ok")
        assert (await client.response())[2] == b"ok"

    run(test)


def test_no_100_is_sent_when_the_application_does_not_read(run):
    async def test(serve):
        client = await serve(hello).connect()
        await client.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.response())[0] == 200

    run(test)


def test_early_hints_trailers_and_informational_responses(run):
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await send({"type": "http.response.informational", "status": 102, "headers": []})
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"b", b"2")]})

    async def test(serve):
        client = await serve(app).connect()
        await client.say(GET)
        assert b"103 Early Hints\r\nlink: </a>; rel=preload" in await client.until(b"\r\n\r\n")
        assert b" 102 " in await client.until(b"\r\n\r\n")
        assert b"200 OK" in await client.until(b"\r\n\r\n")
        assert await client.until(b"0\r\na: 1\r\nb: 2\r\n\r\n")

    run(test)


def test_a_file_is_sent_by_its_path(run, tmp_path):
    content = bytes(range(256)) * 4096 * 3
    path = tmp_path / "file"
    path.write_bytes(content)

    async def app(scope, receive, send):
        fields = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def test(serve):
        for sendfile in (True, False):
            served = serve(app, sendfile=sendfile)
            client = await served.connect()
            await client.say(GET + GET)
            assert (await client.response())[2] == content
            assert (await client.response())[2] == content

    run(test)


@pytest.mark.parametrize("path", ["/nonexistent/file", "/dev/null", "."])
def test_a_path_that_is_no_file_is_a_failure_of_the_application(run, path):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": path})

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        assert (await client.response())[0] == 500
        assert len(served.log.at("error")) == 1

    run(test)


# Context -------------------------------------------------------------------------------------------------------------

VARIABLE = contextvars.ContextVar("variable", default="clean")


def test_every_request_runs_in_its_own_context(run):
    async def app(scope, receive, send):
        found = VARIABLE.get()
        VARIABLE.set("used")
        await read_all(receive)
        if scope["path"] == "/later":
            await asyncio.sleep(0.01)
        found = found if VARIABLE.get() == "used" else "lost"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"300005")]})
        # Enough to fill the socket, so that writing and reading are resumed from within the application.
        await send({"type": "http.response.body", "body": b"x" * 300000, "more_body": True})
        await send({"type": "http.response.body", "body": found.encode()})

    async def test(serve):
        client = await serve(app, limit_request_body=0).connect(rcvbuf=4096)
        for path in (b"/", b"/later", b"/"):
            await client.say(post(200000).replace(b"/ ", path + b" ", 1))
            await client.say(b"y" * 200000)
            assert (await client.response())[2].endswith(b"xclean")

    run(test)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
def test_timeout_and_task_group_work_as_the_first_statement(run):
    async def app(scope, receive, send):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(answer(send))
        assert asyncio.current_task().get_coro() is not None

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET + GET)
        assert (await client.response())[0] == 200
        assert (await client.response())[0] == 200
        assert served.log.at("error") == []

    run(test)


def test_anyio_works_as_the_first_statement(run):
    anyio = pytest.importorskip("anyio")

    async def app(scope, receive, send):
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(answer, send)
                group.start_soon(receive)
        with anyio.move_on_after(0.01) as expired:
            await anyio.sleep(5)
        assert expired.cancelled_caught

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(GET)
        assert (await client.response())[0] == 200
        await served.until(lambda: not served.service.tasks)
        assert served.log.at("error") == []

    run(test)


# Back-pressure -------------------------------------------------------------------------------------------------------


def test_a_slow_reader_pauses_send(run):
    async def test(serve):
        sent = 0

        async def app(scope, receive, send):
            nonlocal sent
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 10000, "more_body": True})
                sent += 10000
            await send({"type": "http.response.body"})

        client = await serve(app).connect(rcvbuf=4096)
        await client.say(GET)
        await asyncio.sleep(0.2)
        stalled = sent
        assert stalled < 15_000_000  # what the kernel's buffers hold, and the high-water mark
        await asyncio.sleep(0.1)
        assert sent == stalled
        assert len((await client.response())[2]) == 10_000_000

    run(test)


def test_an_application_that_does_not_read_pauses_the_socket(run):
    async def test(serve):
        go_on = asyncio.Event()
        length = 16_000_000

        async def app(scope, receive, send):
            await go_on.wait()
            await answer(send, b"%d" % len(await read_all(receive)))

        served = serve(app)
        client = await served.connect()
        said = asyncio.ensure_future(client.say(post(length) + b"x" * length))
        await asyncio.sleep(0.2)
        assert not said.done()
        session = next(iter(served.service.connections))
        assert session in served.service.watched
        channel = session.channels[1]
        assert sum(len(chunk) for chunk in channel._chunks) <= 2 * session.limits.receive_high_water
        go_on.set()
        assert (await client.response())[2] == b"%d" % length
        await said

    run(test)


def test_worker_connections_are_enforced(run):
    async def test(serve):
        served = serve(hello, worker_connections=2)
        first, second, third = [await served.connect() for _ in range(3)]
        for client in (first, second, third):
            await client.say(GET)
        assert (await first.response())[0] == 200
        assert (await second.response())[0] == 200
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            third.sock.recv(1)
        first.sock.close()
        await served.until(lambda: len(served.service.connections) == 1)
        served.entrance.look_again()
        assert (await third.response())[0] == 200

    run(test)


# Errors --------------------------------------------------------------------------------------------------------------


def test_a_malformed_request_is_answered_and_logged(run):
    async def test(serve):
        served = serve(hello)
        client = await served.connect()
        await client.say(b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n")
        assert b" 400 " in await client.rest()
        assert len(served.log.at("warning")) == 1
        assert "127.0.0.1" in served.log.at("warning")[0]
        client.sock.close()
        await served.until(lambda: not served.service.connections)

    run(test)


def test_a_client_that_leaves_in_the_middle_of_a_body_is_told_of_once(run):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    async def test(serve):
        served = serve(app)
        client = await served.connect()
        await client.say(post(1000) + b"x" * 10)
        await served.until(lambda: served.service.connections)
        client.sock.close()
        await served.until(lambda: not served.service.connections)
        assert len(served.log.at("warning")) == 1

    run(test)


def test_a_defect_of_the_server_closes_one_connection_only(run, monkeypatch):
    async def test(serve):
        served = serve(hello)
        client = await served.connect()
        await client.say(GET)
        await client.response()
        session = next(iter(served.service.connections))

        class Broken:
            def receive_data(self, data, now):
                raise RuntimeError("defect")

            def deadline(self):
                return None

        session.layer = Broken()
        other = await served.connect()
        await client.say(GET)
        assert await client.rest() == b""
        await other.say(GET)
        assert (await other.response())[0] == 200
        assert len(served.log.at("error")) == 1

    run(test)


def test_a_client_that_sends_no_request_is_let_go(run):
    async def test(serve):
        served = serve(hello, keepalive=1, header_timeout=1)
        client = await served.connect()
        await client.rest()
        await served.until(lambda: not served.service.connections)

    run(test)


def test_hooks_are_called_around_a_request(run):
    seen = []

    def pre_request(worker, req):
        seen.append(("pre", req.method, req.path, dict(req.headers)["HOST"]))

    def post_request(worker, req, environ, resp):
        seen.append(("post", req.uri, resp.status_code, environ["path"]))
        raise RuntimeError("a hook may fail")

    async def test(serve):
        served = serve(hello, pre_request=pre_request, post_request=post_request)
        client = await served.connect()
        await client.say(GET + GET)
        await client.response()
        await client.response()
        await served.until(lambda: len(seen) == 4)
        assert seen == [("pre", "GET", "/", "h"), ("post", "/", 200, "/")] * 2
        assert len(served.log.at("exception")) == 2

    run(test)


def test_max_requests_asks_for_a_successor_and_serves_on(run):
    async def test(serve):
        served = serve(hello)
        served.service.max_requests = 2
        client = await served.connect()
        for _ in range(3):
            await client.say(GET)
            await client.response()
        assert served.worker.retired >= 1

    run(test)


def test_request_ids_reach_application_client_and_log(run):
    async def app(scope, receive, send):
        found = dict(scope["headers"])[b"x-request-id"]
        if scope["path"] == "/fails":
            raise ValueError("secret")
        await answer(send, found)

    async def test(serve):
        served = serve(app, request_id="response")
        client = await served.connect()
        await client.say(GET)
        _status, fields, body = await client.response()
        assert fields["x-request-id"].encode() == body != b""
        await client.say(GET.replace(b"/ ", b"/fails "))
        assert (await client.response())[0] == 500

    run(test)
