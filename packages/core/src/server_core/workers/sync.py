"""The ``sync`` worker: one request at a time, any number of connections.

Owns: the class that the entry point names.
Must not know: anything else; see ``drive.reactor.InlineReactor``.
"""

from __future__ import annotations

from server_core.drive.reactor import InlineReactor
from server_core.workers.wsgi import WSGIWorker


class SyncWorker(WSGIWorker):
    """Runs requests one after another, in the thread that owns the connections."""

    reactor_class = InlineReactor
    http2 = False
