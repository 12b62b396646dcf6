"""What is written at the end of a turn of the loop.

Owns: ``Outbox``: which sessions have something to write or to settle, when that happens, and the bound on how long an
answer waits for it. ``Writer``: what outbox and streams see of a session.
Must not know: what is written, protocols, applications.

A ``send`` that wakes a client whose processor has gone to sleep costs several times what it does otherwise. Between
the answers of one turn it falls asleep, unless they go out together, as uvloop's own transports do it too. A slow
application must not hold up the answers before it: once requests have been at work for ``WAIT_SECONDS`` in a turn, what
waits goes out before the next one begins. Where applications take longer than that, each answer goes out by itself.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from time import monotonic
from typing import List

#: How long requests may be at work, one after another, before their answers go out, in seconds.
WAIT_SECONDS = 0.0005


class Writer:
    """Who writes at the end of a turn: a session, without what it does otherwise.

    Attributes:
        high_water: unsent octets of a stream above which its application waits.
    """

    __slots__ = ("high_water",)

    def flush_soon(self) -> None:
        """Write what waits at the end of this turn of the loop, together with all else that is said in it."""
        raise NotImplementedError

    def settle_soon(self) -> None:
        """Credit was given back: reading may go on at the end of this turn."""
        raise NotImplementedError

    def on_turn_end(self, now: float) -> None:
        """The turn ends at ``now``, monotonic seconds."""
        raise NotImplementedError


class Outbox:
    """The sessions of one loop that are due at the end of its turn.

    Args:
        loop: the running loop.
        context: what its callback runs in.
    """

    __slots__ = ("_begun", "_context", "_loop", "_scheduled", "_sessions")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._sessions: List[Writer] = []
        self._scheduled = False
        self._begun = 0.0  # when the first request was begun since all had been written; 0.0: none was

    def add(self, session: Writer) -> None:
        """Call ``session.on_turn_end`` at the end of this turn."""
        self._sessions.append(session)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn, context=self._context)

    def begin_request(self, now: float) -> None:
        """Something arrived at ``now``, for which an application may run: let nothing wait for it too long."""
        if self._begun == 0.0:
            self._begun = now
        elif now - self._begun >= WAIT_SECONDS:
            self.flush()
            self._begun = now

    def flush(self) -> None:
        """Have all that waits written now."""
        sessions = self._sessions
        self._sessions = []
        self._begun = 0.0
        now = monotonic()
        for session in sessions:
            session.on_turn_end(now)

    def _end_turn(self) -> None:
        self._scheduled = False
        self.flush()
