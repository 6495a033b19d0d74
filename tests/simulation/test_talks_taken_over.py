"""A service that is killed in a talk and comes back: the talk lasts as long as without, whatever the legs cost."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stasis_callback.testing.simulation.money import PriceList
from stasis_callback.testing.simulation.people import Script
from stasis_callback.testing.simulation.plan import ABROAD, HOME, Asked, Business, Fault, Plan, Subscriber
from stasis_callback.testing.simulation.runner import simulate

FRIEND = f"{ABROAD}71234560"
LOWEST_S = 0.2
"""Of two runs the steps in between do not take exactly as long."""


def priced(prefix: str, minute_micros: int, **terms: int) -> PriceList:
    return PriceList(prefix, first_price=minute_micros, next_price=minute_micros, **{"free_s": 0, **terms})


def talk(a: PriceList, b: PriceList, *, funds: int = 10_000_000, **options: str) -> Plan:
    """One callback; both stay until the talk is ended for them."""
    usual = {
        "hold_slice_s": "30", "hold_extend_before_s": "8", "talk_limit_s": "120", "low_funds_warning_s": "0",
        "ring_timeout_a_s": "10", "ring_timeout_b_s": "10", "menu_limit_s": "20", "menu_afterwards": "off",
    }  # fmt: skip
    keys = ((1.0, f"{FRIEND}#"),)
    subscriber = Subscriber(f"{HOME}12345670", funds, (Script("answers", 0.2, 17, keys),))
    friends: dict[str, tuple[Script, ...]] = {FRIEND: (Script("answers", 0.5),)}
    return Plan(
        1, Business((a, b), (0,)), usual | options, (subscriber,), friends, (Asked(2.0, "missed", 0),)
    )


def killed(plan: Plan, after_s: float, away_s: float = 1.0) -> Plan:
    return replace(plan, faults=(Fault(after_s, "service killed", away_s, when="B answered"),))


def lasted_s(plan: Plan) -> float:
    """How long the two talked; 0 where the funds were too few for that."""
    result = simulate(plan)
    assert result.breaks == []
    settled = [line for line in result.journal if "leg.settled" in line and "side=b" in line]
    found = [re.search(r"duration_s=([\d.]+)", line) for line in settled]
    return sum(float(one[1]) for one in found if one)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(talk(priced("420", 60_000), priced("44", 0)), id="leg B is free"),
        pytest.param(talk(priced("420", 60_000), priced("44", 0, fee=100_000)), id="flat fee"),
        pytest.param(
            talk(priced("420", 60_000, maximum=100_000), priced("44", 600_000, maximum=100_000)),
            id="at its maximum",
        ),
        pytest.param(talk(priced("420", 0), priced("44", 120_000)), id="leg A is free"),
        pytest.param(talk(priced("420", 0), priced("44", 0)), id="both are free"),
        pytest.param(talk(priced("420", 60_000), priced("44", 120_000)), id="by the second"),
        pytest.param(
            talk(
                priced("420", 60_000, first_s=300, next_s=300), priced("44", 120_000), funds=720_000,
                talk_limit_s="600",
            ),
            id="a long interval of leg A",
        ),
        pytest.param(
            talk(
                priced("420", 60_000, minimum=300_000), priced("44", 120_000, minimum=300_000), funds=700_000,
                talk_limit_s="600",
            ),
            id="a minimum of leg A",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after_s", [5.0, 100.0])
def test_a_restart_ends_no_talk_and_makes_none_longer(plan: Plan, after_s: float) -> None:
    assert lasted_s(killed(plan, after_s)) == pytest.approx(lasted_s(plan), abs=LOWEST_S)


@pytest.mark.parametrize("left_s", [3.0, 1.5, 0.5])
def test_a_slice_that_is_nearly_over_when_the_service_is_back_is_followed_by_the_next(left_s: float) -> None:
    plan = talk(priced("420", 60_000), priced("44", 120_000), hold_slice_s="10", hold_extend_before_s="5")
    assert lasted_s(killed(plan, 4.0, 6.0 - left_s)) == pytest.approx(120, abs=LOWEST_S)


rates = st.fixed_dictionaries(
    {
        "fee": st.sampled_from([0, 10_000]),
        "first_s": st.sampled_from([1, 30, 60, 180]),
        "first_price": st.sampled_from([0, 60_000, 120_000]),
        "next_s": st.sampled_from([1, 6, 60]),
        "next_price": st.sampled_from([0, 60_000, 120_000]),
    }
)
terms_of_both = st.fixed_dictionaries(
    {
        "free_s": st.sampled_from([0, 10, 100]),
        "grace_s": st.sampled_from([0, 3, 15]),
        "minimum": st.sampled_from([0, 50_000]),
        "maximum": st.sampled_from([0, 60_000]),
    }
)
money = st.sampled_from([300_000, 1_000_000, 10_000_000])


@settings(max_examples=15, deadline=None)
@given(rates, rates, terms_of_both, money, st.floats(1, 110))
def test_no_price_makes_a_talk_shorter_by_a_restart_nor_longer_than_the_limit(
    a: dict[str, int], b: dict[str, int], terms: dict[str, int], funds: int, after_s: float
) -> None:
    """It may be a little longer than without: what was held for the ringing is paid for talking then."""
    plan = talk(PriceList("420", **a, **terms), PriceList("44", **b, **terms), funds=funds)
    undisturbed_s = lasted_s(plan)
    assume(undisturbed_s > 4)
    again_s = lasted_s(killed(plan, min(after_s, undisturbed_s - 3)))
    assert undisturbed_s - LOWEST_S <= again_s <= 120 + LOWEST_S
