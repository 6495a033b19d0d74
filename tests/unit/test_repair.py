"""Repairs by command, below the command: once, whatever hiccups, and never in a living node's way."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

import pytest
from shop import NOON_US, Shop, talked

from stasis_callback.ari.cel import CelJournal
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.engine.repair import GONE_S, Mending
from stasis_callback.store.audit import verify
from stasis_callback.testing.hiccups import MOMENTS, Asked, Moment, hiccups, once


def repair(shop: Shop, tmp_path: Path) -> Mending:
    return Mending(shop.stores, CelJournal(tmp_path / "cel.csv"), shop.clock)


@pytest.fixture
def left(shop: Shop) -> Shop:
    """The second leg of a callback was noted, its funds held, and then something failed: the callback is over."""
    account = shop.account()
    request = shop.request(account)
    assert shop.leg("a1", account, request, hold="1.00")
    assert shop.leg("b1", account, request, hold="3.00")
    shop.stores.calls.settle("a1", talked(20))
    shop.sql(f"UPDATE request SET state = 'done', finished_at_us = {NOON_US + 60 * US_PER_S}")
    assert verify(shop.stores.database, shop.stores.tariffs) == [
        "leg b1 is not settled although its callback has ended"
    ]
    return shop


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hiccup_of_the_database_mends_once_and_says_the_same(
    left: Shop, tmp_path: Path, moment: Moment
) -> None:
    mending = repair(left, tmp_path)
    with hiccups(left.stores.database, once(moment)):
        said = mending.mend("b1", operator="anna", reason="row 1")
    assert said == "leg b1 is settled with 0.00 USD: it was never answered"
    assert left.money(left.stores.accounts.named("100")) == (980, 0)
    assert [(row["id"], row["operator"], row["reason"]) for row in mending.history(10)] == [
        ("b1", "anna", "row 1")
    ]
    assert verify(left.stores.database, left.stores.tariffs, whole=True) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hiccup_of_the_database_gives_funds_of_no_leg_back_once(
    shop: Shop, tmp_path: Path, moment: Moment
) -> None:
    account = shop.account()
    shop.edit(
        f"INSERT INTO hold (leg_id, book_id, amount_micros, state, created_at_us) "
        f"VALUES ('none', {account.book_id}, 3000000, 'open', 5)",
        f"UPDATE book SET held_micros = 3000000 WHERE id = {account.book_id}",
    )
    mending = repair(shop, tmp_path)
    with hiccups(shop.stores.database, once(moment)):
        said = mending.mend("none", operator="anna", reason="row 2")
    assert said == "3.00 USD held for leg none are given back: there is no such leg"
    assert shop.money(account) == (1000, 0)
    assert [(row["id"], row["done"]) for row in mending.history(10)] == [("none", said)]
    assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == []


def test_a_callback_is_ended_and_the_repair_kept_in_one_commit(shop: Shop, tmp_path: Path) -> None:
    """Who did it and why is not lost when the database goes away right after."""
    account = shop.account()
    request = shop.request(account)
    assert shop.leg("a1", account, request, hold="1.00")
    shop.sql("UPDATE request SET claimed_by = 'gone', incarnation = 'gone', asterisk = 'gone'")
    shop.clock.passes(10 * GONE_S)
    mending, transactions = repair(shop, tmp_path), count()

    def away_after_the_first(asked: Asked) -> Moment | None:
        return "statement" if asked == "transaction" and next(transactions) else None

    with hiccups(shop.stores.database, away_after_the_first), shop.stores.database.patience(0):
        said = mending.mend(request.id, operator="anna", reason="row 7")
    assert said == f"request {request.id} has ended: interrupted"
    assert [(row["id"], row["operator"], row["done"]) for row in mending.history(10)] == [
        (request.id, "anna", said)
    ]
    assert [event.event for event in shop.stores.nodes.history()] == ["repaired"]


def test_of_ten_who_mend_at_once_one_does(left: Shop, tmp_path: Path) -> None:
    answers: list[str] = []

    def mend() -> None:
        try:
            answers.append(repair(left, tmp_path).mend("b1", operator="anna", reason="row 1"))
        except InvalidInput:
            answers.append("")

    threads = [threading.Thread(target=mend) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[:9] == [""] * 9
    assert sorted(answers)[9] != ""
    assert len(repair(left, tmp_path).history(10)) == 1
    assert len(left.stores.calls.xdrs()) == 2


def test_an_answered_leg_costs_no_more_than_was_held_for_it(left: Shop, tmp_path: Path) -> None:
    """What exceeds the hold is the house's loss, as always."""
    left.sql(
        f"UPDATE leg SET state = 'answered', answered_at_us = {NOON_US} WHERE id = 'b1'",
        f"UPDATE request SET lease_until_us = {NOON_US + 930 * US_PER_S}, "
        f"finished_at_us = {NOON_US + 900 * US_PER_S}",
    )
    said = repair(left, tmp_path).mend("b1", operator="anna", reason="row 1")
    assert said == "leg b1 is settled with 9.00 USD: 900.000 s, source estimated"
    xdr = left.stores.calls.xdrs()[-1]
    assert (xdr.amount_micros, xdr.overrun_micros, xdr.source) == (9_000_000, 6_000_000, "estimated")
    assert left.money(left.stores.accounts.named("100")) == (680, 0)
    assert verify(left.stores.database, left.stores.tariffs, whole=True) == []


def test_what_was_mended_cannot_be_made_unseen(left: Shop, tmp_path: Path) -> None:
    repair(left, tmp_path).mend("b1", operator="anna", reason="row 1")
    for change in ("UPDATE repair SET operator = 'bert'", "DELETE FROM repair"):
        with pytest.raises(Exception, match="repair is append-only"):
            left.sql(change)


def test_calls_under_way_of_this_node_and_of_one_that_was_seen_lately_are_left_alone(
    shop: Shop, tmp_path: Path
) -> None:
    account = shop.account()
    assert shop.leg("a1", account, shop.request(account), hold="1.00")
    shop.clock.passes(10 * GONE_S)
    mending = repair(shop, tmp_path)
    assert mending.troubles() == []
    with pytest.raises(InvalidInput, match="'a1' is not a leg or callback that needs repair"):
        mending.mend("a1", operator="anna", reason="x")
    assert len(shop.stores.calls.open_legs()) == 1
