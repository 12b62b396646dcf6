"""The application's side of a WebSocket, for asyncio.

Owns: ``WebSocketChannel``: ``receive`` and ``send`` of one WebSocket, from the handshake to the close codes, and
back-pressure in both directions.
Must not know: sockets, frames, what carries the WebSocket (HTTP/1.1 after 101, or an HTTP/2 stream).

What an application has not taken is bounded in octets: beyond ``receive_high_water`` of messages, what arrives stays as
it came, ``PIECE`` by ``PIECE``. A compressed message is a thousand times what it was on its way, so that a count of
messages, or of octets received, bounds nothing.

An application that returns or raises before it accepted is answered 403 or 500; after that the WebSocket is closed
with 1011. A client that is gone is told to the application as ``websocket.disconnect``; its task has the same grace
period as that of a request.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, Deque, Dict, List, Optional

from server_core.scoreboard.layout import WEBSOCKETS
from server_http import asgi
from server_http.errors import H2_INTERNAL_ERROR, ProtocolError
from server_http.events import Headers, Request
from server_http.limits import Limits
from server_http.statuses import error_page
from server_http.ws.engine import ABNORMAL, Closed
from server_http.ws.handshake import Handshake, refusal
from server_workers_async.channel import stems_from_disconnect
from server_workers_async.stream import Stream

SERVICE_RESTART = 1012
INTERNAL_FAILURE = 1011

PIECE = 16 * 1024
"""Octets that are read at once: between two pieces it is asked whether the application keeps up."""


class WebSocketChannel(Stream):
    """One WebSocket.

    Args:
        session: the connection.
        engine: takes the commands.
        request: the head of the handshake.
        now: monotonic seconds.
        waited: the queue time, in seconds.

    Attributes:
        open: the connection still knows the stream.
    """

    __slots__ = (
        "_handshake", "_input_ended", "_limits", "_messages", "_over", "_state", "_unread", "_waiting", "_ws", "open",
    )  # fmt: skip

    is_websocket = True

    def __init__(self, session: Any, engine: Any, request: Request, now: float, waited: float) -> None:
        self.set_up(session, engine, request, now, waited)
        self.scope = {}
        self.open = True
        self._limits = session.limits
        self._state = asgi.CONNECTING
        self._handshake: Any = None
        self._ws: Any = None
        self._messages: Deque[Any] = deque()
        self._waiting = 0  # octets (of text: characters) of the messages
        self._unread: Deque[bytes] = deque()  # what arrived behind them
        self._input_ended = False
        self._over: Optional[Closed] = None

    def open_handshake(self, template: asgi.ScopeTemplate, now: float) -> bool:
        """Check the handshake; return False when it was refused and the application will not see it."""
        try:
            self._handshake = Handshake(self.request, self._limits)
        except ProtocolError as error:
            self.service.log.info("Invalid WebSocket handshake from ip=%s: %s", self.session.peer(), error)
            self._answer(*refusal(error), now)
            return False
        self.scope = template.websocket(self.request, self._handshake.subprotocols, self.service.state)
        self._messages.append({"type": "websocket.connect"})
        return True

    # What the application calls ---------------------------------------------------------------------------------------

    async def receive(self) -> Dict[str, Any]:
        """Return the next message: connect, receive, or disconnect. Any number of tasks may wait."""
        while True:
            messages = self._messages
            if messages:
                message = messages.popleft()
                if type(message) is not dict:
                    self._waiting -= len(message)
                if self._credit:
                    self._read_on(monotonic())
                if type(message) is str:
                    return {"type": "websocket.receive", "text": message}
                if type(message) is bytes:
                    return {"type": "websocket.receive", "bytes": message}
                return message  # type: ignore[no-any-return]  # the connect message
            if self._over is not None:
                return {"type": "websocket.disconnect", "code": self._over.code, "reason": self._over.reason}
            await self.wait_readable()

    async def send(self, message: asgi.Message) -> None:
        """Take a message; return when the client keeps up.

        Raises:
            ApplicationFault: the message may not come now, or is malformed.
            OSError: no client is left.
        """
        if self.lost or (self.gone and self._state == asgi.OPEN):
            raise self.gone_error()
        action, following = asgi.take(asgi.WEBSOCKET_ORDER, self._state, message)
        now = monotonic()
        if action == asgi.SEND:
            data = asgi.message_data(message)
            ws = self._ws
            octets = ws.send_text(data) if type(data) is str else ws.send_bytes(data)
            self.engine.send(self.stream, octets, now)
        elif action == asgi.ACCEPT:
            self._accept(message, now)
        elif action == asgi.CLOSE:
            self._close(message, now)
        else:
            self._deny(message, action, now)
        self._state = following  # not before: a message that was refused has brought nothing about
        if action == asgi.CLOSE:
            self._read_on(now)
        self.session.flush_soon()
        if not self.finished and self.engine.pending(self.stream) > self.session.high_water:
            await self.wait_writable()

    # Towards the client -----------------------------------------------------------------------------------------------

    def _accept(self, message: asgi.Message, now: float) -> None:
        headers = asgi.message_headers(message)
        chosen = asgi.accepted_subprotocol(message, self._handshake.subprotocols)
        if self.service.ids is not None:
            headers = self.service.ids.answer(self.request, headers)
        status, fields, deflate = self._handshake.accept(chosen, headers)
        self.engine.respond(self.stream, status, fields, now)
        self.status = status
        self.headers = fields
        self._ws = self._handshake.websocket(deflate, now)
        self.service.record.count(WEBSOCKETS, 1)
        self._arm()
        if self.service.draining:
            self.restart_service()

    def _close(self, message: asgi.Message, now: float) -> None:
        code, reason = asgi.close_code(message)
        if self._ws is None:  # a handshake that is not accepted (ASGI: HTTP 403)
            headers, page = error_page(403)
            self._answer(403, headers, page, now)
            return
        self._say_close(code, reason, now)

    def _say_close(self, code: int, reason: str, now: float) -> None:
        self.engine.send(self.stream, self._ws.close(now, code, reason), now)
        self._arm()

    def _deny(self, message: asgi.Message, action: int, now: float) -> None:
        """Send a denial response (ASGI extension ``websocket.http.response``)."""
        if action == asgi.DENY:
            self.status = asgi.message_status(message)
            self.headers = asgi.message_headers(message)
            self.engine.respond(self.stream, self.status, self.headers, now)
            return
        body = asgi.message_body(message)
        if body:
            self.sent += len(body)
            self.engine.send(self.stream, body, now)
        if action == asgi.LAST_DENIAL_BODY:
            self._end(now)

    def _answer(self, status: int, headers: Headers, page: bytes, now: float) -> None:
        """Answer the handshake with a whole response that is no WebSocket."""
        self.status = status
        self.headers = headers
        self.sent = len(page)
        self.engine.answer(self.stream, status, headers, page, now)
        self.finished = True
        self._hear(Closed(ABNORMAL))

    def _end(self, now: float) -> None:
        if not self.finished:
            self.finished = True
            self.engine.end(self.stream, now)

    def restart_service(self) -> None:
        """The worker stops: ask the client to come back to another one (1012), and tell the application."""
        if self._ws is None or self.finished or self._over is not None:
            return
        self._say_close(SERVICE_RESTART, "", monotonic())
        self._hear(Closed(SERVICE_RESTART))
        self.session.flush_soon()

    # From the client --------------------------------------------------------------------------------------------------

    def on_body(self, data: bytes, credit: int) -> None:
        """Octets arrived; they are credited at once unless too much waits for the application or the client."""
        ws = self._ws
        if ws is None or self.lost:
            self.engine.consumed(self.stream, credit)
            return
        self._credit += credit
        if len(data) <= PIECE:
            self._unread.append(data)
        else:
            self._unread.extend([data[at : at + PIECE] for at in range(0, len(data), PIECE)])
        self._read_on(monotonic())

    def on_body_end(self) -> None:
        """The client sends nothing more."""
        now = monotonic()
        self._input_ended = True
        self.begin_grace(now)
        self._read_on(now)

    def _is_behind(self) -> bool:
        """Whether the application has enough to do. Once closing has begun nothing more waits for it."""
        if self._over is not None or self._state != asgi.OPEN:
            return False
        limits: Limits = self._limits
        return self._waiting >= limits.receive_high_water or len(self._messages) >= limits.ws_queue

    def _read_on(self, now: float) -> None:
        """Read what arrived, as far as the application keeps up, and let the client send on."""
        ws, unread = self._ws, self._unread
        while unread and not self._is_behind():
            self._take(ws.receive_data(unread.popleft(), now), now)
        if self._input_ended and not unread:
            if ws is not None:
                self._take(ws.receive_eof(now), now)
            self._hear(Closed(ABNORMAL))
        self._give_credit()

    def _take(self, messages: List[Any], now: float) -> None:
        """Queue what was received, and send what the protocol answers by itself."""
        for message in messages:
            if type(message) is Closed:
                if message.error is not None:
                    self.service.log.info("WebSocket of ip=%s: %s", self.session.peer(), message.error)
                self._hear(message)
            elif self._over is None:
                self._messages.append(message)
                self._waiting += len(message)
        ws = self._ws
        answer = ws.take()
        if answer:
            self.engine.send(self.stream, answer, now)
            self.session.flush_soon()
        if ws.ended:
            self._end(now)
            self.session.flush_soon()
        if messages:
            self.wake_readers()

    def _hear(self, closed: Closed) -> None:
        """The WebSocket is over, for the application."""
        if self._over is not None:
            return
        self._over = closed
        self.gone = True
        self.begin_grace(monotonic())
        self.wake_readers()

    def on_disconnect(self, _now: float) -> None:
        """The client ended its stream, which ends a WebSocket."""
        self.on_body_end()

    def on_lost(self, now: float) -> None:
        """No octet can arrive any more."""
        self.lost = True
        self._unread.clear()
        self._hear(Closed(ABNORMAL))
        self.begin_grace(now)
        self.wake_writers()

    def on_writable(self) -> None:
        """The client read what waited for it."""
        self._give_credit()
        self.wake_writers()

    def on_closed(self) -> None:
        """The engine is through with the stream."""
        self.open = False
        self.finished = True
        self._unread.clear()
        if not self.doomed_at:
            self.service.wheel.disarm(self)
        self._hear(Closed(ABNORMAL))
        self.wake_writers()

    # Time -------------------------------------------------------------------------------------------------------------

    def on_timer(self, now: float) -> None:
        """A ping, a timeout or the end of the grace period may be due."""
        if self.doomed_at and now >= self.doomed_at:
            self.cancel()
        ws = self._ws
        if ws is not None and self.open:
            if self._credit:
                ws.excuse()
            deadline = ws.deadline()
            if deadline is not None and deadline <= now:
                self._take(ws.handle_timer(now), now)
        self._arm()

    def doom(self, now: float) -> None:
        """The client hung up while reading is paused."""
        self.begin_grace(now)

    def _arm(self) -> None:
        """Be called at the WebSocket's own deadline, or at the end of the grace period."""
        now = monotonic()
        if self._ws is not None and self.open:
            deadline = self._ws.deadline()
            if deadline is not None:
                self.service.wheel.arm(self, deadline)
        if self.doomed_at > now:
            self.service.wheel.arm(self, self.doomed_at)

    # How the application ended ----------------------------------------------------------------------------------------

    def on_returned(self) -> None:
        """The application returned; what it did not close is closed."""
        self._give_up(403)

    def on_raised(self, error: BaseException) -> None:
        """The application raised: logged once, told to nobody else."""
        if not (self.gone and stems_from_disconnect(error)):
            self.service.failed("Error handling WebSocket", self, error)
        self._give_up(500)

    def on_cancelled(self) -> None:
        """The application's task was cancelled."""
        self._give_up(503 if self.service.ending else 500)

    def _give_up(self, status: int) -> None:
        """End what the application left open: an unanswered handshake with ``status``, a WebSocket with 1011."""
        if self.finished or self.lost:
            return
        now = monotonic()
        if self._ws is not None:
            if self._over is None and self._state == asgi.OPEN:
                self._say_close(SERVICE_RESTART if self.service.ending else INTERNAL_FAILURE, "", now)
                self._state = asgi.CLOSED
                self._read_on(now)
        elif self._state == asgi.CONNECTING:
            headers, page = error_page(status)
            self._answer(status, headers, page, now)
        elif self._state != asgi.CLOSED:  # a denial response without its end
            self.finished = True
            self.engine.reset(self.stream, H2_INTERNAL_ERROR, now)
        self.session.flush_soon()

    # Waiting ----------------------------------------------------------------------------------------------------------

    def _give_credit(self) -> None:
        """Let the client send on, unless the application has enough to do, or the client does not read: it would have
        pings answered until memory ends."""
        credit = self._credit
        if not credit or self.lost or self._unread or self._is_behind():
            return
        if self.engine.pending(self.stream) > self.session.high_water:
            return
        self._credit = 0
        self.engine.consumed(self.stream, credit)
        self.session.settle_soon()
