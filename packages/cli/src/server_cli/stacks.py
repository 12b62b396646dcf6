"""Asking a worker for its stacks, which it writes line by line.

Owns: when they are complete.
Must not know: how they are shown.
"""

from __future__ import annotations

import time
from typing import Any

from server_core.control.client import ControlClient

WAIT = 2.0  # seconds for a worker to write its stacks
POLL = 0.05


def stack(client: ControlClient, pid: str) -> Any:
    """Have a worker write its stacks and return them; the request it is in comes with them."""
    client.call("stack dump", pid)
    until = time.monotonic() + WAIT
    before = None
    while True:
        data = client.call("stack read", pid)
        # The stacks of threads are complete when they have stopped growing.
        stacks = [line for line in data["report"].splitlines() if line.lstrip().startswith("File ")]
        if stacks and stacks == before and data["complete"]:
            return data
        if time.monotonic() > until:
            if not data["complete"]:
                data["report"] += f"\n\nTasks and greenlets: not known, nothing of Python ran within {WAIT:g} s."
            return data
        before = stacks
        time.sleep(POLL)
