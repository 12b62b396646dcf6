"""nginx in front of a server, on the load generator's core.

Owns: its configuration and process. What nginx itself costs is not counted.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from pathlib import Path
from typing import Iterator

from measure import LOAD_CORE, START_SECONDS

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {work}/nginx-{port}.pid;
error_log {work}/nginx-{port}.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    uwsgi_temp_path {work}/nginx-uwsgi;
    fastcgi_temp_path {work}/nginx-fastcgi;
    scgi_temp_path {work}/nginx-scgi;
    keepalive_requests 1000000;
    upstream server {{ server unix:{socket}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {passing} }}
    }}
}}
"""
PASSING = {
    "http": 'proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";',
    "uwsgi": "uwsgi_pass server; include {work}/uwsgi_params;",
}
# Parameter of the uwsgi protocol -> variable of nginx.
PARAMETERS = {
    "QUERY_STRING": "query_string",
    "REQUEST_METHOD": "request_method",
    "CONTENT_TYPE": "content_type",
    "CONTENT_LENGTH": "content_length",
    "REQUEST_URI": "request_uri",
    "PATH_INFO": "document_uri",
    "DOCUMENT_ROOT": "document_root",
    "SERVER_PROTOCOL": "server_protocol",
    "REQUEST_SCHEME": "scheme",
    "REMOTE_ADDR": "remote_addr",
    "REMOTE_PORT": "remote_port",
    "SERVER_PORT": "server_port",
    "SERVER_NAME": "server_name",
}


@contextlib.contextmanager
def nginx(kind: str, socket: Path, port: int, work: Path) -> Iterator[None]:
    """nginx on ``port`` that passes requests to ``socket``, for the time of a block.

    Raises:
        RuntimeError: no request came through in time.
    """
    values = {"work": work, "socket": socket, "port": port}
    lines = [f"uwsgi_param {name} ${variable};" for name, variable in PARAMETERS.items()]
    (work / "uwsgi_params").write_text("\n".join(lines))
    configuration = work / f"nginx-{port}.conf"
    configuration.write_text(CONFIGURATION.format(passing=PASSING[kind].format(**values), **values))
    process = subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, "nginx", "-c", str(configuration)], stdin=subprocess.DEVNULL
    )
    try:
        wait_until_passing(port, work)
        yield
    finally:
        process.terminate()
        process.wait(10)


def wait_until_passing(port: int, work: Path) -> None:
    """Ask until an answer comes through."""
    began = time.monotonic()
    status = 0
    while time.monotonic() < began + START_SECONDS:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
        time.sleep(0.05)
    log = (work / f"nginx-{port}.log").read_text()[-1000:]
    raise RuntimeError(f"nginx: expected 200 from the server behind it, got {status}\n{log}")
