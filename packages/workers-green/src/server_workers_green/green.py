"""What the green workers share.

Owns: making gateway, openers and server of a green worker process.
Must not know: gevent and eventlet.
"""

from __future__ import annotations

import importlib.util
from typing import Any, List, Optional

from server_core.drive.blocking import BlockingServer
from server_core.drive.wsgi import Gateway
from server_core.errors import ConfigError
from server_core.stacks import Stack
from server_core.worker import Worker
from server_core.workers.openers import make_openers, prepare_openers
from server_workers_green.waiting import stacks_of_greenlets


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
    _server: Optional[BlockingServer] = None

    @classmethod
    def prepare(cls, cfg: Any) -> None:
        """Make what all workers of these settings share."""
        prepare_openers(cfg)

    def run(self) -> None:
        """Serve until told to leave."""
        gateway = Gateway(self.wsgi, self, multithread=True)
        self._server = BlockingServer(self, gateway, make_openers(self), self)
        self._server.run()

    def waiting_stacks(self) -> List[Stack]:
        """Return where the greenlets stand, those of requests first."""
        requests = {} if self._server is None else self._server.requests()
        return stacks_of_greenlets(requests, self.hub())

    @staticmethod
    def spawn(function: Any, *args: Any) -> None:
        """Start a greenlet."""
        raise NotImplementedError

    @property
    def current(self) -> Any:
        """The function that returns the greenlet that runs."""
        from greenlet import getcurrent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        return getcurrent

    @staticmethod
    def hub() -> Any:
        """Return the greenlet of the loop."""
        raise NotImplementedError

    @staticmethod
    def soon(function: Any, *args: Any) -> None:
        """Call ``function`` from the loop, between two greenlets."""
        raise NotImplementedError
