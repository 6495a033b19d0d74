"""Statements written by hand: all that a call needs, what is done again and again, and many rows at once.

Building a statement takes peewee ten times as long as SQLite needs to run it, and it builds it anew each time. What
is written by hand runs on both databases: values are marked by `?`, and `FOR NO KEY UPDATE` at the end (of a part in
brackets too) keeps others off these rows until the commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from stasis_callback.store.database.tables import Table, bound_database

_LOCKING = re.compile(r" FOR (NO KEY UPDATE|UPDATE|SHARE)[^)]*")


def run(statement: str, *values: object) -> Any:
    """Run one statement within the transaction that is open; its cursor.

    PostgreSQL may not have answered when this returns: reading a row waits for it. `rowcount` is not known before:
    see `changed`.
    """
    database = bound_database.obj
    # Text goes without NULs, as `TextField` stores it: PostgreSQL does not take them, and strangers send them.
    storable = [v.replace("\0", "\ufffd") if isinstance(v, str) and "\0" in v else v for v in values]
    return database.execute_sql(_dialect(statement, database.param), storable)


def one(statement: str, *values: object) -> Any:
    """Run a statement and read its first row; None when there is none."""
    return run(statement, *values).fetchone()


def every(statement: str, *values: object) -> list[Any]:
    """Run a statement and read all its rows."""
    rows: list[Any] = run(statement, *values).fetchall()
    return rows


def every_once(statement: str, values: Sequence[object]) -> list[Any]:
    """The same for a statement that is put together for one question, and seldom asked again."""
    database = bound_database.obj
    rows: list[Any] = database.execute_sql(statement.replace("?", database.param), values).fetchall()
    return rows


def changed(statement: str, *values: object) -> bool:
    """Run one statement with RETURNING; whether it changed a row."""
    return bool(run(statement, *values).fetchall())


@cache
def _dialect(statement: str, param: str) -> str:
    """Adapt a statement to the database. SQLite has no FOR UPDATE, because there is only one writer."""
    return _LOCKING.sub("", statement) if param == "?" else statement.replace("?", param)


def insert(model: type[Table], **values: object) -> None:
    """Insert one row; what is not named has its default in the database. Names are those of the columns."""
    run(_insertion(model, tuple(values)), *values.values())


def insert_rows(model: type[Table], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert `rows` (values in the order of `columns`): the driver prepares one statement for all."""
    run_many(_insertion(model, tuple(columns)), rows)


def run_many(statement: str, rows: Iterable[Sequence[object]]) -> None:
    """Run one statement for each of `rows`."""
    bound_database.cursor().executemany(_dialect(statement, bound_database.param), rows)


@cache
def _insertion(model: type[Table], columns: tuple[str, ...]) -> str:
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {model._meta.table_name} ({', '.join(columns)}) VALUES ({places})"
