"""Seeing changes of source files: by looking, and by being told."""

from __future__ import annotations

import importlib.util
import os
import threading

import pytest

from server_core import reloader
from server_core.reloader import Poller, Reloader, Watcher, engine, expanded, module_files
from server_core.settings import Settings


def touch(path, text="x"):
    """Write a file, with a time that differs from the one before."""
    before = path.stat().st_mtime if path.exists() else 0
    path.write_text(text)
    os.utime(path, (before + 5, before + 5))


def test_imported_modules_are_watched_as_sources():
    files = module_files()
    assert os.path.abspath(reloader.__file__) in files
    assert not [path for path in files if path.endswith(".pyc")]


def test_a_changed_module_is_named_once(tmp_path):
    path = tmp_path / "mod.py"
    touch(path)
    poller = Poller([], lambda: {str(path)})
    assert poller.changed() is None
    assert poller.changed() is None
    touch(path)
    assert poller.changed() == str(path)
    assert poller.changed() is None


def test_a_module_that_is_imported_later_is_no_change_but_its_next_save_is(tmp_path):
    path = tmp_path / "late.py"
    touch(path)
    files = set()
    poller = Poller([], lambda: files)
    files.add(str(path))
    assert poller.changed() is None
    touch(path)
    assert poller.changed() == str(path)


def test_a_file_that_goes_and_comes_back_is_a_change(tmp_path):
    path = tmp_path / "mod.py"
    touch(path)
    poller = Poller([], lambda: {str(path)})
    path.unlink()
    assert poller.changed() == str(path)
    touch(path)
    assert poller.changed() == str(path)


def test_globs_see_files_that_appear_and_go(tmp_path):
    (tmp_path / "a").mkdir()
    pattern = str(tmp_path / "**" / "*.html")
    touch(tmp_path / "one.html")
    poller = Poller([pattern], set)
    assert poller.changed() is None
    touch(tmp_path / "a" / "two.html")
    assert poller.changed() == str(tmp_path / "a" / "two.html")
    touch(tmp_path / "a" / "two.html")
    assert poller.changed() == str(tmp_path / "a" / "two.html")
    (tmp_path / "one.html").unlink()
    assert poller.changed() == str(tmp_path / "one.html")
    touch(tmp_path / "a" / "other.txt")
    assert poller.changed() is None
    assert expanded([pattern, "/no/such"]) == {str(tmp_path / "a" / "two.html"), "/no/such"}


def test_the_engine_is_the_one_that_is_asked_for(monkeypatch):
    assert isinstance(engine(Settings.make(reload_engine="poll")), Poller)
    assert isinstance(engine(Settings.make(reload_engine="inotify")), Watcher)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert isinstance(engine(Settings.make()), Poller)


class Scripted:
    """An engine that reports what it is given."""

    def __init__(self, *paths):
        self.paths = paths

    def watch(self, stop):
        yield from self.paths


def test_every_change_is_told_because_a_reload_may_fail():
    told = []
    thread = Reloader(Scripted("a", "b"), told.append)
    thread.start()
    thread.join(5)
    assert told == ["a", "b"]
    assert thread.daemon


def test_a_stopped_reloader_says_nothing():
    told = []
    thread = Reloader(Scripted("a"), told.append)
    thread.stop()
    thread.run()
    assert not told


@pytest.mark.skipif(importlib.util.find_spec("watchfiles") is None, reason="watchfiles is an extra")
@pytest.mark.parametrize("kind", ["module", "glob", "new"])
def test_watchfiles_tells_of_changes(tmp_path, kind):
    module, page = tmp_path / "mod.py", tmp_path / "pages" / "page.html"
    page.parent.mkdir()
    touch(module)
    touch(page)
    watcher = Watcher([str(tmp_path / "pages" / "*.html")], lambda: {str(module)})
    changed = {"module": module, "glob": page, "new": tmp_path / "pages" / "new.html"}[kind]
    told, stop = [], threading.Event()

    def watch():
        for path in watcher.watch(stop):
            told.append(path)
            return

    thread = threading.Thread(target=watch)
    thread.start()
    touch(tmp_path / "other.txt")
    touch(changed)
    thread.join(10)
    stop.set()
    thread.join(10)
    assert told == [str(changed)]


def test_the_worker_that_watches_asks_the_arbiter(monkeypatch):
    sent, said = [], []
    monkeypatch.setattr(reloader.os, "kill", lambda pid, number: sent.append(pid))
    monkeypatch.setattr(reloader, "engine", lambda cfg, files: Scripted("changed.py"))

    class Log:
        def info(self, message, *args):
            said.append(message % args)

    class Worker:
        cfg = hooks = Settings.make(worker_int=lambda worker: said.append("worker_int"))
        log = Log()
        alive = True
        app = None
        ppid = 4711

    worker = Worker()
    reloader.start(worker).join(5)
    worker.alive = False
    reloader.start(worker).join(5)
    assert said == ["Worker reloading: changed.py modified", "worker_int"]
    assert sent == [4711]
