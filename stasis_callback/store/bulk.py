"""Many rows at once, by the driver's own means: a price list has a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stasis_callback.store.tables import Table, bound_database


def insert_rows(model: type[Table], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert `rows` (values in the order of `columns`) within the transaction that is open.

    A column is named as in the database. peewee builds a statement for every batch; the driver prepares one for all.
    """
    names = ", ".join(columns)
    places = ", ".join([bound_database.param] * len(columns))
    statement = f"INSERT INTO {model._meta.table_name} ({names}) VALUES ({places})"  # noqa: S608 - our own names
    bound_database.cursor().executemany(statement, rows)
