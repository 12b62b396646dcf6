"""The environment of the servers we compare with, in ``.venv-bench``.

Owns: what is installed there. A peer that cannot be built here is reported, and left out of the table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-bench"

# bjoern needs the headers of libev (Debian: libev-dev), fastwsgi and uWSGI a C compiler.
REQUIREMENTS = [
    "gunicorn gunicorn_h1c packaging",  # its gevent worker imports packaging and does not ask for it
    "granian",
    "uvicorn[standard]",
    "hypercorn",
    "gevent",
    "uvloop",
    "h2",
    "waitress",
    "fastwsgi",
    "bjoern",
    "uwsgi",
    "flask",
    "starlette",
    "fastapi",
    "websockets",
    "socketify",
]


def environment() -> Path:
    """The peers' environment, made when it is missing. ``BENCH_PEERS`` names another one."""
    given = os.environ.get("BENCH_PEERS")
    if given:
        return Path(given)
    stamp = PEERS / ".complete"
    if not stamp.exists():
        venv.create(PEERS, with_pip=True, symlinks=True)
        for requirement in REQUIREMENTS:
            command = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-qq", *requirement.split()]
            if subprocess.run(command, check=False).returncode:
                print(f"bench: {requirement} cannot be installed here, left out", file=sys.stderr)
        stamp.touch()
    return PEERS
