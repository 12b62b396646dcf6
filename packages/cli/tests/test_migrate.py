"""``server migrate``: what becomes of configurations that were written for gunicorn and uvicorn."""

from __future__ import annotations

import pytest

from server_cli import main
from server_cli.migrate import command, gunicorn, table, uvicorn
from server_core.errors import ConfigError, UsageError
from server_core.settings import commandline
from server_core.settings.config import default_catalogue


def report(*words):
    """The report, whether or not something cannot be used."""
    try:
        return command.run(words)
    except command.NotUsable as error:
        return f"{error.text}\n{error}"


def sections(text):
    """The lines of each section, joined, by its heading."""
    parts = [part.split(":\n", 1) for part in text.split("\n\n")[1:] if ":\n" in part]
    return {heading: " ".join(body.split()) for heading, body in parts}


@pytest.mark.parametrize("rows", [gunicorn.ROWS, uvicorn.ROWS], ids=["gunicorn", "uvicorn"])
def test_every_row_leads_to_a_setting_that_exists_or_says_what_to_do_instead(rows):
    catalogue = default_catalogue()
    for row in rows:
        assert row.outcome in table.OUTCOMES, row
        if row.outcome == table.GONE:
            assert row.remark, row
        elif row.outcome != table.IDLE or rows is gunicorn.ROWS:
            assert catalogue.find(row.setting) is not None, row
        if row.outcome in (table.DIFFERS, table.IDLE):
            assert row.remark, row


def test_the_table_of_gunicorn_has_every_one_of_its_settings_once():
    names = [row.name for row in gunicorn.ROWS]
    assert len(names) == len(set(names)) == 120


def test_every_flag_of_gunicorn_is_taken_by_the_server_itself():
    parser = commandline.parser(default_catalogue())
    flags = {flag for action in parser._actions for flag in action.option_strings}
    wanted = {flag for row in gunicorn.ROWS for flag in row.flags.split()}
    assert wanted - flags == set()


GUNICORN_FILE = """
import multiprocessing
from gunicorn.glogging import Logger
bind = "0.0.0.0:8000"
workers = 3
worker_class = "uvicorn.workers.UvicornWorker"
logger_class = Logger
timeout = 600
ssl_version = 2
keyfiel = "k.pem"
TIMEOUT_OF_MINE = 3
_timeout = 3
def post_fork(server, worker): pass
"""


def test_a_config_file_is_reported_setting_by_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN_FILE)
    found = sections(report("gunicorn.conf.py"))
    assert "bind = '0.0.0.0:8000' workers = 3" in found["Stays as it is"]
    assert "post_fork = <post_fork()>" in found["Stays as it is"]
    becomes = "worker_class = 'uvicorn.workers.UvicornWorker' becomes worker_class = 'asgi'"
    assert becomes in found["Taken over in another form"]
    assert "timeout = 600 a silent worker is reported" in found["Taken, and acts differently"]
    assert "ssl_version = 2" in found["Without effect, and needed no more"]
    assert "timeout: work that takes minutes is better done by dirty workers" in found["Better written otherwise"]
    assert found["No settings, there or here"] == "keyfiel: gunicorn does nothing with it; did you mean 'keyfile'?"
    assert found["To start it"] == "server MODULE:ATTRIBUTE"
    assert "Cannot be used" not in found


def test_what_cannot_be_used_ends_with_1_after_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.py").write_text("workers = 'many'\nworker_class = 'tornado'\nbind = 'localhost'\n")
    with pytest.raises(SystemExit) as ended:
        main.main(["migrate", "conf.py"])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert "workers: expected an integer >= 1, got 'many'" in out
    assert "got 'tornado'" in out
    assert "bind = 'localhost'" in out
    assert err == "server: error: migrate: 2 of the settings cannot be used as they are, see above\n"


def test_a_command_line_of_gunicorn_is_read_over_the_file_it_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("workers = 2\nthreads = 4\nworker_class = 'gthread'\n")
    text = report("python3", "-m", "gunicorn", "-c", "mine.py", "-w", "8", "--no-sendfile", "app:app", "--preload")
    found = sections(text)
    assert "workers = '8'" in found["Stays as it is"]
    assert "threads = 4" in found["Stays as it is"]
    assert "worker_class = 'gthread'" in found["Stays as it is"]
    assert "sendfile = False" in found["Taken, and acts differently"]
    assert found["To start it"] == "server -c mine.py -w 8 --no-sendfile app:app --preload"


def test_an_option_that_gunicorn_does_not_have_is_refused():
    with pytest.raises(UsageError, match=r"gunicorn: unrecognized arguments: --wrokers"):
        report("gunicorn", "--wrokers", "3", "app:app")


def test_a_command_line_of_uvicorn_becomes_one_of_this_server():
    words = "uvicorn main:create --factory --host ::1 --port 80 --workers 4 --log-level trace --no-access-log"
    found = sections(report(*words.split()))
    assert "workers = '4'" in found["Stays as it is"]
    mapped = found["Taken over in another form"]
    assert "host = '::1' becomes bind = ['[::1]:80']" in mapped
    assert "access_log = False becomes accesslog = None" in mapped
    assert "factory = True becomes wsgi_app = 'main:create()'" in mapped
    start = found["To start it"].split()
    assert start[:4] == ["server", "'main:create()'", "--worker-class", "asgi"]
    values, positional = commandline.parse(default_catalogue(), [word.strip("'") for word in start[1:]], "here")
    assert positional == ["main:create()"]
    assert values == {"worker_class": "asgi", "workers": "4", "bind": ["[::1]:80"], "loglevel": "debug",
                      "forwarded_hops": "1", "keepalive": "5"}  # fmt: skip


def test_options_of_uvicorn_that_nothing_has_to_be_done_for_are_no_problem():
    found = sections(
        report("uvicorn", "main:app", "--ws", "auto", "--http", "h11", "--no-server-header", "--ws-max-queue", "9")
    )
    assert "Cannot be used" not in found
    for name in ("ws = 'auto'", "http = 'h11'", "server_header = False", "ws_max_queue = '9'"):
        assert name in found["Without effect, and needed no more"]


def test_what_uvicorn_does_untold_is_kept():
    start = sections(report("uvicorn", "main:app"))["To start it"]
    assert start == "server main:app --worker-class asgi --accesslog - --forwarded-hops 1 --keepalive 5"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--uds /run/a.sock", "--bind unix:/run/a.sock"),
        ("--fd 3", "--bind fd://3"),
        ("--http2", "--http-protocols h2,h1"),
        ("--log-config log.json", "--logconfig-json log.json"),
        ("--log-config log.ini", "--logconfig log.ini"),
        ("--interface wsgi", "--worker-class gthread"),
        ("--reload --reload-dir src", "--reload --reload-extra-files 'src/**/*.py'"),
        ("--ssl-keyfile k.pem --ssl-certfile c.pem", "--keyfile k.pem --certfile c.pem"),
    ],
)
def test_options_of_uvicorn_by_the_flags_here(options, expected):
    assert expected in sections(report("uvicorn", "main:app", *options.split()))["To start it"]


def test_an_option_of_uvicorn_that_nothing_here_does_is_named_with_the_way_out():
    text = report("uvicorn", "main:app", "--header", "x:y")
    assert "add the fields in the application or in the proxy" in sections(text)["Nothing here does it"]
    assert "1 of the settings cannot be used" in text


def test_a_file_that_raises_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=r"config file bad.py: ZeroDivisionError"):
        report("bad.py")


@pytest.mark.parametrize("words", [[], ["app:app"], ["hypercorn", "app:app"]])
def test_anything_else_is_answered_with_what_to_type(words):
    with pytest.raises(UsageError, match="server migrate gunicorn"):
        report(*words)
