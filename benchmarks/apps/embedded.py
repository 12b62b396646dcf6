"""Start the servers that have no command of their own: ``python embedded.py bjoern module:attribute port``."""

from __future__ import annotations

import importlib
import sys


def main(server: str, application: str, port: int) -> None:
    """Serve one application."""
    module, _, attribute = application.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if server == "bjoern":
        import bjoern

        bjoern.run(app, "127.0.0.1", port)
    else:
        import fastwsgi

        fastwsgi.run(wsgi_app=app, host="127.0.0.1", port=port, loglevel=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
