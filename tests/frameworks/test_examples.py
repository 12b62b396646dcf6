"""The applications in ``examples`` are served, by the workers they are meant for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import ServerProcess, request

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

HELLO = [
    ("plain_wsgi:app", "sync", "Hello, World!"),
    ("plain_wsgi:app", "gthread", "Hello, World!"),
    ("plain_wsgi:app", "gevent", "Hello, World!"),
    ("plain_asgi:app", "asgi", "Hello, World!"),
    ("flask_app:app", "sync", "Hello from Flask"),
    ("flask_app:app", "gthread", "Hello from Flask"),
    ("flask_app:app", "gevent", "Hello from Flask"),
    ("django_app:wsgi", "sync", "Hello from Django"),
    ("django_app:wsgi", "gthread", "Hello from Django"),
    ("django_app:asgi", "asgi", "Hello from Django"),
    ("starlette_app:app", "asgi", "Hello from Starlette"),
    ("fastapi_app:app", "asgi", "Hello from FastAPI"),
]
NEEDS = {"flask": "flask", "django": "django", "starlette": "starlette", "fastapi": "fastapi"}


def serve(app: str, worker: str) -> ServerProcess:
    needed = NEEDS.get(app.partition("_")[0])
    if needed:
        pytest.importorskip(needed)
    if worker == "gevent":
        pytest.importorskip("gevent")
    return ServerProcess([app, "-k", worker, "--threads", "2"], cwd=EXAMPLES)


@pytest.mark.parametrize(("app", "worker", "expected"), HELLO)
def test_an_example_greets_and_gives_back_what_was_posted(app, worker, expected):
    with serve(app, worker) as server:
        answer = server.get("/")
        assert (answer.status, expected in answer.text) == (200, True)
        if not app.startswith("plain"):
            body = json.dumps({"n": [1, 2]}).encode()
            posted = request((server.host, server.port), "POST", "/echo", {"Content-Type": "application/json"}, body)
            assert json.loads(posted.body) == {"got": {"n": [1, 2]}}


@pytest.mark.parametrize(("app", "worker"), [("plain_wsgi:app", "gthread"), ("plain_asgi:app", "asgi")])
def test_a_streamed_answer_comes_piece_by_piece(app, worker):
    with serve(app, worker) as server, server.client() as client:
        client.send(b"GET /count HTTP/1.1\r\nHost: test\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        first = client.read_until(b"1\n")
        assert b"5\n" not in first + client.buffer
        client.read_until(b"0\r\n\r\n")
