"""Rates on their way into a tariff, and the changes that they make: on disk, because there may be a million of them.

A private temporary database of SQLite, whatever the database of the service is. It sorts the rates of a list by
prefix, finds those that stand twice, and is gone when it is closed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.rows import values_of

_TABLES = (
    "PRAGMA journal_mode = off",
    "PRAGMA synchronous = off",
    "PRAGMA cache_size = -16000",
    "CREATE TABLE spooled (prefix TEXT, from_us INTEGER, line INTEGER, content TEXT, PRIMARY KEY (prefix, from_us)) "
    "WITHOUT ROWID",
    "CREATE TABLE change (id INTEGER PRIMARY KEY, kind TEXT, old TEXT, new TEXT)",
    "BEGIN",
)


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to put into a tariff, in force from `from_us` on; at once when that is None or has passed.

    `takes_back`: it only takes a scheduled one back. So it is no other rate, but another row.
    """

    rate: Rate
    description: str = ""
    from_us: int | None = None
    takes_back: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What is different for one prefix. `old` is None where there was no rate; a removed one is discontinued in
    `new`.
    """

    old: NewRate | None
    new: NewRate

    @property
    def prefix(self) -> str:
        """The prefix that is changed."""
        return self.new.rate.prefix

    @property
    def kind(self) -> str:
        """`added`, `changed` or `removed`."""
        if self.new.rate.discontinued:
            return "removed"
        return "added" if self.old is None else "changed"


class ListedRate(NamedTuple):
    """A rate of a list, with its line."""

    new: NewRate
    line: int


class Spool:
    """The rates of one list, then what they change."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for statement in _TABLES:
            self._db.execute(statement)
        self.prefixes = 0
        """How many rates there are."""
        self.same = 0
        """How many of them change nothing."""

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, new: NewRate, line: int = 0) -> None:
        """Take in a rate. Raises InvalidInput if its prefix has one of the same time already."""
        values = new.rate.prefix, new.from_us or 0, line, _written(new)
        try:
            self._db.execute("INSERT INTO spooled VALUES (?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            (first,) = self._db.execute(
                "SELECT line FROM spooled WHERE prefix = ? AND from_us = ?", values[:2]
            ).fetchone()
            where = (
                f"already on line {first}" if line else "given twice: each can have only one rate at a time"
            )
            raise InvalidInput(f"prefix {new.rate.prefix} is {where}") from None
        self.prefixes += 1

    def entries(self) -> Iterator[ListedRate]:
        """The rates by prefix and time."""
        rows = self._db.execute("SELECT line, content FROM spooled ORDER BY prefix, from_us")
        return (ListedRate(_read(content), line) for line, content in rows)

    def starts(self) -> list[int | None]:
        """The times at which rates begin, at most two of them."""
        rows = self._db.execute("SELECT DISTINCT from_us FROM spooled ORDER BY from_us LIMIT 2")
        return [from_us or None for (from_us,) in rows]

    def put(self, changes: Iterable[Change]) -> None:
        """Take in the changes."""
        self._db.execute("DELETE FROM change")
        self._db.executemany(
            "INSERT INTO change (kind, old, new) VALUES (?, ?, ?)",
            ((c.kind, _written(c.old) if c.old else None, _written(c.new)) for c in changes),
        )

    def changes(self, kind: str = "") -> Iterator[Change]:
        """The changes, those of one kind if it is given, in the order of their prefixes."""
        rows = self._db.execute("SELECT old, new FROM change WHERE ? IN ('', kind) ORDER BY id", (kind,))
        return (Change(_read(old) if old else None, _read(new)) for old, new in rows)

    def count(self, kind: str = "") -> int:
        """How many changes there are, those of one kind if it is given."""
        (count,) = self._db.execute("SELECT COUNT(*) FROM change WHERE ? IN ('', kind)", (kind,)).fetchone()
        return int(count)


def _written(new: NewRate) -> str:
    return json.dumps([new.description, new.from_us, new.takes_back, *values_of(new.rate)])


def _read(content: str) -> NewRate:
    description, from_us, takes_back, *values = json.loads(content)
    return NewRate(Rate(*values), description, from_us, takes_back)
