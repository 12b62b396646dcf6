"""The dashboard and the alert rules of the docs: every metric and label they ask for is in a real scrape."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest
import yaml

from control.scraping import metrics_address, scrape_all, value
from support import ServerProcess, request, until

FOLDER = Path(__file__).parents[2] / "docs" / "observability"

APP = """
from server_dirty import DirtyApp, get_dirty_client

class Pool(DirtyApp):
    def double(self, number):
        return 2 * number

def app(environ, start_response):
    if environ["PATH_INFO"] == "/dirty":
        get_dirty_client().execute("app:Pool", "double", 21)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

_METRIC = re.compile(r"\b(server_[a-z_]+)(?:\{([^}]*)\})?")
_OUTSIDE = {"job", "instance"}  # labels that Prometheus itself adds


def dashboard() -> Any:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def rules() -> List[Dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return group["rules"]


def expressions() -> Iterator[str]:
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for entry in board["annotations"]["list"]:
        yield entry["expr"]
    for variable in board["templating"]["list"]:
        query = variable["query"]
        yield query["query"] if isinstance(query, dict) else query
    for rule in rules():
        yield rule["expr"]


@pytest.fixture(scope="module")
def labels() -> Dict[str, Set[str]]:
    """The names of labels by name of sample, in a scrape of a server that has done something of each kind."""
    arguments = ["app:app", "-w", "2", "-k", "gthread", "--metrics-bind", "127.0.0.1:0", "--no-control-socket"]
    dirty = ["--dirty-app", "app:Pool", "--dirty-workers", "1"]
    with ServerProcess([*arguments, *dirty], app=APP, workers=2) as server:
        address = (server.host, server.port)
        until(lambda: request(address, "GET", "/dirty").status == 200, 20, "a dirty call is answered")
        server.send_signal(1)
        server.wait_for_log("Reload complete")
        until(lambda: value(scrape_all(server), "server_reloads_total") == 1, what="the reload is counted")
        until(lambda: any(name == "server_worker_exits_total" for name, _ in scrape_all(server)), what="ends too")
        found: Dict[str, Set[str]] = {}
        for name, pairs in scrape_all(server):
            found.setdefault(name, set()).update(label for label, _ in pairs)
        return found


def test_all_metrics_that_are_asked_for_exist_with_their_labels(labels):
    asked = [match for text in expressions() for match in _METRIC.finditer(text)]
    assert len({match.group(1) for match in asked}) > 20
    for match in asked:
        name, selector = match.groups()
        assert name in labels, name
        wanted = {part.partition("=")[0].rstrip("!").strip() for part in (selector or "").split(",") if part.strip()}
        assert wanted - _OUTSIDE <= labels[name], match.group()


def test_every_panel_says_what_it_shows_and_none_lies_on_another():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: Set[Any] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or (panel["description"] and panel["targets"])


def test_every_rule_has_a_name_a_severity_and_a_summary():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_itself_accepts_the_rules_and_the_exposition():
    subprocess.run(["promtool", "check", "rules", str(FOLDER / "alerts.yml")], check=True, timeout=30)
    with ServerProcess(["app:app", "--metrics-bind", "127.0.0.1:0"], app=APP) as server:
        text = request(metrics_address(server), "GET", "/metrics").text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
