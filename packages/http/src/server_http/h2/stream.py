"""One stream: what is known of its request, and what waits to be sent on it.

Owns: the queue of unsent content, and the figures by which a stream is judged (credit, progress).
Must not know: h2, frames, other streams.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque

from server_http.engine import FileRegion, Segment
from server_http.events import Headers
from server_http.exchange import Exchange
from server_http.h2.output import JOIN_MAX

DEFAULT_URGENCY = 3  # RFC 9218 section 4.1


class Stream:
    """One exchange on a connection.

    Attributes:
        number: the stream identifier.
        exchange: the response state machine.
        urgency, incremental: RFC 9218; a stream without a signal takes turns.
        window: h2's stream, for its ``outbound_flow_control_window``.
        known: the driver was told of it (RequestReceived), so it is told of its end.
        given_up: reset, or answered by the engine: what the application says is ignored.
        receiving: the peer may still send content.
        remaining: octets of content that are still to come by Content-Length, or -1.
        received: octets of content so far.
        held: octets delivered to the driver and not yet consumed.
        credit: octets consumed and not yet returned to the peer's window.
        queued: octets accepted and not yet framed.
        framed: octets of content framed so far.
        unwritten: octets framed and not yet written.
        written: octets of content on the wire.
        ending: the application has ended the response; ``trailers`` follow the content.
        finished: END_STREAM is framed.
        swollen: ``pending`` was above the high-water mark, so Writable is due.
        closed: forgotten by the engine; only framed octets remain.
        body_since: when content came last, monotonic seconds.
        watched, watched_since: what ``stalled`` looks at when it changed last, and when that was.
    """

    __slots__ = (
        "body_since", "closed", "credit", "ending", "exchange", "finished", "framed", "given_up", "held",
        "incremental", "known", "number", "queue", "queued", "received", "receiving", "remaining", "swollen",
        "trailers", "unwritten", "urgency", "watched", "watched_since", "window", "written",
    )  # fmt: skip

    def __init__(self, number: int, exchange: Exchange, window: Any, now: float) -> None:
        self.number = number
        self.exchange = exchange
        self.window = window
        self.urgency = DEFAULT_URGENCY
        self.incremental = True
        self.known = False
        self.given_up = False
        self.closed = False
        self.receiving = False
        self.remaining = -1
        self.received = 0
        self.held = 0
        self.credit = 0
        self.body_since = now
        self.queue: Deque[Segment] = deque()
        self.queued = 0
        self.framed = 0
        self.unwritten = 0
        self.written = 0
        self.ending = False
        self.trailers: Headers = []
        self.finished = False
        self.swollen = False
        self.watched = 0
        self.watched_since = now

    @property
    def pending(self) -> int:
        """Octets that were accepted and are not yet written."""
        return self.queued + self.unwritten

    def stalled(self, now: float, timeout: float, framed_of_all: int) -> bool:
        """Whether content waits and none was framed for ``timeout`` seconds; to be asked now and then.

        A stream whose window is open waits for its turn, which may be long in coming: then it counts whether content of
        any stream was framed.
        """
        framed = self.framed if self.blocked else framed_of_all
        if not self.queue or framed != self.watched:
            self.watched, self.watched_since = framed, now
            return False
        return 0 < timeout <= now - self.watched_since

    @property
    def blocked(self) -> bool:
        """Whether the peer takes no content of this stream now."""
        return bool(self.window.outbound_flow_control_window <= 0)

    def push(self, content: Segment) -> None:
        """Queue content. Short pieces are joined, so that they share a frame."""
        size = len(content)
        self.queued += size
        queue = self.queue
        if queue and size <= JOIN_MAX:
            last = queue[-1]
            if type(last) is bytes and type(content) is bytes and len(last) + size <= JOIN_MAX:
                queue[-1] = last + content
                return
        queue.append(content)

    def pull(self, most: int) -> Segment:
        """Take at most ``most`` (>= 1) octets from the head of the queue; pieces are not joined here."""
        first = self.queue[0]
        size = len(first)
        if size <= most:
            self.queue.popleft()
            self.queued -= size
            return first
        self.queued -= most
        if isinstance(first, FileRegion):
            self.queue[0] = FileRegion(first.fd, first.offset + most, first.count - most)
            return FileRegion(first.fd, first.offset, most)
        view = memoryview(first)
        self.queue[0] = view[most:]
        return view[:most]

    def drop(self) -> None:
        """Forget what is queued."""
        self.queue.clear()
        self.queued = 0
