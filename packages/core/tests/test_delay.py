"""The rule of controlled delay, without a clock: by hand, and against simulated queues."""

from __future__ import annotations

import random
from typing import Iterable, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server_core.drive.delay import ADMIT, CALM_SECONDS, SHED, ControlledDelay

TARGET = 0.5


def leave(rule: ControlledDelay, *leaving: Tuple[float, float]) -> List[int]:
    """Let requests leave the queue: ``(when, after how long)``."""
    return [rule.judge(waited, now) for now, waited in leaving]


def test_a_request_that_waited_within_the_target_is_never_refused() -> None:
    rule = ControlledDelay(TARGET)
    assert leave(rule, *((n * 0.1, 0.5) for n in range(100))) == [ADMIT] * 100


def test_a_burst_that_is_served_before_the_target_has_passed_is_served() -> None:
    rule = ControlledDelay(TARGET)
    assert SHED not in leave(rule, (10.0, 0.6), (10.2, 0.8), (10.4, 1.0), (10.45, 0.4), (10.6, 0.6), (11.0, 0.9))


def test_one_short_wait_says_that_no_queue_stands() -> None:
    rule = ControlledDelay(TARGET)
    assert SHED not in leave(rule, *((n * 0.1, 0.1 if n % 5 == 0 else 2.0) for n in range(200)))


def test_a_standing_queue_is_shed_from_when_it_has_stood_for_the_target() -> None:
    rule = ControlledDelay(TARGET)
    assert leave(rule, (10.0, 0.6), (10.3, 0.8), (10.49, 0.9)) == [ADMIT] * 3
    assert leave(rule, (10.5, 0.9), (10.51, 0.6), (10.52, 0.5), (10.53, 0.51)) == [SHED, SHED, ADMIT, SHED]
    assert rule.shedding
    assert (rule.since, rule.shed) == (10.5, 3)


def test_an_overload_is_over_when_nobody_had_to_be_refused_for_a_while() -> None:
    rule = ControlledDelay(TARGET)
    leave(rule, (10.0, 0.6), (10.3, 0.8), (10.5, 0.9))
    assert leave(rule, (10.5 + CALM_SECONDS - 0.1, 0.1)) == [ADMIT]
    assert rule.shedding
    assert leave(rule, (10.5 + CALM_SECONDS, 0.1)) == [ADMIT]
    assert not rule.shedding
    assert leave(rule, (10.6 + CALM_SECONDS, 0.9)) == [ADMIT], "what comes then is a queue that begins anew"


def test_a_request_that_found_an_empty_queue_is_no_sign_of_a_standing_one() -> None:
    """A thread that a long request kept: each of the two waited, and nobody waited between them."""
    rule = ControlledDelay(TARGET)
    assert leave(rule, (10.0, 2.0), (100.0, 2.0), (200.0, 2.0)) == [ADMIT] * 3


def test_slow_requests_that_stand_in_line_are_a_standing_queue() -> None:
    rule = ControlledDelay(1.0)
    assert leave(rule, (0.0, 0.0), (5.0, 4.0), (5.0, 3.9), (10.0, 8.0)) == [ADMIT, ADMIT, ADMIT, SHED]


class Queue:
    """One thread that takes ``service`` seconds for a request, and a hundredth of that to refuse one."""

    def __init__(self, target: float, service: float) -> None:
        self.rule = ControlledDelay(target)
        self.service = service
        self.waits: List[float] = []  # of the served
        self.shed = 0
        self.episodes = 0
        self.free = 0.0
        self.began = 0.0

    def run(self, arrivals: Iterable[float]) -> Queue:
        for arrival in arrivals:
            start = max(arrival, self.free)
            before = self.rule.shedding
            if self.rule.judge(start - arrival, start) == SHED:
                self.shed += 1
                self.free = start + self.service / 100
            else:
                self.waits.append(start - arrival)
                self.free = start + self.service
            self.episodes += self.rule.shedding and not before
        return self

    @property
    def goodput(self) -> float:
        """The part of the time that went into requests that were served."""
        return len(self.waits) * self.service / self.free


@settings(max_examples=80, deadline=None)
@given(
    target=st.floats(0.05, 2.0),
    service=st.floats(0.001, 0.04),
    overload=st.floats(1.05, 10.0),
)
def test_under_a_steady_overload_the_wait_is_bounded_and_the_work_goes_on(
    target: float, service: float, overload: float
) -> None:
    interval = service / overload
    seconds = 40 * target / (1 - 1 / overload)
    queue = Queue(target, service).run(n * interval for n in range(min(30_000, int(seconds / interval))))
    assert max(queue.waits) <= 2 * target + service
    assert queue.goodput >= 0.85
    if queue.shed:
        assert queue.episodes <= 1 + queue.free / CALM_SECONDS


@settings(max_examples=80, deadline=None)
@given(target=st.floats(0.2, 2.0), load=st.floats(0.05, 0.8), seed=st.integers(0, 1000))
def test_without_an_overload_nobody_is_refused(target: float, load: float, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - arrivals, no secret
    service, now, arrivals = 0.01, 0.0, []
    for _ in range(5000):
        now += chance.expovariate(load / service)
        arrivals.append(now)
    assert Queue(target, service).run(arrivals).shed == 0


@pytest.mark.parametrize("pause", [1.0, 10.0])
def test_bursts_are_served_while_the_queue_is_empty_between_them(pause: float) -> None:
    """Fifty requests at once keep the thread for half a second; that is within the target."""
    arrivals = [n * pause for n in range(100) for _ in range(50)]
    assert Queue(0.5, 0.01).run(arrivals).shed == 0


def test_after_an_overload_everybody_is_served_again() -> None:
    queue = Queue(0.2, 0.02).run(n / 150 for n in range(1500))
    assert queue.shed > 500
    shed = queue.shed
    queue.run(11.0 + n / 30 for n in range(1000))
    assert queue.shed == shed
    assert not queue.rule.shedding
