"""The status page, in a browser and as what anybody on the network can read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from control.browser import Browser
from control.scraping import metrics_address
from server_core.control.views import without_query
from support import KeepAliveLoad, ServerProcess, request, until

APP = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(8)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def serve(*arguments: str) -> ServerProcess:
    own = ["app:app", "-w", "2", "-k", "gthread", "--threads", "4", "--no-control-socket", "--graceful-timeout", "1"]
    return ServerProcess([*own, "--metrics-bind", "127.0.0.1:0", *arguments], app=APP, workers=2)


def test_a_browser_shows_what_goes_on(tmp_path):
    with serve() as server, Browser(tmp_path) as browser:
        with server.client() as slow, KeepAliveLoad((server.host, server.port), connections=2, pause=0.01):
            slow.send(b"GET /slow?token=hidden HTTP/1.1\r\nHost: a\r\n\r\n")
            browser.open("http://{}:{}/".format(*metrics_address(server)))
            text = "document.body.innerText"
            until(lambda: "GET /slow" in browser.evaluate(text), 20, "the slow request is shown")
            until(lambda: browser.evaluate("document.querySelectorAll('polyline').length") >= 5, 20, "curves are drawn")
            rate = "document.querySelector('#workers tr:nth-child(2) td:nth-child(6)').innerText"
            until(lambda: re.fullmatch(r"[0-9.]+", browser.evaluate(rate)), 20, "a worker's rate is known")
            assert browser.evaluate("document.getElementById('state').innerText") == "ready"
            assert browser.evaluate("document.querySelectorAll('#workers tr').length") == 3
            for pid in server.worker_pids():
                assert str(pid) in browser.evaluate(text)
            assert float(browser.evaluate("document.querySelector('.figure').innerText")) > 0
            assert browser.picture().startswith(b"\x89PNG")
        # A failed request for the icon is the browser's own idea; anything else is a fault of the page.
        assert [error for error in browser.errors if "favicon" not in error] == []
        server.stop()
        until(lambda: browser.evaluate("document.getElementById('state').innerText") == "no answer", 20, "it is gone")


def test_no_query_string_and_no_header_is_ever_shown():
    with serve("--application-metrics") as server:
        address = metrics_address(server)
        head = b"Cookie: secret-cookie\r\nAuthorization: Bearer secret-token\r\nX-Own: secret-own\r\n\r\n"
        with server.client() as plain, server.client() as absolute:
            plain.send(b"GET /slow?key=secret-query#secret-part HTTP/1.1\r\nHost: secret-host\r\n" + head)
            absolute.send(b"GET http://secret-host/slow?key=secret-query HTTP/1.1\r\nHost: secret-host\r\n" + head)
            until(lambda: _running(address) == ["GET /slow"], 10, "the request is shown")
            for path in ("/", "/status.json", "/metrics", "/livez", "/readyz", "/nothing?key=secret-asked"):
                answer = request(address, "GET", path, headers=[("X-Asked", "secret-asked")])
                assert "secret" not in answer.text, path
                assert not [value for _, value in answer.headers if "secret" in value]


def _running(address):
    return sorted({row["request"] for row in json.loads(request(address, "GET", "/status.json").text)["requests"]})


@pytest.mark.parametrize(
    ("shown", "public"),
    [
        ("GET /a/b?c=d", "GET /a/b"),
        ("GET /a#d?c", "GET /a"),
        ("GET http://user:word@host/a?b", "GET /a"),
        ("GET http://host", "GET /"),
        ("GET /go?to=http://other/a", "GET /go"),
        ("GET /go/http://other/a?b", "GET /go/http://other/a"),
        ("OPTIONS *", "OPTIONS *"),
        ("CONNECT secret.example:443", "CONNECT"),
        ("GET ?a", "GET"),
        ("GET", "GET"),
    ],
)
def test_of_a_target_nothing_but_the_path_is_public(shown, public):
    assert without_query({"group": "http", "request": shown})["request"] == public


def test_the_page_may_load_nothing_but_its_own_numbers():
    with serve() as server:
        address = metrics_address(server)
        answer = request(address, "GET", "/")
        policy = answer.header("content-security-policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"(?:src|href)=\"(?!status\.json)", answer.text)
        assert request(address, "POST", "/").status == 405


@pytest.mark.skipif("STATUS_PICTURE" not in os.environ, reason="makes the picture of the docs, when it is wanted")
def test_picture_for_the_docs(tmp_path):
    address = os.environ["STATUS_PICTURE"]  # of a metrics listener that has been busy for some minutes
    with Browser(tmp_path, size="1240,860") as browser:
        browser.open(f"http://{address}/")
        until(lambda: browser.evaluate("document.querySelectorAll('polyline').length") >= 5, 20, "curves are drawn")
        until(lambda: "\u2013" not in browser.evaluate("document.getElementById('workers').innerText"), 20, "rates too")
        Path("docs/status-page.png").write_bytes(browser.picture())
