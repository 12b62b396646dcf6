"""Databases as real processes, each in a directory of its own, as context managers.

Owns: starting, waiting for the first answer, stopping.
Must not know: what is stored.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

from support.net import free_port, until

POSTGRES_PLACES = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[int]:
    """PostgreSQL with a user ``test`` who needs no password; gives the port. Skips where it is not installed."""
    initdb = shutil.which("initdb") or next((found for place in POSTGRES_PLACES if (found := _in(place))), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    data, port = folder / "postgres", free_port()
    data.mkdir()
    # It refuses to be run by root.
    user = "nobody" if os.getuid() == 0 else None
    if user:
        shutil.chown(data, user)
        for parent in (folder, *folder.parents):
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    _run([initdb, "-D", str(data), "-U", "test", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"], user)
    command = [
        str(Path(initdb).resolve().with_name("postgres")),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        str(data),
    ]
    with subprocess.Popen(command, user=user, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: _listens(port), 60)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Redis; gives the port. Skips the test where it is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _in(place: str) -> Optional[str]:
    found = Path(place) / "initdb"
    return str(found) if found.exists() else None


def _run(command: List[str], user: Optional[str]) -> None:
    subprocess.run(command, user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")
