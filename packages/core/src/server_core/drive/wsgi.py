"""Running a WSGI application over a channel.

Owns: ``Gateway``: the environ's server half, calling the application and its iterable, ``close()``, errors, hooks,
the access log and the scoreboard of a request.
Must not know: sockets, loops and threads; the order of WSGI messages (``server_http.wsgi``).
"""

# ruff: noqa: F821 - the names of the C library come from the .pxd
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import io
import os
import stat
import threading
from contextvars import copy_context
from io import BytesIO
from typing import Any, Callable, Dict, Optional, Tuple

from server_core.compat.objects import GunicornRequest, GunicornResponse
from server_core.drive.arrival import told_wait
from server_core.drive.body import StreamedBody
from server_core.drive.channel import Channel
from server_core.drive.clock import monotonic
from server_core.drive.gate import make_gate
from server_core.drive.lending import LentSocket
from server_core.drive.streams import ClientGoneError
from server_core.request_id import RequestIds
from server_core.scoreboard.layout import ERRORS
from server_core.version import __version__
from server_http.environ import (
    EARLY_HINTS,
    INPUT,
    FileWrapper,
    body_input,
    connection_environ,
    listener_environ,
    request_environ,
)
from server_http.errors import ApplicationFault, ProtocolError
from server_http.fields import printable
from server_http.states import HTTP_2
from server_http.wsgi import StartResponse

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

# How an application that took its connection over ends: StopIteration is what libraries raise that know gunicorn, and a
# fault is that it answered nothing.
_TAKEN_OVER = (OSError, StopIteration, ApplicationFault)


class Gateway:
    """Calls one application for the requests of one worker.

    Args:
        app: the WSGI callable.
        worker: the worker, for hooks and counting.
        multithread: whether several requests run in this process at once.
    """

    def __init__(self, app: Any, worker: Any, multithread: bool) -> None:
        cfg = worker.cfg
        self.app = app
        self.worker = worker
        self.log = worker.log
        self.multithread = multithread
        self.multiprocess: bool = cfg.multiprocess
        self.pre_request: Any = cfg.hook("pre_request")
        self.post_request: Any = cfg.hook("post_request")
        self.access_log: Any = worker.log.access_log_writer
        self.logs_access: bool = self.access_log.enabled
        self.debug: bool = str(cfg.loglevel).lower() == "debug"
        self.software = f"server/{__version__}"
        self.errors: Any = worker.log.wsgi_errors
        self.ids: Optional[RequestIds] = RequestIds.from_settings(cfg)
        self.gate = make_gate(worker)
        self.served = 0
        self.max_requests: int = worker.max_requests
        worker.counter = self
        self._log_lock = threading.Lock()  # the writer is made for one thread
        self._listeners: Dict[Any, Dict[str, Any]] = {}

    # A request -------------------------------------------------------------------------------------------------

    def run(self, channel: Channel, record: Any) -> float:
        """Serve one request, in a context of its own. Raises only what is meant to end the process.

        Args:
            channel: the application's side of the stream.
            record: the calling thread's place on the scoreboard.

        Returns:
            When it was over, monotonic seconds.
        """
        began = channel.began = monotonic()
        waited = channel.waited = began - channel.arrived
        if self.gate is not None:
            page = self.gate.refuses(channel.request, channel.session.connection.info, waited, began)
            if page is not None:
                channel.reply(*page)
                return began
        if channel.queued_since:
            waited = channel.waited = max(waited, told_wait(channel.queued_since))
        entry = record.begin(channel.method, channel.target, began, waited)
        try:
            self._serve_apart(channel, record)
        finally:
            channel.done()
            ended = monotonic()
            record.finish(entry, channel.status, channel.sent, began, ended)
            self.count()
        return ended

    def count(self) -> None:
        """A request is over. Several threads may say so at once; a request that goes uncounted is not missed."""
        self.served += 1
        if self.served >= self.max_requests:
            self.worker.retire_for_requests()

    def _serve_apart(self, channel: Channel, record: Any) -> None:
        """``_serve`` in a context of its own: what the application sets in it must not meet the next request."""
        if cython.compiled:
            context = PyContext_CopyCurrent()
            PyContext_Enter(context)
            try:
                self._serve(channel, record)
            finally:
                PyContext_Exit(context)
        else:
            copy_context().run(self._serve, channel, record)

    def _serve(self, channel: Channel, record: Any) -> None:
        start = StartResponse(channel)
        environ: Any = None
        result: Any = None
        try:
            environ = self._environ(channel, start)
            if self.pre_request is not None or self.debug:
                self._before(channel, environ)
            answering = self.ids is not None and self.ids.answers
            result = self.app(environ, self._identified(channel, start) if answering else start)
            self._send(channel, start, result)
        except ClientGoneError:
            self.log.debug("Client of %s %s is gone.", channel.request.method, channel.request.target)
        except Exception as error:
            self._failed(channel, record, error)
        except BaseException:
            channel.fail(500)
            raise
        finally:
            if result is not None:
                self._close(channel, result)
            if self.post_request is not None:
                self._after(channel, environ)

    def _send(self, channel: Channel, start: StartResponse, result: Any) -> None:
        """Pass the application's iterable on; ``start`` sees to the order of things."""
        if not self.worker.alive:
            # The stop came while the application ran in the loop's own thread: this answer closes already.
            channel.session.drain(monotonic())
        if isinstance(result, (list, tuple)):
            if not channel.status:
                self._send_whole(channel, start, result)
                return
        elif isinstance(result, FileWrapper) and self._send_file(channel, start, result):
            return
        for data in result:
            if channel.status and type(data) is bytes and data:
                channel.send(data)  # the head is out: ``write`` would do no more
            else:
                start.write(data)
        start.send_head()
        channel.end(start.trailers())

    def _identified(self, channel: Channel, start: StartResponse) -> Callable[..., Any]:
        """Return a ``start_response`` that adds the id of the request to the head."""

        def start_response(status: Any, headers: Any, exc_info: Any = None) -> Any:
            write = start(status, headers, exc_info)
            if self.ids is not None:
                start.headers = self.ids.answer(channel.request, start.headers)
            return write

        return start_response

    def _send_whole(self, channel: Channel, start: StartResponse, parts: Any) -> None:
        """Everything is known: declare its length unless the application did (PEP 3333), and send it at once."""
        size = 0
        for data in parts:
            if not isinstance(data, bytes):
                raise ApplicationFault(f"body: expected bytes, got {type(data).__name__} (from the application)")
            size += len(data)
        if size <= channel.session.high_water:
            whole = start.take_whole(size, channel.method)
            if whole is not None:
                status, headers, reason = whole
                channel.answer(status, headers, reason, parts)
                return
        start.declare(size, channel.method)
        for data in parts:
            start.write(data)
        start.send_head()
        channel.end(start.trailers())

    def _send_file(self, channel: Channel, start: StartResponse, wrapper: FileWrapper) -> bool:
        """Send a real file by its descriptor; False when it is none."""
        found = file_region(wrapper.filelike)
        if found is None or not start.status or start.head_sent:
            return False
        fd, offset, count = found
        if start.length is None:
            start.set_length(count)
        elif start.length.isdigit():
            count = min(count, int(start.length))
        start.send_head()
        if count and channel.method != "HEAD":
            channel.send_file(fd, offset, count)
        channel.end(start.trailers())
        return True

    def _close(self, channel: Channel, result: Any) -> None:
        if type(result) is list:
            return  # which has none
        close = getattr(result, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception:
            self.log.exception("Error closing the response of %s", printable(channel.request.target))

    def _failed(self, channel: Channel, record: Any, error: Exception) -> None:
        """The application, or what it said, was wrong: log it in full, tell the peer nothing of it."""
        if channel.lost and isinstance(error, _TAKEN_OVER if channel.session.lent else OSError):
            self.log.debug("Client of %s %s is gone.", channel.request.method, channel.request.target)
            return
        record.count(ERRORS)
        uri = printable(channel.request.target)
        extra = None if self.ids is None else self.ids.record_fields(channel.request)
        if extra is not None:
            uri = f"{uri} (request {extra['request_id']})"
        if isinstance(error, (ApplicationFault, ProtocolError)):
            self.log.error("Error handling request %s: %s", uri, error, extra=extra)
        else:
            self.log.error("Error handling request %s", uri, exc_info=error, extra=extra)
        channel.fail(getattr(error, "status", 500) if isinstance(error, ProtocolError) else 500)

    # The environ -----------------------------------------------------------------------------------------------

    def _environ(self, channel: Channel, start: StartResponse) -> Dict[str, Any]:
        session = channel.session
        if self.ids is not None:
            self.ids.give(channel.request)
        request = channel.request
        connection = session.environ
        if connection is None:
            connection = self._connection_environ(session)
            session.client = session.connection.info.client
        last = channel.last = not channel.keep_alive
        # The last request gets it: kept here as well, it would lead back to itself by what the application is given.
        session.environ = None if last else connection
        environ = request_environ(connection, request, session.client, last)
        body = channel.body
        if body is None:
            environ[INPUT] = BytesIO()
        elif type(body) is StreamedBody:
            environ[INPUT] = body_input(channel)
        else:
            whole = type(body) is bytes
            environ[INPUT] = BytesIO(body) if whole else body.input()
            if request.content_length is None:
                # The whole body is here, so an application need not know how it came.
                environ["CONTENT_LENGTH"] = str(len(body) if whole else body.size)
        environ[EARLY_HINTS] = start.early_hints
        if session.queue is None and request.version == HTTP_2:  # whose frames are made when they are asked for
            environ["server.send_trailers"] = environ["gunicorn.http2.send_trailers"] = start.send_trailers
        if self.logs_access:
            channel.environ = environ
        return environ

    def _connection_environ(self, session: Any) -> Dict[str, Any]:
        info = session.connection.info
        listener = self._listeners.get(info.server)
        if listener is None:
            listener = self._listeners[info.server] = listener_environ(
                info.server,
                software=self.software,
                errors=self.errors,
                multithread=self.multithread,
                multiprocess=self.multiprocess,
                draining=self.draining,
            )
        return connection_environ(listener, info, LentSocket(session))

    def draining(self) -> bool:
        """``server.draining``: the worker is stopping."""
        return not self.worker.alive

    # Hooks and logs --------------------------------------------------------------------------------------------

    def _before(self, channel: Channel, environ: Dict[str, Any]) -> None:
        if self.pre_request is not None:
            self.pre_request(self.worker, GunicornRequest(channel.request, environ))
        else:
            self.log.debug("%s %s", channel.request.method, printable(channel.request.path))

    def _after(self, channel: Channel, environ: Optional[Dict[str, Any]]) -> None:
        try:
            request = GunicornRequest(channel.request, environ)
            self.post_request(self.worker, request, environ, GunicornResponse(channel))
        except Exception:
            self.log.exception("Exception in post_request hook")

    def closed(self, channel: Channel, sent: int, now: float) -> None:
        """The stream is over, and there is an access log: write its line."""
        if channel.began:
            channel.sent = sent
            with self._log_lock:
                self.access_log.write(channel.request, channel, channel.environ, now - channel.began)
            channel.environ = None  # what is in it holds the channel, which would be left to the garbage collector

    def log_deadline(self) -> Optional[float]:
        """When ``flush_log`` is due, in monotonic seconds; None when nothing waits."""
        return self.access_log.deadline() if self.logs_access else None

    def flush_log(self) -> None:
        """Write the lines of the access log that wait."""
        with self._log_lock:
            self.access_log.flush()


def file_region(filelike: Any) -> Optional[Tuple[int, int, int]]:
    """Return ``(fd, offset, count)`` of what is left of a regular file, None when ``filelike`` is something else.

    Only Python's own file objects count, and those of ``tempfile`` around them: others (gzip's, for example, or one
    that reads a part) have a descriptor whose octets are not those that ``read`` returns.
    """
    if type(filelike).__module__ == "tempfile":
        filelike = getattr(filelike, "file", filelike)
    raw = getattr(filelike, "raw", filelike)
    if type(raw) is not io.FileIO or type(filelike) not in (io.FileIO, io.BufferedReader, io.BufferedRandom):
        return None
    try:
        if type(filelike) is io.BufferedRandom:
            filelike.flush()  # what was written and read again may not have reached the descriptor
        fd = filelike.fileno()
        status = os.fstat(fd)
        offset = filelike.tell()
    except (OSError, ValueError):  # closed, or a pipe
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return fd, offset, max(0, status.st_size - offset)
