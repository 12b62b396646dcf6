"""The worker of the example plugin.

Owns: the label in the environ. All else is the gthread worker's.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable

from server_core.workers.gthread import ThreadWorker

Application = Callable[[Dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LabelledWorker(ThreadWorker):
    """``gthread`` with a label in the environ of every request."""

    server_api = 1  # the worker contract this class is written for

    def load_wsgi(self) -> None:
        """Load the application, and wrap it."""
        super().load_wsgi()
        self.wsgi = labelled(self.wsgi, self.cfg.label)


def labelled(application: Application, label: str) -> Application:
    """Wrap an application so that it finds ``example.label``."""

    def wrapped(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["example.label"] = label
        return application(environ, start_response)

    return wrapped
