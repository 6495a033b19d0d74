"""Asterisk's clock and ours: what a slow answer, a step and a late event say about when something was."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from stasis_callback.ari.time import AsteriskTime
from stasis_callback.clock import US_PER_S, Clock, iso

NOON_US = 1_800_000_000 * US_PER_S


class Steady(Clock):
    """The service's clock: stands still until it is moved."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.ahead_s = 0.0
        """By so much the wall clock was put forward."""

    def monotonic_s(self) -> float:
        return self.passed_s

    def now_us(self) -> int:
        return NOON_US + round((self.passed_s + self.ahead_s) * US_PER_S)


class Pinged:
    """An Asterisk that tells its time, `before_s` after it was asked, and is heard `after_s` later."""

    def __init__(self, clock: Steady) -> None:
        self.clock = clock
        self.ahead_s = 0.0
        self.before_s = self.after_s = 0.001
        self.asked = 0

    def fetch(self, *path: str) -> dict[str, str]:
        assert path == ("asterisk", "ping")
        self.asked += 1
        self.clock.passed_s += self.before_s
        told = iso(self.at_us())
        self.clock.passed_s += self.after_s
        return {"timestamp": told}

    def at_us(self, ago_s: float = 0.0) -> int:
        return self.clock.now_us() + round((self.ahead_s - ago_s) * US_PER_S)


@pytest.fixture
def clock() -> Steady:
    return Steady()


@pytest.fixture
def asterisk(clock: Steady) -> Pinged:
    return Pinged(clock)


@pytest.fixture
def time(asterisk: Pinged, clock: Steady) -> AsteriskTime:
    time = AsteriskTime(asterisk, clock)  # type: ignore[arg-type]
    assert time.measure()
    return time


def test_what_is_heard_of_late_counts_from_when_it_was(
    time: AsteriskTime, asterisk: Pinged, clock: Steady
) -> None:
    asterisk.ahead_s = 3600.0
    clock.passed_s = 100.0
    assert time.steady_s(asterisk.at_us(ago_s=8.0)) == pytest.approx(92.0, abs=0.01)


def test_also_when_asterisk_takes_its_time_to_say_what_time_it_is(
    time: AsteriskTime, asterisk: Pinged, clock: Steady
) -> None:
    clock.passed_s = 100.0
    asterisk.before_s = 4.5
    assert time.steady_s(asterisk.at_us(ago_s=8.0)) == pytest.approx(92.0, abs=0.01)
    assert asterisk.asked == 2


def test_a_slow_answer_does_not_replace_what_is_known_better(
    time: AsteriskTime, asterisk: Pinged, clock: Steady
) -> None:
    clock.passed_s = 100.0
    asterisk.before_s, asterisk.after_s = 0.001, 4.5
    assert time.measure()
    assert time.now_us() == pytest.approx(asterisk.at_us(), abs=10_000)


def test_a_step_is_seen_in_a_slow_answer_too(time: AsteriskTime, asterisk: Pinged, clock: Steady) -> None:
    clock.passed_s = 100.0
    asterisk.ahead_s, asterisk.before_s = -60.0, 4.0
    assert time.measure()
    assert time.now_us() == pytest.approx(asterisk.at_us(), abs=2_100_000)
    asterisk.before_s = 0.001
    assert time.measure()
    assert time.now_us() == pytest.approx(asterisk.at_us(), abs=10_000)


def test_a_slow_answer_and_a_quick_one_after_it_are_no_step(asterisk: Pinged, clock: Steady) -> None:
    """The first is wrong by as much as 4.5 s, which is nobody's fault: no call is charged less for it."""
    time = AsteriskTime(asterisk, clock)  # type: ignore[arg-type]
    asterisk.before_s = 9.0
    assert time.measure()
    asterisk.before_s = 0.001
    clock.passed_s += 60.0
    with capture_logs() as log:
        assert time.measure()
    assert log == []
    assert time.steady_s(asterisk.at_us(ago_s=8.0)) == pytest.approx(clock.passed_s - 8.0, abs=0.01)


@pytest.mark.parametrize("step_s", [5.0, -5.0])
def test_a_step_between_two_starts_of_the_service_is_found(
    asterisk: Pinged, clock: Steady, step_s: float
) -> None:
    """Charged is from the latest that it may have been; no later than it was where the clock was put forward."""
    noon_us = clock.now_us()
    clock.passed_s, clock.ahead_s = 20.0, step_s
    time = AsteriskTime(asterisk, clock)  # type: ignore[arg-type]
    time.remember(noon_us + 5 * US_PER_S, noon_us + 5 * US_PER_S, 5.0)
    earliest_s, latest_s = time.between_s(noon_us + 6 * US_PER_S)
    assert earliest_s <= 6.0
    assert latest_s == pytest.approx(6.0 - min(step_s, 0.0), abs=0.01)


@pytest.mark.parametrize("apart_s", [0.0, 600.0])
def test_where_our_clock_was_not_set_a_former_start_knows_of_no_step(
    asterisk: Pinged, clock: Steady, apart_s: float
) -> None:
    """How far the two were apart may be from before a step that the former start has lived through."""
    noon_us = clock.now_us()
    clock.passed_s = 20.0
    time = AsteriskTime(asterisk, clock)  # type: ignore[arg-type]
    time.remember(noon_us + round((5 + apart_s) * US_PER_S), noon_us + 5 * US_PER_S, 5.0)
    assert time.between_s(noon_us + 6 * US_PER_S) == pytest.approx((6.0, 6.0), abs=0.01)


def test_a_time_that_was_still_to_come_when_the_step_was_found_is_from_after_it(
    time: AsteriskTime, asterisk: Pinged, clock: Steady
) -> None:
    """Answer and end of a call while the link was lost: both are exactly known, and nothing is given away."""
    clock.passed_s, asterisk.ahead_s = 4.0, 60.0
    answered_us = asterisk.at_us()
    clock.passed_s = 20.0
    assert time.measure()
    earliest_s, latest_s = time.between_s(answered_us, since_s=3.0)
    assert earliest_s <= latest_s == pytest.approx(4.0, abs=0.01)


def test_a_time_that_fits_neither_the_clock_before_a_step_nor_after_it_says_nothing(
    time: AsteriskTime, asterisk: Pinged, clock: Steady
) -> None:
    """Put back by five seconds as the leg rang, and forward by a minute as it was answered: it was heard at once."""
    clock.passed_s, asterisk.ahead_s = 14.0, -5.0
    answered_us = asterisk.at_us()
    asterisk.ahead_s = 60.0
    assert time.measure()
    earliest_s, latest_s = time.between_s(answered_us, since_s=11.0, by_s=14.0)
    assert 11.0 <= earliest_s <= latest_s == pytest.approx(14.0, abs=0.01)
