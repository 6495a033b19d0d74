"""Tables that are gone through row by row, some thousand at a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from stasis_callback.store.database.snapshots import Snapshots

ROWS_AT_A_LOOK = 2000

Key = int | str


class TableCheck(NamedTuple):
    """A table that is gone through in the order of its ids. `wrong` says what is wrong behind one of them and up to
    another.
    """

    name: str
    before_first: Key
    wrong: Callable[[Snapshots, Key, Key], Iterator[str]]
    key: str = "id"


def rows_until(looks: Snapshots, table: TableCheck, after: Key) -> Key | None:
    """The id of the last of the next rows behind an id; None at the end of the table."""
    ids = f"SELECT {table.key} AS id FROM {table.name} WHERE {table.key} > ? ORDER BY {table.key} LIMIT ?"
    [(last,)] = looks.rows(f"SELECT MAX(id) FROM ({ids}) AS found", (after, ROWS_AT_A_LOOK))
    return None if last is None else cast(Key, last)


def steps(looks: Snapshots, table: TableCheck, after: Key | None) -> Iterator[tuple[Key | None, list[str]]]:
    """Go through a table: after each look, where it goes on (None at the end), and what was wrong."""
    while after is not None:
        with looks.look():
            last = rows_until(looks, table, after)
            wrong = [] if last is None else list(table.wrong(looks, after, last))
        yield last, wrong
        after = last


def is_odd(column: str) -> str:
    """The condition that a column has no whole number: SQLite takes a fraction or a text where one should be."""
    return f"{column} IS NULL OR {column} <> CAST({column} AS BIGINT)"
