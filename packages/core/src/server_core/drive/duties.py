"""What every driver of WSGI connections does beside moving octets.

Owns: the bounds and shared objects that sessions ask their driver for, the once-a-second duties of a worker, and the
log lines about connections.
Must not know: how a driver waits and where requests run.
"""

from __future__ import annotations

import time
from typing import Any, List, Tuple

from server_core.drive.arrival import Arrivals
from server_core.drive.body import SpoolBudget
from server_core.drive.channel import Channel
from server_core.drive.intake import place_parts, refuse
from server_core.drive.streams import is_refusal, report_end
from server_core.drive.timers import TimerWheel
from server_core.scoreboard.layout import RECEIVED, REFUSED
from server_http.events import StreamClosed, Warned
from server_http.fields import printable

#: Seconds between two rounds of the duties that are not a connection's: heartbeat, Date, room for bodies.
TICK = 1.0


class Duties:
    """The part of a driver that is the same for all.

    Args:
        worker: the worker, for its settings, log, heartbeat and place on the scoreboard.
        gateway: runs the application (``drive.wsgi.Gateway``).
        openers: for each of ``worker.sockets``, what makes its connections (``drive.connection.Opener``).
    """

    def __init__(self, worker: Any, gateway: Any, openers: List[Any]) -> None:
        cfg = worker.cfg
        self.worker = worker
        self.log = worker.log
        self.gateway = gateway
        self.openers = openers
        self.record = worker.board.record(0)
        self.limits = limits = openers[0].config.limits
        self.patience: float = limits.patience
        self.high_water: int = limits.send_high_water
        self.low_water: int = limits.send_low_water
        self.body_buffer: int = cfg.body_buffer
        self.body_spool: int = cfg.body_spool
        self.response_spool: int = cfg.response_spool
        self.use_sendfile: bool = cfg.sendfile
        self.worker_connections: int = cfg.worker_connections
        self.budget = SpoolBudget(cfg.spool_total, cfg.body_dir)
        self.wheel = TimerWheel()
        self.arrivals = Arrivals()
        self.gate: Any = gateway.gate
        self.shared: bool = cfg.multiprocess and not cfg.reuse_port
        #: Whether the system wants to be told when an operation would have blocked.
        self.rearms = False
        self.next_tick = 0.0
        self._roomless: List[Tuple[Channel, float]] = []  # with the time since when
        self._logs_access: bool = gateway.logs_access

    def tick(self, now: float) -> None:
        """See to what is due at ``now`` (monotonic seconds)."""
        if self._logs_access:
            due = self.gateway.log_deadline()
            if due is not None and due <= now:
                self.gateway.flush_log()
        if now < self.next_tick:
            return
        self.next_tick = now + TICK
        epoch = time.time()
        for opener in self.openers:
            opener.config.defaults.set_date(epoch)
        self.beat(now)
        if self._roomless:
            self._place_roomless(now)

    def beat(self, now: float) -> None:
        """The worker is alive."""
        self.worker.notify()

    def finish_log(self) -> None:
        """The worker ends: write what waits."""
        self.gateway.flush_log()
        self.log.flush()

    # What sessions ask for -----------------------------------------------------------------------------------------

    def submit(self, channel: Channel) -> None:
        """A request is to be served."""
        raise NotImplementedError

    def post(self, session: Any) -> None:
        """Have the loop look at ``session``. Called by any thread."""
        raise NotImplementedError

    def forget(self, session: Any) -> None:
        """``session`` is about to close its socket."""
        raise NotImplementedError

    # What sessions report ------------------------------------------------------------------------------------------

    def closed(self, channel: Channel, event: StreamClosed, now: float) -> None:
        """The stream of ``channel`` is over."""
        if self._logs_access:
            self.gateway.closed(channel, event.sent, now)

    def received(self, octets: int) -> None:
        """Octets of a request body arrived."""
        self.record.count(RECEIVED, octets)

    def refused(self, channel: Channel, status: int) -> None:
        """A request was answered without the application."""
        self.record.count(REFUSED)
        request = channel.request
        reason = f": no room for its body: {self.budget.shortage}" if status == 503 else ""
        self.log.warning("Refused %s %s with %d%s.", request.method, printable(request.target), status, reason)

    def warn(self, session: Any, event: Warned) -> None:
        """An engine has something for the log."""
        getattr(self.log, event.level)(event.message)

    def ended(self, session: Any, error: BaseException) -> None:
        """A connection ended for an error: its peer's, or of a file that was sent."""
        if is_refusal(error):
            self.record.count(REFUSED)
        self.broke(session, error)

    def defect(self, session: Any, error: Exception) -> None:
        """The server itself went wrong with a connection, which is given up."""
        self.log.error("Error handling the connection of ip=%s", _peer(session), exc_info=error)

    def broke(self, session: Any, error: BaseException) -> None:
        """A connection broke."""
        report_end(self.log, _peer(session), error)

    def overdue(self, channel: Channel, now: float) -> None:
        """A request outlasted ``request_timeout``: answer 503, or cut the answer that has begun.

        The caller holds the turn. What the application says later is refused.
        """
        request = channel.request
        seconds = self.worker.cfg.request_timeout
        self.log.error("Request timeout (%g s): %s %s", seconds, request.method, printable(request.target))
        if channel.give_up(503, now):
            channel.session.flush(now, True)
        channel.lose()

    def wants_room(self, channel: Channel, now: float) -> None:
        """The spool files of the worker are full; ``channel`` waits for room."""
        self._roomless.append((channel, now))

    def _place_roomless(self, now: float) -> None:
        waiting, self._roomless = self._roomless, []
        for channel, since in waiting:
            session = channel.session
            session.enter()
            try:
                if channel.lost or channel.finished or place_parts(channel):
                    session.flush(now)  # HTTP/2: the credit
                    session.read_more()
                elif now - since > self.limits.body_timeout > 0:
                    refuse(channel, 503, now)
                    session.flush(now, True)
                else:
                    self._roomless.append((channel, since))
            finally:
                session.leave()
            self.post(session)  # deadlines changed


def _peer(session: Any) -> str:
    """Return the client's address for the log."""
    client = session.connection.info.client
    return client[0] if client else "unix"
