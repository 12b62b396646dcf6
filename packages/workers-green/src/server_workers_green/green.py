"""What the green workers share.

Owns: making gateway, openers and server of a green worker process.
Must not know: gevent and eventlet.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from server_core.drive.blocking import BlockingServer
from server_core.drive.wsgi import Gateway
from server_core.errors import ConfigError
from server_core.worker import Worker
from server_core.workers.openers import make_openers, prepare_openers


def require(library: str, worker: str) -> None:
    """Check that ``library`` is installed, without importing it: that is left to the worker process.

    Raises:
        ConfigError: it is not; the text says how to install it.
    """
    if importlib.util.find_spec(library) is None:
        raise ConfigError(f"worker class {worker!r} needs {library}: pip install server-cli[{library}]")


class GreenWorker(Worker):
    """A worker that runs a WSGI application in greenlets."""

    gateway = "wsgi"  # what applications it takes
    ends_requests = True

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what all workers of these settings share."""
        prepare_openers(cfg)

    def run(self) -> None:
        """Serve until told to leave."""
        gateway = Gateway(self.wsgi, self, multithread=True)
        BlockingServer(self, gateway, make_openers(self), self).run()

    @staticmethod
    def spawn(function: Any, *args: Any) -> None:
        """Start a greenlet."""
        raise NotImplementedError

    @staticmethod
    def current() -> Any:
        """Return the greenlet that runs."""
        from greenlet import getcurrent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        return getcurrent()

    @staticmethod
    def soon(function: Any, *args: Any) -> None:
        """Call ``function`` from the loop, between two greenlets."""
        raise NotImplementedError
