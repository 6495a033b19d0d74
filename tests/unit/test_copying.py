"""A large business moves from one kind of database to the other and back, and nothing of it is different."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import pytest
from databases import server
from shop import NOON_US

from stasis_callback.core.errors import CallbackError
from stasis_callback.store.copying import copy_database
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.statements import insert_rows
from stasis_callback.store.database.tables import Table, keys_of
from stasis_callback.store.models import ALL

LARGE, SMALL = 6_000, 50
"""Six thousand times in microseconds add up to more than 64 bits hold."""
GROWING = {
    "rate", "request", "request_event", "leg", "hold", "transfer", "entry", "xdr", "voucher", "email_reply",
    "total", "total_of_prefix",
}  # fmt: skip
WORDS = {
    "side": "b", "delivery": "sent", "source": "cel", "status": "active", "rounding": "up", "off_peak_by": "answer",
    "account.kind": "debit", "leg.state": "settled", "hold.state": "posted", "voucher.state": "new",
    "request.state": "done", "node.state": "active", "medium": "mail", "console_user.role": "owner",
    "console_proposal.state": "agreed",
}  # fmt: skip
"""Where the tables allow some words only."""


def rows_of(model: type[Table], large: int) -> int:
    return large if model._meta.table_name in GROWING else SMALL


def value(field: Any, n: int, large: int) -> object:
    """What stands in a column of the row `n`, from 1 on: every row is different from every other."""
    name, table = field.column_name, field.model._meta.table_name
    word = WORDS.get(f"{table}.{name}", WORDS.get(name))
    if isinstance(field, peewee.ForeignKeyField):
        if field.rel_model is field.model:
            return None
        parent: Any = field.rel_model
        return value(parent._meta.primary_key, (n - 1) % rows_of(parent, large) + 1, large)
    if word is not None:
        return word
    if isinstance(field, peewee.BooleanField):
        return n % 2 == 0
    if isinstance(field, peewee.IntegerField):
        return NOON_US + n if name.endswith("_us") else n
    return f"{table} {name} {n} č"


def fill(url: str, large: int) -> None:
    """Many rows in every table, `large` in those that grow."""
    database = Database(url)
    try:
        database.migrate()
        with database.transaction():
            for model in ALL:
                fields = model._meta.sorted_fields
                count = rows_of(model, large)
                rows = ([value(field, n, large) for field in fields] for n in range(1, count + 1))
                insert_rows(model, [field.column_name for field in fields], rows)
    finally:
        database.close()


def content(file: Path) -> Iterator[tuple[str, list[Any]]]:
    with closing(sqlite3.connect(file)) as connection:
        for model in ALL:
            name = model._meta.table_name
            columns = ", ".join(field.column_name for field in model._meta.sorted_fields)
            key = ", ".join(field.column_name for field in keys_of(model))
            select = f"SELECT {columns} FROM {name} ORDER BY {key}"
            yield name, connection.execute(select).fetchall()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An empty database on a PostgreSQL."""
    yield server().create("large_copy")
    server().drop("large_copy")


@pytest.mark.sqlite
@pytest.mark.timeout(300)
def test_a_large_business_is_the_same_in_another_file(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/old.db", LARGE)
    copied = copy_database(
        f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db", lambda _done, _total: None
    )
    assert copied == {model._meta.table_name: rows_of(model, LARGE) for model in ALL}
    assert dict(content(tmp_path / "new.db")) == dict(content(tmp_path / "old.db"))


@pytest.mark.postgres
@pytest.mark.timeout(600)
def test_a_large_business_moves_to_a_server_and_back(elsewhere: str, tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/old.db", LARGE)
    copy_database(f"sqlite:///{tmp_path}/old.db", elsewhere, lambda _done, _total: None)
    copy_database(elsewhere, f"sqlite:///{tmp_path}/new.db", lambda _done, _total: None)
    assert dict(content(tmp_path / "new.db")) == dict(content(tmp_path / "old.db"))


@pytest.mark.sqlite
def test_what_is_written_to_meanwhile_is_not_copied(tmp_path: Path) -> None:
    """A web server that was forgotten takes one more order."""
    source, target = tmp_path / "old.db", tmp_path / "new.db"
    fill(f"sqlite:///{source}", SMALL)
    written = False

    def meanwhile(_done: int, _total: int) -> None:
        nonlocal written
        if not written:
            with closing(sqlite3.connect(source)) as connection, connection:
                connection.execute("UPDATE request SET ani = 'x' || ani WHERE id = 'request id 1 č'")
            written = True

    with pytest.raises(CallbackError, match="request was changed during the copy, so nothing was copied"):
        copy_database(f"sqlite:///{source}", f"sqlite:///{target}", meanwhile)
    assert not any(rows for _, rows in content(target))
