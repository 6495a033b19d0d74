"""Lists of numbers that are not called: for others (opt-outs), or by nobody and for nobody (never-call list)."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.intake.tables import NeverCall, OptOut


@dataclass(frozen=True, slots=True)
class ListKind:
    """A list: its table, and the command that shows it."""

    table: type[NeverCall] | type[OptOut]
    noun: str


OPT_OUTS = ListKind(OptOut, "opt-out")
"""Numbers that nobody has called by a form or a mail. Callbacks of missed calls are not affected: their owner has
asked for them.
"""
NEVER_CALL = ListKind(NeverCall, "never-call")
"""Numbers, and beginnings of numbers, that are called neither as leg A nor as leg B."""


@dataclass(frozen=True, slots=True)
class ListedNumber:
    """A number that is not called, and why."""

    number: str
    note: str
    created_at_us: int


class NumberList:
    """One of the lists."""

    def __init__(self, database: Database, clock: Clock, kind: ListKind) -> None:
        self._database = database
        self._clock = clock
        self._kind = kind

    @unit
    def add(self, number: str, note: str = "") -> None:
        """Call this number no more; nothing changes when it is on the list already."""
        values = {"number": number, "note": note, "created_at_us": self._clock.now_us()}
        self._kind.table.insert(values).on_conflict_ignore().execute()

    @unit
    def remove(self, number: str) -> None:
        """Call this number again. Raises InvalidInput if it is not on the list."""
        table, noun = self._kind.table, self._kind.noun
        again = self._database.repeated(f"{noun}:{number}")
        if not table.delete().where(table.number == number).execute() and not again:
            raise InvalidInput(f"{number} is not on the list: see `stasis-callback {noun} list`")

    @read
    def all(self, *, only: str = "", limit: int = -1, after: str = "") -> list[ListedNumber]:
        """The numbers in order, or one of them, from the one after `after` on. A negative `limit` is none."""
        table = self._kind.table
        rows = table.select().where(table.number > after).order_by(table.number)
        rows = rows.where(table.number == only) if only else rows
        rows = rows if limit < 0 else rows.limit(limit)
        return [ListedNumber(row.number, row.note, row.created_at_us) for row in rows]
