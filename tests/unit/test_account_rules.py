"""Rules of accounts: kinds, caps, calls at once, expiry by use, adjustments and reversals."""

from __future__ import annotations

import pytest
from shop import NOON_US, UNANSWERED, Shop, talked

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.engine.admission.checks import account_trouble
from stasis_callback.store.audit import verify

DAY_US = 86_400 * US_PER_S


def in_order(shop: Shop) -> bool:
    return verify(shop.stores.database, shop.stores.tariffs) == []


# --- kinds -----------------------------------------------------------------------------------------------------


def test_subordinate_accounts_spend_their_customers_funds(shop: Shop) -> None:
    one, two = (shop.account(number, funds="0", kind="subordinate") for number in ("100", "200"))
    assert one.book_id == two.book_id == shop.stores.accounts.customer_book("people")
    shop.stores.ledger.top_up(one.book_id, 5_000_000, key="customer")
    request, other = shop.request(one), shop.request(two)
    assert shop.leg("a1", one, request, hold="3.00")
    assert not shop.leg("b1", two, other, hold="2.01")
    assert shop.leg("b2", two, other, hold="2.00")
    shop.stores.calls.settle("a1", talked(60))
    shop.stores.calls.settle("b2", talked(30))
    assert shop.money(one) == shop.money(two) == (410, 0)
    assert in_order(shop)


def test_a_customers_credit_limit_and_cap_go_for_all_of_them(shop: Shop) -> None:
    account = shop.account("100", funds="0", kind="subordinate")
    shop.stores.accounts.set_customer("people", credit_limit_micros=3_000_000, daily_cap_micros=2_000_000)
    assert shop.stores.ledger.available_micros(account.book_id) == 2_000_000
    with pytest.raises(InvalidInput, match="use `customer set`"):
        shop.stores.accounts.change("100", credit_limit_micros=1)
    with pytest.raises(InvalidInput, match="cannot have a credit limit"):
        shop.account("200", kind="subordinate", credit_limit_micros=1)
    with pytest.raises(InvalidInput, match="not a kind of account"):
        shop.account("200", kind="golden")


def test_a_credit_limit_makes_a_credit_account(shop: Shop) -> None:
    assert shop.account("100").kind == "debit"
    assert shop.stores.accounts.change("100", credit_limit_micros=1).kind == "credit"
    assert shop.stores.accounts.change("100", credit_limit_micros=0).kind == "debit"


# --- the daily cap ---------------------------------------------------------------------------------------------


def test_no_more_is_spent_in_a_day_than_the_cap(shop: Shop) -> None:
    account = shop.account("100", funds="10.00")
    shop.stores.accounts.change("100", daily_cap_micros=2_000_000)
    request = shop.request(account)
    assert shop.stores.ledger.capped(account.book_id)
    assert shop.leg("b1", account, request, hold="1.50")
    assert not shop.leg("b2", account, request, hold="0.51")
    shop.stores.calls.settle("b1", talked(100))
    assert shop.stores.ledger.available_micros(account.book_id) == 1_000_000
    assert shop.leg("b3", account, request, hold="1.00")
    assert not shop.stores.ledger.change_hold("b3", 1_000_001)
    shop.stores.calls.settle("b3", UNANSWERED)
    assert shop.stores.ledger.available_micros(account.book_id) == 1_000_000
    shop.clock.at_us = (shop.clock.at_us // DAY_US + 1) * DAY_US  # midnight in UTC
    assert shop.stores.ledger.available_micros(account.book_id) == 2_000_000
    assert shop.leg("b4", account, request, hold="1.50")
    shop.stores.calls.settle("b4", talked(50))
    assert shop.stores.ledger.available_micros(account.book_id) == 1_500_000
    shop.stores.accounts.change("100", no_daily_cap=True)
    assert shop.stores.ledger.available_micros(account.book_id) == 8_500_000
    assert in_order(shop)


# --- calls at once ---------------------------------------------------------------------------------------------


def ask(shop: Shop, account_id: int, number: str, key: str = "") -> str:
    return shop.stores.requests.accept(
        CallbackRequest(key or number, "ani", number, "800"),
        account_id=account_id,
        subscriber_id=account_id,
        leg_a_number=number,
        stored_options={},
        queue_limit=100,
    )


def test_an_account_may_have_several_callbacks_at_once(shop: Shop) -> None:
    account = shop.account("100")
    shop.stores.accounts.change("100", simultaneous_calls=2)
    assert ask(shop, account.id, "44001") == ""
    assert ask(shop, account.id, "44001", "again") == "in_progress"  # one for each number all the same
    assert ask(shop, account.id, "44002") == ""
    assert ask(shop, account.id, "44003") == "in_progress"


def test_a_pin_that_is_in_use_as_often_as_it_may_be_is_refused(shop: Shop) -> None:
    payer, account = shop.account("1"), shop.account("100")
    shop.stores.accounts.change("100", simultaneous_calls=2)
    assert ask(shop, account.id, "44009") == ""
    for number in ("44001", "44002"):
        refused = shop.stores.requests.accept(
            CallbackRequest(number, "pin", number, "800"),
            account_id=payer.id,
            subscriber_id=None,
            leg_a_number=number,
            stored_options={},
            queue_limit=100,
        )
        assert refused == ""
    first, second = (r.id for r in shop.stores.requests.newest() if r.subscriber_id is None)
    assert shop.stores.requests.log_in(first, account.id)
    assert not shop.stores.requests.log_in(second, account.id)


# --- expiry ----------------------------------------------------------------------------------------------------


def test_days_after_the_first_and_the_last_use(shop: Shop) -> None:
    account = shop.account("100")
    shop.stores.accounts.change(
        "100", days_after_first_use=30, days_after_last_use=7, expires_at_us=NOON_US + 90 * DAY_US
    )
    assert shop.stores.accounts.get(account.id).expires_at_us == NOON_US + 90 * DAY_US  # not used yet
    request = shop.request(account)
    shop.leg("b1", account, request, hold="1.00")
    shop.stores.calls.settle("b1", UNANSWERED)
    assert shop.stores.accounts.get(account.id).first_used_at_us is None  # nobody answered: no use
    shop.leg("b2", account, request, hold="1.00")
    shop.stores.calls.leg_answered("b2", NOON_US)
    assert shop.stores.accounts.get(account.id).expires_at_us == NOON_US + 7 * DAY_US
    shop.stores.calls.settle("b2", talked(10))
    shop.clock.passes(7 * 86_400 - 1)
    assert account_trouble(shop.stores.accounts.get(account.id), shop.clock.now_us()) == ""
    shop.clock.passes(1)
    assert (
        account_trouble(shop.stores.accounts.get(account.id), shop.clock.now_us()) == Refusal.ACCOUNT_EXPIRED
    )
    changed = shop.stores.accounts.change("100", days_after_last_use=0)
    assert changed.expires_at_us == NOON_US + 30 * DAY_US


# --- adjustments, reversals, closing ---------------------------------------------------------------------------


def test_an_adjustment_goes_both_ways_and_not_below_what_is_held(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="5.00"), shop.stores.ledger
    shop.leg("b1", account, shop.request(account), hold="3.00")
    assert ledger.adjust(account.book_id, -2_000_000, key="k1", reason="wrong price", operator="anna")
    assert not ledger.adjust(account.book_id, -2_000_000, key="k1", reason="wrong price", operator="anna")
    before = shop.rows()
    with pytest.raises(InvalidInput, match="insufficient funds"):
        ledger.adjust(account.book_id, -1, key="k2", reason="one more", operator="anna")
    for amount, reason in ((0, "nothing"), (1, " ")):
        with pytest.raises(InvalidInput):
            ledger.adjust(account.book_id, amount, key="k3", reason=reason, operator="anna")
    assert shop.rows() == before
    assert ledger.adjust(account.book_id, 500_000, key="k4", reason="sorry", operator="anna")
    line = ledger.statement(account.book_id, 10)[-1]
    assert (line.kind, line.amount_micros, line.balance_micros) == ("adjustment", 500_000, 3_500_000)
    assert (line.note, line.operator) == ("sorry", "anna")
    assert in_order(shop)


def test_a_charge_is_taken_back_once_and_the_call_record_stays(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="5.00"), shop.stores.ledger
    shop.leg("b1", account, shop.request(account), hold="3.00")
    shop.stores.calls.settle("b1", talked(60))
    charge = ledger.statement(account.book_id, 10)[-1]
    assert (charge.kind, charge.amount_micros) == ("settle", -600_000)
    reversal = ledger.reverse(charge.transfer, reason="bad line", operator="anna")
    lines = {line.transfer: line for line in ledger.statement(account.book_id, 10)}
    assert (lines[reversal].amount_micros, lines[reversal].balance_micros) == (600_000, 5_000_000)
    assert lines[charge.transfer].reversed_by == reversal
    assert shop.stores.calls.xdrs()[0].amount_micros == 600_000
    before = shop.rows()
    for transfer, words in (
        (charge.transfer, "already reversed"),
        (reversal, "itself a reversal"),
        (999, "unknown transfer 999"),
    ):
        with pytest.raises(InvalidInput, match=words):
            ledger.reverse(transfer, reason="again", operator="anna")
    with pytest.raises(InvalidInput, match="the reason is empty"):
        ledger.reverse(charge.transfer, reason="", operator="anna")
    assert shop.rows() == before
    assert in_order(shop)


def test_a_top_up_that_was_spent_cannot_be_taken_back(shop: Shop) -> None:
    account = shop.account("100", funds="5.00")
    shop.leg("b1", account, shop.request(account), hold="0.01")
    top_up = shop.stores.ledger.statement(account.book_id, 10)[0]
    with pytest.raises(InvalidInput, match="insufficient funds"):
        shop.stores.ledger.reverse(top_up.transfer, reason="cheque bounced", operator="")
    shop.stores.ledger.void("b1")
    shop.stores.ledger.reverse(top_up.transfer, reason="cheque bounced", operator="")
    assert shop.money(account) == (0, 0)


def test_an_account_that_pays_for_a_call_of_somebody_unknown_is_not_closed(shop: Shop) -> None:
    """A PIN or a hosted callback is paid by the house's account until it is known who calls."""
    house = shop.account("house", funds="5.00")
    hosted = CallbackRequest("hosted", "web", "1", "", "2")
    shop.stores.requests.accept(
        hosted, account_id=house.id, subscriber_id=None, leg_a_number="4420", stored_options={}, queue_limit=9
    )
    (request,) = shop.stores.requests.claim(1)
    with pytest.raises(InvalidInput, match="has a live call"):
        shop.stores.accounts.close("house", write_off=True, operator="anna")
    shop.stores.requests.finish(request.id, Ending.NO_ANSWER)
    assert shop.stores.accounts.close("house", write_off=True, operator="anna").status == "closed"


def test_closing_needs_an_empty_account_or_a_write_off(shop: Shop) -> None:
    account = shop.account("100", funds="5.00")
    with pytest.raises(InvalidInput, match=r"has a balance of 5.00 USD"):
        shop.stores.accounts.close("100", write_off=False, operator="anna")
    shop.missed_call(account)
    with pytest.raises(InvalidInput, match="has a live call"):
        shop.stores.accounts.close("100", write_off=True, operator="anna")
    shop.stores.requests.cancel(shop.stores.requests.newest()[0].id)
    assert shop.stores.accounts.close("100", write_off=True, operator="anna").status == "closed"
    assert shop.money(account) == (0, 0)
    assert in_order(shop)
