"""A headless Chromium, told what to do over its own protocol.

Owns: starting it, opening a page, evaluating in it, pictures of it.
Must not know: what is looked at.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Type

import pytest
from websockets.sync.client import connect

from support import until

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]  # fmt: skip


class Browser:
    """One page in one browser; a context manager. Skips the test where no Chromium is installed.

    Args:
        profile: an empty directory.
        size: of the window, ``"width,height"``.
    """

    def __init__(self, profile: Path, size: str = "1240,680") -> None:
        found = shutil.which("chromium")
        if found is None:
            pytest.skip("chromium is not installed")
        self._log = profile / "log"
        self._number = itertools.count(1)
        self._stack = contextlib.ExitStack()
        self.errors: List[str] = []
        with self._log.open("w") as log:
            command = [found, *FLAGS, f"--window-size={size}", f"--user-data-dir={profile / 'profile'}", "about:blank"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self) -> Browser:
        try:
            self._connect()
        except BaseException:
            self._stop()
            raise
        return self

    def _connect(self) -> None:
        address = until(lambda: re.search(r"ws://127\.0\.0\.1:(\d+)", self._log.read_text()), 20, "Chromium listens")
        with urllib.request.urlopen(f"http://127.0.0.1:{address.group(1)}/json/list", timeout=20) as answer:
            (page,) = [target for target in json.load(answer) if target["type"] == "page"]
        self._socket = self._stack.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stack.close()
        self._process.terminate()
        self._process.wait(10)

    def open(self, url: str) -> None:
        """Load a page, and wait until it is loaded."""
        self._call("Page.navigate", url=url)
        loaded = f"{url} complete"
        until(lambda: self.evaluate("location.href + ' ' + document.readyState") == loaded, 20, f"{url} is loaded")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._number)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=20))
            if message.get("id") == number:
                return message["result"]
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.errors.append(json.dumps(message["params"]))
