"""The daily cap where two clocks differ about midnight (UTC), or one is put back over it."""

from __future__ import annotations

import pytest
from shop import Shop, talked

from stasis_callback.clock import US_PER_S
from stasis_callback.core.money import parse_amount
from stasis_callback.store.accounts.view import AccountView
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.money.ledger import DAY_US

CAP = "10"


@pytest.fixture
def capped(shop: Shop) -> AccountView:
    shop.account("100", funds="1000")
    shop.stores.accounts.change("100", daily_cap_micros=parse_amount(CAP))
    return shop.stores.accounts.named("100")


def spends(shop: Shop, account: AccountView, request: RequestView, leg_id: str) -> int:
    """What a leg is charged that may cost half of the cap; 0 where it may not be made."""
    if not shop.leg(leg_id, account, request, hold="5", side="b"):
        return 0
    return shop.stores.calls.settle(leg_id, talked(500)).amount_micros


def to_midnight(shop: Shop) -> float:
    """Seconds until then."""
    return (DAY_US - shop.clock.now_us() % DAY_US) / US_PER_S


def test_two_nodes_a_second_apart_keep_one_cap_over_midnight(shop: Shop, capped: AccountView) -> None:
    request = shop.request(capped)
    shop.clock.passes(to_midnight(shop) - 0.6)
    spent = 0
    for n in range(20):
        spent += spends(shop, capped, request, f"l{n}")
        shop.clock.passes(1.2 if n % 2 == 0 else -1.2)
    assert spent <= 2 * parse_amount(CAP)  # of the day that ends, and of the one that begins
    assert not list(verify(shop.stores.database, shop.stores.tariffs, whole=True))


def test_a_clock_put_back_over_midnight_begins_no_day_again(shop: Shop, capped: AccountView) -> None:
    request = shop.request(capped)
    shop.clock.passes(to_midnight(shop) + 1)
    assert [spends(shop, capped, request, f"l{n}") > 0 for n in range(3)] == [True, True, False]
    shop.clock.passes(-10)
    assert spends(shop, capped, request, "l4") == 0
    assert shop.stores.accounts.named("100").spendable_micros(shop.clock.now_us()) == 0


def test_a_clock_that_was_a_month_ahead_uses_up_no_other_day(shop: Shop, capped: AccountView) -> None:
    request = shop.request(capped)
    shop.clock.passes(30 * 86_400)
    assert [spends(shop, capped, request, f"l{n}") > 0 for n in range(3)] == [True, True, False]
    shop.clock.passes(-30 * 86_400)
    assert spends(shop, capped, request, "l4") > 0
    assert not list(verify(shop.stores.database, shop.stores.tariffs, whole=True))
