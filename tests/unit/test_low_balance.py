"""A notice for each time that a charge brings the funds below what the product says, and only then."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from shop import UNANSWERED, Shop, talked

from stasis_callback.core.money import parse_amount
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.legs import Side

_legs = count(1)


@pytest.fixture
def account(shop: Shop) -> AccountView:
    """Ten dollars, of which one is too little; a cent a second."""
    shop.stores.accounts.set_low_balance(
        "callback", micros=1_000_000, webhook="crm", mail="callback@calls.example"
    )
    return shop.account()


def call(shop: Shop, account: AccountView, seconds: float) -> str:
    leg_id = f"leg-{next(_legs)}"
    request = shop.request(account)
    shop.leg(leg_id, account, request, hold=f"{max(seconds, 1) / 100:.2f}")
    shop.stores.calls.settle(leg_id, talked(seconds) if seconds else UNANSWERED)
    shop.stores.calls.settle(leg_id, talked(seconds) if seconds else UNANSWERED)
    shop.stores.requests.cancel(request.id)
    shop.sql("UPDATE request SET state = 'done'")
    return leg_id


def noted(shop: Shop) -> list[str]:
    return [row["key"] for row in shop.rows()["Notice"]]


def test_once_for_each_time_that_they_fall_below_it(shop: Shop, account: AccountView) -> None:
    shop.stores.ledger.set_credit_limit(account.book_id, parse_amount("20"))
    shop.stores.accounts.set_low_balance("callback", micros=21_000_000)
    call(shop, account, 100)
    call(shop, account, 799)
    assert noted(shop) == []  # 1.01 and the credit of 20
    crossing = call(shop, account, 2)
    call(shop, account, 10)
    assert noted(shop) == [f"webhook:{crossing}", f"mail:{crossing}"]
    shop.stores.ledger.top_up(account.book_id, 100_000, key="half way")
    call(shop, account, 1)
    assert len(noted(shop)) == 2
    shop.stores.ledger.top_up(account.book_id, 5_000_000, key="enough")
    again = call(shop, account, 600)
    assert noted(shop)[2:] == [f"webhook:{again}", f"mail:{again}"]


def test_what_an_operator_takes_is_noticed_as_what_a_call_costs(shop: Shop, account: AccountView) -> None:
    def takes(amount: str, key: str) -> bool:
        micros = parse_amount(amount)
        return shop.stores.accounts.adjust(account.book_id, micros, key=key, reason="fee", operator="Jana")

    assert takes("-8", "k1")
    assert noted(shop) == []
    assert takes("-1.01", "k2")
    assert not takes("-1.01", "k2")
    assert takes("-0.50", "k3")
    assert takes("0.10", "k4")
    assert noted(shop) == ["webhook:adjust:k2", "mail:adjust:k2"]
    assert takes("5", "k5")
    assert takes("-5", "k6")
    assert noted(shop)[2:] == ["webhook:adjust:k6", "mail:adjust:k6"]


def test_both_legs_of_a_call_that_ends_in_one_commit_are_one_crossing(
    shop: Shop, account: AccountView
) -> None:
    request = shop.request(account)
    sides: tuple[Side, ...] = ("a", "b")
    for side in sides:
        shop.leg(f"both-{side}", account, request, hold="5.00", side=side)
    ends = {f"both-{side}": replace(talked(490), answer_noted=True) for side in ("a", "b")}
    assert shop.stores.calls.settle_all(request.id, ends) is not None
    assert len(noted(shop)) == 2


@pytest.mark.parametrize("off", ["amount", "nobody"])
def test_nobody_is_told_who_does_not_want_to_be(shop: Shop, account: AccountView, off: str) -> None:
    if off == "amount":
        shop.stores.accounts.set_low_balance("callback", off=True)
    else:
        shop.stores.accounts.set_low_balance("callback", webhook="", mail="")
    call(shop, account, 950)
    call(shop, account, 0)
    assert noted(shop) == []


def test_a_claimed_notice_is_kept_from_others_for_a_minute_and_closed_once(
    shop: Shop, account: AccountView
) -> None:
    call(shop, account, 950)
    box = shop.stores.webhook_notices
    assert (box.waiting(), shop.stores.mail_notices.waiting()) == (["crm"], ["callback@calls.example"])
    (notice,) = box.claim("crm", 5)
    assert (notice.account_id, notice.threshold_micros, notice.attempts) == (account.id, 1_000_000, 0)
    assert box.claim("crm", 5) == []
    shop.clock.passes(61)
    (notice,) = box.claim("crm", 5)
    box.retry(notice, 5)
    assert box.claim("crm", 5) == []
    shop.clock.passes(6)
    (notice,) = box.claim("crm", 5)
    assert notice.attempts == 2
    box.close(notice, "sent")
    assert box.waiting() == []
    assert len(shop.stores.mail_notices.claim("callback@calls.example", 5)) == 1
