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


def prepare_openers(cfg: Any) -> None:
    """Make what the openers of all workers share, in the process that forks them."""
    http_config(cfg)
    plugins.load(plugins.PROTOCOLS, cfg.protocol)


def make_openers(worker: Worker) -> List[Opener]:
    """Return what makes the connections of each of the worker's listeners."""
    config = http_config(worker.cfg)
    if not getattr(worker, "http2", True) and "h2" in config.protocols:
        worker.log.warning("http_protocols: the worker class %r serves HTTP/1 only", worker.cfg.worker_class_str)
        config = config.replace(protocols=("h1",), http2_cleartext="off")
    elif "h2" in config.protocols:
        config = config.replace(connect_protocols=getattr(worker, "connect_protocols", ()))
    open_engine = plugins.load(plugins.PROTOCOLS, worker.cfg.protocol)
    return [Opener(config, open_engine, getattr(listener, "tls", None)) for listener in worker.sockets]


class WSGIWorker(Worker):
    """A worker that runs a WSGI application on a reactor."""

    gateway = "wsgi"  # what applications it takes
    reactor_class: Type[Reactor]
    multithread = False
    http2 = True  # whether it can run the streams of one connection side by side

    reactor: Any = None
    exchange: Any = None  # where idle connections of busy workers go; inherited by all workers of a class

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what all workers of these settings share."""
        prepare_openers(cfg)

    def run(self) -> None:
        """Serve until told to leave."""
        gateway = Gateway(self.wsgi, self, self.multithread)
        self.reactor = self.reactor_class(self, gateway, make_openers(self))
        self.reactor.run()
