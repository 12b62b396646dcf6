"""--reload, as somebody meets it who edits an application and looks at it in the browser."""

from __future__ import annotations

import importlib.util
import os

import pytest

from support import ServerProcess, until

ENGINES = ["poll", pytest.param("watchfiles", marks=pytest.mark.skipif(
    importlib.util.find_spec("watchfiles") is None, reason="watchfiles is an extra"))]  # fmt: skip


def app(text):
    return f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [{text!r}.encode()]\n"


class Edited:
    """Files of a running server that are saved with ever newer times."""

    def __init__(self, server):
        self.server = server
        self.time = 2_000_000_000

    def save(self, name, text):
        path = self.server.cwd / name
        path.write_text(text)
        self.time += 10
        os.utime(path, (self.time, self.time))

    def answers(self, text, status=200):
        def arrived():
            answer = self.server.get("/")
            return answer.status == status and text in answer.text

        until(arrived, 20, f"an answer {status} with {text!r}")


@pytest.mark.parametrize("preload", [[], ["--preload"]])
@pytest.mark.parametrize("engine", ENGINES)
def test_saves_are_served_and_mistakes_are_shown_in_the_browser(engine, preload):
    with ServerProcess(["app:app", "--reload", "--reload-engine", engine, *preload], app=app("one")) as server:
        edited = Edited(server)
        edited.answers("one")
        edited.save("app.py", app("two"))
        edited.answers("two")
        edited.save("app.py", "def app(:\n")
        edited.answers("SyntaxError", 500)
        edited.save("app.py", "import missing_module_of_mine\n")
        edited.answers("No module named &#x27;missing_module_of_mine&#x27;", 500)
        edited.save("app.py", "other = 1\n")
        edited.answers("has no &#x27;app&#x27;", 500)
        edited.save("app.py", app("three"))
        edited.answers("three")
        server.wait_for_log("Worker reloading: ")


def test_a_broken_application_at_the_start_recovers_at_the_next_save():
    with ServerProcess(["app:app", "--reload", "--reload-engine", "poll"], app="1 / 0\n") as server:
        edited = Edited(server)
        edited.answers("ZeroDivisionError", 500)
        server.wait_for_log("ZeroDivisionError")
        edited.save("app.py", app("mended"))
        edited.answers("mended")


def test_a_save_that_mends_what_made_a_reload_fail_is_noticed():
    with ServerProcess(["app:app", "--reload", "--reload-engine", "poll"], app=app("one")) as server:
        edited = Edited(server)
        edited.answers("one")
        edited.save("app.py", "import os\nos._exit(3)\n")
        server.wait_for_log("Reload failed: a new worker could not boot. The old workers stay.")
        edited.answers("one")
        edited.save("app.py", app("mended"))
        edited.answers("mended")


def test_extra_files_by_glob_are_watched():
    reading = (
        "import pathlib\npages = sorted(path.read_text() for path in pathlib.Path('pages').glob('*.txt'))\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [repr(pages).encode()]\n"
    )
    args = ["app:app", "--reload", "--reload-engine", "poll", "--reload-extra-file", "pages/*.txt"]
    with ServerProcess(args, app=reading, files={"pages/a.txt": "A"}) as server:
        edited = Edited(server)
        edited.answers("['A']")
        edited.save("pages/b.txt", "B")
        edited.answers("['A', 'B']")
        edited.save("pages/a.txt", "C")
        edited.answers("['B', 'C']")
