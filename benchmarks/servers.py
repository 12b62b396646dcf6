"""How each server is started: one row a server.

Owns: command lines. A peer runs with the settings its own documentation calls the fastest for the case; ours runs as it
ships, with bind, worker class, threads and application only. Anything else that a row adds is printed in the table.
Must not know: cases.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional


class Server(NamedTuple):
    """One server in one configuration.

    Attributes:
        name: as in the table. gateway: ``wsgi`` or ``asgi``. environment: ``peers``, ``compiled`` or ``interpreted``.
        command: with {python} {bin} {app} {bind} {port} {socket} {key} {cert} {log} {workers} to be filled in.
        tls: what is added for TLS, None where it has none. access_log: what is added for an access log to {log}.
    """

    name: str
    gateway: str
    environment: str
    command: str
    tls: Optional[str] = None
    access_log: Optional[str] = None


TLS_GUNICORN = "--keyfile {key} --certfile {cert}"
LOG_GUNICORN = "--access-logfile {log}"
OURS = "{python} -m server_cli {app} -b {bind}"


def _ours(suffix: str, gateway: str, options: str) -> List[Server]:
    return [
        Server(f"server {suffix}", gateway, "compiled", f"{OURS} {options}", TLS_GUNICORN, LOG_GUNICORN),
        Server(f"server {suffix} interpreted", gateway, "interpreted", f"{OURS} {options}", TLS_GUNICORN, LOG_GUNICORN),
    ]


def _gunicorn(suffix: str, gateway: str, options: str) -> Server:
    command = "{bin}/gunicorn {app} -b {bind} --http-parser fast --log-level warning " + options
    return Server(f"gunicorn {suffix}", gateway, "peers", command, TLS_GUNICORN, LOG_GUNICORN)


GRANIAN = "{bin}/granian {app} --host 127.0.0.1 --port {port} --workers {workers} --log-level warning "
GRANIAN_TLS = "--ssl-keyfile {key} --ssl-certificate {cert}"
GRANIAN_WSGI = "--interface wsgi --runtime-mode mt --blocking-threads 4"
GRANIAN_ASGI = "--interface asgi --runtime-mode st --loop uvloop"
UVICORN = (
    "{bin}/uvicorn {app} --host 127.0.0.1 --port {port} --loop uvloop --http httptools --ws websockets "
    "--log-level warning --workers {workers}"
)
UWSGI = (
    "{bin}/uwsgi --module {app} --master --processes {workers} --disable-logging --die-on-term --buffer-size 16384"
    " --listen 100 --chmod-socket=666"
)

_ROWS = [
    *_ours("sync", "wsgi", "-k sync -w {workers}"),
    *_ours("gthread", "wsgi", "-k gthread --threads 4 -w {workers}"),
    *_ours("gevent", "wsgi", "-k gevent -w {workers}"),
    *_ours("asgi", "asgi", "-k asgi -w {workers}"),
    *_ours("gthread h2", "wsgi", "-k gthread --threads 4 -w {workers} --http-protocols h2,h1"),
    *_ours("asgi h2", "asgi", "-k asgi -w {workers} --http-protocols h2,h1"),
    _gunicorn("sync", "wsgi", "-k sync -w {workers}"),
    _gunicorn("gthread", "wsgi", "-k gthread --threads 4 -w {workers}"),
    _gunicorn("gevent", "wsgi", "-k gevent -w {workers}"),
    _gunicorn("asgi", "asgi", "-k asgi --asgi-loop uvloop -w {workers}"),
    _gunicorn("gthread h2", "wsgi", "-k gthread --threads 4 -w {workers} --http-protocols h2,h1"),
    _gunicorn("asgi h2", "asgi", "-k asgi --asgi-loop uvloop -w {workers} --http-protocols h2,h1"),
    Server(
        "gunicorn asgi python",
        "asgi",
        "peers",
        "{bin}/gunicorn {app} -b {bind} --http-parser python --log-level warning"
        " -k asgi --asgi-loop uvloop -w {workers}",
    ),
    Server("granian wsgi", "wsgi", "peers", f"{GRANIAN} {GRANIAN_WSGI} --http 1", GRANIAN_TLS),
    Server("granian asgi", "asgi", "peers", f"{GRANIAN} {GRANIAN_ASGI} --http 1", GRANIAN_TLS),
    Server("granian wsgi h2", "wsgi", "peers", f"{GRANIAN} {GRANIAN_WSGI} --http 2", GRANIAN_TLS),
    Server("granian asgi h2", "asgi", "peers", f"{GRANIAN} {GRANIAN_ASGI} --http 2", GRANIAN_TLS),
    Server(
        "socketify",
        "asgi",
        "peers",
        "{python} -m socketify {app} --interface asgi --host 127.0.0.1 --port {port} --workers {workers}"
        " --disable-listen-log True",
    ),
    Server("uvicorn", "asgi", "peers", UVICORN, "--ssl-keyfile {key} --ssl-certfile {cert}"),
    Server(
        "hypercorn",
        "asgi",
        "peers",
        "{bin}/hypercorn {app} -b {bind} -k uvloop -w {workers} --log-level WARNING",
        "--keyfile {key} --certfile {cert}",
    ),
    Server("bjoern", "wsgi", "peers", "{python} embedded.py bjoern {app} {port}"),
    Server("fastwsgi", "wsgi", "peers", "{python} embedded.py fastwsgi {app} {port}"),
    Server("uwsgi", "wsgi", "peers", f"{UWSGI} --http11-socket {{bind}}"),
    # Behind nginx, by a unix socket.
    Server(
        "server sync unix", "wsgi", "compiled", "{python} -m server_cli {app} -b unix:{socket} -k sync -w {workers}"
    ),
    Server(
        "server sync uwsgi",
        "wsgi",
        "compiled",
        "{python} -m server_cli {app} -b unix:{socket} -k sync -w {workers} --protocol uwsgi",
    ),
    Server(
        "gunicorn sync unix",
        "wsgi",
        "peers",
        "{bin}/gunicorn {app} -b unix:{socket} -k sync -w {workers} --http-parser fast --log-level warning",
    ),
    Server("uwsgi unix http", "wsgi", "peers", f"{UWSGI} --http-socket {{socket}}"),
    Server("uwsgi unix uwsgi", "wsgi", "peers", f"{UWSGI} --socket {{socket}}"),
    Server("waitress", "wsgi", "peers", "{bin}/waitress-serve --listen={bind} --threads=4 {app}"),
]

SERVERS: Dict[str, Server] = {row.name: row for row in _ROWS}
