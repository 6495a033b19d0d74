"""Numbers whose owners do not want to be called because somebody has written them into a form or a mail."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.intake.tables import OptOut


@dataclass(frozen=True, slots=True)
class OptOutView:
    """A number that is not called, and why."""

    number: str
    note: str
    created_at_us: int


class OptOuts:
    """The list. Callbacks of missed calls are not affected: their owner has asked for them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def add(self, number: str, note: str = "") -> None:
        """Call this number no more; nothing changes when it is on the list already."""
        OptOut.insert(
            number=number, note=note, created_at_us=self._clock.now_us()
        ).on_conflict_ignore().execute()

    @unit
    def remove(self, number: str) -> None:
        """Call this number again. Raises InvalidInput if it is not on the list."""
        again = self._database.repeated(f"opt out:{number}")
        if not OptOut.delete().where(OptOut.number == number).execute() and not again:
            raise InvalidInput(f"{number} is not on the list: see `stasis-callback opt-out list`")

    @read
    def all(self, *, only: str = "", limit: int = -1, after: str = "") -> list[OptOutView]:
        """The numbers in order, or one of them, from the one after `after` on. A negative `limit` is none."""
        rows = OptOut.select().where(OptOut.number > after).order_by(OptOut.number)
        rows = rows.where(OptOut.number == only) if only else rows
        rows = rows if limit < 0 else rows.limit(limit)
        return [OptOutView(row.number, row.note, row.created_at_us) for row in rows]
