"""Helpers of the tests with real processes and sockets: ``from support import ServerProcess, RawClient``.

Owns: starting and stopping servers, raw clients, a small load client, and the scale of long scenarios.
Must not know: what a test asserts.
"""

from __future__ import annotations

from support.client import Answer, RawClient, request
from support.load import KeepAliveLoad, LoadResult
from support.measuring import COLLECTING_WSGI, best_of
from support.net import free_port, until
from support.process import CURRENT_PYTHON, ServerProcess, processes_marked
from support.soak import SOAK_SECONDS, soak_seconds

__all__ = [
    "COLLECTING_WSGI",
    "CURRENT_PYTHON",
    "SOAK_SECONDS",
    "Answer",
    "KeepAliveLoad",
    "LoadResult",
    "RawClient",
    "ServerProcess",
    "best_of",
    "free_port",
    "processes_marked",
    "request",
    "soak_seconds",
    "until",
]
