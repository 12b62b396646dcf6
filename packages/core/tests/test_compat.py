"""Config files written for gunicorn work unchanged; what cannot work says what to write instead."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from server_core.app import Application, CommandApplication
from server_core.compat import gunicorn_imports, table
from server_core.errors import ConfigError, PluginError
from server_core.log.setup import Logger
from server_core.worker import Worker

FILES = Path(__file__).parent / "gunicorn_files"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is not None, reason="the tests look whether the stand-ins are gone"
)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Start as an operator does who has only changed the command's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("SERVER_CMD_ARGS", "GUNICORN_CMD_ARGS", "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)

    def start(name, *arguments):
        shutil.copy(FILES / f"{name}.py", tmp_path / "gunicorn.conf.py")
        return CommandApplication(arguments=["app:app", *arguments])

    return start


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES.glob("*.py")))
def test_every_file_loads_without_a_complaint(load, name):
    cfg = load(name).cfg
    expected = ("ssl_version: has no effect", "worker_class: uvicorn.workers.UvicornWorker is served by the")
    unexpected = [text for text in cfg.warnings if not text.startswith(expected)]
    assert unexpected == []


def test_the_classic_file(load):
    cfg = load("classic").cfg
    assert (cfg.bind, cfg.workers, cfg.worker_class_str, cfg.keepalive) == (["127.0.0.1:8000"], 1, "sync", 2)
    assert cfg.env == {"DJANGO_SECRET_KEY": "something", "SPAM": "eggs"}
    assert cfg.proc_name == "app:app"
    for hook in ("post_fork", "pre_fork", "pre_exec", "when_ready", "worker_int", "worker_abort", "ssl_context"):
        assert cfg.hook(hook), hook


def test_the_container_file(load, monkeypatch):
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    cfg = load("container").cfg
    assert (cfg.bind, cfg.workers, cfg.timeout, cfg.graceful_timeout) == (["0.0.0.0:5000"], 7, 120, 120)
    assert (cfg.worker_tmp_dir, cfg.body_dir, cfg.preload_app) == ("/dev/shm", "/dev/shm", True)  # noqa: S108  # what the file says


def test_the_metrics_file(load):
    cfg = load("metrics").cfg
    assert (cfg.bind, cfg.threads) == (["0.0.0.0:8080", "unix:/run/app.sock"], 4)
    cfg.when_ready(None)
    assert Path("ready").exists()


def test_the_uvicorn_file(load, monkeypatch):
    cfg = load("uvicorn_style").cfg
    assert (cfg.proxy_protocol, cfg.limit_request_line, cfg.statsd_host) == ("auto", 8190, ("localhost", 8125))
    assert cfg.worker_class.__name__ == "AsgiWorker"
    assert "worker_class: uvicorn.workers.UvicornWorker is served by the 'asgi' worker" in cfg.warnings


def test_every_hook_is_called_in_every_form(load):
    cfg = load("hooks_everywhere").cfg
    one = (
        "on_starting",
        "on_reload",
        "when_ready",
        "post_worker_init",
        "worker_int",
        "worker_abort",
        "pre_exec",
        "on_exit",
    )
    two = ("pre_fork", "post_fork", "pre_request", "child_exit", "worker_exit")
    for name in one:
        cfg.hook(name)(None)
    for name in two:
        cfg.hook(name)(None, None)
    cfg.nworkers_changed(None, 2, None)
    cfg.post_request(None, None, {}, None)
    assert sys.modules["__config__"].calls == [*one, *two, "nworkers_changed", "post_request"]


def test_a_worker_class_over_gunicorn_s_is_over_ours(load):
    cfg = load("own_worker").cfg
    assert cfg.worker_class.__name__ == cfg.worker_class_str == "GracefulWorker"
    assert issubclass(cfg.worker_class, Worker)


def test_a_logger_class_over_gunicorn_s_is_over_ours(load):
    assert issubclass(load("own_logger").cfg.logger_class, Logger)


def test_the_stand_ins_are_gone_when_the_file_has_run(load):
    load("own_worker")
    assert not [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("gunicorn")


@pytest.mark.parametrize("imported", [False, True])
def test_an_installed_gunicorn_changes_nothing_and_is_there_afterwards(load, tmp_path, monkeypatch, imported):
    package = tmp_path / "installed" / "gunicorn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from gunicorn import glogging\n")
    (package / "glogging.py").write_text("class Logger:\n    pass\n")
    monkeypatch.syspath_prepend(str(package.parent))
    theirs = importlib.import_module("gunicorn.glogging") if imported else None
    try:
        cfg = load("own_logger").cfg
        assert issubclass(cfg.logger_class, Logger)
        found = importlib.import_module("gunicorn.glogging")
        assert found.__file__ == str(package / "glogging.py")
        assert found is theirs or not imported
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("from gunicorn.workers.gtornado import TornadoWorker", "write instead: worker_class = 'asgi'"),
        ("import gunicorn.http.body", "write instead: wsgi.input"),
        ("from gunicorn.glogging import Loger", "gunicorn.glogging has CONFIG_DEFAULTS, Logger, SafeAtoms here"),
        ("from gunicorn.nothing import x", "has no counterpart"),
    ],
)
def test_an_import_without_counterpart_says_what_to_write(load, tmp_path, line, advice):
    (tmp_path / "server.conf.py").write_text(line + "\n")
    with pytest.raises(ConfigError) as caught:
        CommandApplication(arguments=["app:app"])
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in sorted(table.MODULES.items()) for name in names]
)
def test_every_path_of_the_table_leads_somewhere(module, name):
    if module == "gunicorn.dirty":
        pytest.importorskip("server_dirty")
    if "gevent" in module:
        pytest.importorskip("gevent")
    with gunicorn_imports():
        assert getattr(importlib.import_module(module), name) is not None


def test_the_standalone_pattern_of_the_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with gunicorn_imports():
        from gunicorn.app.base import BaseApplication
        from gunicorn.arbiter import Arbiter

        assert BaseApplication is Application
        assert (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR) == (3, 4)


def test_helpers_of_gunicorn_util_and_names_of_its_dirty_package(load, tmp_path):
    (tmp_path / "server.conf.py").write_text(
        "from gunicorn import util\n"
        "from gunicorn.arbiter import Arbiter\n"
        "from gunicorn.dirty.app import DirtyApp\n"
        "from gunicorn.dirty.client import get_dirty_client\n"
        "from gunicorn.dirty.errors import DirtyError, DirtyNoWorkersAvailableError\n"
        "assert issubclass(DirtyNoWorkersAvailableError, DirtyError)\n"
        "assert util.to_bytestring('a') == b'a' and util.bytes_to_str(b'a') == 'a'\n"
        "assert util.http_date(0) == 'Thu, 01 Jan 1970 00:00:00 GMT'\n"
        "assert Arbiter.START_CTX == {}\n"
    )
    CommandApplication(arguments=["app:app"])


@pytest.mark.parametrize("named", ["late_conf.py", "python:late_conf"])
def test_a_hook_imports_when_it_is_called_and_nobody_else_can(load, tmp_path, monkeypatch, named):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "late_conf", raising=False)
    (tmp_path / "late_conf.py").write_text(
        "def when_ready(server):\n"
        "    import gunicorn.glogging\n"
        "    from gunicorn import SERVER_SOFTWARE, util\n"
        "    from gunicorn.workers.sync import SyncWorker\n"
        "    import json, os.path\n"
        "    server.append((gunicorn.glogging.Logger, SERVER_SOFTWARE, util.is_ipv6('::1'), SyncWorker.__name__))\n"
    )
    cfg = CommandApplication(arguments=["app:app", "-c", named]).cfg
    seen = []
    cfg.when_ready(seen)
    assert seen[0][0] is Logger
    assert seen[0][2:] == (True, "SyncWorker")
    assert not [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("gunicorn")


def test_the_modules_a_file_imports_find_the_paths_when_their_functions_run(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "server.conf.py").write_text(
        "from conf_helpers import when_ready\n"
        "def on_exit(server):\n    import conf_late\n    conf_late.called(server)\n"
    )
    (tmp_path / "conf_helpers.py").write_text(
        "import conf_plain\n"
        "def when_ready(server):\n    from gunicorn.glogging import Logger\n    server.append(Logger)\n"
        "def mistaken():\n    import gunicorn.http.body\n"
    )
    (tmp_path / "conf_plain.py").write_text("")
    (tmp_path / "conf_late.py").write_text(
        "from gunicorn.workers.base import Worker\n"
        "def called(server):\n    import gunicorn.util\n    server.append((Worker, gunicorn.util.is_ipv6('::1')))\n"
    )
    cfg = CommandApplication(arguments=["app:app"]).cfg
    seen = []
    cfg.when_ready(seen)
    cfg.on_exit(seen)
    assert seen == [Logger, (Worker, True)]
    with pytest.raises(ModuleNotFoundError, match=r"write instead: wsgi\.input"):
        sys.modules["conf_helpers"].mistaken()
    assert not [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]
    assert type(sys.modules["conf_plain"].__loader__) is importlib.machinery.SourceFileLoader
    for name in ("conf_helpers", "conf_plain", "conf_late"):
        del sys.modules[name]


def test_names_that_files_subclass_or_compare_with(load, tmp_path):
    (tmp_path / "server.conf.py").write_text(
        "from gunicorn.http.errors import ParseException, InvalidChunkSize\n"
        "from gunicorn.http.wsgi import FileWrapper, Response\n"
        "from gunicorn.instrument.statsd import Statsd\n"
        "from gunicorn.workers.base_async import ALREADY_HANDLED, AsyncWorker\n"
        "class Metrics(Statsd):\n    def access(self, resp, req, environ, request_time):\n        pass\n"
        "class Green(AsyncWorker):\n    def run(self):\n        return 'ran'\n"
        "assert issubclass(InvalidChunkSize, ParseException)\n"
        "logger_class, worker_class = Metrics, Green\n"
    )
    cfg = CommandApplication(arguments=["app:app"]).cfg
    assert issubclass(cfg.logger_class, Logger)
    assert cfg.worker_class(1, 2, [], None, 30, cfg, None).run() == "ran"


def test_an_async_worker_without_a_loop_of_its_own_is_told_what_to_write(load, tmp_path):
    (tmp_path / "server.conf.py").write_text(
        "from gunicorn.workers.base_async import AsyncWorker\n"
        "class Green(AsyncWorker):\n    def run(self):\n        self.handle(None, None, None)\n"
        "worker_class = Green\n"
    )
    cfg = CommandApplication(arguments=["app:app"]).cfg
    with pytest.raises(ConfigError, match=r"AsyncWorker\.handle, which has no counterpart; write instead"):
        cfg.worker_class(1, 2, [], None, 30, cfg, None).run()


def test_a_worker_over_uvicorn_s_is_told_the_settings(load, tmp_path, monkeypatch):
    (tmp_path / "uvicorn").mkdir()
    (tmp_path / "uvicorn/__init__.py").write_text("")
    (tmp_path / "uvicorn/workers.py").write_text(
        "from gunicorn.workers.base import Worker\nclass UvicornWorker(Worker):\n    CONFIG_KWARGS = {'loop': 'auto'}\n"
    )
    (tmp_path / "mine.py").write_text(
        "from uvicorn.workers import UvicornWorker\n"
        "class MyWorker(UvicornWorker):\n    CONFIG_KWARGS = {'loop': 'uvloop', 'lifespan': 'off'}\n"
    )
    for name in ("uvicorn", "uvicorn.workers", "mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = load("classic", "-k", "mine.MyWorker").cfg
    with pytest.raises(PluginError, match=r"asgi_lifespan = 'off' for 'lifespan', asgi_loop = 'uvloop' for 'loop'"):
        _ = cfg.worker_class
    for name in ("uvicorn", "uvicorn.workers", "mine"):
        sys.modules.pop(name, None)
