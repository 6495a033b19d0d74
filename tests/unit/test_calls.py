"""Legs from the moment before they are dialled to their xDR."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from shop import NOON_US, UK_RATE, UNANSWERED, Shop, talked

from stasis_callback.core.errors import InvariantBroken, NotOurs
from stasis_callback.core.money import parse_amount
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import Fare, LegEnd
from stasis_callback.store.database.trouble import Busy
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


# --- several legs in one commit -----------------------------------------------------------------------------------


def noted(end: LegEnd) -> LegEnd:
    return replace(end, answer_noted=True)


def test_the_legs_of_a_request_are_charged_together_as_they_are_one_by_one(shop: Shop, call: Any) -> None:
    account, request = call
    for leg_id in ("a1", "b1", "b2"):
        shop.leg(leg_id, account, request, hold="1.00")
    ends = {"a1": noted(talked(20)), "b1": UNANSWERED, "b2": noted(talked(10))}
    found = shop.stores.calls.settle_all(request.id, ends)
    assert found is not None
    assert {xdr.leg_id: xdr.amount_micros for xdr in found} == {"a1": 200_000, "b1": 0, "b2": 100_000}
    assert shop.stores.calls.open_legs() == []
    assert shop.money(account) == (970, 0)
    assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_nothing_is_charged_together_where_a_leg_is_open_that_nobody_named(shop: Shop, call: Any) -> None:
    account, request = call
    for leg_id in ("a1", "b1"):
        shop.leg(leg_id, account, request, hold="1.00")
    before = shop.rows()
    assert shop.stores.calls.settle_all(request.id, {"a1": noted(talked(20))}) is None
    assert shop.rows() == before


def test_an_answer_that_may_not_be_noted_is_charged_by_itself(shop: Shop, call: Any) -> None:
    account, request = call
    shop.leg("a1", account, request, hold="1.00")
    assert shop.stores.calls.settle_all(request.id, {"a1": talked(20)}) is None
    shop.stores.calls.settle("a1", talked(20))
    assert shop.stores.accounts.get(account.id).last_used_at_us == NOON_US


def test_a_leg_that_was_never_noted_keeps_the_others_from_nothing(shop: Shop, call: Any) -> None:
    account, request = call
    shop.leg("a1", account, request, hold="1.00")
    found = shop.stores.calls.settle_all(request.id, {"a1": noted(talked(20)), "b1": UNANSWERED})
    assert found is not None
    assert [xdr.leg_id for xdr in found] == ["a1"]


def test_a_repeated_settlement_leaves_the_legs_of_the_next_attempt_alone(shop: Shop, call: Any) -> None:
    """The response to the commit was lost, and the request claimed anew before it was tried again."""
    account, request = call
    shop.leg("a1", account, request, hold="1.00")
    runs = 0

    def end() -> Any:
        nonlocal runs
        runs += 1
        if runs == 2:
            shop.leg("a2", account, request, hold="1.00")
        found = shop.stores.calls.settle_all(request.id, {"a1": noted(talked(20))})
        if runs == 1:
            raise Busy
        return found

    assert [xdr.leg_id for xdr in shop.stores.database.unit(end)] == ["a1"]
    assert [leg.id for leg in shop.stores.calls.open_legs()] == ["a2"]


# --- a hold beside another ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hold_a", "hold_b", "done", "money"),
    [
        ("1.00", "8.00", True, (1000, 900)),   # given back, and taken at once
        ("4.00", "6.00", True, (1000, 1000)),
        ("3.00", "7.01", False, (1000, 300)),  # both or none
        ("11.00", "0.10", False, (1000, 300)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("books", [1, 2])
def test_two_holds_change_together(
    shop: Shop, call: Any, hold_a: str, hold_b: str, done: bool, money: tuple[int, int], books: int
) -> None:
    account, request = call
    payer = account if books == 1 else shop.account("200")
    shop.leg("a1", account, request, hold="3.00")
    rate = shop.stores.tariffs.match(account.tariff_id, "442071234567")
    assert rate is not None
    before = shop.rows()
    beside = ("a1", parse_amount(hold_a))
    opened = shop.stores.calls.open_leg(
        "b1", request.id, "b", Fare(payer, "442071234567", rate), parse_amount(hold_b), beside=beside
    )
    if books == 1:
        assert opened is done
        assert shop.money(account) == money
    else:
        assert opened is (hold_a != "11.00")
        assert shop.money(account)[1] + shop.money(payer)[1] == (
            round(100 * (float(hold_a) + float(hold_b))) if opened else 300
        )
    if not opened:
        assert shop.rows() == before
