"""What all connections of one worker share.

Owns: ``Service``: the application and its state, limits, timers, logs, hooks and counters, and what is done at the
beginning and the end of every request.
Must not know: sockets, engines, signals.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Any, Dict, Optional, Set

from server_core.compat.objects import GunicornRequest, GunicornResponse
from server_core.drive.arrival import Arrivals, told_wait
from server_core.drive.gate import make_gate
from server_core.drive.streams import request_line
from server_core.drive.timers import TimerWheel
from server_core.log.access import DELAY
from server_core.request_id import RequestIds
from server_core.scoreboard.layout import ERRORS, RECEIVED
from server_http.asgi import ScopeTemplate
from server_http.engine import ConnectionInfo
from server_http.events import Headers, Request, StreamClosed
from server_http.fields import printable
from server_workers_async.lanes import Lanes
from server_workers_async.notice import EXTENSION, ShutdownNotice
from server_workers_async.outbox import Outbox


class Refusal:
    """What the access log wants to know of a request that the application never saw."""

    reason = b""

    def __init__(self, request: Request, status: int, headers: Headers, sent: int, waited: float, began: float) -> None:
        self.request = request
        self.status = status
        self.headers = headers
        self.sent = sent
        self.waited = waited
        self.began = began


class Service:
    """The shared part of a worker's connections.

    Args:
        worker: counts requests and is what hooks receive.
        app: the ASGI application.
        loop: the running loop.

    Attributes:
        state: the lifespan's state, or None.
        connections: the open ones.
        watched: those whose reading is paused, and whose disconnects are looked for.
        tasks: applications that have not returned, those of ``lanes``.
        draining: the worker is stopping; no further request is taken.
        ending: the time for running requests is over: what is left is cut, cleanly where that is possible.
        context: what callbacks of connections run in, so that no application's context reaches another request.
    """

    def __init__(self, worker: Any, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        cfg = worker.cfg
        self.worker = worker
        self.app = app
        self.loop = loop
        self.log = worker.log
        self.served = 0
        worker.counter = self
        self.max_requests: int = worker.max_requests
        self.state: Optional[Dict[str, Any]] = None
        self.root_path: str = cfg.root_path
        self.grace_period: float = cfg.asgi_disconnect_grace_period
        self.request_timeout: float = cfg.request_timeout
        self.half_close_disconnects: bool = cfg.half_close == "disconnect"
        self.sendfile: bool = cfg.sendfile
        self.wheel = TimerWheel()
        self.notice = ShutdownNotice()
        self.extensions: Dict[str, Any] = {EXTENSION: self.notice}
        self.connections: Set[Any] = set()
        self.watched: Set[Any] = set()
        self.draining = False
        self.ending = False
        self.context: Context = copy_context()
        self.lanes = Lanes(app, loop)
        self.tasks = self.lanes.tasks
        self.outbox = Outbox(loop, self.context)
        self.record = worker.board.record(0)
        self.arrivals = Arrivals()
        self.gate: Any = make_gate(worker)
        access = worker.log.access_log_writer
        self.access: Any = access if access.enabled else None
        self.log_awaited = False  # whether somebody will write the lines that wait
        self.pre_request: Any = cfg.hook("pre_request")
        self.post_request: Any = cfg.hook("post_request")
        self.ids: Any = RequestIds.from_settings(cfg)
        self.hooked = self.pre_request is not None or self.post_request is not None
        self._templates: Dict[Any, ScopeTemplate] = {}  # one for each address of the listeners
        self.on_idle: Any = None  # called when the last connection or task is gone, while the worker drains

    # The life of a connection --------------------------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self.worker.board.connections(len(self.connections))

    def closed(self, connection: Any) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self.watched.discard(connection)
        self.worker.board.connections(len(self.connections))
        self.worker.connection_closed()
        self.look_idle()

    def template(self, info: ConnectionInfo) -> ScopeTemplate:
        """What the scopes of a connection begin with. Connections in clear share it: it would be most of what an idle
        connection costs."""
        if info.tls is not None or info.proxy is not None:
            return ScopeTemplate(info, self.root_path, self.extensions)
        template = self._templates.get(info.server)
        if template is None:
            template = self._templates[info.server] = ScopeTemplate(info, self.root_path, self.extensions)
        return template

    # The life of a request -------------------------------------------------------------------------------------------

    def count(self, channel: Any) -> None:
        """A request arrived."""
        request = channel.request
        self.served += 1
        if self.served >= self.max_requests:
            self.worker.retire_for_requests()
        if request.queued_since:
            channel.waited = max(channel.waited, told_wait(request.queued_since))
        channel.entry = self.record.begin(request.method, request.target, channel.began, channel.waited)

    def refused(self, refusal: Refusal, now: float) -> None:
        """A request was refused in an overload: log it."""
        if self.access is not None:
            self._log(refusal.request, refusal, now - refusal.began)

    def report(self, message: str, channel: Any, error: Optional[BaseException] = None) -> None:
        """Log what went wrong with a request, once, with its id where it has one."""
        target = printable(channel.request.target)
        extra = None if self.ids is None else self.ids.record_fields(channel.request)
        self.log.error("%s %s", message, target, exc_info=error, extra=extra)

    def failed(self, message: str, channel: Any, error: Optional[BaseException] = None) -> None:
        """The application, or what it said, was wrong: count it and log it in full."""
        self.record.count(ERRORS)
        self.report(message, channel, error)

    def received(self, octets: int) -> None:
        """Octets of a request body arrived."""
        self.record.count(RECEIVED, octets)

    def ended(self, channel: Any, event: StreamClosed, now: float) -> None:
        """The stream of ``channel`` is over: count it, log it."""
        status, sent = event.status, event.sent
        self.record.finish(channel.entry, status, sent, channel.began, now)
        if status:
            channel.status = status
        channel.sent = sent
        if self.access is not None:
            self._log(channel.request, channel, now - channel.began)
        if self.post_request is not None and channel.view is not None:
            self._after(channel)

    def before(self, channel: Any) -> bool:
        """Call ``pre_request``; returns whether the application is to be called. What the hook raises is a 500."""
        channel.view = GunicornRequest(channel.request)
        if self.pre_request is None:
            return True
        try:
            self.pre_request(self.worker, channel.view)
        except Exception as error:
            channel.on_raised(error)
            return False
        return True

    def _after(self, channel: Any) -> None:
        try:
            self.post_request(self.worker, channel.view, channel.scope, GunicornResponse(channel))
        except Exception:
            self.log.exception("Exception in post_request hook")

    def requests(self) -> Dict[Any, str]:
        """Return the tasks of applications that wait, with what they were asked for, the oldest request first."""
        channels = [channel for session in self.connections for channel in session.channels.values()]
        channels.sort(key=lambda channel: channel.began)
        return {channel.task: request_line(channel) for channel in channels if channel.task is not None}

    # The access log --------------------------------------------------------------------------------------------------

    def _log(self, request: Any, response: Any, seconds: float) -> None:
        """Have a line of the access log written, with all that come within ``DELAY``: a loop with nothing else to do
        looks at what is due once a second."""
        self.access.write(request, response, None, seconds)
        if not self.log_awaited:
            self._await_log()

    def _await_log(self) -> None:
        self.log_awaited = self.access.deadline() is not None
        if self.log_awaited:
            self.loop.call_later(DELAY, self._flush_log, context=self.context)

    def _flush_log(self) -> None:
        self.access.flush()
        self._await_log()  # the output may be blocked

    # Timers ----------------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Tell everybody whose time has come."""
        for item in self.wheel.due(now):
            item.on_timer(now)

    def end_overdue(self, now: float) -> None:
        """End the requests that have run for longer than ``request_timeout``; WebSockets have no such bound."""
        since = now - self.request_timeout
        channels = [channel for session in self.connections for channel in session.channels.values()]
        for channel in channels:
            if channel.began < since and not channel.is_websocket:
                channel.time_out(now)

    def look_idle(self) -> None:
        """Say so when the worker drains and nothing is left to wait for."""
        if self.draining and self.on_idle is not None and not self.connections and not self.tasks:
            self.on_idle()
