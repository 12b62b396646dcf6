"""Texts of the command ``server``: versions, the configuration, the welcome.

Owns: their layout and colours.
Must not know: how the values came about.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import Any, List, TextIO

from server_cli.version import __version__
from server_core.settings import Settings
from server_core.settings.declare import DEFAULT
from server_http._compiled import compiled_modules

GUIDE = """\
server serves a WSGI or ASGI application. Say where it is:

  server MODULE:ATTRIBUTE          server myproject.wsgi:application
  server 'MODULE:FACTORY()'        server 'myapp:create_app()'
  server -k asgi main:app          for FastAPI, Starlette, Django's asgi.py
  server -w 4 -b 0.0.0.0:8000 ...  four workers, all interfaces

server --help shows all options, server --print-config APP their values,
server migrate gunicorn.conf.py what becomes of a configuration of gunicorn.
"""


_PACKAGES = ("server_http", "server_core", "server_workers_async", "server_workers_green", "server_dirty")


def versions() -> str:
    """Return the line of ``--version``: the version, whether the engine is compiled, the interpreter."""
    return f"server {__version__} ({engine()}, {platform.python_implementation()} {platform.python_version()})"


def engine() -> str:
    """Return ``"compiled"`` with the number of modules, or ``"interpreted"``."""
    count = sum(len(compiled_modules(package)) for package in _PACKAGES)
    return f"compiled, {count} modules" if count else "interpreted"


def configuration(cfg: Settings) -> str:
    """Return all settings, one a line, with where each value came from."""
    rows = [(s.name, s.kind.show(value) if value is not None else "None", source) for s, value, source in cfg.items()]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(44, max(len(value) for _, value, _ in rows))
    lines = [f"{name:<{name_width}} = {value:<{value_width}}  # {source}" for name, value, source in sorted(rows)]
    return "\n".join(lines)


def welcome(app: Any, stream: TextIO) -> None:
    """Tell a person at a terminal what is being started; nothing is printed anywhere else."""
    if not stream.isatty() or app.cfg.daemon:
        return
    strong, weak, plain = ("\033[1m", "\033[2m", "\033[0m") if _coloured() else ("", "", "")
    cfg = app.cfg
    workers = f"{cfg.workers} {cfg.worker_class_str} worker{'s' if cfg.workers != 1 else ''}"
    threads = f" x {cfg.threads} threads" if cfg.threads > 1 else ""
    files = ", ".join(app.config_files) or "none found"
    rows = [("serving", app.target or str(cfg.paste)), ("at", _addresses(cfg)), ("with", workers + threads),
            ("settings", _settings(cfg, files))]  # fmt: skip
    print(f"{strong}{versions()}{plain}", file=stream)
    for name, text in rows:
        print(f"  {weak}{name:>8}{plain}  {text[: shutil.get_terminal_size().columns * 2]}", file=stream)
    print(f"  {weak}Ctrl-C stops it{plain}", file=stream)


def _coloured() -> bool:
    return "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _addresses(cfg: Settings) -> str:
    scheme = "https" if cfg.is_ssl else "http"
    shown: List[str] = []
    for address in cfg.bind:
        plain = address.startswith(("unix:", "fd://", "\0")) or "://" in address
        shown.append(address if plain else f"{scheme}://{address}")
    return ", ".join(shown)


def _settings(cfg: Settings, files: str) -> str:
    changed = sum(1 for _, _, source in cfg.items() if source != DEFAULT)
    return f"{changed} set; config files: {files}"
