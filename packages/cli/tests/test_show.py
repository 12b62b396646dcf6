"""Texts of the command: versions, values with sources, the welcome."""

from __future__ import annotations

import io

import pytest

from server_cli import show
from server_core.settings import Settings


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Application:
    def __init__(self, config_files=("server.conf.py",), **settings):
        self.cfg = Settings.make()
        self.cfg.update(settings, "server.conf.py" if config_files else "command line")
        self.target = "app:app"
        self.config_files = list(config_files)


def test_the_block_says_what_is_served_where_how_and_from_which_settings():
    text = show.block(Application(workers=3, threads=4), "http://127.0.0.1:8000, unix:/run/a.sock", False)
    assert text.splitlines()[0] == show.versions()
    assert " serving  app:app\n" in text
    assert " at  http://127.0.0.1:8000, unix:/run/a.sock\n" in text
    assert " with  3 gthread workers x 4 threads\n" in text
    assert " speaking  HTTP/1.1\n" in text
    assert " using  settings from server.conf.py\n" in text
    assert "\033" not in text
    assert "\033[1mserver" in show.block(Application(), "", True)


def test_colours_are_for_terminals_that_want_them():
    assert show.is_coloured(Terminal(), {"TERM": "xterm"})
    assert not show.is_coloured(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not show.is_coloured(Terminal(), {"TERM": "dumb"})
    assert not show.is_coloured(io.StringIO(), {"TERM": "xterm"})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "HTTP/1.1"),
        ({"worker_class": "asgi", "http_protocols": "h2,h1"}, "HTTP/2, HTTP/1.1, WebSocket"),
        ({"protocol": "uwsgi"}, "uwsgi"),
    ],
)
def test_the_log_says_in_one_line_what_is_spoken_and_where_settings_came_from(settings, expected):
    summary = show.summary(Application((), **settings))
    assert summary.startswith(f"Serving app:app by {expected} (")
    assert summary.endswith("settings from command line" if settings else "default settings, no config file found")


def test_every_setting_is_printed_with_its_source():
    cfg = Settings.make(umask="0022", worker_class=dict)
    rows = {line.split(" ")[0]: " ".join(line.split()) for line in show.configuration(cfg).splitlines()}
    assert set(rows) == set(cfg.catalogue.by_name)
    assert rows["umask"] == "umask = 0o022 # code"
    assert rows["worker_class"] == "worker_class = builtins.dict # code"
    assert rows["pidfile"] == "pidfile = None # default"


def test_the_engine_is_compiled_when_a_module_of_it_is(monkeypatch):
    monkeypatch.setattr(show._compiled, "compiled_modules", lambda package: [])
    assert show.engine() == "interpreted"
    monkeypatch.setattr(
        show._compiled, "compiled_modules", lambda package: ["a", "b"] if package == "server_http" else []
    )
    assert show.engine() == "compiled, 2 modules"
    assert show.versions().startswith("server 0.")


@pytest.mark.parametrize("name", ["server MODULE:ATTRIBUTE", "server --help"])
def test_the_guide_says_what_to_type(name):
    assert name in show.GUIDE
