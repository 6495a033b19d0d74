"""The numbered migrations make exactly the tables that the models describe."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField, Model
from playhouse.migrations import Migration, Runner
from playhouse.pool import PooledSqliteDatabase
from shop import SetClock, Shop, talked

from stasis_callback.core.rating import Terms
from stasis_callback.store import models
from stasis_callback.store.database.database import AFTER, MIGRATIONS, Database
from stasis_callback.store.database.tables import TextField, keys_of
from stasis_callback.store.stores import open_stores

pytestmark = pytest.mark.sqlite  # test_postgres.py has what is the same there

KINDS = {
    TextField: "TEXT",
    BigIntegerField: "BIGINT",
    IntegerField: "INTEGER",
    BooleanField: "BOOLEAN",
}
TABLES = {model._meta.table_name: model for model in models.ALL}
NOT_OURS = {"schema_migration", "sqlite_sequence"}


@pytest.fixture
def tables(shop: Shop) -> Iterator[sqlite3.Connection]:
    """The database as another program sees it."""
    connection = sqlite3.connect(shop.file)
    yield connection
    connection.close()


def columns_of(model: type[Model]) -> dict[str, tuple[str, bool, str]]:
    """Name, type, may be null, table it refers to: as the model has it."""
    columns = {}
    for field in model._meta.sorted_fields:
        target = field
        while isinstance(target, ForeignKeyField):
            target = target.rel_field
        kind = KINDS.get(type(target), "INTEGER")
        if isinstance(field, ForeignKeyField) and kind == "INTEGER":
            kind = "BIGINT"
        refers_to = field.rel_model._meta.table_name if isinstance(field, ForeignKeyField) else ""
        columns[field.column_name] = (kind, bool(field.null), refers_to)
    return columns


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_has_the_columns_of_its_model(tables: sqlite3.Connection, name: str) -> None:
    refers_to = {row[3]: row[2] for row in tables.execute(f"PRAGMA foreign_key_list({name})")}
    made = {
        column: (kind, not (not_null or is_key), refers_to.get(column, ""))
        for _, column, kind, not_null, _, is_key in tables.execute(f"PRAGMA table_info({name})")
    }
    assert made == columns_of(TABLES[name])


@pytest.mark.parametrize("name", sorted(TABLES))
def test_what_is_unique_in_the_model_is_unique_in_the_table(tables: sqlite3.Connection, name: str) -> None:
    unique = set()
    for _, index, is_unique, _, partial in tables.execute(f"PRAGMA index_list({name})"):
        if is_unique and not partial:
            unique.add(tuple(row[2] for row in tables.execute(f"PRAGMA index_info({index})")))
    wanted = {(f.column_name,) for f in TABLES[name]._meta.sorted_fields if f.unique or f.primary_key}
    wanted.add(tuple(f.column_name for f in keys_of(TABLES[name])))
    for columns, is_unique in TABLES[name]._meta.indexes:
        wanted |= {tuple(TABLES[name]._meta.fields[c].column_name for c in columns)} if is_unique else set()
    assert wanted - {("id",)} <= unique | {("id",)}
    assert unique <= wanted


def test_there_is_no_other_table(tables: sqlite3.Connection) -> None:
    found = {name for (name,) in tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found - NOT_OURS == set(TABLES)


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new.db")
    try:
        pending = database.pending_migrations()
        assert pending == sorted(file.stem for file in MIGRATIONS.glob("[0-9]*.py"))
        assert database.migrate() == pending
        assert database.pending_migrations() == database.migrate() == []
    finally:
        database.close()


ADDS = re.compile(
    r"CREATE TABLE \w+ \(|CREATE (UNIQUE )?INDEX \w+ ON (?P<indexed>\w+) |CREATE TRIGGER .* ON (?P<guarded>\w+) "
    r"|ALTER TABLE \w+ ADD COLUMN \w+ \w+(?P<rest>[^,]*)$|INSERT INTO (?P<filled>\w+) |UPDATE (?P<changed>\w+) SET",
    re.DOTALL,
)
SINCE = "0030"
"""From here on nodes are upgraded one after another."""


def why_not_added(statement: str, made: set[str]) -> str:
    """Why a service of the version before may fail after this statement; `made` are what the migration creates."""
    if (dropped := re.fullmatch(r"DROP INDEX (\w+)", statement)) and dropped[1] in made:
        return ""  # it is made anew
    found = ADDS.match(statement.strip())
    if not found:
        return "it does more than to add"
    rest = found["rest"] or ""
    if "NOT NULL" in rest and "DEFAULT" not in rest:
        return "the version before does not fill this column"
    if "UNIQUE" in rest or "CHECK" in rest:
        return "the version before may write what this forbids"
    if found[1] and found["indexed"] not in made:
        return "the version before may write what this forbids"
    for name in ("guarded", "filled", "changed"):
        if found[name] and found[name] not in made:
            return "the version before has its own idea of these rows"
    return ""


@pytest.mark.parametrize(
    "file",
    [
        file
        for file in sorted(MIGRATIONS.glob("[0-9]*.py"))
        if file.stem >= SINCE and not file.stem.endswith(AFTER)
    ],
    ids=lambda file: file.stem,
)
def test_a_migration_only_adds_so_that_the_version_before_goes_on_working(file: Path) -> None:
    """What takes away is a migration of its own, `..._after`, one release later."""
    said: list[str] = []

    class Sqlite:
        """What a migration gets as its database."""

        def execute_sql(self, statement: str, *_: object) -> None:
            said.append(statement)

    Migration(0, file.stem, str(file), None).load().up(None, Sqlite())
    made = {found[1] for one in said if (found := re.match(r"\s*CREATE (?:TABLE|INDEX) (\w+)", one))}
    assert [(one, why) for one in said if (why := why_not_added(one, made))] == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE node",
        "DROP INDEX request_created",
        "ALTER TABLE node RENAME COLUMN name TO title",
        "ALTER TABLE node ADD COLUMN more TEXT NOT NULL",
        "ALTER TABLE node ADD COLUMN more TEXT UNIQUE",
        "ALTER TABLE node DROP COLUMN trunks",
        "CREATE UNIQUE INDEX node_trunks ON node (trunks)",
        "UPDATE node SET state = 'other'",
    ],
)
def test_what_takes_away_is_seen(statement: str) -> None:
    assert why_not_added(statement, {"new"})


# --- rules the database keeps by itself ----------------------------------------------------------------------


@pytest.mark.parametrize("table", ["transfer", "entry", "xdr"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET id = id", "UPDATE {} SET {column}"])
def test_the_journal_can_only_grow(shop: Shop, tables: sqlite3.Connection, table: str, change: str) -> None:
    account = shop.account()
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    shop.stores.calls.settle("leg-1", talked(10))
    before = shop.rows()
    column = {"transfer": "note = 'x'", "entry": "amount_micros = 0", "xdr": "amount_micros = 0"}[table]
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        tables.execute(change.format(table, column=column))
    tables.rollback()
    assert shop.rows() == before


BAD_RATE = """INSERT INTO rate (tariff_id, prefix, description, connect_fee_micros, first_interval_s,
    first_price_micros, next_interval_s, next_price_micros, forbidden, from_us, revision)
    VALUES (1, '1', '', {0}, {1}, {2}, 1, 1, 0, 0, 1)"""
ONE_MORE_LEG = """INSERT INTO leg
    SELECT 'leg-2', 'nothing', side, number, account_id, rate_id, state, 0, 0, terms_id, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL FROM leg"""
ONE_MORE_REQUEST = """INSERT INTO request
    SELECT 'other', 'other', '', '', '', account_id, subscriber_id, leg_a_number, '{}', 'queued', '',
        0, 0, 0, '', 0, NULL, '', '', '', '', 0, FALSE, '', '', '', '', '', '', '' FROM request"""


@pytest.mark.parametrize(
    ("change",                                                        "why"),
    [
        ("UPDATE book SET held_micros = -1 WHERE NOT house",              "CHECK"),
        ("UPDATE book SET credit_limit_micros = -1 WHERE NOT house",      "CHECK"),
        ("UPDATE book SET held_micros = balance_micros + 1",              "CHECK"),
        ("UPDATE book SET balance_micros = held_micros - 1",              "CHECK"),
        ("UPDATE account SET status = 'open'",                            "CHECK"),
        ("UPDATE account SET number = NULL",                              "NOT NULL"),
        ("UPDATE leg SET side = 'c'",                                     "CHECK"),
        ("UPDATE hold SET amount_micros = -1",                            "CHECK"),
        ("UPDATE hold SET state = 'gone'",                                "CHECK"),
        (BAD_RATE.format(-1, 1, 0),                                       "CHECK"),
        (BAD_RATE.format(0, 0, 0),                                        "CHECK"),
        (BAD_RATE.format(0, 1, -1),                                       "CHECK"),
        ("UPDATE rate SET first_price_micros = 1",                        "rate is append-only"),
        ("DELETE FROM tariff_terms",                                      "tariff_terms is append-only"),
        ("INSERT INTO tariff_revision SELECT NULL, tariff_id, number, '', '', 0, 0 FROM tariff_revision",
                                                                          "UNIQUE .*tariff_revision"),
        ("INSERT INTO alias VALUES ('1', 999)",                           "FOREIGN KEY"),
        (ONE_MORE_LEG,                                                    "FOREIGN KEY"),
        (ONE_MORE_REQUEST,                                                "UNIQUE .*request"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_database_itself(
    shop: Shop, tables: sqlite3.Connection, change: str, why: str
) -> None:
    account = shop.account()
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    before = shop.rows()
    tables.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError, match=why):
        tables.execute(change)
    tables.rollback()
    assert shop.rows() == before


def test_rates_that_were_closed_before_the_rate_book_are_closed_in_it(tmp_path: Path) -> None:
    """Migration 0002: what had an end gets a row that ends it, unless a newer version began there."""
    file = tmp_path / "old.db"
    old = tmp_path / "migrations"
    old.mkdir()
    shutil.copy(MIGRATIONS / "0001_first_tables.py", old)
    first = PooledSqliteDatabase(str(file))
    Runner(first, str(old)).up()
    first.execute_sql("INSERT INTO tariff VALUES (1, 'retail', 'USD', 5)")
    for prefix, price, from_us, until_us in (
        ("44", 1, 10, 20), ("44", 2, 20, None),  # a price that was changed
        ("49", 3, 10, 30),                       # one that was removed
        ("33", 4, 10, 20), ("33", 5, 40, None),  # one that was removed and came back
    ):  # fmt: skip
        first.execute_sql(
            """INSERT INTO rate (tariff_id, prefix, description, connect_fee_micros, first_interval_s,
                first_price_micros, next_interval_s, next_price_micros, forbidden, from_us, until_us)
                VALUES (1, ?, '', 0, 1, ?, 1, 0, 0, ?, ?)""",
            (prefix, price, from_us, until_us),
        )
    first.close_all()
    clock = SetClock()
    stores = open_stores(f"sqlite:///{file}", "node1", clock)
    try:
        stores.database.migrate()

        def in_force(at_us: int) -> dict[str, int]:
            return {v.rate.prefix: v.rate.first_price_micros for v in stores.tariffs.rates("retail", at_us)}

        assert in_force(15) == {"44": 1, "49": 3, "33": 4}
        assert in_force(25) == {"44": 2, "49": 3}
        assert in_force(35) == {"44": 2}
        assert in_force(clock.now_us()) == {"44": 2, "33": 5}
        assert stores.tariffs.terms("retail") == Terms()
        assert stores.tariffs.match(1, "49123456") is None
    finally:
        stores.database.close()


def test_who_had_to_press_1_still_has_to(shop: Shop, tables: sqlite3.Connection) -> None:
    """Migration 0016: the option has another name."""
    for number, stored in (
        ("1", '{"press_one": "on", "brand": "x"}'),
        ("2", '{"press_one": "off"}'),
        ("3", "{}"),
    ):
        tables.execute("INSERT INTO access_number VALUES (NULL, ?, 1, ?, 0)", (number, stored))
    tables.execute("DELETE FROM schema_migration WHERE name = '0016_answer_check'")
    tables.commit()

    assert shop.stores.database.migrate() == ["0016_answer_check"]

    found = {one.number: one.options.answer_check for one in shop.stores.access_numbers.all()}
    assert found == {"1": "press_one", "2": "off", "3": "off"}
