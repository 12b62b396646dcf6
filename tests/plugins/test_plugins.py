"""Plugins of third parties, installed for real: one that does everything right, and the faults of others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Iterator, List

import pytest

from support import ServerProcess, until
from support.distributions import ROOT, Environment, make_environment, make_wheel, run

EXAMPLE = ROOT / "examples" / "labelled"

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("example.label", "none").encode()]
"""
WORKER = """
from server_core.workers.sync import SyncWorker

class Other(SyncWorker):
    server_api = {api}
"""


@pytest.fixture(scope="module")
def site(pure_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the bare server and the example plugin."""
    environment = make_environment(tmp_path_factory.mktemp("site") / "venv")
    built = tmp_path_factory.mktemp("example")
    run([*environment.pip, "wheel", "-qq", "--no-deps", "-w", built, EXAMPLE])
    environment.install("--find-links", pure_wheels, "--find-links", built, "server-cli", "server-labelled")
    return environment


@pytest.fixture
def install(site: Environment, tmp_path: Path) -> Iterator[object]:
    """Installs a made-up package for the time of a test."""
    names: List[str] = []

    def add(name: str, entry_points: str, **modules: str) -> None:
        files = {f"{module}.py": text for module, text in modules.items()}
        site.install(make_wheel(tmp_path, name, entry_points=entry_points, modules=files))
        names.append(name)

    yield add
    for name in names:
        run([*site.pip, "uninstall", "-qq", "-y", name])


def ask(site: Environment, *arguments: str, program: str = "server") -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    return subprocess.run(
        [str(site.path / "bin" / program), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={name: value for name, value in os.environ.items() if not name.startswith("SERVER_")},
    )


def refused(site: Environment, tmp_path: Path, *arguments: str) -> str:
    """What the server says when it refuses to start."""
    (tmp_path / "app.py").write_text(APP)
    done = ask(site, "app:app", "--chdir", str(tmp_path), "--bind", "127.0.0.1:0", *arguments)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "Traceback" not in text
    return text


def test_the_worker_of_a_plugin_serves_with_its_own_setting(site):
    with ServerProcess(["app:app", "-k", "labelled", "--label", "blue"], app=APP, python=site.python) as server:
        assert server.get("/").text == "blue"


def test_the_setting_of_a_plugin_is_read_from_the_config_file(site):
    arguments = ["app:app", "-k", "labelled", "-c", "server.conf.py"]
    with ServerProcess(arguments, app=APP, config="label = 'green'\n", python=site.python) as server:
        assert server.get("/").text == "green"


def test_the_setting_of_a_plugin_is_in_the_help_below_its_section(site):
    text = ask(site, "--help").stdout
    assert text.index("Label") < text.index("--label")


def test_the_verb_of_a_plugin_runs(site):
    assert "label" in ask(site, "--help", program="serverctl").stdout
    assert ask(site, "label", "red", program="serverctl").stdout == "red\n"
    assert ask(site, "--socket", "/nowhere", "label", "red", program="serverctl").stdout == "red\n"


PROTOCOL = """
from server_http.negotiate import open_http

def open_loud(info, config, now):
    print("a loud connection", flush=True)
    return open_http(info, config, now)
"""


def test_the_protocol_of_a_plugin_is_spoken(site, install):
    install("loud", "[server.protocols]\nloud = loud_protocol:open_loud\n", loud_protocol=PROTOCOL)
    with ServerProcess(["app:app", "--protocol", "loud"], app=APP, python=site.python) as server:
        assert server.get("/").text == "none"
        server.wait_for_log("a loud connection")


def test_a_protocol_that_nobody_brings_is_refused_with_those_that_there_are(site, tmp_path):
    assert "protocol: expected one of http, uwsgi" in refused(site, tmp_path, "--protocol", "smtp")


def test_a_plugin_for_another_api_is_refused_with_both_numbers(site, install, tmp_path):
    install("other", "[server.workers]\nother = other_worker:Other\n", other_worker=WORKER.format(api=2))
    assert "expected plugin API 1, got 2" in refused(site, tmp_path, "-k", "other")


def test_two_plugins_of_one_name_are_refused_with_both_distributions(site, install, tmp_path):
    install("other-one", "[server.workers]\nother = one_worker:Other\n", one_worker=WORKER.format(api=1))
    install("other-two", "[server.workers]\nother = two_worker:Other\n", two_worker=WORKER.format(api=1))
    text = refused(site, tmp_path, "-k", "other")
    assert "expected one package to provide it, got other-one 1.0 and other-two 1.0" in text


def test_a_worker_that_is_not_installed_is_refused_with_the_extra_that_brings_it(site, tmp_path):
    assert "pip install 'server-cli[gevent]'" in refused(site, tmp_path, "-k", "gevent")


def test_a_broken_settings_group_is_left_out_while_nobody_uses_it(site, install):
    install("broken-group", "[server.settings]\nbroken = broken_settings:GROUPS\n", broken_settings="1 / 0\n")
    with ServerProcess(["app:app"], app=APP, python=site.python) as server:
        assert server.get("/").text == "none"
        assert "broken-group" in server.log


def test_an_import_error_inside_a_plugin_keeps_its_traceback(site, install, tmp_path):
    install("half", "[server.workers]\nhalf = half_worker:Half\n", half_worker="import no_such_module_of_theirs\n")
    (tmp_path / "app.py").write_text(APP)
    done = ask(site, "app:app", "--chdir", str(tmp_path), "--bind", "127.0.0.1:0", "-k", "half")
    assert done.returncode != 0
    assert "no_such_module_of_theirs" in done.stderr + done.stdout
    assert "half_worker.py" in done.stderr + done.stdout


REPORTER = """
from server_core.observe.sinks import Reporter

class Printer(Reporter):
    server_api = 1
    every = 0.2

    def report(self, families, now):
        with open("reported", "a") as file:
            print(*(family.name for family in families), file=file)
        return True
"""


def test_a_reporter_of_another_package_receives_the_metrics(site, install, tmp_path):
    install("server-printer", "[server.reporters]\nprinter = printer:Printer\n", printer=REPORTER)
    with ServerProcess(["app:app", "--reporters", "printer"], app=APP, python=site.python) as server:
        until((server.cwd / "reported").exists, 20, "something is reported")
        until(lambda: "server_requests" in (server.cwd / "reported").read_text().split(), 10, "the metrics are there")
    assert "reporter: expected one of opentelemetry, printer" in refused(site, tmp_path, "--reporters", "printr")


def test_a_reporter_is_found_by_its_path_as_the_message_says(site, tmp_path):
    (tmp_path / "mine.py").write_text(REPORTER)
    arguments = ["app:app", "--reporters", "mine:Printer", "--pythonpath", str(tmp_path)]
    with ServerProcess(arguments, app=APP, python=site.python) as server:
        until((server.cwd / "reported").exists, 20, "something is reported")


def test_a_reporter_that_is_refused_is_told_of_in_one_line(site, install):
    silent = REPORTER.replace("server_api = 1", "")
    install("server-silent", "[server.reporters]\nsilent = silent_reporter:Printer\n", silent_reporter=silent)
    with ServerProcess(["app:app", "--reporters", "silent"], app=APP, python=site.python) as server:
        server.wait_for_log(
            "The reporter silent cannot begin: plugin 'silent' of server-silent 1.0: expected server_api"
        )
        assert "Traceback" not in server.log
