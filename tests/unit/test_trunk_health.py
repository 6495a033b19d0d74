"""A trunk that fails too often rests, is tried by one call, and comes back."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from shop import SetClock as WallClock

from stasis_callback.clock import US_PER_S
from stasis_callback.core.answers import Meaning
from stasis_callback.core.trunk_state import states_from_text, states_to_text
from stasis_callback.engine.routing import Way
from stasis_callback.engine.trunk_health import LONGEST_REST_S, TrunkHealth
from stasis_callback.monitoring.metrics import _OfTrunks


class SetClock(WallClock):
    """Both clocks stand still until a test moves them."""

    def monotonic_s(self) -> float:
        return self.now_us() / US_PER_S


WAYS = [Way("first"), Way("second")]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def health(clock: SetClock) -> TrunkHealth:
    return TrunkHealth(clock, failures_limit=3, first_rest_s=30)


def order(health: TrunkHealth) -> list[str]:
    return [way.endpoint for way in health.in_turn(WAYS)]


def fails(health: TrunkHealth, times: int = 1, trunk: str = "first") -> None:
    for _ in range(times):
        health.failed(trunk, Meaning.CARRIER, "503")


def word(health: TrunkHealth, clock: SetClock) -> str:
    return health.states()[0].word(clock.now_us())


def test_it_rests_after_so_many_failures_in_a_row(health: TrunkHealth, clock: SetClock) -> None:
    fails(health, 2)
    assert (order(health), word(health, clock)) == (["first", "second"], "failing")
    health.carried("first")
    assert word(health, clock) == "ok"
    fails(health, 2)
    assert order(health) == ["first", "second"]
    fails(health)
    assert (order(health), word(health, clock)) == (["second", "first"], "resting")
    assert health.failures() == {("first", "carrier"): 5}


def test_one_call_tries_it_after_its_rest(health: TrunkHealth, clock: SetClock) -> None:
    fails(health, 3)
    clock.passes(29)
    assert order(health) == ["second", "first"]
    clock.passes(1)
    assert word(health, clock) == "half_open"
    assert order(health) == ["first", "second"]
    assert order(health) == ["second", "first"]  # not two at once
    health.carried("first")
    assert order(health) == ["first", "second"]
    assert word(health, clock) == "ok"


def test_it_is_not_tried_by_a_call_that_never_comes_to_it(health: TrunkHealth, clock: SetClock) -> None:
    fails(health, 3, "second")
    clock.passes(30)
    assert next(health.in_turn(WAYS)).endpoint == "first"
    assert order(health) == ["first", "second"]
    assert order(health) == ["first", "second"]
    assert health.states()[0].word(clock.now_us()) == "resting"  # the call before is still trying it


def test_it_rests_twice_as_long_each_time(health: TrunkHealth, clock: SetClock) -> None:
    fails(health, 3)
    for rest_s in (30, 60, 120, 240, 480, LONGEST_REST_S, LONGEST_REST_S):
        clock.passes(rest_s - 1)
        assert order(health) == ["second", "first"]
        clock.passes(1)
        assert order(health) == ["first", "second"]
        fails(health)


def test_where_all_rest_all_are_tried(health: TrunkHealth) -> None:
    fails(health, 3)
    fails(health, 3, "second")
    assert order(health) == ["first", "second"]


def test_it_never_rests_where_that_is_switched_off(clock: SetClock) -> None:
    health = TrunkHealth(clock, failures_limit=0)
    fails(health, 1000)
    assert order(health) == ["first", "second"]


def test_a_refusal_is_remembered_though_other_calls_go_through(health: TrunkHealth, clock: SetClock) -> None:
    health.failed("first", Meaning.REFUSES_US, "403")
    health.carried("first")
    (state,) = states_from_text(states_to_text(health.states()))
    assert (state.failures, state.refusal, state.refused_at_us) == (0, "403", clock.now_us())
    assert states_to_text([]) == ""
    assert states_from_text("") == []


def test_what_the_metrics_say_of_trunks(health: TrunkHealth) -> None:
    registry = CollectorRegistry()
    registry.register(_OfTrunks(health))
    fails(health, 3)
    health.failed("second", Meaning.REFUSES_US, "403")
    figures = generate_latest(registry).decode()
    assert 'stasis_callback_trunk_up{trunk="first"} 0.0' in figures
    assert 'stasis_callback_trunk_up{trunk="second"} 1.0' in figures
    assert 'stasis_callback_trunk_failures_total{meaning="carrier",trunk="first"} 3.0' in figures
    assert 'stasis_callback_trunk_failures_total{meaning="refuses_us",trunk="second"} 1.0' in figures
