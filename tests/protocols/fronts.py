"""What the tests of this folder share: workers to serve with, certificates, and proxies as real processes.

Must not know: what is tested.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Sequence, Tuple, Type

import pytest
import trustme

from protocols.apps import APPS
from support import RawClient, ServerProcess, free_port, until
from support.client import Answer, encode_request
from support.net import POLL_SECONDS

HOST = "127.0.0.1"

WORKERS: Dict[str, List[str]] = {
    "sync": ["app:app", "-k", "sync"],
    "gthread": ["app:app", "-k", "gthread", "--threads", "4"],
    "gevent": ["app:app", "-k", "gevent"],
    "eventlet": ["app:app", "-k", "eventlet"],
    "asgi": ["app:asgi", "-k", "asgi"],
}
WITH_HTTP2 = tuple(name for name in WORKERS if name != "sync")


def serve(worker: str, *args: str, **options: object) -> ServerProcess:
    """The application of ``apps`` under a worker class."""
    return ServerProcess([*WORKERS[worker], *args], app=APPS, **options)  # type: ignore[arg-type]


class Certificates:
    """An authority and the files it issues, in a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.server = self.issue("server", "localhost")

    def issue(self, name: str, *hosts: str) -> str:
        """Write a certificate with its key; the path. An existing file is replaced in one step."""
        path = str(self.folder / f"{name}.pem")
        self.authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(path + ".new")
        os.replace(path + ".new", path)
        return path

    def context(self, *alpn: str) -> ssl.SSLContext:
        """A client's context that trusts the authority."""
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def tls_client(
    server: ServerProcess, context: ssl.SSLContext, host: str = "localhost", timeout: float = 10.0
) -> RawClient:
    """A connection by TLS to the first listener."""
    return RawClient((server.host, server.port), tls=context, server_hostname=host, timeout=timeout)


def ask(
    port: int,
    target: str = "/facts",
    headers: Sequence[Tuple[str, str]] = (),
    *,
    method: str = "GET",
    body: Optional[bytes] = None,
    tls: Optional[ssl.SSLContext] = None,
) -> Answer:
    """One request through a proxy."""
    with RawClient((HOST, port), tls=tls, server_hostname="localhost" if tls else None) as client:
        client.send(encode_request(method, target, headers, body, close=True))
        return client.read_answer(head_only=method == "HEAD")


def facts(answer: Answer) -> Dict[str, str]:
    """What the application was told."""
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    assert isinstance(told, dict)
    return told


class Proxy:
    """A proxy in a directory of its own, as a context manager.

    Args:
        command: the program and its arguments; ``{config}`` is the path of the configuration.
        config: its text; ``{port}`` is the port it listens at, ``{dir}`` its directory.
    """

    def __init__(self, command: Sequence[str], config: str, folder: Path) -> None:
        program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
        if program is None:
            pytest.skip(f"{command[0]} is not installed")
        self.port = free_port()
        self.folder = folder
        path = folder / "proxy.conf"
        path.write_text(config.replace("{port}", str(self.port)).replace("{dir}", str(folder)))
        self._command = [program, *(part.replace("{config}", str(path)) for part in command[1:])]
        self._log = folder / "proxy.log"

    @property
    def log(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Proxy:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=self.folder, stdout=log, stderr=log)
        try:
            until(self._answers, 10.0, f"{self._command[0]} listens")
        except BaseException:
            print(self.log)
            self._end()
            raise
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._end()
        if error is not None:
            print(self.log)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            RawClient((HOST, self.port), timeout=POLL_SECONDS * 100).close()
        except OSError:
            return False
        return True

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


NGINX = """
daemon off;
master_process off;
error_log stderr info;
pid {dir}/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    uwsgi_temp_path {dir}/uwsgi;
    fastcgi_temp_path {dir}/fastcgi;
    scgi_temp_path {dir}/scgi;
    client_max_body_size 64m;
    %s
}
"""


def nginx(servers: str, folder: Path) -> Proxy:
    """nginx with the given ``upstream`` and ``server`` blocks."""
    return Proxy(["nginx", "-p", str(folder), "-c", "{config}", "-e", "stderr"], NGINX % servers, folder)


HAPROXY = """
global
    log stderr format raw local0 info
    tune.ssl.default-dh-param 2048
defaults
    timeout connect 5s
    timeout client 10s
    timeout server 10s
%s
"""


def haproxy(sections: str, folder: Path) -> Proxy:
    """HAProxy with the given ``frontend`` and ``backend`` sections."""
    return Proxy(["haproxy", "-db", "-f", "{config}"], HAPROXY % sections, folder)
