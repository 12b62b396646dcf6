"""The rule by which an overloaded worker refuses requests: controlled delay.

Owns: ``ControlledDelay``.
Must not know: clocks, requests, how a refusal looks. Time is an argument.

The rule looks at waits, not at the length of a queue, and at the smallest of them: a burst makes some requests wait
and is over when the queue has been empty once, an overload leaves nobody without a wait. (The idea is that of CoDel,
RFC 8289; there is no square root here, because clients, other than TCP, do not slow down by degrees.)
"""

from __future__ import annotations

from typing import Optional

#: How long nobody had to be refused when an overload is over, at least, in seconds: a load close to the capacity is one
#: overload and not one a second.
CALM_SECONDS = 5.0

# What ``judge`` says
ADMIT = 0
SHED = 1


class ControlledDelay:
    """Decides for one queue, request by request in the order in which they leave it.

    A standing queue is one in which, for ``target`` seconds, no request has waited for less than ``target``. From then
    on those who waited longer are refused, until for ``target`` seconds (``CALM_SECONDS`` at least) nobody had to be.
    While a queue grows steadily, no request is therefore served that waited for more than twice the target.

    Args:
        target: seconds that requests may wait, above 0.

    Attributes:
        shedding: an overload is going on.
        since: when it began, monotonic seconds.
        shed: requests refused in it.
    """

    __slots__ = ("_above_since", "_last", "_last_shed", "shed", "shedding", "since", "target")

    def __init__(self, target: float) -> None:
        self.target = target
        self.shedding = False
        self.since = 0.0
        self.shed = 0
        self._above_since: Optional[float] = None  # since when every request has waited for too long
        self._last = 0.0  # when a request last left the queue
        self._last_shed = 0.0

    def judge(self, waited: float, now: float) -> int:
        """A request leaves the queue at ``now`` after ``waited`` seconds. Return ADMIT or SHED."""
        late = waited > self.target
        if self.shedding:
            return self._judge_in_overload(late, now)
        if not late:
            self._above_since = None
        elif self._above_since is None or now - waited >= self._last:
            # The first, or one that came when the queue was empty: there is no standing queue yet.
            self._above_since = now
        elif now - self._above_since >= self.target:
            self.shedding = True
            self.since = now
            self.shed = 0
            return self._judge_in_overload(late, now)
        self._last = now
        return ADMIT

    def _judge_in_overload(self, late: bool, now: float) -> int:
        self._last = now
        if late:
            self.shed += 1
            self._last_shed = now
            return SHED
        if now - self._last_shed >= max(self.target, CALM_SECONDS):
            self.shedding = False
            self._above_since = None
        return ADMIT
