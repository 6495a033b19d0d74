"""Budgets of ranges and called numbers: what has ended and what is held is counted at any moment, never too much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Shop, open_shop, talked

from stasis_callback.core.fraud import Budget, Budgets, OverBudget, Spent
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.accounts.fraud import Held
from stasis_callback.store.calls.legs import Fare

SECONDS = st.integers(1, 200)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), SECONDS, st.just(0)),
        st.tuples(st.sampled_from(["grow", "end"]), SECONDS, st.integers(0, 9)),
    ),
    max_size=25,
)
MINUTES = 6
_numbers = count(1)


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("ahead")) as shop:
        yield shop


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS, by_number=st.booleans())
def test_what_is_counted_is_what_was_used_and_what_is_held(
    business: Shop, deeds: list[tuple[str, int, int]], by_number: bool
) -> None:
    """Any legs are opened, given more time, and ended, within what they hold."""
    number = f"44207{next(_numbers):07}"
    limit = Budget(0, MINUTES, 0)
    off = replace(Budgets(), destination=Budget())
    budgets = replace(off, destination=limit) if by_number else replace(off, prefixes=((number, limit),))
    business.stores.fraud.budgets = budgets
    key = f"fraud:destination:{number}" if by_number else f"fraud:range:{number}"
    payer = business.account(f"4479{next(_numbers):08}", funds="1000")
    rate = business.stores.tariffs.match(payer.tariff_id, number)
    assert rate is not None
    live: dict[str, int] = {}
    used_s = 0
    for deed, seconds, which in deeds:
        leg_id = sorted(live)[which % len(live)] if live else ""
        expected_s = used_s + sum(live.values())
        if deed == "open":
            request_id = waiting(business, payer.id)
            fits = expected_s + seconds <= MINUTES * 60
            try:
                business.stores.calls.open_leg(
                    f"{request_id}-b1", request_id, "b", Fare(payer, number, rate), 0, seconds
                )
                live[f"{request_id}-b1"] = seconds
            except OverBudget:
                assert not fits
        elif deed == "grow" and leg_id:
            held = Held(number, "b", live[leg_id] + seconds, 0, "USD")
            try:
                assert business.stores.calls.change_hold(leg_id, held)
                live[leg_id] += seconds
            except OverBudget:
                assert expected_s + seconds > MINUTES * 60
        elif leg_id:
            lasted_s = min(live.pop(leg_id), seconds)
            business.stores.calls.settle(leg_id, talked(lasted_s))
            used_s += lasted_s
        stands = business.stores.limits.spent([key]).get(key, Spent())
        assert stands.seconds == used_s + sum(live.values()) <= MINUTES * 60


def waiting(shop: Shop, account_id: int) -> str:
    """A callback that has been claimed; its id."""
    number = f"{next(_numbers):016x}"
    refused = shop.stores.requests.accept(
        CallbackRequest(f"key-{number}", "web", "1", "", number),
        account_id=account_id,
        subscriber_id=None,
        leg_a_number=f"44{next(_numbers):010}",
        stored_options={},
        queue_limit=10_000,
        request_id=number,
    )
    assert refused == ""
    assert [view.id for view in shop.stores.requests.claim(1)] == [number]
    return number
