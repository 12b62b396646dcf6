"""From the streams' queues to DATA frames: whose turn it is, and how much may go.

Owns: the send windows' use, the size of DATA frames, the end of a response on the wire.
Must not know: requests, the receiving side, timers.

At most ``send_high_water`` octets of content are framed ahead of the socket. The rest stays with its stream, so that
an urgent response that comes later waits behind that much and no more, and streams share by turns of one frame.
"""

from __future__ import annotations

from server_http.engine import FileRegion
from server_http.h2.frames import data_header
from server_http.h2.output import JOIN_MAX, Output
from server_http.h2.priority import Scheduler
from server_http.h2.session import Session
from server_http.h2.stream import Stream

SMALL_WINDOW = 1024
"""A frame that is cut short by a window below this many octets explains no window updates: a peer that opens
windows octet by octet would have the server frame octet by octet (CVE-2019-9511)."""

_BLOCKED = -1
_CUT = 0
_FRAMED = 1

FRAME_OCTETS = 16384
"""The largest content of one DATA frame, also where the peer would take more: a turn is that long."""


class Sender:
    """Moves content from streams to the output.

    Args:
        session: the h2 connection.
        output: where frames go.
        ahead: octets that may be framed and not yet written.

    Attributes:
        framed: octets of content framed so far, of all streams.
    """

    __slots__ = ("_ahead", "_output", "_scheduler", "_session", "framed")

    def __init__(self, session: Session, output: Output, ahead: int) -> None:
        self._session = session
        self._output = output
        self._ahead = ahead
        self._scheduler = Scheduler()
        self.framed = 0

    def ready(self, stream: Stream) -> None:
        """``stream`` has content or an end to send, or its window opened."""
        self._scheduler.add(stream)

    def forget(self, stream: Stream) -> None:
        """``stream`` was reset: nothing more of it is framed."""
        stream.drop()
        self._scheduler.remove(stream)

    def prioritize(self, stream: Stream, urgency: int, incremental: bool) -> None:
        """Give ``stream`` another place in the order (RFC 9218 section 7)."""
        waits = stream in self._scheduler
        if waits:
            self._scheduler.remove(stream)
        stream.urgency, stream.incremental = urgency, incremental
        if waits:
            self._scheduler.add(stream)

    def pump(self) -> int:
        """Frame what may go now; returns the number of frames, without those that a small window cut."""
        frames = 0
        scheduler, output = self._scheduler, self._output
        while scheduler and output.waiting < self._ahead:
            stream = scheduler.next()
            if stream.queue:
                outcome = self._content(stream)
                if outcome == _BLOCKED:
                    scheduler.remove(stream)  # until its window opens
                    continue
                frames += outcome
            elif stream.ending:
                self._end(stream)
                frames += 1
            if stream.finished or not (stream.queue or stream.ending):
                scheduler.remove(stream)
        return frames

    def _content(self, stream: Stream) -> int:
        """Frame one piece of content, unless a window is closed."""
        session, output = self._session, self._output
        room = min(session.window, stream.window.outbound_flow_control_window, session.max_frame, FRAME_OCTETS)
        if room <= 0:
            return _BLOCKED
        content = stream.pull(room)
        size = len(content)
        last = stream.ending and not stream.queue and not stream.trailers
        stream.unwritten += size
        stream.framed += size
        self.framed += size
        if last and size <= JOIN_MAX and not isinstance(content, FileRegion):
            session.last_content(stream.number, bytes(content))
            self._finish(stream, size)
            return _FRAMED
        output.write(data_header(size, stream.number))
        output.attach(content)
        session.content_sent(stream.window, size)
        output.mark(stream, size, False)
        return _CUT if stream.queue and room < SMALL_WINDOW else _FRAMED

    def _end(self, stream: Stream) -> None:
        """Frame the end of a response whose content is out."""
        if stream.trailers:
            self._session.headers(stream.number, stream.trailers, True)
        else:
            self._session.last_content(stream.number, b"")
        self._finish(stream, 0)

    def _finish(self, stream: Stream, size: int) -> None:
        """END_STREAM is framed."""
        stream.finished = True
        self._output.write(self._session.take())
        self._output.mark(stream, size, True)
