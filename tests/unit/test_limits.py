"""Counters of what was done how often: a window that begins with the first, right under concurrency."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from shop import Shop

from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.core.limits import Limit, RequestLimits, describe_limits
from stasis_callback.engine.admission.tries import counted_try

THREE_A_MINUTE = Limit(3, 60)


def test_no_more_than_the_limit_within_the_window(shop: Shop) -> None:
    limits = shop.stores.limits
    assert [limits.take("a", THREE_A_MINUTE) for _ in range(5)] == [True, True, True, False, False]
    assert limits.take("b", THREE_A_MINUTE)
    assert limits.wait_s("a") == 60
    shop.clock.passes(59.5)
    assert (limits.take("a", THREE_A_MINUTE), limits.wait_s("a")) == (False, 1)
    shop.clock.passes(0.5)
    assert limits.wait_s("a") == 0
    assert [limits.take("a", THREE_A_MINUTE) for _ in range(4)] == [True, True, True, False]


def test_what_is_given_back_does_not_count(shop: Shop) -> None:
    limits = shop.stores.limits
    assert all(limits.take("a", THREE_A_MINUTE) for _ in range(3))
    limits.give_back("a")
    assert [limits.take("a", THREE_A_MINUTE) for _ in range(2)] == [True, False]
    limits.clear("a")
    assert limits.take("a", THREE_A_MINUTE)
    limits.give_back("unknown")


def test_a_try_is_given_back_when_the_database_failed_before_it_was_known_to_be_wrong(shop: Shop) -> None:
    limits, counters = shop.stores.limits, [("a", THREE_A_MINUTE), ("b", Limit(2, 60))]
    for _ in range(5):
        with pytest.raises(StoreUnavailable), counted_try(shop.stores, counters):
            raise StoreUnavailable("gone")
    for refused in ("", "", "b", "b"):
        with counted_try(shop.stores, counters) as full:
            assert full == refused
    assert [count for _, count, _ in limits.counted("")] == [2, 2]
    with pytest.raises(StoreUnavailable), counted_try(shop.stores, counters):
        raise StoreUnavailable("gone")  # nothing was taken, so nothing is given back
    assert [count for _, count, _ in limits.counted("")] == [2, 2]


def test_twenty_threads_get_no_more_than_the_limit(shop: Shop) -> None:
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda _: shop.stores.limits.take("a", Limit(7, 60)), range(60)))
    assert sum(taken) == 7


def test_old_windows_are_forgotten(shop: Shop) -> None:
    shop.stores.limits.take("a", THREE_A_MINUTE)
    shop.stores.limits.forget_old()
    assert len(shop.rows()["Allowance"]) == 1
    shop.clock.passes(60)
    shop.stores.limits.forget_old()
    assert shop.rows()["Allowance"] == []


@pytest.mark.parametrize(
    "text", ["", "5", "0/60", "5/0", "-1/60", "5/60/1", "٥/60", "9999999/60", "5/999999"]
)
def test_a_limit_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"limit_number: .*times/seconds"):
        RequestLimits.parse({"limit_number": text})


def test_limits_have_defaults_and_names() -> None:
    assert RequestLimits.parse({"limit_number": "2/60"}).limit_number == Limit(2, 60)
    assert RequestLimits.parse({}) == RequestLimits()
    assert len(describe_limits()) == 7
    with pytest.raises(InvalidInput, match="unknown limit 'limit_moon'"):
        RequestLimits.parse({"limit_moon": "1/1"})
