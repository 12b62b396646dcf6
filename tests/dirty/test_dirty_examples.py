"""The example with dirty applications: a text model, tokens as server-sent events, images."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from server_core.control.client import ControlClient
from support import ServerProcess, request, until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ARGUMENTS = ["dirty_models:app", "-k", "asgi", "--dirty-workers", "2", "--dirty-threads", "8"]
APPS = ["Languages", "Writer", "Images"]
BOOTED = 4  # one HTTP worker, two dirty ones, the stash

SENTENCES = {
    "Dies ist ein einfacher deutscher Satz": "de",
    "Ceci est une phrase écrite en français": "fr",
    "This is a plain sentence in the English language": "en",
    "Questa è una semplice frase in italiano": "it",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("py3langid")
    pytest.importorskip("PIL")
    control = str(tmp_path_factory.mktemp("control") / "server.ctl")
    arguments = [*ARGUMENTS, "--control-socket", control]
    for name in APPS:
        arguments += ["--dirty-app", f"dirty_models:{name}"]
    with ServerProcess(arguments, cwd=EXAMPLES, workers=BOOTED, timeout=40) as started:
        started.control = control
        until(lambda: all(row["ready"] for row in apps(started)), 40, "the models are loaded")
        yield started


def apps(server):
    with ControlClient(server.control) as control:
        return control.call("dirty")["apps"]


def test_the_model_tells_languages_of_several_callers(server):
    def tell(text):
        return json.loads(server.get(f"/language?text={quote(text)}", timeout=30).body)["language"]

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(tell, SENTENCES)) == list(SENTENCES.values())


def test_words_come_one_by_one_as_events(server):
    with server.client() as client:
        client.send(b"GET /write?words=100 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"text/event-stream" in client.read_until(b"\r\n\r\n")
        first = client.read_until(b"\n\n")
        assert b"data: " in first
        assert b"event: end" not in first + client.buffer
        client.read_until(b"event: end")


def test_a_reader_that_leaves_ends_the_writing(server):
    with server.client() as client:
        client.send(b"GET /write?words=100000 HTTP/1.1\r\nHost: test\r\n\r\n")
        client.read_until(b"data: ")
    until(lambda: [row["running"] for row in apps(server)] == [0, 0, 0], 15, "the generator is closed")


def test_an_image_becomes_smaller(server):
    from PIL import Image

    original = io.BytesIO()
    Image.effect_noise((900, 600), 80).save(original, "PNG")
    address = (server.host, server.port)
    answer = request(address, "POST", "/thumbnail?size=90", {}, original.getvalue(), timeout=30)
    assert answer.status == 200
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.format, image.size) == ("JPEG", (90, 60))
    assert request(address, "POST", "/thumbnail", {}, b"no image").status == 400

    def failed():
        return next(row for row in apps(server) if row["app"] == "dirty_models:Images")

    until(lambda: failed()["failed"] == 1, what="the failure is counted")
    assert "UnidentifiedImageError" in failed()["last_error"]
