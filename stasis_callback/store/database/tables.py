"""What every table is built on: the database they live in, and text as both databases take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peewee import DatabaseProxy, Field, Model
from peewee import TextField as PlainTextField

bound_database = DatabaseProxy()
"""Where the models live: `database.Database` sets it when a database is opened. One database per process."""


class TextField(PlainTextField):
    """Text without NULs, which PostgreSQL does not take: strangers send them. Kept, and looked for, as U+FFFD."""

    def db_value(self, value: Any) -> Any:
        """As it is stored."""
        value = super().db_value(value)  # type: ignore[no-untyped-call]
        return value.replace("\0", "\ufffd") if isinstance(value, str) else value


class Table(Model):
    """The base of all tables."""

    if TYPE_CHECKING:  # peewee adds `id` and a `<name>_id` for every foreign key; its stubs do not know them
        id: Any

        def __getattr__(self, name: str) -> Any: ...

    class Meta:
        database = bound_database
        legacy_table_names = False


def keys_of(model: type[Model]) -> Sequence[Field]:
    """The columns by which the rows of a table are told apart: one, or several together."""
    keys: Sequence[Field] = model._meta.get_primary_keys()  # type: ignore[no-untyped-call]
    return keys
