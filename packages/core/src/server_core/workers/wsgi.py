"""What the WSGI workers share.

Owns: making gateway and reactor of a worker process.
Must not know: how a reactor runs requests.
"""

from __future__ import annotations

from typing import Any, Type

from server_core.drive.reactor import Reactor
from server_core.drive.wsgi import Gateway
from server_core.worker import Worker
from server_core.workers.openers import make_openers, prepare_openers


class WSGIWorker(Worker):
    """A worker that runs a WSGI application on a reactor."""

    gateway = "wsgi"  # what applications it takes
    reactor_class: Type[Reactor]
    multithread = False
    http2 = True  # whether it can run the streams of one connection side by side

    reactor: Any = None
    passed: Any = None  # where idle connections of busy workers go; inherited by all workers with the same listeners

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what all workers of these settings share."""
        prepare_openers(cfg)

    def run(self) -> None:
        """Serve until told to leave."""
        gateway = Gateway(self.wsgi, self, self.multithread)
        self.reactor = self.reactor_class(self, gateway, make_openers(self))
        self.reactor.run()
