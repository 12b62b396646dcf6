"""Texts of the command ``server``: versions, the configuration, the block at the start.

Owns: their layout and colours.
Must not know: how the values came about.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence, TextIO

from server_cli.version import __version__
from server_core.settings import Settings
from server_core.settings.declare import DEFAULT
from server_http import _compiled

GUIDE = """\
server serves a WSGI or ASGI application. Say where it is:

  server MODULE:ATTRIBUTE          server myproject.wsgi:application
  server 'MODULE:FACTORY()'        server 'myapp:create_app()'
  server -k asgi main:app          for FastAPI, Starlette, Django's asgi.py
  server -w 4 -b 0.0.0.0:8000 ...  four workers, all interfaces

server --help shows all options, server --print-config APP their values,
server migrate gunicorn.conf.py what becomes of a configuration of gunicorn.
"""


_PROTOCOLS = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
_NAME_SOURCE = "the application's name"
_PACKAGES = ("server_http", "server_core", "server_workers_async", "server_workers_green", "server_dirty")


def versions() -> str:
    """Return the line of ``--version``: the version, whether the engine is compiled, the interpreter."""
    import platform

    return f"server {__version__} ({engine()}, {platform.python_implementation()} {platform.python_version()})"


def engine() -> str:
    """Return ``"compiled"`` with the number of modules, or ``"interpreted"``."""
    count = sum(len(_compiled.compiled_modules(package)) for package in _PACKAGES)
    return f"compiled, {count} modules" if count else "interpreted"


def configuration(cfg: Settings) -> str:
    """Return all settings, one a line, with where each value came from."""
    rows = [(s.name, s.kind.show(value) if value is not None else "None", source) for s, value, source in cfg.items()]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(44, max(len(value) for _, value, _ in rows))
    lines = [f"{name:<{name_width}} = {value:<{value_width}}  # {source}" for name, value, source in sorted(rows)]
    return "\n".join(lines)


def block(app: Any, addresses: str, colours: bool) -> str:
    """Return the block that tells a person what was started: what, where, how, and from which settings."""
    strong, weak, plain = ("\033[1m", "\033[2m", "\033[0m") if colours else ("", "", "")
    cfg = app.cfg
    rows = [
        ("serving", app.target or str(cfg.paste)),
        ("at", addresses),
        ("with", _workers(cfg)),
        ("speaking", ", ".join(protocols(cfg))),
        ("using", _settings(cfg, app.config_files)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{strong}{versions()}{plain}"]
    lines += [f"  {weak}{name:>{width}}{plain}  {text}" for name, text in rows]
    return "\n".join([*lines, f"  {weak}Ctrl-C stops it{plain}"])


def summary(app: Any) -> str:
    """Return in one line for a log what ``block`` says beside addresses and worker."""
    return f"Serving {app.target or app.cfg.paste} by {', '.join(protocols(app.cfg))} ({_running()}); " + _settings(
        app.cfg, app.config_files
    )


def _running() -> str:
    """Return whether the engine of this process is compiled: what is loaded, where ``engine`` searches directories."""
    return "compiled" if _compiled.loaded_modules("server_http") else "interpreted"


def is_coloured(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether colours belong into a stream: it is a terminal that knows them, and nobody objects."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def protocols(cfg: Settings) -> List[str]:
    """Return what clients may speak, the preferred first."""
    if cfg.protocol == "uwsgi":
        return ["uwsgi"]
    names = [_PROTOCOLS[name] for name in cfg.http_protocols]
    return [*names, "WebSocket"] if cfg.worker_class_name == "asgi" else names


def _workers(cfg: Settings) -> str:
    count = f"{cfg.workers} {cfg.worker_class_str} worker{'s' if cfg.workers != 1 else ''}"
    return f"{count} x {cfg.threads} threads" if cfg.threads > 1 else count


def _settings(cfg: Settings, files: Sequence[str]) -> str:
    sources = {source for _, _, source in cfg.items() if source not in (DEFAULT, *files) and source != _NAME_SOURCE}
    named = [*files, *sorted(sources)]
    return f"settings from {', '.join(named)}" if named else "default settings, no config file found"
