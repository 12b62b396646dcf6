"""Real frameworks as real processes: what each of them offers works here.

With ``FRAMEWORKS_TABLE=docs/frameworks.md`` in the environment the run writes its result there.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest

from support import ServerProcess, request

APPS = Path(__file__).parent / "apps"
UPLOAD = 3 * 1024 * 1024 + 1
FEATURES = ("hello", "upload", "stream", "error", "websocket", "lifespan")
PLAIN = FEATURES[:4]


class Framework(NamedTuple):
    """A framework, the distributions it needs, the application here, and what it offers."""

    name: str
    needs: Tuple[str, ...]
    app: str
    workers: Tuple[str, ...]
    features: Tuple[str, ...]


WSGI = ("sync", "gthread", "gevent", "eventlet")
ASGI = ("asgi",)
FRAMEWORKS = (
    Framework("Django (WSGI)", ("django",), "django_wsgi", WSGI, PLAIN),
    Framework("Flask", ("flask",), "flask_app", WSGI, PLAIN),
    Framework("Pyramid", ("pyramid",), "pyramid_app", WSGI, PLAIN),
    Framework("Bottle", ("bottle",), "bottle_app", WSGI, PLAIN),
    Framework("Falcon (WSGI)", ("falcon",), "falcon_app", WSGI, PLAIN),
    Framework("Django (ASGI)", ("django",), "django_asgi", ASGI, PLAIN),
    Framework("Channels", ("channels", "django"), "channels_app", ASGI, (*PLAIN, "websocket")),
    Framework("Falcon (ASGI)", ("falcon",), "falcon_asgi", ASGI, FEATURES),
    Framework("FastAPI", ("fastapi", "starlette"), "fastapi_app", ASGI, FEATURES),
    Framework("Starlette", ("starlette",), "starlette_app", ASGI, FEATURES),
    Framework("Quart", ("quart",), "quart_app", ASGI, FEATURES),
    Framework("Litestar", ("litestar",), "litestar_app", ASGI, FEATURES),
    Framework("BlackSheep", ("blacksheep",), "blacksheep_app", ASGI, FEATURES),
)
CASES = [(framework, worker) for framework in FRAMEWORKS for worker in framework.workers]
passed: Dict[Tuple[str, str], List[str]] = {}


def hello(server: ServerProcess) -> None:
    answer = server.get("/")
    assert (answer.status, answer.text) == (200, "hello")


def upload(server: ServerProcess) -> None:
    answer = request((server.host, server.port), "POST", "/upload", {}, b"x" * UPLOAD)
    assert (answer.status, answer.text) == (200, str(UPLOAD))


def stream(server: ServerProcess) -> None:
    answer = server.get("/stream")
    assert (answer.status, answer.text) == (200, "onetwothree")
    assert answer.header("content-length") is None


def error(server: ServerProcess) -> None:
    answer = server.get("/error")
    assert answer.status == 500
    assert "secret" not in answer.text
    hello(server)


def websocket(server: ServerProcess) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(f"ws://127.0.0.1:{server.port}/ws") as connection:
        for text in ("hello", "x" * 100_000):
            connection.send(text)
            assert connection.recv(timeout=10) == text


def lifespan(server: ServerProcess) -> None:
    assert server.get("/state").text == "started"


CHECKS = {check.__name__: check for check in (hello, upload, stream, error, websocket, lifespan)}


@pytest.mark.parametrize(("framework", "worker"), CASES, ids=[f"{case.app}-{worker}" for case, worker in CASES])
def test_a_framework_works(framework: Framework, worker: str) -> None:
    for needed in framework.needs:
        pytest.importorskip(needed)
    threads = "2" if worker == "gthread" else "1"
    with ServerProcess([f"{framework.app}:app", "-k", worker, "--threads", threads], cwd=APPS) as server:
        for feature in framework.features:
            CHECKS[feature](server)
        assert server.stop() == 0
        log = server.log
    # The one error that was asked for, by the server's log or by the framework's own, and nothing beside it.
    assert log.count("Traceback (most recent call last)") <= 2, log
    assert "destroyed" not in log
    passed[(framework.name, worker)] = list(framework.features)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Write what passed, where somebody asked for it."""
    yield
    target = os.environ.get("FRAMEWORKS_TABLE")
    if not target:
        return
    columns = ["HTTP", "upload", "streaming", "errors", "WebSocket", "lifespan"]
    lines = [
        "# Frameworks",
        "",
        "What a run of `tests/frameworks` found: each framework served as a real process, by each worker named.",
        "Written by that run (`FRAMEWORKS_TABLE=docs/frameworks.md`); a dash means that the framework or its",
        "gateway has no such thing.",
        "",
        "| framework | version | worker | " + " | ".join(columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for framework, worker in CASES:
        found = passed.get((framework.name, worker))
        if found is None:
            cells = ["failed"] * len(columns)
        else:
            cells = ["yes" if feature in found else "-" for feature in FEATURES]
        version = metadata.version(framework.needs[0])
        lines.append(f"| {framework.name} | {version} | `{worker}` | " + " | ".join(cells) + " |")
    Path(target).write_text("\n".join(lines) + "\n")
