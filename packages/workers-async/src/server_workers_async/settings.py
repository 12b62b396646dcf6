"""The settings of the asgi worker.

Owns: the ``asgi_*`` and WebSocket settings. Imports nothing but ``server_core.settings``, because it
is imported to parse the command line.
"""

from __future__ import annotations

import re
from typing import Any

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Choice, Kind, Seconds, Size, Unacceptable

LOOPS = ("auto", "asyncio", "uvloop")
_FACTORY = re.compile(r"[^\s:]+:[^\s:]+")


class LoopName(Kind):
    """``auto``, ``asyncio``, ``uvloop``, or ``module:factory``, which is imported in the worker only."""

    expects = "auto, asyncio, uvloop or module:factory"
    metavar = "LOOP"

    def parse(self, value: Any) -> str:
        """Return ``value``; raises Unacceptable."""
        if not isinstance(value, str) or (value not in LOOPS and not _FACTORY.fullmatch(value)):
            raise Unacceptable
        return value


ASGI = Group(
    "ASGI",
    [
        Setting("asgi_loop", LoopName(), "auto",
                "The event loop: auto (uvloop when it is installed), asyncio, uvloop, or module:factory."),
        Setting("asgi_lifespan", Choice("auto", "on", "off", also={True: "on", False: "off"}), "auto",
                "Whether the application has a lifespan; auto tries."),
        Setting("asgi_lifespan_startup_timeout", Seconds(), 0,
                "How long lifespan startup may take; 0 leaves it to boot_timeout."),
        Setting("asgi_lifespan_shutdown_timeout", Seconds(), 0,
                "How long lifespan shutdown may take; 0 leaves it to graceful_timeout."),
        Setting("asgi_disconnect_grace_period", Seconds(), 3,
                "Seconds between http.disconnect and the cancelling of the application's task; 0 cancels at once."),
    ],
)  # fmt: skip

WEBSOCKET = Group(
    "WebSocket",
    [
        Setting("websocket_max_message_size", Size(), 16 * 1024**2,
                "The largest message that is taken, closed with 1009 above; 0 means no limit."),
        Setting("ws_ping_interval", Seconds(), 20, "Seconds between pings to a silent client; 0 sends none."),
        Setting("ws_ping_timeout", Seconds(), 20, "How long a pong may take before the client is given up."),
    ],
)  # fmt: skip

GROUPS = (ASGI, WEBSOCKET)
