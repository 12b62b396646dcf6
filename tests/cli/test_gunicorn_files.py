"""Config files written for gunicorn, started as their owners would: with the name of the command changed, and no more.

The files are those of ``packages/core/tests/gunicorn_files``, whose values are tested there.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Dict, List

import pytest

from support import ServerProcess, until

FILES = Path(__file__).resolve().parents[2] / "packages/core/tests/gunicorn_files"

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""

# What a file says in the log when its hooks, classes and logging are heeded.
SAID: Dict[str, List[str]] = {
    "classic": ["Server is ready. Spawning workers", "Worker spawned (pid: "],
    "container": ['"GET / HTTP/1.1" 200 5'],
    "logging_dict": ["INFO gunicorn.error Booting worker", '"GET / HTTP/1.1" 200 5'],
    "own_logger": ["GET / 200 - -"],
    "uvicorn_style": ["worker_class: uvicorn.workers.UvicornWorker is served by the 'asgi' worker"],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES.glob("*.py")))
def test_a_file_for_gunicorn_serves_reloads_and_stops(name: str) -> None:
    app = ASGI if name == "uvicorn_style" else WSGI
    files = {"gunicorn.conf.py": (FILES / f"{name}.py").read_text()}
    # Port and log file, which the test has to know; everything else is the file's.
    arguments = ["app:app", "--error-logfile", "-"]
    with ServerProcess(arguments, app=app, files=files, env={"WEB_CONCURRENCY": "2"}) as server:
        assert server.get("/").body == b"hello"
        booted = len(server.booted_pids())
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Reload complete.", timeout=20)
        assert len(server.booted_pids()) > booted
        assert server.get("/").body == b"hello"
        for text in SAID.get(name, ()):
            server.wait_for_log(text)
        until(lambda: server.stop() == 0)
        assert "Traceback" not in server.log
        assert "has no effect" not in server.log or name in ("classic", "uvicorn_style")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_the_hook_for_int_of_the_classic_file_runs(number: int) -> None:
    files = {"gunicorn.conf.py": (FILES / "classic.py").read_text()}
    with ServerProcess(["app:app"], app=WSGI, files=files) as server:
        assert server.stop(number) == 0
        assert "worker received INT or QUIT signal" in server.log
