"""What an arbiter shows of itself, when a part of it fails."""

from __future__ import annotations

from types import SimpleNamespace

from server_core.supervise.presence import Presence


class Endpoint:
    """Fails at each tick with ``error``; None for never."""

    def __init__(self, error=None):
        self.error = error
        self.ticks = 0

    def tick(self, _now):
        self.ticks += 1
        if self.error is not None:
            raise self.error


def test_numbers_that_cannot_be_taken_are_told_once_and_end_nothing():
    told = []
    presence = Presence(SimpleNamespace(log=SimpleNamespace(exception=lambda text: told.append(text))))
    presence.control, presence.metrics, presence.statsd = ends = (
        Endpoint(ValueError()),
        Endpoint(),
        Endpoint(KeyError()),
    )
    presence._history = SimpleNamespace(due=lambda _now: False)
    presence.publication = SimpleNamespace(serve=lambda _write: 1 / 0)
    for now in range(3):
        presence.tick(now)
    assert [end.ticks for end in ends] == [3, 3, 3]
    assert len(told) == 1
