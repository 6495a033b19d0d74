"""The audit log: who changed what, with before and after, written in the transaction of the change. Append-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from peewee import BigIntegerField

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.periods import between, row_after
from stasis_callback.store.database.tables import Table, TextField

Fields = Mapping[str, object]
_OPERATORS = "operators"


class AuditEntry(Table):
    """One change. `before` and `after` are JSON objects with the fields that differ, as far as they say something;
    nulls where all of them were empty. `{}` is of what was added or removed.
    """

    at_us = BigIntegerField()
    operator = TextField()
    noun = TextField()
    name = TextField()
    before = TextField()
    after = TextField()


@dataclass(frozen=True, slots=True)
class AuditView:
    """One change: of what, by whom, and the fields that differ. Nothing was before what was added."""

    id: int
    at_us: int
    operator: str
    noun: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]


class Trail:
    """The audit log."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @contextmanager
    def change(self, noun: str, name: str, describe: Callable[[], Fields | None]) -> Iterator[None]:
        """Note what the block changes of a thing, all in one transaction; nothing where it changes nothing.

        `describe` gives its fields, None for a thing that is not there.
        """
        with self._database.transaction():
            self.one_by_one()
            before = dict(describe() or {})
            yield
            note_change(self._database, self._clock, noun, name, before, dict(describe() or {}))

    def one_by_one(self) -> None:
        """Within a transaction, before anything is read: operators change things one after another, as on SQLite.

        So what a change was decided by is still so when it is made, of whatever things, and two make no row at once.
        """
        self._database.lock(_OPERATORS)

    @unit
    def note(self, operator: str, noun: str, name: str, before: Fields, after: Fields) -> None:
        """Note which fields differ, for somebody who is no operator."""
        note_change(self._database, self._clock, noun, name, before, after, operator)

    @read
    def newest(
        self,
        *,
        noun: str = "",
        name: str = "",
        operator: str = "",
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int = 100,
        after: str = "",
    ) -> list[AuditView]:
        """The changes, newest first, from the one after `after` on. Raises InvalidInput if there is none."""
        rows = AuditEntry.select().order_by(AuditEntry.id.desc()).limit(limit)
        rows = rows.where(AuditEntry.id < row_after(AuditEntry, AuditEntry.id, after).id) if after else rows
        for field, value in (
            (AuditEntry.noun, noun),
            (AuditEntry.name, name),
            (AuditEntry.operator, operator),
        ):
            rows = rows.where(field == value) if value else rows
        rows = between(rows, AuditEntry.at_us, since_us, until_us)
        return [
            AuditView(r.id, r.at_us, r.operator, r.noun, r.name, json.loads(r.before), json.loads(r.after))
            for r in rows
        ]


class LongChange:
    """A change of many rows in small transactions. One entry, written with the first of them, says what becomes of
    all: so nothing that a killed process has done is missing in the log. What came out otherwise has a second entry.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        about: tuple[str, str],
        describe: Callable[[], Fields],
        aim: Callable[[Fields], Fields],
    ) -> None:
        """`about` is the noun and the name of the thing; `aim` says of its fields what they are to be in the end."""
        self._database = database
        self._clock = clock
        self._about = about
        self._describe = describe
        self._aim = aim
        self._aimed_at: Fields = {}
        self.done = 0
        """How many rows were changed so far."""

    def step(self, work: Callable[[], int]) -> None:
        """Do one part in a transaction. `work` tells how many rows it has changed: none when it is run again."""
        self.done += self._database.unit(lambda: self._once(work))

    def _once(self, work: Callable[[], int]) -> int:
        if not self.done:
            self._database.lock(_OPERATORS)
        before = {} if self.done else dict(self._describe())
        changed = work()
        if changed and not self.done:
            self._aimed_at = self._aim(before)
            note_change(self._database, self._clock, *self._about, before, self._aimed_at)
        # With none left for it, an earlier run has been committed, and only the answer to that was lost.
        changed = changed or self._database.noted("changed") or 0
        self._database.note("changed", changed)
        return changed

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Around all steps: note what did not become as was said, as where they are broken off."""
        try:
            yield
        except BaseException:
            if not self._database.in_transaction:  # which undoes it all
                with suppress(StoreUnavailable):
                    self._correct()
            raise
        self._correct()

    def _correct(self) -> None:
        if self.done and self._database.read(self._describe) != self._aimed_at:
            self._database.unit(self._note_difference)

    def _note_difference(self) -> None:
        note_change(self._database, self._clock, *self._about, self._aimed_at, self._describe())


def values_noted(noun: str, name: str, field: str) -> set[object] | None:
    """Within a read or a unit: each value that a field is noted to have had; None for a thing unknown to it."""
    rows = list(AuditEntry.select().where(AuditEntry.noun == noun, AuditEntry.name == name))
    said = [json.loads(fields) for row in rows for fields in (row.before, row.after)]
    return {fields[field] for fields in said if field in fields} if rows else None


def note_change(
    database: Database,
    clock: Clock,
    noun: str,
    name: str,
    before: Fields,
    after: Fields,
    operator: str = "",
) -> None:
    """Within a transaction: note which fields differ, and who is at work: by default whose command this is. Nothing
    is noted for a service.
    """
    operator = operator or database.operator
    old, new = _differing(before, after)
    if not (old or new) or not operator:
        return
    AuditEntry.create(
        at_us=clock.now_us(),
        operator=operator,
        noun=noun,
        name=name,
        before=json.dumps(old, ensure_ascii=False, default=str),
        after=json.dumps(new, ensure_ascii=False, default=str),
    )


def _differing(before: Fields, after: Fields) -> tuple[Fields, Fields]:
    """The fields that differ and say something. Nothing is left of a thing that was not there; of one that was, null
    where all such fields were empty.
    """
    said = [
        {field: value for field, value in fields.items() if value not in (None, "", [], {})}
        for fields in (before, after)
    ]
    old, new = (
        {field: value for field, value in one.items() if other.get(field) != value}
        for one, other in (said, said[::-1])
    )
    if before and after:
        old, new = old or dict.fromkeys(new), new or dict.fromkeys(old)
    return old, new
