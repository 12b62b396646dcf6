"""What is compared: one row a case.

Owns: the cases, their load, who takes part, and the target as a ratio to the best peer.
Must not know: how a server is started or measured.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple


class Case(NamedTuple):
    """One comparison.

    Attributes:
        name: of the case. app: ``module:attribute`` in ``apps``. ours: our server's row.
        peers: rows it is compared with; the best of them counts. target: our CPU time per request at most this share.
        load: ``wrk``, ``h2load`` or ``websocket``. script: Lua for wrk. options: words added to the load generator.
        tls: serve and ask with TLS. beside: rows that are shown and do not count.
        front: ``http`` or ``uwsgi``: what nginx speaks to the server, over a unix socket.
    """

    name: str
    app: str
    ours: str
    peers: Tuple[str, ...]
    target: float
    load: str = "wrk"
    connections: int = 64
    script: str = ""
    options: str = ""
    tls: bool = False
    access_log: bool = False
    beside: Tuple[str, ...] = ()
    front: str = ""


WSGI_PEERS = ("bjoern", "fastwsgi", "granian wsgi")
WSGI_BESIDE = ("gunicorn sync", "gunicorn gthread", "uwsgi", "waitress")
ASGI_PEERS = ("granian asgi", "uvicorn")
ASGI_BESIDE = ("gunicorn asgi", "hypercorn")

# wrk reconnects when the server closes; it leaves out a field without a space behind its colon.
CLOSE = "-H 'Connection: close'"

_ROWS = [
    Case("wsgi-hello", "wsgi_apps:hello", "server sync", WSGI_PEERS, 0.95, beside=WSGI_BESIDE),
    Case(
        "wsgi-hello-gthread", "wsgi_apps:hello", "server gthread", ("granian wsgi",), 0.95, beside=("gunicorn gthread",)
    ),
    Case("wsgi-hello-gevent", "wsgi_apps:hello", "server gevent", ("gunicorn gevent",), 0.35),
    Case(
        "wsgi-close",
        "wsgi_apps:hello",
        "server sync",
        ("uwsgi", "bjoern"),
        1.0,
        options=CLOSE,
        beside=("gunicorn sync", "granian wsgi"),
    ),
    Case("wsgi-10k", "wsgi_apps:ten_kib", "server sync", WSGI_PEERS, 0.95, beside=("gunicorn sync",)),
    Case("wsgi-post", "wsgi_apps:echo", "server sync", WSGI_PEERS, 0.95, script="post.lua", beside=("gunicorn sync",)),
    Case(
        "wsgi-headers",
        "wsgi_apps:hello",
        "server sync",
        WSGI_PEERS,
        0.9,
        script="headers.lua",
        beside=("gunicorn sync",),
    ),
    Case(
        "wsgi-stream",
        "wsgi_apps:stream",
        "server sync",
        ("granian wsgi",),
        0.8,
        beside=("gunicorn sync", "bjoern", "fastwsgi"),
    ),
    Case("wsgi-waits", "wsgi_apps:waits", "server gthread", ("granian wsgi",), 1.0, beside=("gunicorn gthread",)),
    Case("flask-hello", "flask_app:app", "server sync", WSGI_PEERS, 0.97, beside=("gunicorn sync",)),
    Case("asgi-hello", "asgi_apps:hello", "server asgi", ASGI_PEERS, 0.65, beside=ASGI_BESIDE),
    Case("asgi-close", "asgi_apps:hello", "server asgi", ASGI_PEERS, 0.9, options=CLOSE, beside=("gunicorn asgi",)),
    Case("asgi-10k", "asgi_apps:ten_kib", "server asgi", ASGI_PEERS, 0.65, beside=("gunicorn asgi",)),
    Case("asgi-post", "asgi_apps:echo", "server asgi", ASGI_PEERS, 0.5, script="post.lua", beside=("gunicorn asgi",)),
    Case(
        "asgi-headers",
        "asgi_apps:hello",
        "server asgi",
        ASGI_PEERS,
        0.7,
        script="headers.lua",
        beside=("gunicorn asgi",),
    ),
    Case("asgi-stream", "asgi_apps:stream", "server asgi", ASGI_PEERS, 0.8, beside=("gunicorn asgi",)),
    Case("starlette-hello", "starlette_app:app", "server asgi", ASGI_PEERS, 0.8, beside=("gunicorn asgi",)),
    Case("fastapi-hello", "fastapi_app:app", "server asgi", ASGI_PEERS, 0.93, beside=("gunicorn asgi",)),
    Case("tls-wsgi", "wsgi_apps:hello", "server sync", ("granian wsgi",), 1.2, tls=True, beside=("gunicorn gthread",)),
    Case("tls-asgi", "asgi_apps:hello", "server asgi", ASGI_PEERS, 1.0, tls=True, beside=("gunicorn asgi",)),
    Case(
        "h2-asgi",
        "asgi_apps:hello",
        "server asgi h2",
        ("gunicorn asgi h2", "hypercorn"),
        0.6,
        load="h2load",
        connections=10,
        tls=True,
        beside=("granian asgi h2",),
    ),
    Case(
        "h2-wsgi",
        "wsgi_apps:hello",
        "server gthread h2",
        ("gunicorn gthread h2",),
        0.6,
        load="h2load",
        connections=10,
        tls=True,
        beside=("granian wsgi h2",),
    ),
    Case(
        "websocket-echo",
        "asgi_apps:websocket_echo",
        "server asgi",
        ("uvicorn", "socketify"),
        0.8,
        load="websocket",
        connections=16,
        beside=("granian asgi", "gunicorn asgi"),
    ),
    Case(
        "nginx-http",
        "wsgi_apps:hello",
        "server sync unix",
        ("gunicorn sync unix", "uwsgi unix http"),
        0.9,
        front="http",
    ),
    Case("nginx-uwsgi", "wsgi_apps:hello", "server sync uwsgi", ("uwsgi unix uwsgi",), 0.9, front="uwsgi"),
    Case("log-wsgi", "wsgi_apps:hello", "server sync", (), 0.0, access_log=True, beside=("gunicorn sync",)),
    Case("log-asgi", "asgi_apps:hello", "server asgi", (), 0.0, access_log=True, beside=("gunicorn asgi",)),
    Case(
        "interpreted-wsgi",
        "wsgi_apps:hello",
        "server sync interpreted",
        ("gunicorn sync", "gunicorn gthread", "gunicorn gevent"),
        0.5,
    ),
    Case(
        "interpreted-asgi",
        "asgi_apps:hello",
        "server asgi interpreted",
        ("gunicorn asgi",),
        0.9,
        beside=("gunicorn asgi python",),
    ),
]

CASES: Dict[str, Case] = {row.name: row for row in _ROWS}
