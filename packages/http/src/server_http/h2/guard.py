"""Counting what costs a server more than its peer: the flood guards of one HTTP/2 connection.

Owns: how many cheap frames a peer may send within ``flood_interval`` (RFC 9113 section 10.5).
Must not know: frames' contents, streams, the engine. The caller says what it saw and when.

Two budgets, each a window that restarts: resets (CVE-2023-44487, and streams that the peer made *us* reset,
CVE-2025-8671), and control frames that carry no request (PING, SETTINGS, PRIORITY, GOAWAY, unknown types, empty
DATA, WINDOW_UPDATE in excess). What is bounded in octets (a header block, a frame) is bounded in ``frames``.
"""

from __future__ import annotations

from server_http.errors import TooMuchAbuse
from server_http.limits import Limits

FREE_PER_REQUEST = 8
"""Control frames that each request brings with it: a client that works may update windows and priorities often."""


class FloodGuard:
    """The two budgets of one connection.

    Args:
        limits: ``h2_resets``, ``h2_control_frames``, ``flood_interval``.
    """

    __slots__ = ("_allowance", "_control", "_control_until", "_interval", "_limits", "_resets", "_resets_until")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._interval = limits.flood_interval
        self._resets = 0
        self._resets_until = 0.0
        self._control = 0
        self._control_until = 0.0
        self._allowance = 0

    def reset(self, now: float) -> None:
        """A stream was reset by the peer, or because of what the peer sent.

        Raises:
            TooMuchAbuse: more than ``h2_resets`` within ``flood_interval`` seconds.
        """
        if now >= self._resets_until:
            self._resets_until = now + self._interval
            self._resets = 0
        self._resets += 1
        if self._resets > self._limits.h2_resets:
            raise TooMuchAbuse(
                f"RST_STREAM: expected at most {self._limits.h2_resets} in {self._interval:g} s, got {self._resets}"
            )

    def control(self, now: float, what: str) -> None:
        """A frame arrived that costs work and brings neither a request nor a body.

        Args:
            now: monotonic seconds.
            what: the frame's name, for the error text.

        Raises:
            TooMuchAbuse: more than ``h2_control_frames``, and more than the requests of the time explain, within
                ``flood_interval`` seconds.
        """
        if now >= self._control_until:
            self._control_until = now + self._interval
            self._control = 0
            self._allowance = self._limits.h2_control_frames
        self._control += 1
        if self._control > self._allowance:
            raise TooMuchAbuse(
                f"control frames: expected at most {self._allowance} in {self._interval:g} s, got {self._control} "
                f"(last a {what})"
            )

    def worked(self, frames: int = FREE_PER_REQUEST) -> None:
        """A request or content arrived, or output went out: ``frames`` more control frames are explained by it."""
        self._allowance += frames
