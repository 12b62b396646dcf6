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
    def __init__(self, **settings):
        self.cfg = Settings.make(**settings)
        self.target = "app:app"
        self.config_files = ["server.conf.py"]


def welcome(**settings):
    stream = Terminal()
    show.welcome(Application(**settings), stream)
    return stream.getvalue()


def test_the_welcome_says_what_is_served_where_and_how(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = welcome(bind=["127.0.0.1:8000", "unix:/run/a.sock"], workers=3, threads=4)
    assert "serving  app:app\n" in text
    assert "at  http://127.0.0.1:8000, unix:/run/a.sock\n" in text
    assert "with  3 gthread workers x 4 threads\n" in text
    assert "settings  3 set; config files: server.conf.py\n" in text
    assert "\033" not in text


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\033[1m" in welcome()
    monkeypatch.setenv("TERM", "dumb")
    assert "\033" not in welcome()


def test_nothing_is_said_to_a_file_or_for_a_daemon():
    stream = io.StringIO()
    show.welcome(Application(), stream)
    assert stream.getvalue() == ""
    assert welcome(daemon=True) == ""


def test_every_setting_is_printed_with_its_source():
    cfg = Settings.make(umask="0022", worker_class=dict)
    rows = {line.split(" ")[0]: " ".join(line.split()) for line in show.configuration(cfg).splitlines()}
    assert set(rows) == set(cfg.catalogue.by_name)
    assert rows["umask"] == "umask = 0o022 # code"
    assert rows["worker_class"] == "worker_class = builtins.dict # code"
    assert rows["pidfile"] == "pidfile = None # default"


def test_the_engine_is_compiled_when_a_module_of_it_is(monkeypatch):
    monkeypatch.setattr(show, "compiled_modules", lambda package: [])
    assert show.engine() == "interpreted"
    monkeypatch.setattr(show, "compiled_modules", lambda package: ["a", "b"] if package == "server_http" else [])
    assert show.engine() == "compiled, 2 modules"
    assert show.versions().startswith("server 0.")


@pytest.mark.parametrize("name", ["server MODULE:ATTRIBUTE", "server --help"])
def test_the_guide_says_what_to_type(name):
    assert name in show.GUIDE
