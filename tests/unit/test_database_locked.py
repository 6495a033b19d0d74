"""An SQLite file that another process has locked: who waits gives up after their own patience, side by side."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from peewee import IntegrityError, OperationalError
from shop import Shop

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.statements import run

pytestmark = pytest.mark.sqlite

AT_ONCE = 10
PATIENCE_S = 2.0
IN_TURN_S = AT_ONCE * PATIENCE_S / 2
"""Much less than it takes when one waits after the other, and much more than side by side."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program writes all the time: a backup, a copy, somebody with a database shell."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def refused(shop: Shop, number: int, patience_s: float = PATIENCE_S) -> float:
    """The time after which a write was refused."""
    began_s = Clock().monotonic_s()
    with (
        shop.stores.database.patience(patience_s),
        pytest.raises(StoreUnavailable, match="the database is unavailable"),
    ):
        shop.stores.tariffs.add(f"never-{number}", "USD")
    return Clock().monotonic_s() - began_s


def test_all_who_wait_give_up_side_by_side(shop: Shop) -> None:
    began_s = Clock().monotonic_s()
    with locked(shop.file), ThreadPoolExecutor(AT_ONCE) as threads:
        waited = list(threads.map(lambda number: refused(shop, number), range(AT_ONCE)))
    assert min(waited) > PATIENCE_S / 2
    assert Clock().monotonic_s() - began_s < IN_TURN_S
    shop.stores.tariffs.add("again", "USD")


def test_the_patience_of_one_does_not_wait_for_that_of_another(shop: Shop) -> None:
    with ThreadPoolExecutor(1) as thread:
        with locked(shop.file):
            patient = thread.submit(shop.stores.tariffs.add, "later", "USD")
            assert wait_until(lambda: shop.stores.database.repeats > 0, timeout_s=10)
            refused(shop, 1, patience_s=0.5)
            assert not patient.done()
        patient.result(30)
    assert [tariff["name"] for tariff in shop.stores.tariffs.all()] == ["later", "standard"]


def test_who_only_reads_does_not_wait(shop: Shop) -> None:
    with locked(shop.file), shop.stores.database.patience(0):
        assert len(shop.stores.tariffs.all()) == 1


def test_the_turn_of_another_thread_is_waited_for_with_the_same_patience(shop: Shop) -> None:
    with shop.stores.database.transaction(), ThreadPoolExecutor(AT_ONCE) as threads:
        began_s = Clock().monotonic_s()
        list(threads.map(lambda number: refused(shop, number), range(AT_ONCE)))
        assert Clock().monotonic_s() - began_s < IN_TURN_S


def test_a_file_that_is_free_again_is_used_at_once_by_all_who_wait(shop: Shop) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        with locked(shop.file):
            waiting = [threads.submit(shop.stores.tariffs.add, f"t-{n}", "USD") for n in range(AT_ONCE)]
            assert wait_until(lambda: shop.stores.database.repeats > 3, timeout_s=10)
        for done in waiting:
            done.result(30)
    assert len(shop.stores.tariffs.all()) == AT_ONCE + 1


def test_a_transaction_in_which_a_statement_failed_takes_no_other(shop: Shop) -> None:
    """SQLite may have ended it by itself, and the next statement would be committed alone."""
    shop.account()
    before = shop.rows()

    def goes_on() -> None:
        with shop.stores.database.transaction():
            with suppress(IntegrityError):
                run("UPDATE book SET held_micros = -1")
            run("UPDATE customer SET name = 'others'")

    with pytest.raises(OperationalError, match="this transaction has failed"):
        goes_on()
    assert shop.rows() == before


def test_a_file_that_is_locked_whole_at_the_start_is_not_a_mistake(tmp_path: Path, shop: Shop) -> None:
    """As by a repair of the whole file: then it cannot even be opened, yet."""
    url = shop.url
    shop.stores.database.close()
    other = sqlite3.connect(shop.file, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("COMMIT")
        with pytest.raises(StoreUnavailable, match="cannot be opened: database is locked"):
            Database(url)
    finally:
        other.close()
    Database(url).close()
