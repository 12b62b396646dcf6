"""The command ``server``.

Owns: what is done with a command line: serve, show versions, check or print the configuration.
Must not know: how settings are read (``server_core.app``) or how anything is served.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from server_cli import show
from server_core import plugins
from server_core.app import CommandApplication, guarded, say
from server_core.errors import ConfigError
from server_core.settings import commandline
from server_core.settings.config import default_catalogue

PROG = "server"


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the command; ends with SystemExit and the exit code.

    Args:
        arguments: what was typed after the command's name; None takes the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(guarded(lambda: _act(words), PROG))


class ServedApplication(CommandApplication):
    """The application of a command line; its start is told to a person at a terminal as a block, to a log as lines."""

    @property
    def at_terminal(self) -> bool:  # type: ignore[override]  # others have the constant
        """Whether the error log is a terminal that somebody may be looking at."""
        return self.cfg.errorlog == "-" and not self.cfg.daemon and sys.stderr.isatty()

    def introduce(self, addresses: str, log: Any) -> None:
        """Say what is served where."""
        if self.at_terminal:
            print(show.block(self, addresses, show.is_coloured(sys.stderr, os.environ)), file=sys.stderr, flush=True)
            return
        super().introduce(addresses, log)
        log.info("%s", show.summary(self))


def _act(words: List[str]) -> None:
    if words[:1] == ["migrate"]:
        _migrate(words[1:])
        return
    if any(word in ("-h", "--help") for word in words):
        description = "Serve a WSGI or ASGI application."
        say(commandline.parser(default_catalogue(), PROG, description).format_help(), end="")
        return
    if any(word in ("-v", "--version") for word in words):
        say(show.versions())
        return
    app = ServedApplication(prog=PROG, arguments=words)
    for problem in plugins.problems():
        app.cfg.warn(problem)
    if app.cfg.print_config:
        say(show.configuration(app.cfg))
    if not app.target and not app.cfg.paste:
        if not app.cfg.print_config:
            _explain(words)
        return
    if app.cfg.check_config or app.cfg.print_config:
        _check(app)
        return
    app.run()


def _migrate(words: List[str]) -> None:
    """Report on another server's configuration; what cannot be used is an error after the report."""
    from server_cli.migrate import command as migrate  # nobody who serves waits for it

    try:
        say(migrate.run(words))
    except migrate.NotUsable as error:
        say(error.text)
        raise


def _explain(words: List[str]) -> None:
    """Say what to type when there is no application."""
    if not words:
        print(show.GUIDE, file=sys.stderr)
    raise ConfigError("no application: expected MODULE:ATTRIBUTE, on the command line or as wsgi_app, got none")


def _check(app: Any) -> None:
    """Look at everything that a start would use, and load the application; raises what a start would."""
    from server_core.supervise.services import Service, add_services  # the rest of the command needs none of it

    cfg = app.cfg
    with cfg.located():
        app.logger = cfg.logger_class(cfg)
        services: Dict[str, Service] = {}
        add_services(services, cfg)
        for service in services.values():
            if service.plan(cfg) is not None:
                service.check(cfg, app.logger)
    app.wsgi()
    for message in app.cfg.warnings:
        print(f"{PROG}: warning: {message}", file=sys.stderr)
    if app.cfg.check_config:
        print("The configuration is good.", file=sys.stderr)


if __name__ == "__main__":
    main()
