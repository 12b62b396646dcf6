"""``python -m server_cli`` is the command ``server``.

Owns: the first instructions of the process.
Must not know: what the command does.
"""

from __future__ import annotations

import gc


def run() -> None:
    """Import the command without garbage collections, which would look through all of it several times, and run it.

    What was imported stays, and no collection looks at it later either.
    """
    gc.disable()
    from server_cli.main import main

    gc.freeze()
    gc.enable()
    main()


if __name__ == "__main__":
    run()
