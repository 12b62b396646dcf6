"""What hooks and applications written for gunicorn read of worker, request, response and environ, in every worker."""

from __future__ import annotations

import ast
from typing import Dict, List

import pytest

from support import ServerProcess, request

WORKER = (
    "pid", "age", "ppid", "cfg", "log", "app", "nr", "max_requests", "alive", "booted", "aborted", "sockets", "tmp",
    "timeout",
)  # fmt: skip
REQUEST = (
    "method", "uri", "path", "query", "headers", "version", "scheme", "peer_addr", "remote_addr", "body",
    "proxy_protocol_info", "fragment",
)  # fmt: skip
RESPONSE = ("status", "status_code", "headers", "sent")
ENVIRON = (
    "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors", "wsgi.multithread", "wsgi.multiprocess",
    "wsgi.run_once", "wsgi.file_wrapper", "wsgi.input_terminated", "wsgi.early_hints", "SERVER_SOFTWARE",
    "gunicorn.socket", "gunicorn.sock", "REQUEST_METHOD", "QUERY_STRING", "RAW_URI", "SERVER_PROTOCOL", "SERVER_NAME",
    "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "PATH_INFO", "SCRIPT_NAME", "CONTENT_TYPE", "CONTENT_LENGTH",
    "HTTP_X_ONE",
)  # fmt: skip

CONFIG = f"""
def note(kind, found, names):
    shown = {{name: str(getattr(found, name, "(missing)"))[:60] for name in names}}
    print("SURFACE", repr((kind, shown)), flush=True)


def pre_request(worker, req):
    note("worker", worker, {WORKER!r} + (("asgi",) if worker.cfg.worker_class_str == "asgi" else ("wsgi",)))
    note("request", req, {REQUEST!r})


def post_request(worker, req, environ, resp):
    note("response", resp, {RESPONSE!r})
    note("after", worker, ("nr",))
"""
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Answer", "yes")])
    environ["wsgi.errors"].write("to the error log\\n")
    return [repr(sorted(environ)).encode()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-answer", b"yes")]})
    await send({"type": "http.response.body", "body": b"[]"})
"""


def noted(server: ServerProcess) -> Dict[str, Dict[str, str]]:
    """What the hooks saw, by kind."""
    server.wait_for_log("SURFACE ('after'")
    lines: List[str] = [line.partition("SURFACE ")[2] for line in server.lines() if "SURFACE " in line]
    return dict(ast.literal_eval(line) for line in lines)


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent", "eventlet", "asgi"])
def test_a_request_whose_hook_raises_is_answered_with_500(worker: str) -> None:
    hook = "def pre_request(worker, req):\n    if req.path == '/refused':\n        raise RuntimeError('as wanted')\n"
    app = "app:asgi" if worker == "asgi" else "app:app"
    with ServerProcess([app, "-k", worker], app=APP, config=hook) as server, server.client() as client:
        for path, status in (("/refused", 500), ("/", 200), ("/refused", 500)):
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.read_answer().status == status
        server.wait_for_log("RuntimeError: as wanted", count=2)


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent", "gevent_pywsgi", "eventlet", "asgi"])
def test_hooks_and_applications_find_what_they_read(worker: str) -> None:
    app = "app:asgi" if worker == "asgi" else "app:app"
    with ServerProcess([app, "-k", worker, "--max-requests", "1000"], app=APP, config=CONFIG) as server:
        fields = {"X-One": "1", "Content-Type": "text/x"}
        answer = request((server.host, server.port), "POST", "/a%20b?c=d", fields, b"body")
        found = noted(server)
        for kind, facts in found.items():
            assert "(missing)" not in facts.values(), (kind, facts)
        told = found["request"]
        assert (told["method"], told["uri"], told["path"], told["query"]) == ("POST", "/a%20b?c=d", "/a%20b", "c=d")
        assert told["version"] == "(1, 1)"
        assert told["remote_addr"].startswith("('127.0.0.1'")
        assert "('X-ONE', '1')" in told["headers"] or "HOST" in told["headers"]
        assert found["worker"]["max_requests"] == "1000"
        assert found["worker"]["pid"].isdigit()
        assert (found["response"]["status"], found["response"]["status_code"]) == ("200 OK", "200")
        assert found["response"]["sent"] == str(len(answer.body))
        if worker != "asgi":
            names = ast.literal_eval(answer.text)
            assert [name for name in ENVIRON if name not in names] == []
            server.wait_for_log("to the error log")
