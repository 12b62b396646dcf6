"""The ``sync`` worker: one request at a time, any number of connections.

Owns: the class that the entry point names.
Must not know: anything else; see ``drive.reactor.InlineReactor``.
"""

from __future__ import annotations

from typing import Any

from server_core.drive.passing import PassedConnections
from server_core.drive.reactor import InlineReactor
from server_core.workers.wsgi import WSGIWorker


class SyncWorker(WSGIWorker):
    """Runs requests one after another, in the thread that owns the connections."""

    server_api = 1  # the plugin contract this class is written for
    reactor_class = InlineReactor
    http2 = False

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what the workers share, in the arbiter, before the first of them is forked."""
        super().prepare(cfg)
        wanted = cfg.multiprocess and cfg.busy_handover > 0 and not cfg.reuse_port
        doors = (cfg.address, cfg.is_ssl, cfg.proxy_protocol, cfg.protocol) if wanted else None
        before = cls.__dict__.get("passed")
        if before is not None:
            if before.doors == doors:
                return
            before.close()  # in this process: workers that came through other doors keep it
        cls.passed = None if doors is None else PassedConnections(doors)
