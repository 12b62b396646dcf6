"""Memory of eight workers of a preloaded Django application: this server's beside gunicorn's, in one run.

Owns: the application, the two servers at the same time, the sum of their PSS, and the verdict.
Must not know: speed.

    python benchmarks/memory.py --gunicorn DIR/bin/gunicorn

``DIR`` is an environment with gunicorn and Django; the interpreter that runs this file has this server and Django. Each
worker answers a few requests and collects garbage, as workers do in their lives: that is what unshares memory which is
not frozen. PSS counts a page that n processes share as one n-th in each (proc(5), smaps_rollup).
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

WORKERS = 8
SHARE = 0.60  # what is promised of gunicorn's PSS
READY_SECONDS = 60.0
COLLECT_SECONDS = 60.0
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# The example, the parts of Django that most sites load, and what a site keeps at module level.
SITE = """
import gc, os
import django_app
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
import django.contrib.admin.sites, django.contrib.auth.hashers, django.db.models, django.forms
import django.template.engine, django.test.client

catalogue = [{"number": number, "labels": [str(number)]} for number in range(OBJECTS // 3)]

def collect(request):
    gc.collect()
    return HttpResponse(str(os.getpid()))

django_app.urlpatterns.append(path("collect", collect))
wsgi = django_app.wsgi
"""


def children_of(pid: int) -> List[int]:
    """Return the processes that descend from ``pid``, itself included."""
    found = [pid]
    for line in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += children_of(int(line))
    return found


def pss_of(pids: List[int]) -> int:
    """Return the sum of PSS, KiB."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/collect", headers={"Connection": "close"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def collect_everywhere(port: int) -> None:
    """Ask until every worker has collected its garbage."""
    until = time.monotonic() + READY_SECONDS + COLLECT_SECONDS
    seen: Dict[str, int] = {}
    while len(seen) < WORKERS and time.monotonic() < until:
        try:
            pid = get(port)
        except OSError:  # it does not listen yet
            time.sleep(0.1)
            continue
        seen[pid] = seen.get(pid, 0) + 1
    if len(seen) < WORKERS:
        raise SystemExit(f"workers: expected {WORKERS} to answer, got {len(seen)}")


def measure(command: List[str], directory: str, port: int) -> int:
    """Start a server, have its workers live a little, and return the PSS of all its processes, KiB."""
    environ = {**os.environ, "PYTHONPATH": f"{directory}{os.pathsep}{EXAMPLES}", "XDG_RUNTIME_DIR": directory}
    options = ["-w", str(WORKERS), "--preload", "-b", f"127.0.0.1:{port}", "--log-level", "error"]
    server = subprocess.Popen([*command, "site_app:wsgi", *options], cwd=directory, env=environ)
    try:
        collect_everywhere(port)
        return pss_of(children_of(server.pid))
    finally:
        server.terminate()
        server.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gunicorn", required=True, help="the command gunicorn, in an environment with Django")
    parser.add_argument("--port", type=int, default=18730, help="this and the next port are used")
    parser.add_argument("--objects", type=int, default=300_000, help="small objects the site keeps; 0 for Django alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "site_app.py").write_text(SITE.replace("OBJECTS", str(arguments.objects)))
        theirs = measure([arguments.gunicorn], directory, arguments.port)
        ours = measure([sys.executable, "-m", "server_cli"], directory, arguments.port + 1)
    share = ours / theirs
    sizes = f"server {ours >> 10} MiB, gunicorn {theirs >> 10} MiB PSS"
    print(f"{WORKERS} preloaded workers, {arguments.objects} objects: {sizes}")
    print(f"share {share:.0%}, promised at most {SHARE:.0%}: {'kept' if share <= SHARE else 'NOT KEPT'}")
    return 0 if share <= SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
