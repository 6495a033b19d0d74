"""Opening a database, and what a transaction promises."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import peewee
import pytest
from shop import Shop

from stasis_callback.core.errors import CallbackError, InvalidInput, InvariantBroken, StoreUnavailable
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal
from stasis_callback.store.database.database import Database
from stasis_callback.store.rates.tables import Tariff
from stasis_callback.store.stores import open_stores


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("shop.db",                          "write sqlite:///path/to/file.db"),
        ("mysql://shop",                     "write sqlite:///path/to/file.db"),
        ("",                                 "write sqlite:///path/to/file.db"),
        ("sqlite:///{folder}/none/shop.db",  "does not exist: create it first"),
        ("sqlite:///{folder}",               "cannot be opened"),
        ("sqlite:///{folder}/letter.txt",    "cannot be opened"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_says_why(tmp_path: Path, url: str, why: str) -> None:
    (tmp_path / "letter.txt").write_text("Dear friend, this is not a database. " * 100)
    with pytest.raises(CallbackError, match=why):
        Database(url.format(folder=tmp_path))
    Database(f"sqlite:///{tmp_path}/good.db").close()


def test_only_one_database_is_open_at_a_time(shop: Shop) -> None:
    with pytest.raises(InvariantBroken, match="close it first"):
        Database(shop.url)


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path, shop: Shop) -> None:
    shop.stores.tariffs.add("second", "EUR")
    before = shop.rows()
    shop.stores.database.close()
    shop.stores = open_stores(shop.url, "node1", shop.clock)
    assert shop.rows() == before


@pytest.mark.usefixtures("shop")
def test_what_is_asked_outside_opens_no_connection() -> None:
    """Nobody would give it back: a log would stay beside the file, and a connection less for all others."""
    with pytest.raises(peewee.InterfaceError, match="not opened"):
        list(Tariff.select())


def test_a_connection_in_use_is_closed_when_it_comes_back(shop: Shop) -> None:
    """A thread that is late finishes its transaction; then it has no database, and nothing is left of it."""
    database = shop.stores.database
    begun, closed = threading.Event(), threading.Event()

    def work() -> None:
        with database.transaction():
            begun.set()
            closed.wait(30)
        with pytest.raises(StoreUnavailable, match="the database is closed"):
            database.read(lambda: 1)

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(work)
        assert begun.wait(30)
        database.close()
        closed.set()
        late.result()
    if database.kind == "sqlite":
        assert not list(shop.file.parent.glob("*-wal"))
    shop.stores = open_stores(shop.url, "node1", shop.clock)


@pytest.mark.sqlite
def test_the_file_survives_a_power_cut(shop: Shop) -> None:
    """Write-ahead log, and each commit reaches the disk before it is reported."""
    with shop.stores.database.reading():
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        database = shop.stores.database._peewee
        assert [database.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["wal", 2, 1]


def test_a_nul_in_a_strangers_text_is_kept_as_something_that_can_be_shown(shop: Shop) -> None:
    """PostgreSQL takes none; a caller's name or a path of a request may hold one."""
    assert shop.stores.accounts.find("1\x0000") is None
    shop.stores.requests.refuse(CallbackRequest("key", "ani", "4420\x007", "800"), Refusal.BAD_ANI)
    assert [request.ani for request in shop.stores.requests.newest()] == ["4420\ufffd7"]


def test_an_error_undoes_everything(shop: Shop) -> None:
    before = shop.rows()
    with suppress(ZeroDivisionError), shop.stores.database.transaction():
        shop.stores.tariffs.add("second", "EUR")
        shop.account()
        raise ZeroDivisionError
    assert shop.rows() == before


def test_a_part_that_failed_undoes_everything_also_where_somebody_would_go_on(shop: Shop) -> None:
    def goes_on() -> None:
        with shop.stores.database.transaction():
            shop.stores.tariffs.add("second", "EUR")
            with suppress(InvalidInput), shop.stores.database.transaction():
                shop.stores.tariffs.add("third", "EUR")
                shop.stores.tariffs.add("third", "EUR")

    before = shop.rows()
    with pytest.raises(InvariantBroken, match="a part of this transaction has failed"):
        goes_on()
    assert shop.rows() == before
    shop.stores.tariffs.add("second", "EUR")


def test_another_thread_sees_a_change_when_it_is_committed_not_before(shop: Shop) -> None:
    def names() -> list[object]:
        seen: list[object] = []
        reader = threading.Thread(target=lambda: seen.extend(t["name"] for t in shop.stores.tariffs.all()))
        reader.start()
        reader.join(5)
        return seen

    with shop.stores.database.transaction():
        shop.stores.tariffs.add("second", "EUR")
        assert names() == ["standard"]
    assert names() == ["second", "standard"]


@pytest.mark.sqlite
def test_another_process_waits_for_its_turn(shop: Shop) -> None:
    other = sqlite3.connect(shop.file, isolation_level=None, check_same_thread=False)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE customer SET name = 'others'")
        done = threading.Event()
        writer = threading.Thread(target=then(lambda: shop.stores.tariffs.add("second", "EUR"), done))
        writer.start()
        assert not done.wait(0.1)
        other.execute("COMMIT")
        assert done.wait(5)
        writer.join()
    finally:
        other.close()
    assert [c["name"] for c in shop.stores.accounts.customers()] == ["others"]


def then(action: Callable[[], None], done: threading.Event) -> Callable[[], None]:
    def run() -> None:
        action()
        done.set()

    return run
