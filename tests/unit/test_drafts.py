"""Large changes beside a running service: in small transactions, seen at once at the end, or never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pytest
from shop import Shop
from test_tariffs import DAY_US, priced, told

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.errors import CallbackError, InvalidInput, StoreUnavailable
from stasis_callback.store.accounts.codes import READABLE
from stasis_callback.store.database.drafts import LEASE_S, Writing, drafting
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.rates.tables import RateRow
from stasis_callback.store.rates.tariffs import NewRate, Tariffs
from stasis_callback.testing.hiccups import Moment, hiccups, once

MANY = [priced(str(n)) for n in range(100_000, 102_300)]


def stored(shop: Shop, model: type = RateRow) -> int:
    return len(shop.rows()[model.__name__])


def test_each_transaction_is_small_and_committed_before_the_next(shop: Shop) -> None:
    """What another thread, on a connection of its own, finds of the rows each time some more are written."""
    seen: list[tuple[int, int]] = []

    def committed() -> int:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(shop.rows()["Draft"][0]["written"]))
        thread.start()
        thread.join()
        return found[0]

    def insert(rows: Sequence[int]) -> None:
        seen.append((committed(), len(rows)))

    with drafting(shop.stores.database, shop.clock, "test", busy="", remove_some=lambda: 0) as writing:
        writing.write(list(range(2 * ROWS_AT_ONCE + 7)), insert)
        writing.publish(lambda: None, lambda: True)
    assert seen == [(0, ROWS_AT_ONCE), (ROWS_AT_ONCE, ROWS_AT_ONCE), (2 * ROWS_AT_ONCE, 7)]
    assert shop.rows()["Draft"] == []


def test_other_writers_come_in_between_and_readers_see_all_or_nothing(shop: Shop) -> None:
    """Beside an import of 2,300 rates: at least one other write for two of its transactions."""
    account, counts, payments = shop.account(), set[int](), 0
    thread = threading.Thread(target=lambda: shop.stores.tariffs.put_rates("standard", MANY))
    thread.start()
    while thread.is_alive():
        shop.stores.ledger.top_up(account.book_id, 1, key=f"beside-{payments}")
        payments += 1
        counts.add(len(shop.stores.tariffs.rates("standard")))
    thread.join()
    assert payments >= len(MANY) / ROWS_AT_ONCE / 2
    assert counts | {1, len(MANY) + 1} == {1, len(MANY) + 1}
    assert len(shop.stores.tariffs.rates("standard")) == len(MANY) + 1


def killed_while_putting(shop: Shop, rates: Sequence[NewRate], at: str) -> None:
    """A process on the shop's clock that is killed, as by `kill -9`, within a change of the tariff."""
    code = f"""
from dataclasses import replace
from shop import SetClock
from stasis_callback.store.stores import open_stores
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.core.rating import Rate
stores = open_stores({shop.url!r}, "other", SetClock({shop.clock.now_us()}))
stores.tariffs.put_rates("standard", {list(rates)!r})
"""
    path = os.pathsep.join(sys.path)
    env = os.environ | {"PYTHONPATH": path, "STASIS_CALLBACK_CRASH_AT": at}
    command = [sys.executable, "-"]
    done = subprocess.run(
        command, input=code, env=env, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("at", "written"), [("draft-begun", ROWS_AT_ONCE), ("draft-written", len(MANY) + 2)])
def test_what_a_process_left_that_died_is_never_seen_and_cleared_away_by_the_next(
    shop: Shop, at: str, written: int
) -> None:
    tariffs, tomorrow_us = shop.stores.tariffs, shop.clock.now_us() + DAY_US
    scheduled = NewRate(priced("9").rate, "", tomorrow_us)
    before = shop.rows()
    killed_while_putting(shop, [scheduled, priced("44", 7), *MANY], at)
    assert stored(shop) == 1 + written
    assert [view.rate.prefix for view in tariffs.rates("standard")] == ["44"]
    assert tariffs.rates("standard", tomorrow_us) == tariffs.rates("standard")
    assert tariffs.scheduled("standard") == []
    assert tariffs.find("standard", "100001") is None
    assert tariffs.fitting(1, "1000011", shop.clock.now_us()) == []
    assert tariffs.match(1, "1000011") is None
    assert tariffs.all() == [{"name": "standard", "currency": "USD", "rates": 1}]
    assert told(tariffs.put_rates("standard", [priced("1")], dry_run=True)) == (["1"], [], [], 0)
    with pytest.raises(InvalidInput, match="tariff 'standard' is being changed by another command"):
        tariffs.put_rates("standard", [priced("1")])

    shop.clock.passes(LEASE_S)
    tariffs.put_rates("standard", [priced("1")])
    assert [view.rate.prefix for view in tariffs.rates("standard")] == ["1", "44"]
    assert stored(shop) == 2
    assert [r.number for r in tariffs.history("standard")] == [2, 1]
    assert shop.rows()["Draft"] == before["Draft"] == []


def test_what_was_left_by_a_clock_that_was_put_back_since_is_in_nobodys_way(shop: Shop) -> None:
    killed_while_putting(shop, [*MANY], "draft-begun")
    shop.clock.passes(-3600)
    shop.stores.tariffs.put_rates("standard", [priced("1")])
    assert shop.stores.tariffs.find("standard", "1") is not None


def test_one_that_stood_still_for_too_long_does_not_write_into_the_change_of_another(shop: Shop) -> None:
    database, tariffs = shop.stores.database, shop.stores.tariffs

    def slowly() -> None:
        with drafting(database, shop.clock, "tariff:1", busy="", remove_some=lambda: 0) as writing:
            shop.clock.passes(LEASE_S)
            tariffs.put_rates("standard", [priced("1")])
            writing.write([1], lambda _rows: None)

    with pytest.raises(CallbackError, match="this process was paused"):
        slowly()
    assert [view.rate.prefix for view in tariffs.rates("standard")] == ["1", "44"]


def test_a_transaction_that_is_done_again_does_nothing_twice(shop: Shop) -> None:
    """The answer to a commit was lost: nobody knows whether it was done."""
    database, inserted = shop.stores.database, list[int]()
    published = 0

    def publish() -> None:
        nonlocal published
        published += 1

    with drafting(database, shop.clock, "test", busy="", remove_some=lambda: 0) as writing:
        for _ in range(2):
            writing._write_some(0, [1, 2], inserted.extend)
        for _ in range(2):
            writing._publish(publish, lambda: published == 1)
        writing._over = True
    assert (inserted, published) == ([1, 2], 1)


def test_vouchers_are_worth_something_only_when_their_codes_are_handed_over(shop: Shop) -> None:
    shop.account("100")
    vouchers, known = shop.stores.vouchers, list[str]()

    def lose(codes: list[str]) -> None:
        known.extend(codes)
        assert stored_vouchers(shop) == 3
        assert (vouchers.batches(), vouchers.of_batch("spring")) == ([], [])
        with pytest.raises(InvalidInput, match="is unknown, used, blocked or expired"):
            vouchers.redeem(codes[0], "100")
        with pytest.raises(InvalidInput, match="unknown batch 'spring'"):
            vouchers.block("spring", blocked=True)
        raise InvalidInput("the disk is full")

    def make(hand_over: object = lambda _codes: None) -> list[str]:
        return vouchers.generate(
            "spring",
            3,
            5_000_000,
            "USD",
            length=12,
            alphabet=READABLE,
            hand_over=hand_over,  # type: ignore[arg-type]
        )

    with pytest.raises(InvalidInput, match="the disk is full"):
        make(lose)
    assert stored_vouchers(shop) == 0
    codes = make()
    assert vouchers.redeem(codes[0], "100").state == "redeemed"
    with pytest.raises(InvalidInput, match="already exists"):
        make()
    assert stored_vouchers(shop) == 3
    assert shop.rows()["Draft"] == []


def stored_vouchers(shop: Shop) -> int:
    return len(shop.rows()["Voucher"])


def test_codes_of_a_batch_that_another_took_over_are_not_said_to_be_good(shop: Shop) -> None:
    """Its vouchers are still there, and about to be removed: who stood still meanwhile must not sell them."""
    taken_back: list[bool] = []

    def stand_still(_codes: list[str]) -> Callable[[], None]:
        shop.clock.passes(LEASE_S)
        other = Writing(shop.stores.database, shop.clock, "vouchers:spring")
        assert other._take("", lambda: None)
        return lambda: taken_back.append(True)

    with pytest.raises(CallbackError, match="was paused, and another one"):
        shop.stores.vouchers.generate(
            "spring", 3, 1_000_000, "USD", length=12, alphabet=READABLE, hand_over=stand_still
        )
    assert shop.stores.vouchers.batches() == []
    assert taken_back == [True]


@pytest.mark.parametrize(("moment", "made"), [("statement", False), ("before", False), ("after", True)])
def test_codes_are_taken_back_unless_they_may_be_worth_something(
    shop: Shop, moment: Moment, made: bool
) -> None:
    """The database hiccups as the batch is published, and nobody waits: after the commit only the answer is lost."""
    taken_back: list[bool] = []
    with ExitStack() as patience:

        def hand_over(_codes: list[str]) -> Callable[[], None]:
            patience.enter_context(shop.stores.database.patience(0))
            patience.enter_context(hiccups(shop.stores.database, once(moment)))
            return lambda: taken_back.append(True)

        with pytest.raises(StoreUnavailable):
            shop.stores.vouchers.generate(
                "spring", 3, 1_000_000, "USD", length=12, alphabet=READABLE, hand_over=hand_over
            )
    assert taken_back == [True] * (not made)
    assert len(shop.stores.vouchers.batches()) == made


def test_what_cannot_be_handed_over_is_not_taken_back(shop: Shop) -> None:
    """It may be the file of another, which is in its place."""

    def fail(_codes: list[str]) -> Callable[[], None]:
        raise InvalidInput("exists")

    with pytest.raises(InvalidInput, match="exists"):
        shop.stores.vouchers.generate(
            "spring", 3, 1_000_000, "USD", length=12, alphabet=READABLE, hand_over=fail
        )
    assert stored_vouchers(shop) == 0


def test_two_imports_at_once_are_not_mixed(shop: Shop) -> None:
    """One of them waits for nothing and is refused; what the other brings is complete."""
    refused: list[str] = []

    def put(price: int) -> None:
        try:
            shop.stores.tariffs.put_rates("standard", [priced(new.rate.prefix, price) for new in MANY])
        except InvalidInput as error:
            refused.append(str(error))

    threads = [threading.Thread(target=put, args=(price,)) for price in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    prices = {
        view.rate.next_price_micros
        for view in shop.stores.tariffs.rates("standard")
        if view.rate.prefix != "44"
    }
    assert len(prices) == 1
    assert len(shop.stores.tariffs.history("standard")) == 4 - len(refused)


# --- the price list in memory -------------------------------------------------------------------------------------


def price(tariffs: Tariffs, number: str) -> int | None:
    found = tariffs.match(1, number)
    return found.rate.next_price_micros if found else None


def test_a_clock_that_was_wrong_for_a_moment_leaves_no_price_of_the_future(shop: Shop) -> None:
    tariffs, in_an_hour_us = shop.stores.tariffs, shop.clock.now_us() + 3600 * US_PER_S
    new = [NewRate(priced("44", 9).rate, "", in_an_hour_us), NewRate(priced("7", 8).rate, "", in_an_hour_us)]
    tariffs.put_rates("standard", new)
    assert (price(tariffs, "4420"), price(tariffs, "712")) == (600_000, None)
    for hours in (2, 24 * 400):
        shop.clock.passes(hours * 3600)
        assert (price(tariffs, "4420"), price(tariffs, "712")) == (9, 8)
        tariffs.put_rates("standard", [priced("1", hours)])  # what is read anew is read by the wrong clock
        assert (price(tariffs, "4420"), price(tariffs, "112")) == (9, hours)
        shop.clock.passes(-hours * 3600)
        assert (price(tariffs, "4420"), price(tariffs, "712"), price(tariffs, "112")) == (600_000, None, None)


def test_a_price_that_was_replaced_long_ago_is_known_again_when_the_clock_is_set_back(shop: Shop) -> None:
    tariffs, days = shop.stores.tariffs, 10
    for day in range(1, days):
        shop.clock.passes(86_400)
        tariffs.put_rates("standard", [priced("44", day)])
    assert price(tariffs, "4420") == days - 1
    for day in range(days - 2, 0, -1):
        shop.clock.passes(-86_400)
        assert price(tariffs, "4420") == day


def test_calls_go_on_with_the_list_they_have_until_the_new_one_is_read(shop: Shop) -> None:
    """The service's own book, kept fresh by its worker, of which nobody waits for anything."""
    theirs = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold)
    theirs.warm()
    worker = theirs.worker()
    worker.start()
    try:
        assert price(theirs, "4420") == 600_000
        shop.stores.tariffs.put_rates("standard", [*MANY, priced("44", 5)])
        assert wait_until(lambda: price(theirs, "4420") == 5, timeout_s=30)
        assert price(theirs, "1010001") == 1, "what came with it is there at the same time"
    finally:
        assert worker.stop()
    assert worker.restarts == 0


def test_a_book_that_is_kept_fresh_asks_the_database_nothing_for_a_match(shop: Shop) -> None:
    theirs = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold)
    theirs.warm()
    assert price(theirs, "4420") == 600_000
    with theirs._book.kept_fresh():
        shop.stores.tariffs.put_rates("standard", [priced("44", 5)])
        shop.sql("ALTER TABLE tariff RENAME TO elsewhere")
        assert price(theirs, "4420") == 600_000


def test_only_what_is_new_is_read(shop: Shop) -> None:
    """Rows of revisions that a list has already are not read again: here they are not even right any more."""
    shop.stores.tariffs.put_rates("standard", MANY)
    theirs = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold)
    assert price(theirs, "1010001") == 1
    shop.unlock("rate")
    shop.sql("UPDATE rate SET from_us = from_us + 1000000000000 WHERE prefix <> '44'")
    shop.stores.tariffs.put_rates("standard", [priced("44", 5)])
    assert wait_until(lambda: price(theirs, "4420") == 5, timeout_s=10)
    assert price(theirs, "1010001") == 1
