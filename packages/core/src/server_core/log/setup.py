"""The logger of the server: what goes where, and gunicorn's logger API.

Owns: handlers of the loggers ``gunicorn.error`` and ``gunicorn.access`` (frameworks and logging configs
know them by these names), reopening, captured output.
Must not know: what is logged. Lines of requests are made in ``log.access``; configurations of the user are
applied in ``log.configured``.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Mapping, Optional

from server_core.errors import ConfigError
from server_core.log.access import AccessLog, Line, quiet
from server_core.log.capture import StandardOutput
from server_core.log.sink import FileSink, LineStream, Sink, standard_sink
from server_core.log.wsgierrors import WsgiErrors

ERROR_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
ACCESS_FORMAT = "%(message)s"
SYSLOG_FORMAT = "[%(process)d] %(message)s"

LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

# What ``Logger.setup`` changes, and leaves as it was when it fails.
_OF_SETTINGS = ("_captor", "cfg", "loglevel", "error_handlers", "access_handlers", "_sinks", "_access_formatter")


class Logger:
    """Both logs of the server.

    Subclasses may override ``setup``, ``access``, ``atoms`` or ``now``, as for gunicorn.

    Args:
        cfg: the settings.

    Attributes:
        error_log, access_log: Python's loggers.
        access_log_writer: what drivers give finished requests to.
        wsgi_errors: the stream for ``wsgi.errors``.
    """

    def __init__(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers: List[logging.Handler] = []
        self.access_handlers: List[logging.Handler] = []
        self._captor: Optional[FileSink] = None  # where captured output goes
        self.lock = threading.Lock()
        self.logged = [0, 0, 0, 0]  # messages by the levels of scoreboard.layout.LOG_LEVELS
        self.cfg = cfg
        self.loglevel = logging.INFO
        self._sinks: List[Sink] = []
        self._error_lines_lost = 0
        self._access_formatter: Optional[logging.Formatter] = None
        self._standard_output = StandardOutput()
        self.wsgi_errors = WsgiErrors(self.error_log)
        self.access_log_writer = AccessLog(_no_line, None, self, enabled=False)
        self.setup(cfg)

    @classmethod
    def install(cls) -> None:
        """Nothing; gunicorn calls it when the class is chosen."""

    # --- setting up --------------------------------------------------------------------------

    def setup(self, cfg: Any) -> None:
        """Set handlers up after ``cfg``; called again on a reload.

        Raises:
            ConfigError: a file cannot be opened or a logging configuration is wrong; everything is as before then.
        """
        self.access_log_writer.flush()
        before = {name: getattr(self, name) for name in _OF_SETTINGS}
        self._take_off()
        self.error_handlers, self.access_handlers, self._sinks = [], [], []
        self._captor = None
        try:
            writer = self._put_on(cfg)
        except ConfigError:
            self._remove_handlers()
            vars(self).update(before)
            self._put_back()
            raise
        self._close_outputs(before)
        self._error_lines_lost = 0
        self.access_log_writer = writer

    def _put_on(self, cfg: Any) -> AccessLog:
        self.cfg = cfg
        self.loglevel = LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)
        self.access_log.setLevel(logging.INFO)
        self._follow_settings()
        self._standard_output.send_to(None)  # before outputs are told apart by what the descriptors are
        error_formatter = _formatter(cfg, ERROR_FORMAT, DATE_FORMAT)
        sink = self._add_output(self.error_log, self.error_handlers, cfg.errorlog, 2, "errorlog", error_formatter)
        if cfg.capture_output and isinstance(sink, FileSink):
            self._captor = sink
            try:
                self._capture_output()
            except OSError as error:  # the table of descriptors is full
                raise self._not_writable("errorlog", error) from None
        self._access_formatter = _formatter(cfg, ACCESS_FORMAT)
        sink = None
        if cfg.accesslog:
            sink = self._add_output(
                self.access_log, self.access_handlers, cfg.accesslog, 1, "accesslog", self._access_formatter
            )
        if cfg.syslog:
            self._add_syslog()
        if self._has_configuration:
            from server_core.log import configured

            configured.apply(cfg)
        return AccessLog(self._access_line(), sink, self, self.access_log_enabled)

    def _remove_handlers(self) -> None:
        self._take_off()
        self._close_outputs(vars(self))

    def _take_off(self) -> None:
        for logger, handlers in ((self.error_log, self.error_handlers), (self.access_log, self.access_handlers)):
            for handler in handlers:
                logger.removeHandler(handler)

    def _follow_settings(self) -> None:
        self.error_log.setLevel(self.loglevel)
        self.wsgi_errors.as_records = self.cfg.log_format == "json"

    def _put_back(self) -> None:
        self._follow_settings()
        self._capture_output()
        for logger, handlers in ((self.error_log, self.error_handlers), (self.access_log, self.access_handlers)):
            for handler in handlers:
                logger.addHandler(handler)

    @staticmethod
    def _close_outputs(of: Mapping[str, Any]) -> None:
        for closed in (*of["error_handlers"], *of["access_handlers"], *of["_sinks"]):
            closed.close()

    def _capture_output(self) -> None:
        self._standard_output.send_to(None if self._captor is None else self._captor.fd)

    def _add_output(
        self, logger: logging.Logger, handlers: List[logging.Handler], output: Optional[str], fd: int, name: str,
        formatter: logging.Formatter,
    ) -> Optional[Sink]:  # fmt: skip
        """Add the handler of a log file, or of the descriptor ``fd`` for ``-``; returns its sink."""
        if not output:
            return None
        try:
            sink = standard_sink(fd) if output == "-" else FileSink(output, self._give_to_workers)
        except OSError as error:
            raise self._not_writable(name, error) from None
        self._sinks.append(sink)
        handler = logging.StreamHandler(LineStream(sink))
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        handlers.append(handler)
        return sink

    def _not_writable(self, name: str, error: OSError) -> ConfigError:
        return ConfigError(
            f"{name}: expected a file that can be written, got {getattr(self.cfg, name)!r}: {error.strerror} "
            f"(from {self.cfg.source(name)})"
        )

    def _give_to_workers(self, fd: int) -> None:
        """Give a log file to the user of the workers, who will open it again for USR1; never a device (/dev/null)."""
        given_up = os.geteuid() == 0 and (self.cfg.uid, self.cfg.gid) != (0, 0)
        if given_up and stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchown(fd, self.cfg.uid, self.cfg.gid)

    def _add_syslog(self) -> None:
        cfg = self.cfg
        targets = [(self.error_log, self.error_handlers, "error")]
        if not cfg.disable_redirect_access_to_syslog:
            targets.append((self.access_log, self.access_handlers, "access"))
        for logger, handlers, name in targets:
            from server_core.log import syslogging

            handler = syslogging.handler(cfg, name)
            handler.setFormatter(_formatter(cfg, SYSLOG_FORMAT))
            logger.addHandler(handler)
            handlers.append(handler)

    # --- the access log ------------------------------------------------------------------------

    @property
    def access_log_enabled(self) -> bool:
        """Whether anything is done with lines of requests."""
        cfg = self.cfg
        to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
        return bool(cfg.accesslog or to_syslog or self._has_configuration)

    @property
    def _has_configuration(self) -> bool:
        cfg = self.cfg
        return bool(cfg.logconfig_dict or cfg.logconfig_json or cfg.logconfig)

    def direct(self) -> bool:
        """Whether lines may be written without a log record: nobody would notice the difference."""
        own = type(self)
        return (
            own.access is Logger.access
            and own.atoms is Logger.atoms
            and own.now is Logger.now
            and not self._has_configuration
            and len(self.access_handlers) == 1
            and quiet(self.access_log, self.access_handlers, self._access_formatter)
        )

    def _access_line(self) -> Line:
        cfg = self.cfg
        if not self.access_log_enabled and not cfg.is_set("access_log_format"):
            return _no_line  # nothing is to be said about a format that is neither used nor anybody's
        if cfg.log_format == "json":
            from server_core.log.jsonlines import JsonAccess

            return JsonAccess(cfg.request_id_header.lower().encode() if cfg.request_id != "off" else None)
        from server_core.log.atoms import LineFormat

        try:
            line = LineFormat(cfg.access_log_format)
        except ValueError as error:
            raise ConfigError(f"access_log_format: {error} (from {cfg.source('access_log_format')})") from None
        return line

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log a request as a record whose arguments are its atoms (gunicorn's API).

        Args:
            resp: has ``status``, ``sent`` and ``headers``.
            req: has ``headers``.
            environ: the WSGI environ.
            request_time: a ``timedelta``.
        """
        if not self.access_log_enabled:
            return
        from server_core.log.atoms import SafeAtoms

        atoms = SafeAtoms(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(self.cfg.access_log_format, atoms)
        except (TypeError, ValueError):
            self.error(traceback.format_exc())

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> Dict[str, Any]:
        """Return the atoms of a request by name (gunicorn's API; arguments as for ``access``)."""
        from server_core.log.atoms import MISSING
        from server_core.log.recorded import recorded_atoms

        atoms = recorded_atoms(resp, req, environ, request_time.total_seconds())
        atoms.update(t=self.now(), u=self._get_user(environ) or MISSING)
        return atoms

    def now(self) -> str:
        """Return the present time in the format of the Common Log Format."""
        from server_core.log.atoms import format_time

        return format_time(int(time.time()))

    @staticmethod
    def _get_user(environ: Any) -> Optional[str]:
        from server_core.log.atoms import basic_user

        header = environ.get("HTTP_AUTHORIZATION")
        return basic_user(header.encode("latin-1", "replace")) if header else None

    # --- the error log -------------------------------------------------------------------------

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level CRITICAL."""
        self.logged[0] += 1
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ERROR."""
        self.logged[3 if kwargs.get("exc_info") else 1] += 1
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level WARNING."""
        self.logged[2] += 1
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level INFO."""
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level DEBUG."""
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at level ERROR with the traceback of the exception at hand."""
        self.logged[3] += 1
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: Any, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at a level given by number or name."""
        if isinstance(lvl, str):
            lvl = LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    # --- files and ends --------------------------------------------------------------------------

    def reopen_files(self) -> None:
        """Open all log files again by their names (USR1, after a rotation).

        A file that cannot be opened is written to as before: a directory that is gone, or a full table of
        descriptors, is no reason to end a server that serves. Lines of requests that wait for others go to the new
        file: in a worker this is a signal's handler, which may have come while such a line is made.
        """
        failures: List[str] = []
        outputs = (sink.reopen for sink in self._sinks)
        for reopen in (*outputs, *map(_reopener, _file_handlers()), self._capture_output):
            try:
                reopen()
            except OSError as error:
                failures.append(f"log: expected a file that can be written, got {error.filename!r}: {error.strerror}")
        for failure in failures:
            self.error("%s; going on with the file that was open", failure)

    def close_on_exec(self) -> None:
        """Keep log files from a program that is executed."""
        for handler in _file_handlers():
            if handler.stream:
                os.set_inheritable(handler.stream.fileno(), False)

    def retry(self) -> None:
        """Write what a blocked error log kept, as far as it takes it; called about once a second."""
        for handler in self.error_handlers:
            sink = getattr(getattr(handler, "stream", None), "sink", None)
            if sink is None:
                continue
            if sink.pending:
                handler.flush()  # under the handler's lock
            if sink.dropped > self._error_lines_lost and not sink.pending:
                lost, self._error_lines_lost = sink.dropped - self._error_lines_lost, sink.dropped
                self.warning("Error log: %d lines were dropped, because the output did not take them", lost)

    def flush(self, seconds: float = 0.5) -> None:
        """Write what waits, before an exit, abort or exec, taking at most about ``seconds``."""
        self.access_log_writer.finish(seconds)
        for sink in self._sinks:
            sink.finish(seconds)


def _formatter(cfg: Any, text: str, date: Optional[str] = None) -> logging.Formatter:
    """Return what makes lines in the format of the settings, ``text`` unless that is JSON."""
    if cfg.log_format == "json":
        from server_core.log.jsonlines import JsonFormatter

        return JsonFormatter()
    return logging.Formatter(text, date)


def _file_handlers() -> List[logging.FileHandler]:
    """Return the file handlers of all loggers, of which logging configurations make many."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    found = {id(handler): handler for logger in loggers for handler in logger.handlers}
    return [handler for handler in found.values() if isinstance(handler, logging.FileHandler)]


def _reopener(handler: logging.FileHandler) -> Callable[[], None]:
    """Return what opens the file of ``handler`` again, and lets go of the old one when it has the new one."""

    def reopen() -> None:
        with _locked(handler):
            if handler.stream:
                fresh = handler._open()
                handler.close()
                handler.stream = fresh

    return reopen


class _locked:  # noqa: N801  # reads as a word: with _locked(handler)
    """Holds a handler's lock."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        self._handler.acquire()

    def __exit__(self, *_: Any) -> None:
        self._handler.release()


def _no_line(_request: Any, _response: Any, _environ: Any, _seconds: float) -> bytes:
    return b""
