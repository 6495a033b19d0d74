"""Budgets of ranges over midnights and releases: each minute is counted once, in the day in which it was reserved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Shop, open_shop, talked
from test_budgets_ahead import waiting

from stasis_callback.clock import US_PER_S
from stasis_callback.core.fraud import Budget, Budgets, Spent
from stasis_callback.store.accounts.fraud import Held
from stasis_callback.store.calls.legs import Fare

DAY_US = 86_400 * US_PER_S
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(1, 30), st.just(0)),
        st.tuples(st.sampled_from(["longer", "end"]), st.integers(0, 30), st.integers(0, 9)),
        st.tuples(st.just("passes"), st.integers(1, 36), st.just(0)),
        st.tuples(st.just("release"), st.just(0), st.just(0)),
    ),
    max_size=25,
)
_prefixes = count(1)


@pytest.fixture(scope="module")
def midnights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("midnights")) as shop:
        yield shop


def release(shop: Shop, prefix: str) -> None:
    """The range is set aside, and then released."""
    shop.stores.fraud.set_aside(f"range:{prefix}", "seen in the news", "Jana", None)
    shop.stores.fraud.release(f"range:{prefix}", "Jana")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS)
def test_each_minute_counts_once_in_the_day_in_which_it_was_reserved(
    midnights: Shop, deeds: list[tuple[str, int, int]]
) -> None:
    """Legs are opened, given more time and ended, while days pass and the range is released, as if a day began."""
    shop, prefix = midnights, f"44207{next(_prefixes):06}"
    number, key = f"{prefix}9", f"fraud:range:{prefix}"
    far = Budget(0, 10**6, 0)
    shop.stores.fraud.budgets = replace(Budgets(), destination=Budget(), prefixes=((prefix, far),))
    payer = shop.account(prefix, funds="1000")
    rate = shop.stores.tariffs.match(payer.tariff_id, number)
    assert rate is not None
    fare, period = Fare(payer, number, rate), 0
    live: dict[str, list[int]] = {}
    """The period in which each second of a leg was reserved."""
    used: list[int] = []
    for deed, amount, which in deeds:
        leg_id = sorted(live)[which % len(live)] if live else ""
        if deed == "open":
            request_id = waiting(shop, payer.id)
            assert shop.stores.calls.open_leg(f"{request_id}-b1", request_id, "b", fare, 0, amount)
            live[f"{request_id}-b1"] = [period] * amount
        elif deed == "longer" and leg_id:
            live[leg_id] += [period] * amount
            assert shop.stores.calls.change_hold(leg_id, Held(number, "b", len(live[leg_id]), 0, "USD"))
        elif deed == "end" and leg_id:
            seconds = live.pop(leg_id)[:amount]
            shop.stores.calls.settle(leg_id, talked(len(seconds)))
            used += seconds
        elif deed == "passes":
            day = shop.clock.at_us // DAY_US
            shop.clock.passes(amount * 3600)
            period += shop.clock.at_us // DAY_US > day
        elif deed == "release":
            release(shop, prefix)
            period += 1
        seconds_of = used + [one for reserved in live.values() for one in reserved]
        assert shop.stores.limits.spent([key]).get(key, Spent()).seconds == seconds_of.count(period)
