"""The ``eventlet`` worker.

Owns: patching the standard library for eventlet, in the worker process and before the application is imported.
Must not know: connections; see ``server_core.drive.blocking``. Nothing of eventlet is imported with this module: it
is also imported by the arbiter, which must stay as it is.
"""

from __future__ import annotations

import logging
from typing import Any

from server_workers_green.green import GreenWorker, require


class EventletWorker(GreenWorker):
    """Runs each connection in a greenlet of eventlet."""

    server_api = 1  # the plugin contract this class is written for

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:  # noqa: ARG003 - the signature is given
        """Raises ConfigError when eventlet is not installed."""
        require("eventlet", "eventlet")

    @classmethod
    def setup(cls) -> None:
        """Make the standard library cooperative: sockets, ssl, DNS, threads."""
        import eventlet  # type: ignore[import-not-found, import-untyped, unused-ignore]  # has no stubs

        # It looks into every object there is, reports with a traceback each one that has no variables after all (a
        # ``super`` object of its own among them), and goes on.
        last_resort, logging.lastResort = logging.lastResort, logging.NullHandler()
        try:
            eventlet.monkey_patch()
        finally:
            logging.lastResort = last_resort

    @staticmethod
    def spawn(function: Any, *args: Any) -> None:
        """Start a greenlet."""
        import eventlet  # type: ignore[import-not-found, import-untyped, unused-ignore]  # has no stubs

        eventlet.spawn_n(function, *args)

    @staticmethod
    def hub() -> Any:
        """Return the greenlet of the loop."""
        from eventlet import hubs  # type: ignore[import-not-found, import-untyped, unused-ignore]  # has no stubs

        return hubs.get_hub().greenlet

    @staticmethod
    def soon(function: Any, *args: Any) -> None:
        """Call ``function`` from the loop."""
        from eventlet import hubs  # type: ignore[import-not-found, import-untyped, unused-ignore]  # has no stubs

        hubs.get_hub().schedule_call_global(0, function, *args)
