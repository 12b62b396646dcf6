"""The ``gevent`` worker.

Owns: patching the standard library for gevent, in the worker process and before the application is imported.
Must not know: connections; see ``server_core.drive.blocking``. Nothing of gevent is imported with this module: it is
also imported by the arbiter, which must stay as it is.
"""

from __future__ import annotations

from typing import Any

from server_workers_green.green import GreenWorker, require


class GeventWorker(GreenWorker):
    """Runs each connection in a greenlet of gevent."""

    server_api = 1  # the plugin contract this class is written for

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:  # noqa: ARG003 - the signature is given
        """Raises ConfigError when gevent is not installed."""
        require("gevent", "gevent")

    @classmethod
    def setup(cls) -> None:
        """Make the standard library cooperative: sockets, ssl, DNS, threads, subprocesses."""
        from gevent import monkey  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        monkey.patch_all()

    @staticmethod
    def spawn(function: Any, *args: Any) -> None:
        """Start a greenlet."""
        import gevent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        gevent.spawn(function, *args)

    @staticmethod
    def hub() -> Any:
        """Return the greenlet of the loop."""
        import gevent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        return gevent.get_hub()

    @staticmethod
    def soon(function: Any, *args: Any) -> None:
        """Call ``function`` from the loop."""
        import gevent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        gevent.get_hub().loop.run_callback(function, *args)

    _quitting = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        """INT and QUIT: leave at once, from a greenlet of their own: a handler runs wherever the loop is.

        Ctrl-C brings both, INT from the terminal and QUIT from the arbiter; a second greenlet would end the first in
        its leaving. A worker that boots may not have a loop yet, and leaves from the handler.
        """
        if not self.booted:
            super().handle_quit(sig, frame)
        if self._quitting:
            return
        self._quitting = True
        import gevent  # type: ignore[import-untyped, unused-ignore]  # has no stubs

        gevent.spawn(super().handle_quit, sig, frame)
