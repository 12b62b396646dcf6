"""The application as the arbiter sees it: settings, and a way to the callable.

Owns: ``Application`` (the class to subclass for embedding), ``CommandApplication`` (settings from
files, variables and a command line), ``run`` and ``main``.
Must not know: how the application is served.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Callable, List, Mapping, Optional, Sequence, Set

from server_core import apploader, sockets  # noqa: F401 - has to see the socket class before a config file patches it
from server_core.errors import EXIT_INTERRUPTED, AppImportError, ConfigError, ServerError, UsageError
from server_core.process import open_standard_streams
from server_core.settings import Settings, commandline, sources
from server_core.settings.config import working_directory
from server_http._compiled import prefer_sources


class Application:
    """Settings and the loading of an application; subclass it to embed the server.

    Override ``load_config`` (call ``self.cfg.set(name, value)``) and ``load`` (return the WSGI or
    ASGI callable), then call ``run()``.

    Attributes:
        cfg: the settings.
        start_directory: the directory in which the server was started, by the name it had then.
        callable: the loaded application, or None.
        broken_files: with ``reload``, source files of an application that could not be loaded.
    """

    cfg: Settings

    def __init__(self, usage: Optional[str] = None, prog: Optional[str] = None) -> None:
        open_standard_streams()
        self.usage = usage
        self.prog = prog
        self.callable: Any = None
        self.broken_files: Set[str] = set()
        self.start_directory = working_directory()
        self._added_paths: List[str] = []
        self.do_load_config()

    # --- to be overridden --------------------------------------------------------------------

    def load_config(self) -> None:
        """Set what differs from the defaults, by ``self.cfg.set(name, value)``."""

    def load(self) -> Any:
        """Return the WSGI or ASGI application."""
        raise NotImplementedError(f"{type(self).__name__}.load: expected an application to be returned")

    #: Whether ``introduce`` talks to a person, so that the log need not say the same.
    at_terminal = False

    def introduce(self, addresses: str, log: Any) -> None:
        """Say what is served where; called in the arbiter when the listeners are open.

        Args:
            addresses: of the listeners, as they are.
            log: the error log.
        """
        log.info("Listening at: %s (%s)", addresses, os.getpid())
        log.info("Using worker: %s", self.cfg.worker_class_str)

    # --- what the arbiter and workers call -----------------------------------------------------

    def do_load_config(self) -> None:
        """Make ``cfg`` anew from the environment and ``load_config``, change directory and check it.

        Raises:
            ConfigError: a setting is wrong; ``cfg`` is then what it was.
        """
        before = self.__dict__.get("cfg")
        try:
            os.chdir(self.start_directory)
            self.cfg = Settings.from_environ(os.environ)
            self.load_config()
            if self.cfg.http_parser == "python":
                prefer_sources("server_http")
            self._enter_directory()  # before relative files are looked for
            self.cfg.validate()
        except BaseException:
            if before is not None:
                self.use(before)
            raise

    def use(self, cfg: Settings) -> None:
        """Take the settings of an earlier generation back, with their directory and import path."""
        self.cfg = cfg
        self.callable = None
        self._enter_directory()

    def reload(self) -> None:
        """Read all settings again and forget the loaded application; raises ConfigError, and then
        everything is as before."""
        self.do_load_config()
        self.callable = None

    def wsgi(self) -> Any:
        """Return the application; it is loaded at the first call.

        Raises:
            AppImportError: it cannot be loaded. With ``reload`` on, an application is returned
                instead that shows the traceback until the next change.
        """
        if self.callable is None:
            try:
                self.callable = self._fitting(self.load())
            except AppImportError as error:
                self.callable = self._stand_in(error)
        return self.callable

    def _fitting(self, loaded: Any) -> Any:
        """Return the application; raises AppImportError when the worker certainly cannot serve its kind."""
        wanted = getattr(self.cfg.worker_class, "gateway", "")
        found = apploader.interface(loaded)
        if wanted and found and wanted != found:
            advice = "-k asgi" if found == "asgi" else "-k gthread, or another that serves WSGI"
            raise AppImportError(
                f"application: expected one for {wanted.upper()}, because the worker is {self.cfg.worker_class_str!r}, "
                f"got one for {found.upper()}; to serve it write {advice}"
            )
        return loaded

    def _stand_in(self, error: AppImportError) -> Any:
        """Return what shows ``error`` in the browser, when that is wanted and a save can mend it."""
        self.broken_files = apploader.files_of(error)
        if not self.cfg.reload or not (self.broken_files or self.is_imported()):
            raise error
        from server_core.brokenapp import BrokenApplication

        logging.getLogger("gunicorn.error").error("%s\n%s", error, error.traceback or "")
        return BrokenApplication(error)

    def is_imported(self) -> bool:
        """Whether the application's module was imported, whatever is wrong with its content."""
        return False

    def run(self) -> None:
        """Serve until the server is stopped; ends with SystemExit, as the arbiter does."""
        from server_core.supervise.arbiter import Arbiter

        if self.cfg.spew:
            from server_core.spew import spew

            spew()
        Arbiter(self).run()

    # --- the directory and the import path -----------------------------------------------------

    def _enter_directory(self) -> None:
        """Change to ``chdir`` and put it and ``pythonpath`` first on the import path."""
        try:
            os.chdir(self.cfg.chdir)
        except OSError as error:
            raise ConfigError(
                f"chdir: expected a directory that can be entered, got {self.cfg.chdir!r}: {error.strerror} "
                f"(from {self.cfg.source('chdir')})"
            ) from None
        wanted = [os.path.abspath(path) for path in (self.cfg.pythonpath or "").split(",") if path]
        wanted.append(self.cfg.chdir)
        for path in self._added_paths:
            if path in sys.path:
                sys.path.remove(path)
        self._added_paths = [path for path in wanted if path not in sys.path[:1]]
        sys.path[:0] = self._added_paths


class CommandApplication(Application):
    """An application whose settings come from files, variables and a command line.

    Args:
        arguments: the command line without the command's name; None takes the process's own.
    """

    def __init__(
        self, usage: Optional[str] = None, prog: Optional[str] = None, arguments: Optional[Sequence[str]] = None
    ) -> None:
        self.arguments = list(sys.argv[1:] if arguments is None else arguments)
        self.target = ""
        self.config_files: List[str] = []
        super().__init__(usage, prog)

    def load_config(self) -> None:
        """Apply all sources, the strongest last."""
        typed, positional = commandline.parse(self.cfg.catalogue, self.arguments, sources.COMMAND_LINE)
        variable, variable_name = sources.arguments_of_environment(self.cfg, os.environ)
        for given, source in ((variable, variable_name), (typed, sources.COMMAND_LINE)):
            if "chdir" in given:  # files are looked for where the operator points, as gunicorn does
                self.cfg.set("chdir", given["chdir"], source)
                given["chdir"] = self.cfg.chdir
        self._enter_directory()
        self._read_files(typed.get("config") or variable.get("config"))
        self.cfg.update(variable, variable_name)
        self.cfg.update(typed, sources.COMMAND_LINE)
        self._choose_target(positional)

    def _read_files(self, named: Optional[str]) -> None:
        directory = os.getcwd()
        if named is None:
            self.config_files = sources.read_default_files(self.cfg, directory)
        else:
            sources.read_named_file(self.cfg, named, directory)
            self.config_files = [named]

    def _choose_target(self, positional: Sequence[str]) -> None:
        if len(positional) > 1:
            raise UsageError(f"expected one application, got {len(positional)}: {' '.join(positional)}")
        self.target = positional[0] if positional else self.cfg.wsgi_app or ""
        if self.target and not self.cfg.is_set("default_proc_name"):
            self.cfg.set("default_proc_name", self.target, "the application's name")

    def is_imported(self) -> bool:
        """Whether the module that was named is there."""
        return self.target.partition(":")[0].strip() in sys.modules

    def load(self) -> Any:
        """Import and return the application the command line or ``wsgi_app`` names."""
        if self.cfg.paste:
            from server_core.paste import load_paste

            return load_paste(self.cfg)
        if not self.target:
            raise ConfigError("no application: expected MODULE:ATTRIBUTE on the command line or in wsgi_app, got none")
        return apploader.load(self.target)


class _Embedded(Application):
    """An application object with settings given as keywords."""

    def __init__(self, app: Any, settings: Mapping[str, Any]) -> None:
        self._app = app
        self._settings = dict(settings)
        super().__init__()

    def load_config(self) -> None:
        self.cfg.update(self._settings, "run()")

    def load(self) -> Any:
        return apploader.load(self._app) if isinstance(self._app, str) else self._app


def run(app: Any, **settings: Any) -> None:
    """Serve ``app`` until the server is stopped.

    Args:
        app: a WSGI or ASGI callable, or its name as on the command line (``"module:attr"``). A name
            lets a reload import new code.
        settings: settings by name, for example ``workers=2, bind="127.0.0.1:8000"``.

    Raises:
        ConfigError: a setting is wrong.
        SystemExit: with the exit code, when the server has ended.
    """
    _Embedded(app, settings).run()


def main() -> None:
    """Run the application of the process's own command line, errors as one line and an exit code."""
    sys.exit(guarded(lambda: CommandApplication().run()))


def guarded(action: Callable[[], Any], prog: str = "server") -> int:
    """Run ``action``; print an operator's error and return its exit code."""
    try:
        action()
    except ServerError as error:
        if error.traceback:
            print(error.traceback.rstrip(), file=sys.stderr)
        print(f"{prog}: error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone, as in ``| head``
        _drop_output()
    return 0


def say(text: str, end: str = "\n") -> None:
    """Write what a command was asked for to standard output; what its encoding does not have is escaped.

    Raises:
        BrokenPipeError: nobody reads any more; ``guarded`` takes that for an end like any other.
        ServerError: it cannot be written, because a disk is full, say.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise ServerError(f"standard output: cannot be written: {error.strerror}") from None


def _drop_output() -> None:
    """Have what is left in the buffer of standard output go nowhere: the interpreter flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
