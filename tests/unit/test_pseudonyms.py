"""Numbers of old calls are forgotten; what was charged, and its proof, stays."""

from __future__ import annotations

import json

import peewee
import pytest
from shop import NOON_US, UNANSWERED, Shop, talked

from stasis_callback.clock import US_PER_S
from stasis_callback.core.transcript import Transcript
from stasis_callback.core.words import Ending
from stasis_callback.store.audit import verify
from stasis_callback.store.audit.proofs import checkpoint, marks_of
from stasis_callback.store.calls.pseudonyms import count_numbers, pseudonymise

NUMBER = "442071234567"


@pytest.fixture
def called(shop: Shop) -> Shop:
    """A callback of five legs, over; the last one ended ten minutes after the others."""
    account = shop.account("420212345678")
    request = shop.request(account)
    for n, end in enumerate((talked(60), UNANSWERED, talked(7), talked(8), talked(600)), start=1):
        assert shop.leg(f"b{n}", account, request, hold="1.00")
        shop.stores.calls.settle(f"b{n}", end)
    shop.stores.requests.answered(request)
    kept = Transcript()
    kept.keyed(NOON_US, "x-a1", NUMBER, secret=False)
    shop.stores.requests.finish(request.id, Ending.COMPLETED, transcript=kept.stored)
    return shop


def findings(shop: Shop, **how: object) -> list[str]:
    return verify(shop.stores.database, shop.stores.tariffs, whole=True, **how)  # type: ignore[arg-type]


def test_numbers_of_old_calls_are_gone_and_the_books_are_in_order(called: Shop) -> None:
    assert findings(called) == []
    kept = marks_of(json.dumps(checkpoint(called.stores.database, "now")))
    before = called.stores.calls.xdrs()
    assert list(pseudonymise(called.stores.database, NOON_US + 100 * US_PER_S, batch=3)) == [3, 1]
    rows = called.rows()
    assert [xdr["number"] for xdr in rows["Xdr"]] == ["44207xxxxxxx"] * 4 + [NUMBER]
    assert [leg["number"] for leg in rows["LegRow"]] == ["44207xxxxxxx"] * 4 + [NUMBER]
    [request] = rows["Request"]
    assert (request["ani"], request["leg_a_number"]) == ("42021xxxxxxx", "42021xxxxxxx")
    assert [xdr.amount_micros for xdr in called.stores.calls.xdrs()] == [xdr.amount_micros for xdr in before]
    assert findings(called) == findings(called, kept=kept) == []


def test_what_is_kept_does_not_give_a_number_back(called: Shop) -> None:
    """The salt is what one would need to try all numbers; it is gone, and each call had its own."""
    salts = [xdr["number_salt"] for xdr in called.rows()["Xdr"]]
    assert len(set(salts)) == 5
    assert all(len(salt) == 32 for salt in salts)
    list(pseudonymise(called.stores.database, NOON_US + 1000 * US_PER_S))
    # The counters of a day go an hour after it.
    kept = str({name: rows for name, rows in called.rows().items() if name != "Allowance"})
    assert NUMBER not in kept
    assert not any(salt in kept for salt in salts)
    assert len({xdr["number_hash"] for xdr in called.rows()["Xdr"]}) == 5


def test_to_forget_again_changes_nothing(called: Shop) -> None:
    list(pseudonymise(called.stores.database, NOON_US + 1000 * US_PER_S))
    before = called.rows()
    assert list(pseudonymise(called.stores.database, NOON_US + 1000 * US_PER_S)) == []
    assert called.rows() == before


def test_a_number_that_is_forgotten_is_not_dialled_again(called: Shop) -> None:
    account = called.stores.accounts.named("420212345678")
    assert called.stores.calls.last_destination(account.id) == NUMBER
    list(pseudonymise(called.stores.database, NOON_US + 1000 * US_PER_S))
    assert called.stores.calls.last_destination(account.id) is None


def test_a_call_under_way_keeps_its_numbers_until_it_is_over(shop: Shop) -> None:
    account = shop.account("420212345678")
    request = shop.request(account)
    assert shop.leg("b1", account, request, hold="1.00")
    shop.stores.calls.settle("b1", talked(60))
    list(pseudonymise(shop.stores.database, NOON_US + 1000 * US_PER_S))
    assert count_numbers(shop.stores.database, NOON_US + 1000 * US_PER_S) == 0
    assert shop.stores.requests.get(request.id).leg_a_number == "420212345678"
    shop.stores.requests.finish(request.id, Ending.COMPLETED)
    list(pseudonymise(shop.stores.database, NOON_US + 1000 * US_PER_S))
    [over], [xdr] = shop.rows()["Request"], shop.rows()["Xdr"]
    assert [over["ani"], over["leg_a_number"], xdr["number"]] == ["42021xxxxxxx"] * 2 + ["44207xxxxxxx"]


@pytest.mark.parametrize(
    "change",
    [
        "number = '1'",
        "number_salt = ''",
        "number_salt = '', amount_micros = 1",
        "number = 'xxx', number_salt = '', outcome = 'busy'",
        "number_salt = 'other'",
    ],
)
def test_nothing_but_a_number_can_be_taken_from_a_call_record(called: Shop, change: str) -> None:
    before = called.rows()
    if change == "number_salt = ''":
        # That alone the table lets through; the books show it.
        called.sql(f"UPDATE xdr SET {change} WHERE leg_id = 'b1'")
        assert findings(called) != []
        return
    with pytest.raises(peewee.IntegrityError, match="xdr is append-only"):
        called.sql(f"UPDATE xdr SET {change} WHERE leg_id = 'b1'")
    assert called.rows() == before


def test_what_is_forgotten_stays_so(called: Shop) -> None:
    list(pseudonymise(called.stores.database, NOON_US + 1000 * US_PER_S))
    with pytest.raises(peewee.IntegrityError, match="xdr is append-only"):
        called.sql(f"UPDATE xdr SET number = '{NUMBER}' WHERE leg_id = 'b1'")
