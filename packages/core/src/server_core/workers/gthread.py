"""The ``gthread`` worker: a pool of threads, any number of connections.

Owns: the class that the entry point names.
Must not know: anything else; see ``drive.threads.PooledReactor``.
"""

from __future__ import annotations

from server_core.drive.threads import PooledReactor
from server_core.workers.wsgi import WSGIWorker


class ThreadWorker(WSGIWorker):
    """Runs each request in a thread of a pool of ``threads``."""

    server_api = 1  # the plugin contract this class is written for
    reactor_class = PooledReactor
    multithread = True
    ends_requests = True
