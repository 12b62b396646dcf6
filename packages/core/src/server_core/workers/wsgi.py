"""What the WSGI workers share.

Owns: making gateway, openers and reactor of a worker process.
Must not know: how a reactor runs requests.
"""

from __future__ import annotations

from typing import Any, List, Type

from server_core import plugins
from server_core.drive.config import http_config
from server_core.drive.connection import Opener
from server_core.drive.reactor import Reactor
from server_core.drive.wsgi import Gateway
from server_core.worker import Worker


def make_openers(worker: Worker) -> List[Opener]:
    """Return what makes the connections of each of the worker's listeners."""
    config = http_config(worker.cfg)
    open_engine = plugins.load("server.protocols", worker.cfg.protocol)
    return [Opener(config, open_engine, getattr(listener, "tls", None)) for listener in worker.sockets]


class WSGIWorker(Worker):
    """A worker that runs a WSGI application on a reactor."""

    gateway = "wsgi"  # what applications it takes
    reactor_class: Type[Reactor]
    multithread = False

    reactor: Any = None

    def run(self) -> None:
        """Serve until told to leave."""
        gateway = Gateway(self.wsgi, self, self.multithread)
        self.reactor = self.reactor_class(self, gateway, make_openers(self))
        self.reactor.run()
