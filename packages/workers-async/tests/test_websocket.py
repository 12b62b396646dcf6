"""WebSockets over real sockets, spoken by hand."""

from __future__ import annotations

import asyncio
import struct
import zlib

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode, payload):
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


async def read_frame(client):
    first, size = struct.unpack("!BB", await client.exactly(2))
    if size == 126:
        (size,) = struct.unpack("!H", await client.exactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await client.exactly(8))
    return first & 0x0F, await client.exactly(size)


def close_code(payload):
    return struct.unpack("!H", payload[:2])[0]


async def connect(served):
    client = await served.connect()
    await client.say(HANDSHAKE)
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return client, head


async def echo(scope, receive, send):
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            scope["state"]["disconnects"].append((message["code"], message["reason"]))
            return
        await send({**message, "type": "websocket.send"})


def serve_echo(serve, **settings):
    served = serve(echo, **settings)
    served.service.state = {"disconnects": []}
    return served


def test_messages_go_both_ways_and_a_close_ends_them(run):
    async def test(serve):
        served = serve_echo(serve)
        client, head = await connect(served)
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        await client.say(frame(TEXT, "tëxt".encode()) + frame(BINARY, b"\x00\x01" * 50000))
        assert await read_frame(client) == (TEXT, "tëxt".encode())
        assert await read_frame(client) == (BINARY, b"\x00\x01" * 50000)
        await client.say(frame(CLOSE, struct.pack("!H", 4000) + b"bye"))
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload)) == (CLOSE, 4000)
        assert await client.rest() == b""
        assert served.service.state["disconnects"] == [(4000, "bye")]
        await served.until(lambda: not served.service.tasks)
        assert [line[:3] for line in served.log.access_log_writer.lines] == [("GET", "/ws", 101)]

    run(test)


def test_messages_of_one_turn_are_answered_in_one_write(run, writes):
    async def test(serve):
        client, _ = await connect(serve_echo(serve))
        writes.clear()
        await client.say(frame(TEXT, b"x") * 8)
        for _ in range(8):
            assert await read_frame(client) == (TEXT, b"x")
        assert len(writes) <= 2

    run(test)


def test_octets_one_by_one(run):
    async def test(serve):
        client, _ = await connect(serve_echo(serve))
        for opcode, payload, answer in ((TEXT, b"abc", TEXT), (PING, b"p", PONG)):
            for octet in frame(opcode, payload):
                await client.say(bytes([octet]))
            assert await read_frame(client) == (answer, payload)

    run(test)


def test_a_lost_client_is_a_disconnect_1006(run):
    async def test(serve):
        for leave in ("end", "reset"):
            served = serve_echo(serve)
            client, _ = await connect(served)
            getattr(client, leave)()
            await served.until(lambda served=served: served.service.state["disconnects"])
            assert served.service.state["disconnects"] == [(1006, "")]
            await served.until(lambda served=served: not served.service.connections)

    run(test)


def test_a_client_that_breaks_the_protocol_is_told_why(run):
    async def test(serve):
        served = serve_echo(serve)
        client, _ = await connect(served)
        await client.say(b"\x81\x01x")  # not masked
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload)) == (CLOSE, 1002)
        await served.until(lambda: served.service.state["disconnects"])

    run(test)


def test_too_large_a_message_is_1009(run):
    async def test(serve):
        client, _ = await connect(serve_echo(serve, websocket_max_message_size=1000))
        await client.say(frame(TEXT, b"x" * 1001))
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload)) == (CLOSE, 1009)

    run(test)


def test_the_application_chooses_subprotocol_and_headers_and_close_code(run):
    async def app(scope, receive, send):
        assert scope["subprotocols"] == ["a", "b"]
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-a", b"1")]})
        await send({"type": "websocket.close", "code": 4001, "reason": "done"})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["code"] == 4001

    async def test(serve):
        served = serve(app)
        client, head = await connect(served)
        assert b"Sec-WebSocket-Protocol: b\r\n" in head
        assert b"x-a: 1\r\n" in head
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload), payload[2:]) == (CLOSE, 4001, b"done")
        await client.say(frame(CLOSE, payload))
        assert await client.rest() == b""
        await served.until(lambda: not served.service.tasks)
        assert served.log.at("error") == []

    run(test)


async def closes_first(scope, receive, send):
    await send({"type": "websocket.close"})


async def denies(scope, receive, send):
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"content-length", b"2")]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def returns(scope, receive, send):
    pass


async def raises(scope, receive, send):
    raise ValueError("secret")


def says(**message):
    async def app(scope, receive, send):
        await send(message)

    return app


def test_a_handshake_that_is_not_accepted_is_answered(run):
    async def test(serve):
        for app, expected in ((closes_first, 403), (denies, 401), (returns, 403), (raises, 500)):
            served = serve(app)
            client = await served.connect()
            await client.say(HANDSHAKE)
            status, _fields, body = await client.response()
            assert status == expected
            assert b"secret" not in body
            assert len(served.log.at("error")) == (app is raises)
            await served.until(lambda served=served: served.log.access_log_writer.lines)

    run(test)


def test_a_handshake_answered_with_a_malformed_message_is_a_500(run):
    async def test(serve):
        for app in (
            says(type="websocket.close", code="secret"),
            says(type="websocket.accept", headers=[("a", "secret")]),
            says(type="websocket.accept", subprotocol="secret"),
            says(type="websocket.http.response.start", status=99),
        ):
            served = serve(app)
            client = await served.connect()
            await client.say(HANDSHAKE)
            status, _fields, body = await client.response()
            assert (status, b"secret" in body) == (500, False)
            assert len(served.log.at("error")) == 1

    run(test)


def test_a_malformed_handshake_never_reaches_the_application(run):
    async def test(serve):
        served = serve(raises)
        client = await served.connect()
        await client.say(HANDSHAKE.replace(b"Version: 13", b"Version: 8"))
        status, fields, _ = await client.response()
        assert (status, fields["sec-websocket-version"]) == (426, "13")
        assert served.log.at("error") == []
        await served.until(lambda: served.log.access_log_writer.lines)

    run(test)


def test_an_application_that_ends_early_closes_with_1011(run):
    async def ends(scope, receive, send):
        await send({"type": "websocket.accept"})

    async def fails(scope, receive, send):
        await send({"type": "websocket.accept"})
        raise ValueError("secret")

    async def passes_on_a_reserved_code(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1005})

    async def test(serve):
        for app in (ends, fails, passes_on_a_reserved_code):
            served = serve(app)
            client, _ = await connect(served)
            opcode, payload = await read_frame(client)
            assert (opcode, close_code(payload), payload[2:]) == (CLOSE, 1011, b"")
            assert len(served.log.at("error")) == (app is not ends)

    run(test)


def test_send_after_the_client_closed_raises_oserror(run):
    async def test(serve):
        raised = []

        async def app(scope, receive, send):
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as error:
                raised.append(error)
                raise

        served = serve(app)
        client, _ = await connect(served)
        await client.say(frame(CLOSE, struct.pack("!H", 1000)))
        await served.until(lambda: raised and not served.service.tasks)
        assert served.log.at("error") == []

    run(test)


def test_a_slow_reader_pauses_send(run):
    async def test(serve):
        sent = 0

        async def app(scope, receive, send):
            nonlocal sent
            await send({"type": "websocket.accept"})
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 100_000})
                sent += 1

        served = serve(app)
        client = await served.connect(rcvbuf=4096)
        await client.say(HANDSHAKE)
        await client.until(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        stalled = sent
        assert stalled < 100
        await asyncio.sleep(0.1)
        assert sent == stalled

    run(test)


def test_an_application_that_does_not_receive_pauses_the_socket(run):
    async def test(serve):
        go_on = asyncio.Event()

        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await go_on.wait()
            for _ in range(3000):
                message = await receive()
                assert message["bytes"] == b"y" * 5000
            await send({"type": "websocket.send", "text": "all"})
            await receive()

        served = serve(app)
        client, _ = await connect(served)
        said = asyncio.ensure_future(client.say(frame(BINARY, b"y" * 5000) * 3000))
        await asyncio.sleep(0.2)
        channel = next(iter(served.service.connections)).channels[1]
        assert len(channel._messages) < 100
        assert not said.done()
        go_on.set()
        assert await read_frame(client) == (TEXT, b"all")
        await said

    run(test)


def deflated(opcode, payload):
    """Return a frame with a whole compressed message."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    octets = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    whole = frame(opcode, octets[:-4])
    return bytes([whole[0] | 0x40]) + whole[1:]


def test_compressed_messages_that_nobody_receives_are_not_inflated(run):
    async def test(serve):
        go_on, received = asyncio.Event(), []

        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await go_on.wait()
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    received.append(message["code"])
                    return
                received.append(len(message["text"]))

        served = serve(app)
        client = await served.connect()
        await client.say(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        await client.until(b"\r\n\r\n")
        channel = next(iter(served.service.connections)).channels[1]
        size = 8 * 1024 * 1024
        for _ in range(8):
            await client.say(deflated(TEXT, b"a" * size))
        await client.say(frame(CLOSE, struct.pack("!H", 4000)))
        await served.until(lambda: channel._unread)
        await asyncio.sleep(0.2)
        assert sum(map(len, channel._messages)) <= 3 * size  # a message, and what one piece makes
        go_on.set()
        await served.until(lambda: len(received) == 9)
        assert received == [size] * 8 + [4000]  # nothing is lost, and the close comes in its place

    run(test)


def test_a_client_that_is_not_read_owes_no_answer_to_a_ping(run):
    async def test(serve):
        go_on, closed = asyncio.Event(), []

        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await go_on.wait()
            while not closed:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    closed.append(message["code"])

        served = serve(app, ws_ping_interval=0.2, ws_ping_timeout=0.2)
        client, _ = await connect(served)
        said = asyncio.ensure_future(client.say(frame(BINARY, b"y" * 5000) * 3000))
        for _ in range(3):
            assert (await read_frame(client))[0] == PING
        go_on.set()
        await said
        await client.say(frame(PONG, b"") + frame(CLOSE, struct.pack("!H", 4000)))
        await served.until(lambda: closed)
        assert closed == [4000]

    run(test)


def test_pings_keep_a_silent_connection_and_end_a_dead_one(run):
    async def test(serve):
        served = serve_echo(serve, ws_ping_interval=0.3, ws_ping_timeout=0.3)
        client, _ = await connect(served)
        assert (await read_frame(client))[0] == PING
        await client.say(frame(PONG, b""))
        assert (await read_frame(client))[0] == PING
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload)) == (CLOSE, 1011)
        await served.until(lambda: served.service.state["disconnects"])

    run(test)


def test_a_stop_closes_with_1012_and_tells_the_application(run):
    async def test(serve):
        served = serve_echo(serve)
        client, _ = await connect(served)
        next(iter(served.service.connections)).channels[1].restart_service()
        opcode, payload = await read_frame(client)
        assert (opcode, close_code(payload)) == (CLOSE, 1012)
        await served.until(lambda: not served.service.tasks)
        assert served.service.state["disconnects"] == [(1012, "")]

    run(test)
