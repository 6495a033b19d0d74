"""Migration 0009 seals the books of before, whatever is in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
import pytest
from databases import Databases, server
from playhouse.migrations import Runner
from shop import SetClock, Shop, open_shop
from test_books_prove_themselves import do_business

from stasis_callback.store import models
from stasis_callback.store.audit import verify
from stasis_callback.store.database.backends import Engine, open_engine
from stasis_callback.store.database.database import MIGRATIONS
from stasis_callback.store.stores import open_stores

BEFORE = "0008_email"


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """A database below its stores, connected."""
    engine = open_engine(url)
    engine.peewee.connect()
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def old_database(folder: Path, name: str, before: str = BEFORE) -> Iterator[str]:
    """The URL of an empty database as it was before a migration."""
    if Databases.kind == "sqlite":
        url = f"sqlite:///{folder}/{name}.db"
    else:
        url = server().create(f"{name}_{folder.name.replace('-', '_')[:30]}")
    old = folder / "migrations"
    old.mkdir()
    for file in sorted(MIGRATIONS.glob("[0-9]*.py")):
        if file.stem <= before:
            shutil.copy(file, old)
    with engine_of(url) as engine:
        Runner(engine.peewee, str(old)).up()
    yield url
    Databases.remove(url)


def move(shop: Shop, url: str) -> None:
    """Put the rows of a business into an old database, but for what that has no column for."""
    with engine_of(url) as engine:
        there = engine.peewee.get_tables()
        for model in models.ALL:
            table, rows = model._meta.table_name, shop.rows()[model.__name__]
            if table not in there or not rows:
                continue
            known = {c.name for c in engine.peewee.get_columns(table)}
            columns = [f.column_name for f in model._meta.sorted_fields if f.column_name in known]
            fields = {f.column_name: f.name for f in model._meta.sorted_fields}
            places = ", ".join([engine.peewee.param] * len(columns))
            for row in rows:
                values = [row[fields[column]] for column in columns]
                engine.peewee.execute_sql(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values
                )
            engine.go_on_after(table, model._meta.auto_increment)


@pytest.fixture
def sold(tmp_path: Path) -> Iterator[str]:
    """The URL of an old database with a business in it."""
    with old_database(tmp_path, "old") as url:
        with open_shop(tmp_path) as shop:
            do_business(shop)
            move(shop, url)
        yield url


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Shop]:
    shop = Shop.__new__(Shop)
    shop.clock, shop.url, shop.file = SetClock(), url, folder / "old.db"
    shop.stores = open_stores(url, "node1", shop.clock)
    try:
        yield shop
    finally:
        shop.stores.database.close()


def test_old_books_are_sealed_and_in_order_and_go_on(sold: str, tmp_path: Path) -> None:
    with opened(sold, tmp_path) as shop:
        assert "0009_books" in shop.stores.database.migrate()
        assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == []
        rows = shop.rows()
        assert {row["name"]: row["links"] for row in rows["Book"] if row["links"]} == {
            "account:100": 10,
            "account:200": 6,
            "account:300": 1,
            "account:500": 3,
        }
        assert all(len(row["seal"]) == 64 for row in (*rows["Transfer"], *rows["Xdr"], *rows["Voucher"]))
        book_id = shop.stores.accounts.named("100").book_id
        shop.stores.ledger.top_up(book_id, 1_000_000, key="after")
        assert shop.stores.ledger.statement(book_id, 1)[0].balance_micros == rows_balance(shop, "account:100")
        assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == []


def rows_balance(shop: Shop, name: str) -> int:
    return next(int(row["balance_micros"]) for row in shop.rows()["Book"] if row["name"] == name)


def test_what_was_wrong_before_the_migration_is_wrong_after_it(sold: str, tmp_path: Path) -> None:
    with opened(sold, tmp_path) as shop:
        shop.sql("UPDATE book SET balance_micros = balance_micros + 1 WHERE name = 'account:100'")
        shop.edit("DELETE FROM xdr WHERE leg_id = 'b2'")
        shop.stores.database.migrate()
        assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == [
            "account:100: the balance is 8.950001, its entries sum to 8.95",
            "leg b2 is settled but has no xDR",
        ]


def test_the_guards_are_back_after_the_migration(sold: str, tmp_path: Path) -> None:
    with opened(sold, tmp_path) as shop:
        shop.stores.database.migrate()
        for table in ("transfer", "xdr", "entry"):
            with pytest.raises(peewee.IntegrityError, match=f"{table} is append-only"):
                shop.sql(f"UPDATE {table} SET id = id")
            with pytest.raises(peewee.IntegrityError, match=f"{table} is append-only"):
                shop.sql(f"DELETE FROM {table}")


def test_an_empty_old_database_becomes_a_new_one(tmp_path: Path) -> None:
    with old_database(tmp_path, "empty") as url, opened(url, tmp_path) as shop:
        shop.stores.database.migrate()
        assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == []
