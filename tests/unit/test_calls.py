"""Legs from the moment before they are dialled to their xDR."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from shop import NOON_US, UK_RATE, UNANSWERED, Shop, talked

from stasis_callback.core.errors import InvariantBroken, NotOurs
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate
from stasis_callback.store.calls.legs import LegEnd
from stasis_callback.store.rates.tariffs import NewRate


@pytest.fixture
def call(shop: Shop) -> Any:
    """An account with ten dollars, and its callback."""
    account = shop.account("100")
    return account, shop.request(account)


def test_a_leg_is_noted_with_its_hold_before_it_is_dialled(shop: Shop, call: Any) -> None:
    account, request = call
    assert shop.leg("b1", account, request, hold="3.00")
    (leg,) = shop.stores.calls.open_legs()
    assert (leg.id, leg.request_id, leg.side, leg.number) == ("b1", request.id, "b", "442071234567")
    assert (leg.account_id, leg.dialed_at_us, leg.answered_at_us) == (account.id, NOON_US, None)
    assert shop.stores.tariffs.version(leg.rate_id, leg.terms_id).rate == UK_RATE
    assert shop.money(account) == (1000, 300)


@pytest.mark.parametrize("hold", ["10.000001", "10.01", "1000"])
def test_without_the_funds_nothing_is_noted(shop: Shop, call: Any, hold: str) -> None:
    before = shop.rows()
    assert not shop.leg("b1", *call, hold=hold)
    assert shop.rows() == before


def test_a_leg_that_is_asked_for_again_has_what_it_had(shop: Shop, call: Any) -> None:
    """The response to a commit was lost, and the unit is run again."""
    shop.leg("b1", *call, hold="1.00")
    before = shop.rows()
    assert shop.leg("b1", *call, hold="2.00")
    assert shop.rows() == before


def test_a_leg_id_is_used_once(shop: Shop, call: Any) -> None:
    account, request = call
    shop.leg("b1", account, request, hold="1.00")
    with pytest.raises(NotOurs):
        shop.leg("b1", account, replace(request, id="another"), hold="1.00")
    shop.stores.calls.settle("b1", talked(1))
    before = shop.rows()
    with pytest.raises(InvariantBroken, match="leg id b1 was already used"):
        shop.leg("b1", account, request, hold="1.00")
    assert shop.rows() == before


@pytest.mark.parametrize(
    # Ten dollars, three of them held, a cent per started second.
    ("end",                                        "charged_s", "amount", "overrun", "balance"),
    [
        (talked(0.000001),                                   1,        1,         0,       999),
        (talked(1),                                          1,        1,         0,       999),
        (talked(9.012),                                     10,       10,         0,       990),
        (talked(300),                                      300,      300,         0,       700),
        (talked(300.5),                                    301,      301,         1,       700),
        (talked(2000),                                    2000,     2000,      1700,       700),
        (talked(0),                                          0,        0,         0,      1000),
        (talked(-5),                                         0,        0,         0,      1000),  # a clock went back
        (UNANSWERED,                                         0,        0,         0,      1000),
        (LegEnd(None, NOON_US + 10**9, Outcome.NO_ANSWER, 19, "cel"), 0, 0,       0,      1000),
    ],
)  # fmt: skip
def test_an_ended_leg_is_charged_by_asterisks_times(
    shop: Shop, call: Any, end: LegEnd, charged_s: int, amount: int, overrun: int, balance: int
) -> None:
    account, request = call
    shop.leg("b1", account, request, hold="3.00")
    xdr = shop.stores.calls.settle("b1", end)
    assert (xdr.charged_s, xdr.amount_micros, xdr.overrun_micros) == (
        charged_s,
        amount * 10_000,
        overrun * 10_000,
    )
    assert shop.money(account) == (balance, 0)
    assert shop.stores.calls.open_legs() == []
    assert (xdr.leg_id, xdr.request_id, xdr.account, xdr.number) == ("b1", request.id, "100", "442071234567")
    assert (xdr.prefix, xdr.currency, xdr.side) == ("44", "USD", "b")
    assert (xdr.answered_at_us, xdr.ended_at_us) == (end.answered_at_us, end.ended_at_us)
    assert (xdr.outcome, xdr.cause, xdr.source) == (end.outcome, end.cause, end.source)
    lasted_us = 0 if end.answered_at_us is None else end.ended_at_us - end.answered_at_us
    assert xdr.duration_us == max(lasted_us, 0)


def test_a_leg_is_charged_once_however_often_its_end_is_reported(shop: Shop, call: Any) -> None:
    account, request = call
    shop.leg("b1", account, request, hold="3.00")
    first = shop.stores.calls.settle("b1", talked(10))
    before = shop.rows()
    for end in (talked(10), talked(20), UNANSWERED):
        assert shop.stores.calls.settle("b1", end) == first
    assert shop.rows() == before
    assert shop.money(account) == (990, 0)


def test_an_unanswered_leg_has_its_xdr_too_once(shop: Shop, call: Any) -> None:
    shop.leg("b1", *call, hold="3.00")
    first = shop.stores.calls.settle("b1", UNANSWERED)
    assert shop.stores.calls.settle("b1", talked(10)) == first
    assert shop.stores.calls.xdrs() == [first]


def test_the_answer_is_noted_once_and_never_after_the_end(shop: Shop, call: Any) -> None:
    shop.leg("b1", *call, hold="3.00")
    shop.stores.calls.leg_answered("b1", NOON_US + 1)
    shop.stores.calls.leg_answered("b1", NOON_US + 2)
    assert shop.stores.calls.open_legs()[0].answered_at_us == NOON_US + 1
    shop.stores.calls.settle("b1", UNANSWERED)
    shop.stores.calls.leg_answered("b1", NOON_US + 3)
    assert shop.stores.calls.open_legs() == []
    assert shop.rows()["LegRow"][0]["answered_at_us"] is None


def test_a_call_keeps_the_price_it_was_authorised_with(shop: Shop, call: Any) -> None:
    shop.leg("b1", *call, hold="3.00")
    shop.stores.tariffs.put_rates(
        "standard", [NewRate(Rate("44", first_price_micros=9, next_price_micros=9))]
    )
    shop.stores.tariffs.remove_rate("standard", "44")
    assert shop.stores.calls.settle("b1", talked(10)).amount_micros == 100_000


def test_each_leg_of_a_call_is_charged_on_its_own(shop: Shop, call: Any) -> None:
    account, request = call
    for leg in ("a1", "b1", "b2"):
        assert shop.leg(leg, account, request, hold="1.00")
    assert [leg.id for leg in shop.stores.calls.open_legs(request.id)] == ["a1", "b1", "b2"]
    shop.stores.calls.settle("b1", talked(20))
    assert shop.money(account) == (980, 200)
    assert [leg.id for leg in shop.stores.calls.open_legs()] == ["a1", "b2"]
    assert shop.stores.calls.open_legs("another") == []


def test_call_records_are_listed_in_order_the_newest_kept(shop: Shop, call: Any) -> None:
    account, request = call
    other = shop.account("200")
    other_request = shop.request(other)
    for leg, who, which in (("x1", account, request), ("x2", other, other_request), ("x3", account, request)):
        shop.leg(leg, who, which, hold="1.00")
        shop.stores.calls.settle(leg, talked(1))

    def ids(**selection: Any) -> list[str]:
        return [xdr.leg_id for xdr in shop.stores.calls.xdrs(**selection)]

    assert ids() == ["x1", "x2", "x3"]
    assert ids(limit=2) == ["x2", "x3"]
    assert ids(account="100") == ids(request_id=request.id) == ["x1", "x3"]
    assert ids(account="200") == ["x2"]
    assert ids(account="999") == []


def test_an_error_while_charging_leaves_the_leg_to_be_charged_later(shop: Shop, call: Any) -> None:
    account, request = call
    shop.leg("b1", account, request, hold="3.00")
    before = shop.rows()
    with suppress(ZeroDivisionError), shop.stores.database.transaction():
        shop.stores.calls.settle("b1", talked(10))
        raise ZeroDivisionError
    assert shop.rows() == before
    shop.stores.calls.settle("b1", talked(10))
    assert shop.money(account) == (990, 0)
