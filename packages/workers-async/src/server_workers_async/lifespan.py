"""The lifespan protocol (ASGI 3.0, lifespan version 2.0): startup, shutdown, and the state between them.

Owns: the one task in which the application's lifespan runs, and what its messages mean.
Must not know: connections, requests, when a worker starts or stops.

Beside the specification: an application that says ``"shutdown_notice": True`` in its
``lifespan.startup.complete`` is sent ``lifespan.shutdown.notice`` when the worker begins to stop, while its requests
still run (the scope's ``extensions`` say so). Without that it never sees the message, because frameworks take whatever
comes second for the shutdown.
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, MutableMapping, Optional

from server_http.asgi import ASGI_VERSION

LIFESPAN_SPEC_VERSION = "2.0"
NOTICE = "lifespan.shutdown.notice"

# state -> message type -> next state
WAITING, STARTING, RUNNING, STOPPING, OVER = "waiting", "starting", "running", "stopping", "over"
ORDER: Dict[str, Dict[str, str]] = {
    WAITING: {},  # nothing was received, so nothing can be answered
    STARTING: {"lifespan.startup.complete": RUNNING, "lifespan.startup.failed": OVER},
    RUNNING: {},
    STOPPING: {"lifespan.shutdown.complete": OVER, "lifespan.shutdown.failed": OVER},
    OVER: {},
}


class LifespanError(Exception):
    """The application could not start; the text is for the operator."""


class Lifespan:
    """One application's lifespan.

    Args:
        app: the ASGI application.
        mode: ``"auto"``, ``"on"`` or ``"off"``.
        log: the error log.

    Attributes:
        state: what the application put into ``scope["state"]``, of which every request gets a copy; None when it has
            no lifespan.
    """

    def __init__(self, app: Any, mode: str, log: Any) -> None:
        self._app = app
        self._mode = mode
        self._log = log
        self._messages: asyncio.Queue[Dict[str, Any]]
        self._changed: asyncio.Event
        self._task: Optional[asyncio.Task[None]] = None
        self._step = WAITING
        self._failure = ""
        self._raised: Optional[BaseException] = None
        self._wants_notice = False
        self.state: Optional[Dict[str, Any]] = None

    async def startup(self, timeout: float = 0) -> None:
        """Start the application.

        Args:
            timeout: seconds; 0 for no limit.

        Raises LifespanError: the application said so, took too long, or has no lifespan and ``mode`` is ``"on"``.
        """
        if self._mode == "off":
            return
        state: Dict[str, Any] = {}
        scope = {
            "type": "lifespan",
            "asgi": {"version": ASGI_VERSION, "spec_version": LIFESPAN_SPEC_VERSION},
            "state": state,
            "extensions": {NOTICE: {}},
        }
        # Made here and not earlier: before Python 3.10 both belong to the loop that is current now.
        self._messages = asyncio.Queue()
        self._changed = asyncio.Event()
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run(scope), name="lifespan")
        if not await self._settled((WAITING, STARTING), timeout):
            self._task.cancel()
            raise LifespanError(f"lifespan startup: expected an answer within {timeout:g} s, got none")
        if self._step == RUNNING:
            self.state = state
        elif self._failure:
            raise LifespanError(f"lifespan startup failed: {self._failure}") from self._raised
        else:
            self._unsupported()

    def notice(self) -> None:
        """The worker begins to stop: tell an application that asked for it."""
        if self._wants_notice and self._step == RUNNING:
            self._messages.put_nowait({"type": NOTICE})

    async def shutdown(self, timeout: float = 0) -> None:
        """Stop the application and wait until it did, at most ``timeout`` seconds (0 for no limit)."""
        if self._task is None or self._step != RUNNING:
            return
        if self._task.done():
            return  # an application may end after its startup; nobody is left to be told
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        if not await self._settled((RUNNING, STOPPING), timeout):
            self._log.error("lifespan shutdown: expected an answer within %g s, got none", timeout)
            self._task.cancel()
        elif self._failure:
            self._log.error("lifespan shutdown failed: %s", self._failure)
        await asyncio.wait([self._task], timeout=1.0)

    async def _settled(self, steps: tuple[str, ...], timeout: float) -> bool:
        """Wait until the lifespan left ``steps`` or its task ended; return False when that took too long."""
        try:
            await asyncio.wait_for(self._left(steps), timeout or None)
        except asyncio.TimeoutError:
            return False
        return True

    async def _left(self, steps: tuple[str, ...]) -> None:
        while self._step in steps and self._task is not None and not self._task.done():
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, scope: MutableMapping[str, Any]) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            self._raised = error  # where nobody cancelled this task, it is the application's own failure
            raise
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # groups of exceptions among them
            self._raised = error
            if self._step in (RUNNING, STOPPING):
                self._log.error("Exception in the application's lifespan", exc_info=error)
        finally:
            # The waiter looks at ``done()``, which is not yet true here.
            asyncio.get_running_loop().call_soon(self._changed.set)

    async def _receive(self) -> Dict[str, Any]:
        message = await self._messages.get()
        if message["type"] == "lifespan.startup":
            self._step = STARTING
        elif message["type"] == "lifespan.shutdown":
            self._step = STOPPING
        return message

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        allowed = ORDER[self._step]
        kind = message["type"]
        if kind not in allowed:
            wanted = " or ".join(sorted(allowed)) or "no message"
            raise RuntimeError(f"ASGI message: expected {wanted}, got {kind!r} (from the application's lifespan)")
        if kind.endswith(".failed"):
            self._failure = message.get("message", "") or "the application gave no reason"
        self._wants_notice = bool(message.get("shutdown_notice", False))
        self._step = allowed[kind]
        self._changed.set()

    def _unsupported(self) -> None:
        """The application ended without an answer, which in ``auto`` mode says that it has no lifespan."""
        how = f"raised {self._raised!r}" if self._raised is not None else "returned"
        if self._mode == "on":
            raise LifespanError(
                f"lifespan startup: expected lifespan.startup.complete, but the application {how}"
            ) from self._raised
        if self._step == STARTING and self._raised is not None:
            # It took the event and failed over it, which may be a start that went wrong; serve, as the
            # specification demands, but say it.
            self._log.warning("The application %s during lifespan startup; serving without lifespan", how)
        else:
            self._log.debug("The application has no lifespan: it %s", how)
