"""A terminal with a person at it.

Owns: what is on its screen, which keys are pressed.
Must not know: what runs in it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess

import pytest

_number = itertools.count()


class Terminal:
    """A terminal of tmux, in a tmux of its own. Skips the test where tmux is not installed.

    Args:
        command: for its shell.
    """

    def __init__(self, command: str) -> None:
        if shutil.which("tmux") is None:
            pytest.skip("tmux is not installed")
        self._name = f"test-{os.getpid()}-{next(_number)}"
        self._tmux("new-session", "-d", "-x", "120", "-y", "36", command)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout

    def screen(self) -> str:
        """What is on it."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys."""
        self._tmux("send-keys", *keys)

    def close(self) -> None:
        """End everything."""
        self._tmux("kill-server")
