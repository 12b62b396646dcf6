"""What a start imports: nothing that a plain server does without, because every worker would carry it."""

from __future__ import annotations

import json

import pytest

from server_core import prctl
from support import ServerProcess

ABSENT = {
    "_ctypes", "_datetime", "asyncio", "base64", "dataclasses", "email", "hashlib", "importlib.metadata", "inspect",
    "json", "logging.config", "pathlib", "random", "server_core.log.atoms", "server_core.supervise.template",
    "server_core.tls", "server_http.h2", "server_http.ws", "server_http.uwsgi", "ssl", "subprocess", "tempfile",
    "urllib.parse",
}  # fmt: skip

APP = """
import sys
NAMES = repr(sorted(sys.modules)).replace("'", '"').encode()
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(NAMES)))])
    return [NAMES]
"""


# What runs WSGI applications; an asyncio worker has its own.
WSGI = {
    "server_core.drive.body", "server_core.drive.channel", "server_core.drive.reactor", "server_core.drive.session",
    "server_core.drive.wsgi", "server_core.workers.wsgi", "server_http.environ", "server_http.wsgi",
}  # fmt: skip

ASGI_APP = """
import sys
NAMES = repr(sorted(sys.modules)).replace("'", '"').encode()
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(NAMES))]})
    await send({"type": "http.response.body", "body": NAMES})
"""


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_a_plain_server_imports_only_what_it_uses(worker: str) -> None:
    with ServerProcess(["app:app", "-k", worker], app=APP) as server:
        imported = set(json.loads(server.get().body))
    by_call = set() if prctl.__file__.endswith(".so") else {"_ctypes"}  # what calls prctl(2) in the interpreted build
    assert imported & ABSENT <= by_call


def test_an_asgi_server_imports_nothing_that_runs_wsgi_applications() -> None:
    with ServerProcess(["app:app", "-k", "asgi"], app=ASGI_APP) as server:
        imported = set(json.loads(server.get().body))
    assert "server_workers_async.session" in imported
    assert not imported & WSGI
