"""The files in ``deploy``, as far as a machine without a container daemon and without a cluster can run them."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from protocols.fronts import Proxy, ask, facts, nginx
from support import ServerProcess, free_port
from support.distributions import ROOT
from support.net import until

DEPLOY = ROOT / "deploy"
FACTS = """
import json

def app(environ, start_response):
    names = ("wsgi.url_scheme", "REMOTE_ADDR", "HTTP_HOST", "SERVER_PROTOCOL", "HTTP_X_REQUEST_START")
    body = json.dumps({name: environ.get(name) for name in names}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""
ECHO = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await send({"type": "websocket.close"})
"""

# --- containers --------------------------------------------------------------------------------------

CONTAINERFILE = DEPLOY / "container" / "Containerfile"


def instructions() -> List[Tuple[str, str]]:
    """The instructions of the Containerfile: name and text, lines joined."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def test_the_containerfile_has_nothing_for_the_linter_to_say():
    linter = Path(sys.executable).parent / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([str(linter), str(CONTAINERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_small_by_its_stages():
    stages = " ".join(f"{name} {text}\n" for name, text in instructions()).split("FROM ")[1:]
    assert [stage.split()[0].endswith("-slim") for stage in stages] == [False, True, True]
    last = stages[-1]
    assert "RUN" not in last
    assert [line for line in last.splitlines() if "COPY --from" in line] == [" COPY --from=installed /venv /venv"]
    assert int(re.search(r"USER (\d+)", last)[1]) > 0


def test_what_the_containerfile_runs_makes_a_server_that_another_user_can_run(pure_wheels, tmp_path):
    folder = tmp_path / "image"
    shutil.copytree(pure_wheels, folder / "wheels", ignore=shutil.ignore_patterns("*.tar.gz"))
    shutil.copy(DEPLOY / "container" / "requirements.txt", folder / "wheels")
    shutil.copytree(DEPLOY / "container" / "app", folder / "app")

    def here(text: str) -> str:
        return re.sub(r"(?<![\w.{])/(wheels|venv)\b", rf"{folder}/\1", text)

    (install,) = [text for name, text in instructions() if name == "RUN" and "venv" in text]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "EXTRAS": "asgi"}
    subprocess.run(["bash", "-euc", here(install)], env=env, check=True, capture_output=True, timeout=300)
    installed = sorted(path.name for path in folder.glob("venv/lib/python*/site-packages/*") if path.is_dir())
    distributions = {name.split("-")[0] for name in installed if name.endswith(".dist-info")}
    assert {"server_cli", "server_core", "server_http", "server_workers_async", "uvloop"} == distributions - {
        "setuptools"
    }

    (command,) = [ast.literal_eval(text) for name, text in instructions() if name == "CMD"]
    (health,) = [text.partition("CMD ")[2] for name, text in instructions() if name == "HEALTHCHECK"]
    port, metrics = free_port(), free_port()
    settings = folder / "app" / "server.conf.py"
    text = settings.read_text().replace("9100", str(metrics))  # first: a port of ours may have these digits in it
    settings.write_text(text.replace("0.0.0.0:8000", f"127.0.0.1:{port}"))
    check = [word.replace("9100", str(metrics)) for word in json.loads(health)]
    program = [str(folder / "venv" / "bin" / command[0]), *command[1:]]
    if os.geteuid() == 0 and shutil.which("setpriv"):
        program = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", *program]
        for parent in [tmp_path, *tmp_path.parents]:  # pytest makes them for its own user
            if parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(parent.stat().st_mode | 0o055)
    with ServerProcess(program=program, bind=None, cwd=folder / "app", env={"PATH": path}, workers=2) as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid if Path("/proc").is_dir() else 10001
        assert owner == (10001 if os.geteuid() == 0 else os.geteuid())
        assert server.get("/").text == "Hello from a container!\n"
        assert subprocess.run(check, executable=sys.executable, timeout=20).returncode == 0
    assert subprocess.run(check, executable=sys.executable, capture_output=True, timeout=20).returncode != 0


# --- systemd -----------------------------------------------------------------------------------------


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/srv/app/venv/bin/server", sys.executable))
    for name in ("server.service", "server.socket"):
        done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_s_command_line_is_good_with_the_socket_that_systemd_passes(tmp_path):
    unit = (DEPLOY / "systemd" / "server.service").read_text()
    command = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])
    name = re.search(r"^FileDescriptorName=(.*)$", (DEPLOY / "systemd" / "server.socket").read_text(), re.MULTILINE)[1]
    assert f"systemd:{name}" in command
    script = (
        "import os, socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "os.dup2(listener.fileno(), 3); os.set_inheritable(3, True)\n"
        f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES={name!r})\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'server_cli', *sys.argv[1:]])\n"
    )
    with ServerProcess(command[1:], app=FACTS, program=[sys.executable, "-c", script], bind=None) as server:
        assert server.get("/").status == 200


# --- proxies -----------------------------------------------------------------------------------------


def placed(path: Path, changes: Dict[str, str]) -> str:
    """A config with the addresses of a test in place of its own; each of them must be there."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r}"
        text = text.replace(old, new)
    return text


def options_in(path: Path) -> List[str]:
    """The options of the command line that a config's comment tells to start the server with, its address apart."""
    words = shlex.split(re.search(r"^#\s+server app:app (.*)$", path.read_text(), re.MULTILINE)[1])
    return words[words.index("--bind") + 2 :]


def test_nginx_passes_requests_and_websockets_on_by_http(tmp_path):
    websockets = pytest.importorskip("websockets.sync.client")
    path = DEPLOY / "nginx" / "http.conf"
    for gateway, app in (("wsgi", FACTS), ("asgi", ECHO)):
        options = [*options_in(path), "-k", "gthread" if gateway == "wsgi" else "asgi"]
        with ServerProcess(["app:app", *options], app=app) as server:
            changes = {"listen 80;": "listen 127.0.0.1:{port};", "127.0.0.1:8000": f"127.0.0.1:{server.port}"}
            folder = tmp_path / gateway
            folder.mkdir()
            with nginx(placed(path, changes), folder) as proxy:
                if gateway == "wsgi":
                    told = facts(ask(proxy.port, "/", [("X-Forwarded-For", "10.9.9.9")]))
                    assert told["REMOTE_ADDR"] == "127.0.0.1"  # of the proxy's client; what it claims is not believed
                    assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
                    began = float(told["HTTP_X_REQUEST_START"].removeprefix("t="))
                    assert abs(time.time() - began) < 60
                else:
                    with websockets.connect(f"ws://127.0.0.1:{proxy.port}/") as client:
                        client.send("through")
                        assert client.recv() == "through"


def test_nginx_passes_requests_on_by_uwsgi(tmp_path):
    path = DEPLOY / "nginx" / "uwsgi.conf"
    sock = tmp_path / "app.sock"
    server = ServerProcess(["app:app", *options_in(path)], app=FACTS, bind=f"unix:{sock}")
    changes = {"listen 80;": "listen 127.0.0.1:{port};", "/run/server/app.sock": str(sock)}
    if not Path("/etc/nginx/uwsgi_params").exists():
        pytest.skip("nginx is not installed")
    changes["include uwsgi_params"] = "include /etc/nginx/uwsgi_params"
    with server, nginx(placed(path, changes), tmp_path) as proxy:
        told = facts(ask(proxy.port, "/"))
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert told["wsgi.url_scheme"] == "http"


def test_haproxy_checks_a_replica_and_passes_requests_on(tmp_path):
    path = DEPLOY / "haproxy" / "haproxy.cfg"
    with ServerProcess(["app:app", *options_in(path)], app=FACTS) as server:
        changes = {
            "bind :80": "bind 127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{server.port}",
            "default-server check inter 2s fall 2 rise 1": "default-server check inter 100ms fall 2 rise 1",
        }
        with Proxy(["haproxy", "-db", "-f", "{config}"], placed(path, changes), tmp_path) as proxy:
            until(lambda: ask(proxy.port, "/").status == 200, what="the replica is taken for healthy")
            told = facts(ask(proxy.port, "/", [("X-Forwarded-Proto", "https")]))
            assert told["wsgi.url_scheme"] == "http"
            assert abs(time.time() - float(told["HTTP_X_REQUEST_START"].removeprefix("t=")) / 1e6) < 60


# --- Kubernetes --------------------------------------------------------------------------------------

MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents() -> List[Dict[str, object]]:
    yaml = pytest.importorskip("yaml")
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def test_the_manifests_fit_the_schemas_of_kubernetes():
    validator = pytest.importorskip("kubernetes_validate")
    found = documents()
    assert {document["kind"] for document in found} >= {"Deployment", "Service", "HorizontalPodAutoscaler"}
    for document in found:
        validator.validate(document, validator.latest_version(), strict=True)
    found[0]["spec"]["template"]["spec"]["containers"][0]["liveness"] = {}
    with pytest.raises(validator.ValidationError):
        validator.validate(found[0], validator.latest_version(), strict=True)


def test_the_manifests_ask_for_what_the_server_has():
    by_kind = {document["kind"]: document for document in documents()}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (metric,) = [entry["pods"]["metric"]["name"] for entry in by_kind["HorizontalPodAutoscaler"]["spec"]["metrics"]]
    conf: Dict[str, object] = {}
    exec((DEPLOY / "container" / "app" / "server.conf.py").read_text(), conf)  # noqa: S102  # a config file is run
    assert conf["bind"] == [f"0.0.0.0:{ports['http']}"]
    assert conf["metrics_bind"] == f"0.0.0.0:{ports['metrics']}"
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert waits + int(conf["graceful_timeout"]) < pod["terminationGracePeriodSeconds"]
    assert {pod["securityContext"]["runAsUser"]} == {10001}
    port = free_port()
    with ServerProcess(["app:app", "--metrics-bind", f"127.0.0.1:{port}"], app=FACTS):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            until(lambda path=path: ask(port, path).status == 200, what=f"{path} says yes")
            assert container[probe]["httpGet"]["port"] == "metrics"
        assert f'{metric}{{group="http"}}' in ask(port, "/metrics").text
