"""The lifespan protocol, without a worker."""

from __future__ import annotations

import asyncio

import pytest

from server_workers_async.lifespan import Lifespan, LifespanError


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda message, *args, **kwargs: self.lines.append((level, message % args))


def lifespan(app, mode="auto"):
    return Lifespan(app, mode, Log())


async def supports(scope, receive, send):
    assert scope["type"] == "lifespan"
    assert scope["asgi"]["version"] == "3.0"
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["pool"] = "pool"
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    scope["state"]["stopped"] = True
    await send({"type": "lifespan.shutdown.complete"})


def test_startup_state_and_shutdown():
    async def main():
        life = lifespan(supports, "on")
        await life.startup()
        assert life.state == {"pool": "pool"}
        await life.shutdown()
        assert life.state["stopped"]
        assert life._log.lines == []

    asyncio.run(main())


def test_off_does_not_call_the_application():
    async def main():
        life = lifespan(None, "off")
        await life.startup()
        await life.shutdown()
        assert life.state is None

    asyncio.run(main())


async def raises(scope, receive, send):
    raise ValueError("no lifespan here")


async def returns(scope, receive, send):
    pass


async def raises_after_receive(scope, receive, send):
    await receive()
    raise ValueError("cannot connect")


@pytest.mark.parametrize(("app", "level"), [(raises, "debug"), (returns, "debug"), (raises_after_receive, "warning")])
def test_auto_serves_an_application_without_lifespan(app, level):
    async def main():
        life = lifespan(app)
        await life.startup()
        assert life.state is None
        await life.shutdown()
        assert [kind for kind, _ in life._log.lines] == [level]

    asyncio.run(main())


@pytest.mark.parametrize("app", [raises, returns, raises_after_receive])
def test_on_demands_a_lifespan(app):
    async def main():
        with pytest.raises(LifespanError, match=r"expected lifespan\.startup\.complete"):
            await lifespan(app, "on").startup()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_failed_startup_carries_the_applications_reason(mode):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def main():
        with pytest.raises(LifespanError, match="no database"):
            await lifespan(app, mode).startup()

    asyncio.run(main())


def test_startup_has_a_time_limit():
    async def app(scope, receive, send):
        await receive()
        await asyncio.Event().wait()

    async def main():
        with pytest.raises(LifespanError, match=r"within 0\.05 s"):
            await lifespan(app).startup(timeout=0.05)

    asyncio.run(main())


def test_shutdown_has_a_time_limit():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    async def main():
        life = lifespan(app)
        await life.startup()
        await life.shutdown(timeout=0.05)
        assert [kind for kind, _ in life._log.lines] == ["error"]

    asyncio.run(main())


def test_a_failed_or_raising_shutdown_is_logged():
    async def fails(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "stuck"})

    async def breaks(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("broken")

    async def main():
        for app, word in ((fails, "stuck"), (breaks, "Exception")):
            life = lifespan(app)
            await life.startup()
            await life.shutdown(timeout=5)
            assert any(kind == "error" and word in text for kind, text in life._log.lines)

    asyncio.run(main())


def test_an_application_may_end_after_its_startup():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})

    async def main():
        life = lifespan(app)
        await life.startup()
        assert life.state == {}
        await life.shutdown(timeout=5)

    asyncio.run(main())


def test_the_notice_is_sent_only_to_an_application_that_asked_for_it():
    received = []

    def app(asks):
        async def run(scope, receive, send):
            assert "lifespan.shutdown.notice" in scope["extensions"]
            await receive()
            await send({"type": "lifespan.startup.complete", "shutdown_notice": asks})
            while True:
                message = await receive()
                received.append((asks, message["type"]))
                if message["type"] == "lifespan.shutdown":
                    await send({"type": "lifespan.shutdown.complete"})
                    return

        return run

    async def main():
        for asks in (True, False):
            life = lifespan(app(asks))
            await life.startup()
            life.notice()
            await life.shutdown(timeout=5)

    asyncio.run(main())
    assert received == [(True, "lifespan.shutdown.notice"), (True, "lifespan.shutdown"), (False, "lifespan.shutdown")]


def test_messages_out_of_order_raise_in_the_application():
    raised = []

    async def app(scope, receive, send):
        for kind in ("lifespan.startup.complete", "http.response.start"):
            try:
                await send({"type": kind})
            except RuntimeError as error:
                raised.append(str(error))

    async def main():
        await lifespan(app).startup()

    asyncio.run(main())
    assert len(raised) == 2


class OwnError(BaseException):
    """As groups of exceptions are: no Exception."""


@pytest.mark.parametrize("error", [OwnError("broken"), asyncio.CancelledError()])
def test_a_startup_that_fails_by_what_is_no_exception_is_told(error):
    async def fails(scope, receive, send):
        await receive()
        raise error

    async def main():
        with pytest.raises(LifespanError, match="but the application raised"):
            await lifespan(fails, "on").startup()
        life = lifespan(fails)
        await life.startup()
        assert [level for level, _ in life._log.lines] == ["warning"]

    asyncio.run(main())


def test_what_is_no_exception_is_logged_when_it_ends_a_lifespan_that_runs():
    async def fails(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise OwnError("broken")

    async def main():
        life = lifespan(fails)
        await life.startup()
        await asyncio.sleep(0)
        assert life._log.lines == [("error", "Exception in the application's lifespan")]

    asyncio.run(main())
