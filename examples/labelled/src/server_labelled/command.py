"""The serverctl verb of the example plugin."""

from __future__ import annotations

from typing import Sequence

from server_core.settings import Settings


def label(arguments: Sequence[str]) -> int:
    """Print the label that requests get, or would get."""
    settings = Settings.make(**({"label": arguments[0]} if arguments else {}))
    print(settings.label)
    return 0
