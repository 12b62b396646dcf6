"""One accepted socket on an event loop: the asyncio driver.

Owns: what becomes of every event of an engine, reading and writing without blocking, when the loop watches the
socket, and the end of a connection (flush, lingering close, break).
Must not know: protocols, TLS, ASGI messages.

The socket is the loop's by descriptor (``add_reader``, ``add_writer``), not by an asyncio transport: a transport can
neither tell a reset from the end of a stream that is paused, nor send a file, nor be given what was accepted without
a task for each connection. All that is said during one turn of the loop goes out in one write at its end.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any, Dict, Optional, Sequence

from server_core.drive.arrival import is_timed
from server_core.drive.linger import Linger
from server_core.drive.phases import CLOSED, CLOSING, LINGERING, OPEN
from server_core.drive.sockio import WOULD_BLOCK, abort_at_close, receive, transmit
from server_core.drive.streams import is_refusal, report_end
from server_core.scoreboard.layout import REFUSED
from server_http.asgi import ScopeTemplate
from server_http.errors import ProtocolError
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Event,
    Handover,
    InputEnded,
    Request,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
)
from server_http.limits import Limits
from server_http.ws.handshake import is_websocket
from server_workers_async.channel import http_channel
from server_workers_async.outbox import Writer
from server_workers_async.service import Refusal
from server_workers_async.websocket import WebSocketChannel

#: Applications of one connection that may still work behind their complete response before reading stops.
BACKGROUND_MAX = 16
#: Receives of one connection in a row before others get their turn.
READS_PER_TURN = 4


class Session(Writer):
    """One connection of one client.

    Args:
        service: what the worker's connections share.
        sock: the accepted socket, not blocking.
        connection: the protocol side (``drive.connection.Connection``).

    Attributes:
        layer: what octets go through: the connection, or its engine itself when nothing is between.
        engine: what commands go to; None until the protocol is known.
        channels: the live streams.
        running: applications that have not returned.
        armed: the tick of the timer wheel, 0 = not armed.
    """

    __slots__ = (
        "_acted", "_arrivals", "_arrived", "_delayed", "_due", "_eof", "_flushing", "_linger", "_lingering",
        "_outbox", "_patience", "_queue", "_reading", "_template", "_timed", "_told", "_turning",
        "_writing", "armed", "channels", "connection", "engine", "fd", "layer", "limits", "phase", "running",
        "service", "sock",
    )  # fmt: skip

    def __init__(self, service: Any, sock: socket.socket, connection: Any, limits: Limits) -> None:
        self.service = service
        self.sock = sock
        self.fd = sock.fileno()
        self.connection = connection
        self.layer: Any = connection
        self.engine: Any = None
        self.channels: Dict[int, Any] = {}
        self.running = 0
        self.high_water = limits.send_high_water
        self.limits = limits
        self._patience = limits.patience
        self.armed = 0
        self.phase = OPEN
        self._template: Optional[ScopeTemplate] = None
        self._due = 0.0  # when the wheel calls, or earlier
        self._reading = False  # the loop watches for input
        self._writing = False  # the loop watches for room
        self._acted = False  # an application said something during the turn
        self._turning = False  # octets and events are being handled; a flush follows
        self._flushing = False  # a flush is scheduled
        self._eof = False
        self._linger = False
        self._lingering: Any = None  # a Linger, once that has begun
        self._arrivals = service.arrivals
        self._outbox = service.outbox
        self._timed = is_timed(connection.info)
        self._arrived = 0.0  # when what was read last had arrived
        self._delayed = 0.0  # how long what came before the first request (a TLS handshake) waited in the kernel
        self._told: Any = None  # the error that the log knows already
        self._queue: Any = None  # what the layer has to write, where it keeps one list for it
        self._choose_layer()

    # What the loop calls ---------------------------------------------------------------------------------------------

    def on_readable(self) -> None:
        """Something arrived, or may have: take it, answer it, write what was answered."""
        try:
            reads = 0
            while self._read() and self.layer.want_read():
                reads += 1
                if reads == READS_PER_TURN:
                    self.service.loop.call_soon(self.on_readable, context=self.service.context)
                    return
        except Exception as error:
            self._defect(error)

    def _read(self) -> bool:
        """Take what arrived; return whether to look at once for what is behind it.

        That may be a reset, and uvloop calls no second time for a socket with an error. To an application that is at
        work this is news, and a part of a head or frame would be waited for in vain.
        """
        if self.phase != OPEN:
            if self.phase == LINGERING:
                if self._lingering.discard(self.sock, self.fd):
                    self.close()
            else:
                self._watch(False)
            return False
        try:
            data = receive(self.sock, self.fd)
        except OSError as error:
            self.break_off(error)
            return False
        now = monotonic()
        if data is None:
            self._settle(now)
            return False
        self._outbox.begin_request(now)
        if self.phase != OPEN:
            return False
        if not data:
            self._take_eof(now)
            return False
        waited = self._delayed
        if self._timed and now >= self._arrivals.due:
            waited += self._arrivals.waited(self.sock, now)
            if self._template is None:
                self._delayed = waited
        self._arrived = now - waited
        events = self.layer.receive_data(data, now)
        if events:
            self._dispatch(events, now)
        if not self._flushing:
            self.flush_soon()
        return not events or (self.running > 0 and len(self.channels) > 0)

    def _take_eof(self, now: float) -> None:
        """The client ended its stream."""
        self._eof = True
        if self.service.half_close_disconnects:
            self.break_off(None)
            return
        events = self.layer.receive_eof(now)
        if events:
            self._dispatch(events, now)
        if not self._flushing:
            self.flush_soon()

    def on_writable(self) -> None:
        """The socket takes octets again."""
        self._stop_writing()
        self.on_turn_end(monotonic())

    def on_timer(self, now: float) -> None:
        """The wheel says that a deadline may have passed; the layer's is the truth."""
        try:
            self._expire(now)
        except Exception as error:
            self._defect(error)

    def _expire(self, now: float) -> None:
        self._due = 0.0
        if self.phase == CLOSED:
            return
        if self.phase == LINGERING:
            if now >= self._lingering.until:
                self.close()
            else:
                self._arm(self._lingering.until)
            return
        deadline = self.layer.deadline()
        if deadline is not None and deadline <= now:
            self._dispatch(self.layer.handle_timer(now), now)
            self.on_turn_end(now)
        else:
            self._settle(now)

    def _defect(self, error: Exception) -> None:
        """The server itself is wrong. One connection is given up, so that the others are served."""
        self.service.log.error("Error handling the connection of ip=%s", self.peer(), exc_info=error)
        self._turning = False
        self.break_off(error)

    # What channels call ----------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Write what waits at the end of this turn of the loop, together with all else that is said in it."""
        if self._turning:
            self._acted = True
        elif not self._flushing and self.phase < LINGERING:
            self._flushing = True
            self._outbox.add(self)

    def settle_soon(self) -> None:
        """Credit was given back: reading may go on at the end of this turn."""
        self.flush_soon()

    def application_ended(self, channel: Any) -> None:
        """The application of ``channel`` returned or raised; what it started in the background no longer counts."""
        service = self.service
        if channel.task is not None:
            service.tasks.discard(channel.task)
            channel.task = None
        self.running -= 1
        if self.running - len(self.channels) == BACKGROUND_MAX - 1:
            self.flush_soon()
        if service.draining:
            service.look_idle()

    # What the worker calls -------------------------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        """The worker stops: answer what is here, take no further request."""
        if self.phase == OPEN:
            self.connection.drain(now)
            self._due = 0.0  # an idle connection ends earlier than it would have
            self.on_turn_end(now)

    def on_hung_up(self, reset: bool, now: float) -> None:
        """The client ended its stream, or reset it, while reading is paused.

        What it sent before is still in the kernel and will be read when the application takes it; only the grace
        period begins now.
        """
        if reset or self.service.half_close_disconnects:
            self.break_off(None)
            return
        for channel in self.channels.values():
            channel.doom(now)

    # One turn --------------------------------------------------------------------------------------------------------

    def on_turn_end(self, now: float) -> None:
        """Write what the turn of the loop brought about, act on what that causes, and again, until nothing is left to
        do."""
        self._flushing = False
        if self.phase == CLOSED:
            return
        self._turning = True
        self._acted = True
        try:
            while self.phase < LINGERING:
                queue = self._queue
                wrote = self._write() if queue is None or queue else False
                # Neither an application nor the socket moved the engine: it has nothing new to say.
                if not (wrote or self._acted):
                    break
                self._acted = False
                events = self.layer.advance(now)
                if not events:
                    break
                self._dispatch(events, now)
            self._turning = False
            if self.phase != CLOSED:
                self._settle(now)
        except Exception as error:
            self._defect(error)

    def _write(self) -> bool:
        """Write what waits, as far as the socket takes it; return whether anything was written."""
        if self._writing:
            return False
        layer = self.layer
        wrote = False
        while True:
            segments = layer.segments() if self._queue is None else self._queue
            if not segments:
                break
            try:
                count = transmit(self.sock, self.fd, segments, self.service.sendfile)
            except OSError as error:
                self.break_off(error)
                return False
            if count == WOULD_BLOCK:
                self._writing = True
                self.service.context.copy().run(self.service.loop.add_writer, self.fd, self.on_writable)
                break
            wrote = True
            layer.sent(count)
        return wrote

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self.service.loop.remove_writer(self.fd)

    def _settle(self, now: float) -> None:
        """Read only what is wanted, be woken at the next deadline, and close what is over."""
        if self.phase == OPEN:
            wanted = not self._eof and self.layer.want_read() and self.running - len(self.channels) < BACKGROUND_MAX
            if wanted != self._reading:
                self._watch(wanted)
        elif self.phase == CLOSING:
            self._watch(False)
            if not self.layer.segments():  # written, or given up
                self._stop_writing()
                self._finish(now)
                return
        if self._due and self._due <= now + self._patience and self._queue is not None:
            return  # the wheel calls before any deadline that began meanwhile
        deadline = self.layer.deadline()
        if deadline is not None and (self._due == 0.0 or deadline < self._due):
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._due = deadline
        self.service.wheel.arm(self, deadline)

    def _watch(self, wanted: bool) -> None:
        """Have the loop watch for input, or not; while an application is behind, disconnects are looked for instead."""
        if wanted == self._reading:
            return
        self._reading = wanted
        service = self.service
        if wanted:
            service.watched.discard(self)
            # The loop keeps a copy of the context that is current now; it must not be an application's.
            service.context.copy().run(service.loop.add_reader, self.fd, self.on_readable)
        else:
            service.loop.remove_reader(self.fd)
            if self.phase == OPEN and not self._eof:
                service.watched.add(self)

    # Events ----------------------------------------------------------------------------------------------------------

    def _dispatch(self, events: Sequence[Event], now: float) -> None:
        if self.engine is None:
            self._choose_layer()
        event: Any
        starting: Any = None
        for event in events:
            kind = type(event)
            if starting is not None and kind is not BodyReceived and kind is not BodyEnded:
                self.service.lanes.start(starting)
                starting = None
                now = monotonic()  # the application has run, and what follows waited for it
            if kind is RequestReceived:
                starting = self._request(event, now)
            elif kind is StreamClosed:
                self._stream_closed(event)
            elif kind is BodyReceived:
                channel = self.channels.get(event.stream)
                if channel is None:
                    self.engine.consumed(event.stream, event.credit)
                else:
                    channel.on_body(event.data, event.credit)
            elif kind is BodyEnded or kind is Writable or kind is InputEnded or kind is StreamReset:
                self._stream_event(event, kind, now)
            else:
                self._connection_event(event, kind)
        if starting is not None:
            self.service.lanes.start(starting)

    def _stream_event(self, event: Any, kind: Any, now: float) -> None:
        channel = self.channels.get(event.stream)
        if channel is None:
            return
        if kind is BodyEnded:
            channel.on_body_end()
        elif kind is Writable:
            channel.on_writable()
        elif kind is InputEnded:
            channel.on_disconnect(now)
        else:
            if isinstance(event.error, ProtocolError):
                self._told = event.error
                self._warn(f"Request from {self.peer()} ended: {event.error}", event.error.log_level)
            channel.on_lost(now)

    def _connection_event(self, event: Any, kind: Any) -> None:
        if kind is Handover:
            self.connection.engine = event.engine
            self._choose_layer()
        elif kind is ConnectionEnded:
            self._ended(event)
        elif kind is Warned:
            self._warn(event.message, event.level)
        else:
            raise TypeError(f"event: expected one of server_http.events, got {event!r}")

    def _choose_layer(self) -> None:
        self.engine = self.connection.engine
        self.layer = self.engine if self.connection.plain and self.engine is not None else self.connection
        self._queue = getattr(self.layer, "queue", None)

    def _request(self, event: RequestReceived, now: float) -> Any:
        """Take a request; return the channel whose application is to be started, when the body that came with the head
        has reached it: what is there is received without waiting."""
        request = event.request
        service = self.service
        if service.ids is not None:
            service.ids.give(request)
        if service.gate is not None and self._answered(event.stream, request, now):
            return None
        template = self._template
        if template is None:
            template = self._template = service.template(self.connection.info)
            self._delayed = 0.0
        waited = now - self._arrived
        if (request.upgrade or request.protocol) and is_websocket(request):
            channel: Any = WebSocketChannel(self, self.engine, request, now, waited)
            self.channels[event.stream] = channel
            service.count(channel)
            if not channel.open_handshake(template, now):
                return None
            self.running += 1
            return channel
        body = event.body
        channel = http_channel(self, self.engine, request, event.complete, body, now, waited)
        channel.scope = template.http(request, service.state)
        self.channels[event.stream] = channel
        service.count(channel)
        if body:
            service.received(len(body))
        if service.hooked and not service.before(channel):
            return None
        self.running += 1
        return channel

    def _answered(self, stream: int, request: Request, now: float) -> bool:
        """Give the server's own answer, if there is one; returns whether it was."""
        service = self.service
        health = service.gate.health(request)
        waited = now - self._arrived
        page = health or service.gate.refuses(request, self.connection.info, waited, now)
        if page is None:
            return False
        status, headers, body = page
        self.engine.answer(stream, status, headers, body, now)
        if health is None:
            service.refused(Refusal(request, status, headers, len(body), waited, now), monotonic())
        return True

    def _stream_closed(self, event: StreamClosed) -> None:
        channel = self.channels.pop(event.stream, None)
        if channel is not None:
            channel.on_closed()
            # An application that answers without waiting has run since ``now`` was asked for.
            self.service.ended(channel, event, monotonic())

    def _ended(self, event: ConnectionEnded) -> None:
        self._linger = event.linger
        if event.abort:
            abort_at_close(self.sock)
        if self.phase == OPEN:
            self.phase = CLOSING
        error = event.error
        if error is not None and error is not self._told:
            if is_refusal(error):
                self.service.record.count(REFUSED)
            report_end(self.service.log, self.peer(), error)

    def _warn(self, message: str, level: str) -> None:
        getattr(self.service.log, level)(message)

    def peer(self) -> str:
        """Return the client's address for the log."""
        client = self.connection.info.client
        return client[0] if client else "unix"

    # The end ---------------------------------------------------------------------------------------------------------

    def _finish(self, now: float) -> None:
        """Everything is written: close, at once or after the peer had time to read."""
        if not self._linger or self._eof:
            self.close()
            return
        self.phase = LINGERING
        self._lingering = Linger(now)
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._arm(self._lingering.until)
        self._watch(True)

    def break_off(self, error: Optional[BaseException]) -> None:
        """The connection broke: nothing can be said or heard any more."""
        if self.phase == CLOSED:
            return
        if error is not None:
            report_end(self.service.log, self.peer(), error)
        now = monotonic()
        for channel in list(self.channels.values()):
            channel.on_lost(now)
        self.close()

    def close(self) -> None:
        """Close the socket and forget what was left."""
        if self.phase == CLOSED:
            return
        self._watch(False)
        self._stop_writing()
        self.phase = CLOSED
        for stream, channel in list(self.channels.items()):
            self._stream_closed(StreamClosed(stream, channel.status, channel.sent))
        self.service.wheel.disarm(self)
        self.sock.close()
        self.service.closed(self)
