"""A browser loads a page by HTTP/2 and TLS, with a WebSocket on it."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.fronts import HOST, Certificates
from support import ServerProcess

# The page asks for a style, twenty pieces at once and a WebSocket, and tells the server what came of them.
APP = '''
PAGE = b"""<!doctype html><html><head><link rel="stylesheet" href="/style.css"></head>
<body><p id="out">waiting</p><script>
const socket = new WebSocket("wss://" + location.host + "/socket");
const pieces = Array.from({length: 20}, (_, n) => fetch("/piece/" + n).then((answer) => answer.text()));
const echo = new Promise((done) => {
    socket.onopen = () => socket.send("over the socket");
    socket.onmessage = (event) => { socket.close(4000, "bye"); done(event.data); };
    socket.onerror = () => done("error");
});
const closed = new Promise((done) => { socket.onclose = (event) => done(event.code); });
Promise.all([echo, closed, ...pieces]).then(([echoed, code, ...texts]) => {
    const protocols = new Set(performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol));
    const colour = getComputedStyle(document.getElementById("out")).color;
    const navigation = performance.getEntriesByType("navigation")[0].nextHopProtocol;
    const told = [navigation, [...protocols].join("+"), colour, texts.join(""), echoed, code, socket.extensions];
    fetch("/told", {method: "POST", body: told.join("|")});
});
</script></body></html>"""


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        print("websocket by HTTP/" + scope["http_version"], flush=True)
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                print("closed with", message["code"], message["reason"], flush=True)
                return
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["type"] == "http":
        path = scope["path"]
        kind, body = b"text/plain", path.rpartition("/")[2].encode()
        if path == "/":
            kind, body = b"text/html", PAGE
        elif path == "/told":
            print("told:", (await receive())["body"].decode(), flush=True)
        elif path == "/style.css":
            kind, body = b"text/css", b"p { color: rgb(1, 2, 3) }"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})
'''

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]  # fmt: skip


def _key_of(path: str) -> str:
    """The hash by which the browser is told to trust a certificate."""
    certificate = x509.load_pem_x509_certificate(
        re.findall(rb"-----BEGIN CERT.+?-----END CERTIFICATE-----\n", Path(path).read_bytes(), re.DOTALL)[0]
    )
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def test_a_page_by_http2_and_tls_with_a_websocket_on_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    certificates = Certificates(tmp_path)
    command = ["app:app", "-k", "asgi", "--certfile", certificates.server, "--http-protocols", "h2,h1"]
    with ServerProcess(command, app=APP) as server:
        flags = [
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--ignore-certificate-errors-spki-list={_key_of(certificates.server)}",
            f"--host-resolver-rules=MAP localhost {HOST}",
        ]
        url = f"https://localhost:{server.port}/"
        with subprocess.Popen([browser, *flags, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            try:
                told = server.wait_for_log("told: ", timeout=60.0)[0]
            finally:
                running.terminate()
        texts = "".join(str(number) for number in range(20))
        expected = f"told: h2|h2|rgb(1, 2, 3)|{texts}|over the socket|4000|permessage-deflate"
        assert told.strip().partition(";")[0] == expected
        server.wait_for_log("websocket by HTTP/2")
        server.wait_for_log("closed with 4000 bye")
