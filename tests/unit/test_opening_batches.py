"""Opening a batch of accounts: its name is used once, and what an operator has blocked is let go by nobody else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from shop import Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.engine.admission.checks import account_trouble
from stasis_callback.store.accounts.opening import AT_ONCE, BatchOpening
from stasis_callback.store.audit import verify

CARDS = [f"77{n:04}" for n in range(2 * AT_ONCE)]
FIRST, SECOND, LAST = CARDS[0], CARDS[1], CARDS[-1]


class Interrupted(Exception):
    pass


def opening(shop: Shop) -> BatchOpening:
    stores = shop.stores
    return BatchOpening(
        stores.database, stores.accounts, stores.ledger, shop.clock, "people", "callback", "cards", 25_000_000, "ann"
    )  # fmt: skip


def interrupted(shop: Shop) -> None:
    """A run that ends after its first transaction."""

    def stop(_done: int, _all: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        opening(shop).open_all(CARDS, stop)


def troubles(shop: Shop, numbers: Sequence[str] = CARDS) -> dict[str, str]:
    """Why accounts that are there may not call."""
    now_us = shop.clock.now_us()
    found = {number: shop.stores.accounts.find(number) for number in numbers}
    return {number: str(account_trouble(account, now_us)) for number, account in found.items() if account}


def test_nobody_calls_with_a_card_before_all_are_there(shop: Shop) -> None:
    interrupted(shop)
    assert troubles(shop) == dict.fromkeys(CARDS[:AT_ONCE], "account_expired")
    opening(shop).open_all(CARDS)
    assert troubles(shop) == dict.fromkeys(CARDS, "")


@pytest.mark.parametrize("again", [False, True])
def test_what_was_blocked_while_a_run_was_interrupted_stays_blocked(shop: Shop, again: bool) -> None:
    """Also where the whole batch was blocked and unblocked before."""
    interrupted(shop)
    if again:
        shop.stores.database.unit(lambda: shop.stores.upkeep.set_batch_status("cards", "active", "blocked"))
        shop.stores.database.unit(lambda: shop.stores.upkeep.set_batch_status("cards", "blocked", "active"))
    shop.stores.accounts.change(FIRST, status="blocked")
    shop.stores.accounts.close(SECOND, write_off=True, operator="ann")
    opening(shop).open_all(CARDS)
    blocked = {FIRST: "account_blocked", SECOND: "account_blocked"}
    assert troubles(shop) == dict.fromkeys(CARDS, "") | blocked


def test_a_run_that_is_gone_on_with_after_its_end_changes_nothing(shop: Shop) -> None:
    opening(shop).open_all(CARDS)
    shop.stores.accounts.change(FIRST, status="blocked")
    shop.stores.accounts.change(LAST, expires_at_us=shop.clock.now_us())
    before = shop.rows()
    with pytest.raises(InvalidInput, match="open already"):
        opening(shop).open_all(CARDS)
    assert shop.rows() == before


@pytest.mark.parametrize("first", ["complete", "interrupted", "closed"])
def test_the_name_of_a_batch_is_used_once(shop: Shop, first: str) -> None:
    """Other ids are another run, which somebody else may have begun a moment ago: it would be booked twice."""
    opening(shop).open_all(CARDS) if first == "complete" else interrupted(shop)
    if first == "closed":
        for number in CARDS[:AT_ONCE]:
            shop.stores.accounts.close(number, write_off=True, operator="ann")
    before = shop.rows()
    with pytest.raises(InvalidInput, match="batch 'cards' has accounts already: choose another name"):
        opening(shop).open_all([f"88{n:04}" for n in range(3 * AT_ONCE)])
    assert shop.rows() == before
    assert verify(shop.stores.database, shop.stores.tariffs) == []
