"""One accepted socket: its protocol connection, its turn, and the channels of its streams.

Longer than other modules, because whoever holds the turn does all of this: reading, events and the end are steps of
one turn on the same attributes, which compiled are those of one C structure. The bodies' way is ``intake``'s.

Owns: what becomes of every event of an engine, reading and flushing without blocking, and the end of a connection
(flush, lingering close, break).
Must not know: which loop or worker drives it, WSGI.

**Ownership.** Whoever touches engine, TLS or socket holds the session's turn, a lock, from ``enter`` to ``leave``.
A loop that finds the turn taken notes in ``missed`` what it saw and goes on; whoever leaves looks there and
posts the session back to the loop. With one thread there is no lock and ``turn`` is None.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Dict, Optional, Sequence

from server_core.drive.arrival import is_timed
from server_core.drive.channel import Channel
from server_core.drive.clientsocket import close, descriptor, shut_down
from server_core.drive.clock import monotonic
from server_core.drive.intake import begin_body, end_body, take_part
from server_core.drive.linger import Linger
from server_core.drive.phases import BROKEN, CLOSED, CLOSING, LINGERING, OPEN
from server_core.drive.poller import GONE, READ, WRITE
from server_core.drive.sockio import RECEIVE_OCTETS, WOULD_BLOCK, abort_at_close, receive, transmit
from server_http.events import (
    BodyEnded,
    BodyReceived,
    ConnectionEnded,
    Handover,
    InputEnded,
    RequestReceived,
    StreamClosed,
    StreamReset,
    Warned,
    Writable,
)

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

#: Receives of one connection in a row before others get their turn.
READS_PER_TURN = 4
#: Bits of ``missed`` beside the poller's.
LOOK = 8  # nothing happened on the socket: look at timers and phase


@cython.freelist(8)
@cython.cclass
class Session:
    """One connection of one client.

    Args:
        driver: the loop it belongs to.
        sock: the accepted socket.
        connection: the protocol side (``drive.connection.Connection``).
        turn: a lock, or None where one thread does everything.

    Attributes:
        layer: what octets go through: the connection, or its engine itself when nothing is between.
        engine: what commands go to; None until the protocol is known.
        queue: what waits to be written, where the layer keeps one list of it (``Engine.queue``), else None.
        regular: the engine keeps such a list, and with it what it promises of reading and deadlines.
        channels: the live streams.
        arrived: when the octets that were read last had arrived, monotonic seconds.
        environ, client: of the connection, for its requests; made at the first.
        armed: the tick of the timer wheel, 0 = not armed.
        joins: the end of the connection can go out in one segment with its last octets: TCP on Linux, nothing between
            socket and engine, and one thread that writes and closes.
        parting: what waits to be written is the last of the connection, whose end follows at once.
        linger: the engine asked for a lingering close.
        lingering: that close, once it has begun.
        lent: an application talks on the socket itself.
        due: when the wheel calls, or earlier; monotonic seconds, 0.0 = not at all.
        missed: what a loop saw while another thread held the turn.
        watched: the loop's poller reports it.
    """

    __slots__ = (
        "armed", "arrivals", "arrived", "channels", "client", "connection", "delayed", "driver", "due", "engine",
        "environ", "fd", "gone", "high_water", "joins", "layer", "lent", "linger", "lingering", "low_water", "missed",
        "parting", "phase", "queue", "queued", "readable", "regular", "served", "sock", "timed", "turn", "use_sendfile",
        "watched", "writable",
    )  # fmt: skip

    def __init__(self, driver: Any, sock: Any, connection: Any, turn: Any) -> None:
        self.driver = driver
        self.sock = sock
        self.fd = descriptor(sock)
        self.connection = connection
        self.layer: Any = connection
        self.engine: Any = None
        self.queue: Any = None
        self.regular = False
        self.turn = turn
        self.channels: Dict[int, Channel] = {}
        self.environ: Any = None
        self.client: Any = None
        self.armed = 0
        self.due = 0.0
        self.missed = 0
        self.readable = True
        self.writable = True
        self.gone = False
        self.queued = False
        self.watched = False
        self.phase = OPEN
        self.lent = False
        self.linger = False
        self.lingering: Any = None  # a Linger, once that has begun
        self.served = 0
        self.high_water = self.driver.high_water
        self.low_water = self.driver.low_water
        self.use_sendfile = self.driver.use_sendfile
        self.arrivals = self.driver.arrivals
        self.timed = is_timed(connection.info)
        self.joins = turn is None and self.timed and self.connection.plain
        self.parting = False
        self.arrived = monotonic()
        self.delayed = 0.0  # what the octets before the first request (a TLS handshake) waited for us
        self._choose_layer()

    # The turn --------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Take the turn, waiting for it."""
        if self.turn is not None:
            self.turn.acquire()

    def leave(self) -> None:
        """Give the turn back, and post what the loop has to do.

        With one thread that is for whoever runs the request to see to, when it is through (``settle``); only the end
        of the connection does not wait for what the application does behind its answer.
        """
        if self.turn is None:
            if self.phase != OPEN:
                self.settle(monotonic())
            return
        if self.needs_loop(monotonic()):
            self.missed |= LOOK
        self.turn.release()
        if self.missed:
            self.driver.post(self)

    def on_ready(self, mask: int, now: float) -> None:
        """The loop saw ``mask`` on the socket (0 = it was posted): act, unless another thread is at it."""
        if self.turn is None:
            mask |= self.missed
            self.missed = 0
            self._act(mask, now)
            return
        self.missed |= mask
        if not self.turn.acquire(False):
            self.missed |= LOOK  # what came waits, and is not fresh
            return
        mask = self.missed
        self.missed = 0
        try:
            self._act(mask, now)
        finally:
            self.turn.release()
        if self.missed:
            self.driver.post(self)

    def on_timer(self, now: float) -> None:
        """The wheel says that the session may be due."""
        if self.phase == CLOSED:
            return
        if self.turn is not None and not self.turn.acquire(False):
            self._arm(now)  # the next tick
            return
        try:
            self._expire(now)
        except Exception as error:
            self._defect(error)
        finally:
            if self.turn is not None:
                self.turn.release()
        if self.missed:
            self.driver.post(self)

    def _defect(self, error: Exception) -> None:
        """The server itself is wrong. One connection is given up, so that the others are served."""
        self.driver.defect(self, error)
        self.break_off(None)
        self.settle(monotonic())

    # Octets in and out, holding the turn ---------------------------------------------------------------------------

    def _act(self, mask: int, now: float) -> None:
        try:
            self._see_to(mask, now)
        except Exception as error:
            self._defect(error)

    def _see_to(self, mask: int, now: float) -> None:
        fresh = False
        if mask & READ:
            fresh = not self.readable and not mask & LOOK
            self.readable = True
            if mask & GONE:
                self.gone = True
        if self.phase == OPEN:
            if mask & WRITE and not self.writable:  # else everything was taken, and nothing waits
                self.writable = True
                self.flush(now)
            self.read(now, fresh)
        elif self.phase == CLOSING:
            self.writable = self.writable or bool(mask & WRITE)
            self.flush(now)
        elif self.phase == LINGERING:
            self.discard()
        self.settle(now)

    def read(self, now: float, fresh: bool = False) -> None:
        """Take what has arrived, as long as the engine wants it.

        Args:
            now: monotonic seconds.
            fresh: nothing was there before the poller reported it in this turn.
        """
        reads = 0
        while self.readable and self.phase == OPEN and self._wants_input():
            if reads == READS_PER_TURN:
                self.missed |= LOOK
                if self.turn is None:
                    self.driver.post(self)
                return
            reads += 1
            try:
                data = receive(self.sock, self.fd)
            except OSError as error:
                self.break_off(error)
                return
            if data is None:
                self.readable = False
                self._rearm(READ)
                return
            if len(data) < RECEIVE_OCTETS and not self.gone:
                # A short read emptied the socket; what comes later is a new edge (epoll(7)).
                self.readable = False
                self._rearm(READ)
            self.note_arrival(now, fresh)
            self.feed(data, now)

    def _wants_input(self) -> bool:
        """Whether to read on. A regular engine need not be asked while no stream is open."""
        return (self.regular and not self.channels) or bool(self.layer.want_read())

    def _rearm(self, mask: int) -> None:
        if self.driver.rearms:
            self.driver.poller.rearm(self.fd, mask)

    def note_arrival(self, now: float, fresh: bool = False) -> None:
        """Octets were read at ``now``: note since when they had been there."""
        arrivals = self.arrivals
        waited = 0.0
        if (fresh and arrivals.close) or not self.timed:
            waited = arrivals.reported(now)
        elif now >= arrivals.due:
            waited = arrivals.waited(self.sock, now)
        if self.served == 0:
            waited += self.delayed
            self.delayed = waited
        self.arrived = now - waited

    def read_more(self) -> None:
        """Credit was given back by a thread of the application: go on reading where that had stopped."""
        if self.readable:
            self.read(monotonic())

    def feed(self, data: bytes, now: float) -> None:
        """Give octets, or ``b""`` for their end, to the protocol, and act on what became known."""
        if data:
            events = self.layer.receive_data(data, now)
        else:
            self.readable = False
            events = self.layer.receive_eof(now)
        if events:
            self.dispatch(events, now)
        self.flush(now)

    def flush(self, now: float, facts: bool = False) -> None:
        """Write what waits, act on what that causes, and again, until it causes nothing.

        Not to be called while events are acted on: a peer says how many requests come in a row, and each that is
        answered in there would go one call deeper. Whoever dispatches flushes behind it.

        Args:
            now: monotonic seconds.
            facts: a command may have caused facts although nothing is to be written.
        """
        wrote = facts
        while self._write() or wrote:
            wrote = False
            events = self.layer.advance(now) if self.phase < BROKEN else None
            if not events:
                return
            self.dispatch(events, now)

    def _write(self) -> bool:
        """Write what waits, as far as the socket takes it; return whether that may have caused something."""
        connection = self.connection  # which compiled is called in C
        wrote = False
        while self.writable:
            queue = self.queue
            segments = queue if queue is not None else connection.segments()
            if not segments:
                break
            try:
                count = transmit(self.sock, self.fd, segments, self.use_sendfile, self.parting)
            except OSError as error:
                self.break_off(error)
                return False
            if count == WOULD_BLOCK:
                self.writable = False
                self._rearm(WRITE)
                break
            if self.layer.sent(count) if queue is not None else connection.sent(count):
                wrote = True
        return wrote

    # Events --------------------------------------------------------------------------------------------------------

    def dispatch(self, events: Sequence[Any], now: float) -> None:
        """Act on what an engine reported."""
        if self.engine is None:
            self._choose_layer()
        for event in events:
            kind = type(event)
            if kind is RequestReceived:
                self._request(event, now)
            elif kind is StreamClosed:
                self._closed(event, now)
            elif kind is BodyReceived:
                self._body(event, now)
            elif kind is BodyEnded:
                self._body_ended(event)
            elif kind is ConnectionEnded:
                self._ended(event, now)
            else:
                _HANDLERS[kind](self, event, now)

    def _writable(self, event: Writable, now: float) -> None:
        channel = self.channels.get(event.stream)
        if channel is not None:
            channel.writable(now)

    def _reset(self, event: StreamReset, _now: float) -> None:
        channel = self.channels.get(event.stream)
        if channel is not None:
            channel.lose()

    def _input_ended(self, event: InputEnded, now: float) -> None:
        """A half-closed client is still answered: WSGI has no way to hear of it (RFC 9112 section 9.6)."""

    def _warned(self, event: Warned, _now: float) -> None:
        self.driver.warn(self, event)

    def _handed_over(self, event: Handover, _now: float) -> None:
        self.connection.engine = event.engine
        self._choose_layer()

    def _choose_layer(self) -> None:
        self.engine = self.connection.engine
        self.layer = self.engine if self.connection.plain and self.engine is not None else self.connection
        self.queue = getattr(self.layer, "queue", None)
        self.regular = getattr(self.engine, "queue", None) is not None

    def _request(self, event: RequestReceived, now: float) -> None:
        stream, request, complete, body, method, target, keep_alive, queued_since = event.facts()
        channel = Channel.__new__(Channel)  # without the reading of arguments that a class does when it is called
        channel.set_up(self, stream, request)
        channel.method = method
        channel.target = target
        channel.keep_alive = keep_alive
        channel.queued_since = queued_since
        channel.arrived = self.arrived
        self.channels[stream] = channel
        self.served += 1
        driver = self.driver
        if driver.gate is not None and self._health(channel, now):
            return
        if complete and body is None:
            driver.submit(channel)
        else:
            begin_body(channel, complete, body, now)

    def _health(self, channel: Channel, now: float) -> bool:
        """Answer a question for the server's own health; returns whether it was one."""
        page = self.driver.gate.health(channel.request)
        if page is None:
            return False
        status, headers, body = page
        channel.say(status, headers, body, now)
        return True

    def _body(self, event: BodyReceived, now: float) -> None:
        channel = self.channels.get(event.stream)
        if channel is None:
            self.engine.consumed(event.stream, event.credit)
        else:
            take_part(channel, event.data, event.credit, now)

    def _body_ended(self, event: BodyEnded) -> None:
        channel = self.channels.get(event.stream)
        if channel is not None:
            end_body(channel)

    def _closed(self, event: StreamClosed, now: float) -> None:
        channel = self.channels.pop(event.stream, None)
        if channel is None:
            return
        if not channel.finished:
            channel.lose()
            if channel.collecting:
                channel.done()
        channel.release()
        self.driver.closed(channel, event, now)

    # The end of the connection -------------------------------------------------------------------------------------

    def _ended(self, event: ConnectionEnded, now: float) -> None:
        if self.phase == OPEN:
            self.phase = CLOSING
            self.linger = event.linger
            if event.abort:
                abort_at_close(self.sock)
            if not self.connection.plain:
                self.connection.close(now)
            if event.error is not None:
                self.driver.ended(self, event.error)

    def drain(self, now: float) -> None:
        """The worker is stopping: what is running is answered, and no more than that."""
        self.enter()
        try:
            self.connection.drain(now)
            self.due = 0.0  # an idle connection ends earlier than it would have
            self.flush(now, True)
        finally:
            self.leave()
        self.driver.post(self)  # deadlines changed

    def settle(self, now: float) -> None:
        """See to the timer, and to the end if it has come. In the thread of the loop only."""
        if self.phase == BROKEN and self.lent:
            self.abandon()
        elif self.phase == BROKEN:
            self.close()
        elif self.phase == CLOSING:
            self._close_when_sent()
        if self.phase == OPEN or self.phase == CLOSING:
            deadline = self._nearer(now)
            if deadline:
                self._arm(deadline)

    def _nearer(self, now: float) -> float:
        """Return the deadline that the wheel would miss, 0.0 when it misses none.

        The engine is not asked while the wheel calls so soon that no deadline which began meanwhile can be earlier.
        """
        due = self.due
        if due and due <= now + self.driver.patience and self.regular:
            return 0.0
        deadline = self.layer.deadline()
        return deadline if deadline is not None and (not due or deadline < due) else 0.0

    def _arm(self, deadline: float) -> None:
        self.due = deadline
        self.driver.wheel.arm(self, deadline)

    def needs_loop(self, now: float) -> bool:
        """Whether ``settle`` has something to do that only the loop's thread may do."""
        if self.phase != OPEN:
            return self.phase != CLOSED
        return self._nearer(now) > 0.0

    def _close_when_sent(self) -> None:
        if not self._is_sent():
            return
        lingers = self.linger and not self.gone
        if lingers or self.parting:
            # Before the descriptor is closed: where the peer sent more than was read, that discards what waits.
            try:
                shut_down(self.sock)
            except OSError:  # the peer was faster
                lingers = False
        if not lingers:
            self.close()
            return
        self.phase = LINGERING
        self.lingering = Linger(monotonic())
        self._arm(self.lingering.until)
        self.readable = True
        self.discard()

    def _is_sent(self) -> bool:
        """Whether nothing waits to be written."""
        return not (self.layer.segments() if self.queue is None else self.queue)

    def discard(self) -> None:
        """Discard input during a lingering close."""
        if self.lingering.discard(self.sock, self.fd):
            self.close()
        else:
            self._rearm(READ)

    def _expire(self, now: float) -> None:
        self.due = 0.0
        if self.phase == LINGERING:
            if now >= self.lingering.until:
                self.close()
            else:
                self._arm(self.lingering.until)
            return
        deadline = self.layer.deadline()
        if deadline is not None and deadline <= now:
            events = self.layer.handle_timer(now)
            if events:
                self.dispatch(events, now)
            self.flush(now)
        self.settle(now)

    def break_off(self, error: Optional[BaseException]) -> None:
        """The connection broke: nothing can be said or heard any more."""
        if self.phase >= BROKEN:
            return
        self.phase = BROKEN
        self.writable = False
        self.readable = False
        now = monotonic()
        for channel in list(self.channels.values()):
            self._closed(StreamClosed(channel.stream, channel.status, channel.sent), now)
        if error is not None:
            self.driver.broke(self, error)

    def lend(self) -> int:
        """Return a descriptor of the connection for an application that talks to the client itself from now on.

        Called by the thread of its request. What it does with the descriptor is its own; here the request and the
        connection are over, without an end that the client would see.

        Raises:
            OSError: what the client would be sent is not what this connection speaks, or the connection broke.
        """
        self.enter()
        try:
            if self.queue is None or not self.connection.plain:
                raise OSError(
                    errno.EOPNOTSUPP, "server.socket: expected HTTP/1 without TLS, where it can be taken over"
                )
            self.flush(monotonic())
            if self.phase >= BROKEN:
                raise OSError(errno.ENOTCONN, "server.socket: expected a connection, got one that broke")
            fd = os.dup(self.fd)
            self.lent = True
            self.break_off(None)
        finally:
            self.leave()
        return fd

    def abandon(self) -> None:
        """Another process has the socket, or an application: forget it here."""
        self.phase = CLOSED
        self.environ = None  # in which an application finds us
        self.driver.wheel.disarm(self)
        if self.watched:
            self.driver.poller.remove(self.fd)  # closing our descriptor does not end its registration
        self.driver.forget(self)
        self.sock.close()

    def close(self) -> None:
        """Close the socket. In the thread of the loop only."""
        if self.phase == CLOSED:
            return
        self.phase = CLOSED
        self.environ = None  # in which an application finds us
        if self.channels:
            now = monotonic()
            for channel in list(self.channels.values()):
                self._closed(StreamClosed(channel.stream, channel.status, channel.sent), now)
        if self.armed:
            self.driver.wheel.disarm(self)
        self.driver.forget(self)
        close(self.sock)


#: What becomes of the rarer events.
_HANDLERS: Dict[type, Any] = {
    Writable: Session._writable,
    StreamReset: Session._reset,
    InputEnded: Session._input_ended,
    Warned: Session._warned,
    Handover: Session._handed_over,
}
