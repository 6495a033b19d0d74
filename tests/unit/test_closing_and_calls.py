"""An account that is closed while a call of it is accepted: one of the two is refused, and it owes nothing."""

from __future__ import annotations

import pytest
from lock_rig import beside
from shop import Shop, talked

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.words import Ending, Refusal


def closes(shop: Shop) -> None:
    shop.stores.accounts.close("100", write_off=True, operator="jana")


@pytest.mark.parametrize("status", ["closed", "blocked"])
def test_an_account_that_was_closed_since_it_was_looked_at_gets_no_callback(shop: Shop, status: str) -> None:
    account = shop.account("100")
    if status == "closed":
        closes(shop)
    else:
        shop.stores.accounts.change("100", status=status)
    assert shop.missed_call(account) == Refusal.ACCOUNT_BLOCKED
    assert shop.stores.requests.newest() == []


def test_nobody_logs_in_to_an_account_that_was_closed_since(shop: Shop) -> None:
    account, caller = shop.account("100"), shop.account("200")
    request = shop.request(caller)
    closes(shop)
    assert not shop.stores.requests.log_in(request.id, account.id)


@pytest.mark.postgres
def test_an_account_is_not_closed_while_a_call_of_it_is_being_accepted(shop: Shop) -> None:
    account = shop.account("100")
    with pytest.raises(InvalidInput, match="has a live call"):
        beside(shop, lambda: shop.missed_call(account), lambda: closes(shop)).result()
    assert shop.stores.accounts.get(account.id).status == "active"


@pytest.mark.postgres
def test_a_call_of_an_account_that_is_being_closed_is_refused(shop: Shop) -> None:
    account = shop.account("100")
    reason = beside(shop, lambda: closes(shop), lambda: shop.missed_call(account)).result()
    assert reason == Refusal.ACCOUNT_BLOCKED


@pytest.mark.postgres
def test_nobody_logs_in_to_an_account_that_is_being_closed(shop: Shop) -> None:
    account = shop.account("100")
    request = shop.request(shop.account("200"))
    log_in = shop.stores.requests.log_in
    assert not beside(shop, lambda: closes(shop), lambda: log_in(request.id, account.id)).result()


@pytest.mark.postgres
def test_what_a_call_that_ended_just_now_has_cost_is_not_written_off(shop: Shop) -> None:
    """Its end is being committed when the account is looked at: the balance is read after that."""
    account = shop.account("100")
    request = shop.request(account)
    assert shop.leg("l1", account, request, hold="5")

    def ends() -> None:
        shop.stores.calls.settle("l1", talked(60))
        shop.stores.requests.finish(request.id, Ending.COMPLETED)

    beside(shop, ends, lambda: closes(shop)).result()
    assert shop.stores.accounts.get(account.id).balance_micros == 0
