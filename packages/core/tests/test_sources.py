"""Where settings come from: files, variables, arguments, and which of them wins."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

from server_core.app import Application, CommandApplication, run
from server_core.errors import ConfigError, UsageError
from server_core.settings import Settings, commandline, sources

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="no TOML reader before 3.11 without tomli")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory; write(name, text) puts a file there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    for name in ("SERVER_CMD_ARGS", "GUNICORN_CMD_ARGS", "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def loaded(*arguments):
    return CommandApplication(arguments=list(arguments)).cfg


@needs_toml
def test_each_source_beats_those_before_it(here, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert (loaded("a").workers, loaded("a").source("workers")) == (2, "environment WEB_CONCURRENCY")
    here("pyproject.toml", "[tool.server]\nworkers = 3\n")
    assert (loaded("a").workers, loaded("a").source("workers")) == (3, "pyproject.toml [tool.server]")
    here("server.conf.py", "workers = 4\n")
    assert (loaded("a").workers, loaded("a").source("workers")) == (4, "server.conf.py")
    monkeypatch.setenv("SERVER_CMD_ARGS", "--workers=5")
    assert (loaded("a").workers, loaded("a").source("workers")) == (5, "SERVER_CMD_ARGS")
    cfg = loaded("a", "-w", "6")
    assert (cfg.workers, cfg.source("workers")) == (6, "command line")


@needs_toml
def test_server_toml_stands_in_for_pyproject_and_says_so(here):
    here("pyproject.toml", "[tool.server]\nworkers = 3\n")
    here("server.toml", "max-requests = 7\nbind = ['a:1', 'b:2']\n[logconfig_dict]\nversion = 1\n")
    cfg = loaded("a")
    assert (cfg.workers, cfg.max_requests, cfg.bind) == (1, 7, ["a:1", "b:2"])
    assert cfg.logconfig_dict == {"version": 1}
    assert cfg.warnings == ["pyproject.toml: [tool.server] is not read, because server.toml is there"]


@needs_toml
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker = 3", r"worker: expected the name of a setting, did you mean 'workers'\? \(from server.toml\)"),
        ("workers = 'x'", r"workers: expected an integer >= 1, got 'x' \(from server.toml\)"),
        ("workers = ", r"config file server.toml: expected TOML: Invalid value"),
    ],
)
def test_a_fault_in_toml_is_one_line(here, text, message):
    here("server.toml", text)
    with pytest.raises(ConfigError, match=message):
        loaded("a")


def test_a_pyproject_without_our_table_is_no_reason_for_a_toml_reader(here, monkeypatch):
    here("pyproject.toml", "[project]\nname = 'x'\n")
    monkeypatch.setattr(sources, "_toml_reader", lambda name: pytest.fail("read"))
    loaded("a")


def test_without_a_toml_reader_the_error_says_what_to_install(here, monkeypatch):
    here("server.toml", "workers = 3")
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"expected Python 3.11 or the package tomli.*pip install tomli"):
        loaded("a")


def test_gunicorn_conf_py_is_read_only_when_it_is_alone(here):
    here("gunicorn.conf.py", "workers = 3\nthreads = 2\n")
    assert loaded("a").workers == 3
    here("server.conf.py", "workers = 4\n")
    assert (loaded("a").workers, loaded("a").threads) == (4, 1)


def test_the_older_variable_counts_when_ours_is_not_there(here, monkeypatch):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--bind=127.0.0.1:1 --workers=3 --reload")
    cfg = loaded("a")
    assert (cfg.bind, cfg.workers, cfg.reload) == (["127.0.0.1:1"], 3, True)
    monkeypatch.setenv("SERVER_CMD_ARGS", "--workers=2")
    cfg = loaded("a")
    assert (cfg.workers, cfg.reload) == (2, False)
    assert cfg.warnings == ["GUNICORN_CMD_ARGS: not read, because SERVER_CMD_ARGS is set"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("--workers x", ConfigError, r"workers: expected an integer >= 1, got 'x' \(from SERVER_CMD_ARGS\)"),
        ("--wrokers 3", UsageError, r"--wrokers: expected a known option, did you mean --workers\? \(from SERVER_CMD"),
        ("--port 3", UsageError, "--port: expected a known option, did you mean --bind HOST:PORT"),
        ("--tmp-upload-dir x", UsageError, "expected an option, got a setting that only config files have, tmp_upload"),
        ("--cpu-affinity all", ConfigError, "cpu_affinity: expected 'auto', or the cores of each slot such as"),
        ("--metrics-bind localhost", ConfigError, "metrics_bind: expected HOST:PORT, unix:PATH or fd://N, got"),
        ("app:app", ConfigError, "SERVER_CMD_ARGS: expected options only, got 'app:app'"),
        ("--bind 'x", ConfigError, "SERVER_CMD_ARGS: expected arguments as in a shell"),
        ("--bind", UsageError, r"argument -b/--bind: expected one argument \(from SERVER_CMD_ARGS\)"),
    ],
)
def test_a_fault_in_the_variable_names_the_variable(here, monkeypatch, text, error, message):
    monkeypatch.setenv("SERVER_CMD_ARGS", text)
    with pytest.raises(error, match=message):
        loaded("a")


def test_a_config_file_of_another_kind_is_said_to_be_read_as_python(here):
    here("server.yaml", "workers: 3")
    cfg = loaded("a", "-c", "server.yaml")
    assert cfg.warnings == [
        "config file server.yaml: read as Python; expected a name that ends in .py, or in .toml for TOML"
    ]


@pytest.mark.usefixtures("here")
def test_a_directory_is_no_config_file(tmp_path):
    (tmp_path / "conf").mkdir()
    with pytest.raises(ConfigError, match="config: expected a file, got 'conf', which is a directory"):
        loaded("a", "-c", "conf")


@pytest.mark.parametrize("form", ["{0}", "file:{0}"])
def test_a_named_file_stands_in_for_all_files(here, form):
    here("server.conf.py", "workers = 9\nthreads = 9\n")
    here("conf/prod.py", "workers = 2\n")
    cfg = loaded("-c", form.format("conf/prod.py"), "a")
    assert (cfg.workers, cfg.threads, cfg.source("workers")) == (2, 1, "conf/prod.py")


def test_a_module_can_be_the_config(here):
    here("settings_of_mine.py", "workers = 2\n")
    assert loaded("-c", "python:settings_of_mine", "a").workers == 2


def test_a_file_named_in_the_variable_counts_unless_the_command_line_names_one(here, monkeypatch):
    here("one.py", "workers = 2\n")
    here("two.py", "workers = 3\n")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-c one.py")
    assert loaded("a").workers == 2
    assert loaded("-c", "two.py", "a").workers == 3


def test_a_file_of_any_name_is_python(here):
    here("settings.cfg", "workers = 2\n")
    assert loaded("-c", "settings.cfg", "a").workers == 2


def test_files_are_looked_for_in_the_directory_of_chdir(here, tmp_path):
    here("sub/server.conf.py", "workers = 3\n")
    cfg = loaded("--chdir", "sub", "a")
    assert cfg.workers == 3
    assert os.getcwd() == cfg.chdir == str(tmp_path / "sub")
    assert sys.path[0] == str(tmp_path / "sub")


def test_a_config_file_may_set_chdir_and_pythonpath(here, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "app").mkdir()
    here("server.conf.py", "chdir = 'app'\npythonpath = 'lib'\n")
    loaded("a")
    assert os.getcwd() == str(tmp_path / "app")
    assert str(tmp_path / "app") in sys.path[:2]


def test_files_that_a_config_file_names_are_looked_for_in_its_chdir(here):
    here("sub/cert.pem", "")
    here("server.conf.py", "chdir = 'sub'\ncertfile = 'cert.pem'\n")
    assert loaded("a").certfile == "cert.pem"


@pytest.mark.parametrize(
    ("source", "message", "traceback_end"),
    [
        ("workers = 1 / 0", "config file server.conf.py: ZeroDivisionError: division by zero", "division by zero"),
        ("workers =", "config file server.conf.py: SyntaxError: invalid syntax", "SyntaxError: invalid syntax"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'", "No module named"),
        ("raise SystemExit(3)", "config file server.conf.py: SystemExit: 3", "SystemExit: 3"),
    ],
)
def test_a_fault_in_a_config_file_comes_with_the_user_s_traceback(here, source, message, traceback_end):
    path = here("server.conf.py", source)
    with pytest.raises(ConfigError) as caught:
        loaded("a")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert traceback_end in caught.value.traceback
    assert str(path) in caught.value.traceback
    assert "sources.py" not in caught.value.traceback


def test_a_missing_or_unreadable_file_is_one_line(here):
    with pytest.raises(ConfigError, match=r"config: expected a file, got 'no.py', which is not there"):
        loaded("-c", "no.py", "a")
    if os.geteuid() != 0:
        here("secret.py", "").chmod(0)
        with pytest.raises(ConfigError, match="expected a file that can be read: Permission denied"):
            loaded("-c", "secret.py", "a")


def test_a_name_that_is_nearly_a_setting_is_refused_in_our_file_and_warned_of_in_gunicorn_s(here):
    here("gunicorn.conf.py", "worker = 3\ncores = 8\n_timeouts = 1\nTIMEOUT_ = 2\nimport os as bindd\n")
    cfg = loaded("a")
    assert cfg.warnings == ["worker: expected the name of a setting, did you mean 'workers'? (from gunicorn.conf.py)"]
    here("server.conf.py", "def when_redy(server): pass\n")
    with pytest.raises(ConfigError, match=r"did you mean 'when_ready'\? \(from server.conf.py\); a name of your own"):
        loaded("a")


def test_a_value_that_is_wrong_in_a_config_file_names_the_file(here):
    here("gunicorn.conf.py", "workers = 'many'\n")
    with pytest.raises(ConfigError, match=r"workers: expected an integer >= 1, got 'many' \(from gunicorn.conf.py\)"):
        loaded("a")


def test_the_application_is_the_argument_or_wsgi_app(here):
    assert CommandApplication(arguments=["one:app"]).target == "one:app"
    here("server.conf.py", "wsgi_app = 'two:app'\n")
    app = CommandApplication(arguments=[])
    assert (app.target, app.cfg.proc_name) == ("two:app", "two:app")
    assert CommandApplication(arguments=["one:app"]).target == "one:app"
    with pytest.raises(UsageError, match="expected one application, got 2"):
        CommandApplication(arguments=["one:app", "two:app"])


# --- the command line -----------------------------------------------------------------------------


def parsed(*words):
    return commandline.parse(Settings.make().catalogue, words, "command line")


def test_options_may_stand_before_and_after_the_application():
    assert parsed("-w", "2", "a:b", "--reload") == ({"workers": "2", "reload": True}, ["a:b"])


def test_every_boolean_can_be_turned_off_and_lists_are_collected():
    values, _ = parsed("--no-reload", "--no-sendfile", "--no-control-socket", "-b", "x", "-b", "y", "--proxy-protocol")
    assert values == {
        "reload": False,
        "sendfile": False,
        "control_socket_disable": True,
        "bind": ["x", "y"],
        "proxy_protocol": "auto",
    }


def test_values_stay_as_typed_so_that_all_sources_share_their_errors():
    assert parsed("--workers", "many")[0] == {"workers": "many"}


def test_an_abbreviation_is_refused_with_the_full_name():
    with pytest.raises(UsageError, match="--work: expected a known option, did you mean --workers"):
        parsed("--work", "3")


def test_help_is_grouped_and_names_odd_spellings_beside_the_consistent_ones():
    text = commandline.parser(Settings.make().catalogue).format_help()
    for section in ("Server Socket:", "Worker Processes:", "Logging:", "HTTP/2:"):
        assert section in text
    assert "--limit-request-field_size, --limit-request-field-size" in " ".join(text.split())
    assert "--no-sendfile" in text
    assert "--no-reload" not in text


# --- applications -----------------------------------------------------------------------------------


class Standalone(Application):
    """The pattern of gunicorn's documentation."""

    def __init__(self, app, options):
        self.options = options
        self.application = app
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)

    def load(self):
        return self.application


def test_the_standalone_pattern_works(here):
    app = Standalone(print, {"bind": "127.0.0.1:1", "workers": 2, "unknown": 3})
    assert (app.cfg.workers, app.cfg.bind, app.wsgi()) == (2, ["127.0.0.1:1"], print)


def test_settings_of_run_are_checked_before_anything_starts(here):
    with pytest.raises(ConfigError, match=r"workers: expected an integer >= 1, got 'x' \(from run\(\)\)"):
        run(print, workers="x")


def test_a_reload_reads_files_again_and_forgets_the_application(here):
    here("server.conf.py", "workers = 2\n")
    here("reloaded_app.py", "def application(e, s): return []\n")
    app = CommandApplication(arguments=["reloaded_app"])
    assert app.wsgi() is app.wsgi()
    here("server.conf.py", "workers = 3 # \n")
    app.reload()
    assert (app.cfg.workers, app.callable) == (3, None)


def test_a_reload_with_a_broken_file_changes_nothing(here, tmp_path):
    here("server.conf.py", "workers = 2\nchdir = 'sub'\n").parent.joinpath("sub").mkdir()
    app = CommandApplication(arguments=["a"])
    before = app.cfg
    here("server.conf.py", "workers = 'x' \n")
    with pytest.raises(ConfigError):
        app.reload()
    assert app.cfg is before
    assert os.getcwd() == str(tmp_path / "sub")


def test_a_broken_application_is_shown_only_while_developing(here):
    here("broken_app.py", "1 / 0\n")
    from server_core.errors import AppImportError

    with pytest.raises(AppImportError):
        CommandApplication(arguments=["broken_app"]).wsgi()
    app = CommandApplication(arguments=["broken_app", "--reload"])
    stand_in = app.wsgi()
    body = b"".join(stand_in({}, lambda status, headers, exc: None))
    assert b"ZeroDivisionError" in body
    assert {os.path.basename(path) for path in app.broken_files} == {"broken_app.py"}
    with pytest.raises(AppImportError):
        CommandApplication(arguments=["not_there_at_all", "--reload"]).wsgi()
