"""What workers of every kind open their connections with.

Owns: making the openers of a worker's listeners, and what can be made of them before the fork.
Must not know: gateways and reactors, which an asyncio worker never imports.
"""

from __future__ import annotations

from typing import Any, List

from server_core import plugins
from server_core.drive.config import http_config
from server_core.drive.connection import Opener
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
