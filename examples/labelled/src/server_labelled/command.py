"""The serverctl verb of the example plugin."""

from __future__ import annotations

import argparse
from typing import Sequence

from server_core.settings import Settings


def label(arguments: Sequence[str]) -> int:
    """Print the label that requests get, or would get."""
    parser = argparse.ArgumentParser(prog="serverctl label")
    parser.add_argument("--socket")  # of serverctl itself, handed on to every verb
    parser.add_argument("label", nargs="?")
    wanted = parser.parse_args(arguments).label
    settings = Settings.make(**({"label": wanted} if wanted else {}))
    print(settings.label)
    return 0
