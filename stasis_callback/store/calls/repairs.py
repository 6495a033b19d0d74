"""Legs and callbacks that neither their thread nor recovery ends, and past repairs by operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from peewee import JOIN, IntegrityError

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvariantBroken, require
from stasis_callback.core.states import UNDER_WAY, LegState
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.calls.legs import LegView
from stasis_callback.store.calls.request_view import RequestView, request_now
from stasis_callback.store.calls.tables import LegRow, Repair, Request, Xdr
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.statements import every, run
from stasis_callback.store.database.trail import note_change
from stasis_callback.store.database.trouble import words_of
from stasis_callback.store.money.reading import open_holds

T = TypeVar("T")

_STRAY = """SELECT hold.leg_id, COALESCE(
        (SELECT MIN(number) FROM account WHERE account.book_id = hold.book_id HAVING COUNT(*) = 1), ''),
    book.currency, hold.amount_micros, hold.created_at_us
    FROM hold JOIN book ON book.id = hold.book_id LEFT JOIN leg ON leg.id = hold.leg_id
    WHERE hold.state = 'open' AND leg.id IS NULL{} ORDER BY hold.created_at_us, hold.leg_id"""
_LOCK_REQUEST = "SELECT id FROM request WHERE id = ? FOR UPDATE"


@dataclass(frozen=True, slots=True)
class LeftLeg:
    """A leg that nobody settles any more: its callback is over, or waits; or the leg counts as settled, uncharged."""

    leg: LegView
    request: RequestView
    settled: bool
    account: str
    currency: str
    funds_micros: int


@dataclass(frozen=True, slots=True)
class StrayHold:
    """Funds that are held for a leg that does not exist, so that nothing ever gives them back.

    The product writes a leg and its hold in one transaction: somebody has written to the database by hand.
    """

    leg_id: str
    account: str
    """The account whose book it is; "" if several share it, or none has it."""
    currency: str
    amount_micros: int
    since_us: int


@dataclass(frozen=True, slots=True)
class RepairView:
    """A past repair: its subject, operator and reason."""

    subject: str
    done: str
    operator: str
    reason: str
    at_us: int


class Repairs:
    """Finding what is left, and keeping what was done."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @read
    def left_legs(self, leg_id: str | None = None) -> list[LeftLeg]:
        """Legs that are left, the oldest first; or this one, if it is."""
        held = {hold.leg_id: hold for hold in open_holds()}
        if not held:
            return []
        rows = (
            LegRow.select(LegRow, Account)
            .join(Request)
            .switch(LegRow)
            .join(Account)
            .join_from(LegRow, Xdr, JOIN.LEFT_OUTER)
            .where(Xdr.id.is_null(), LegRow.id.in_(list(held)))
            .where((LegRow.state == LegState.SETTLED) | Request.state.not_in(UNDER_WAY))
            .order_by(LegRow.dialed_at_us, LegRow.id)
        )
        return [
            LeftLeg(
                _leg_view(row),
                request_now(row.request_id),
                row.state == LegState.SETTLED,
                row.account.number,
                held[row.id].currency,
                held[row.id].amount_micros,
            )
            for row in (rows if leg_id is None else rows.where(LegRow.id == leg_id))
        ]

    @read
    def stray_holds(self, leg_id: str | None = None) -> list[StrayHold]:
        """Holds of legs that do not exist, the oldest first; or this one, if it is."""
        wanted = ("", []) if leg_id is None else (" AND hold.leg_id = ?", [leg_id])
        return [StrayHold(*row) for row in every(_STRAY.format(wanted[0]), *wanted[1])]

    def ending(self, work: Callable[[], T]) -> T:
        """One unit of the database. Raises InvariantBroken when what is there cannot be brought to an end."""
        try:
            return self._database.unit(work)
        except IntegrityError as error:
            raise InvariantBroken(f"the ledger rejects it: {words_of(error)}") from error

    def lock(self, request_id: str) -> None:
        """Within a transaction: let no node work on this request meanwhile."""
        run(_LOCK_REQUEST, request_id).fetchall()

    @unit
    def reopen(self, leg_id: str) -> None:
        """Let a leg that counts as settled, and has no xDR, be settled after all."""
        require(not Xdr.select().where(Xdr.leg == leg_id).exists(), f"leg {leg_id} already has an xDR")
        LegRow.update(state=LegState.DIALING).where(
            LegRow.id == leg_id, LegRow.state == LegState.SETTLED
        ).execute()

    @unit
    def note(self, subject: str, done: str, *, operator: str, reason: str) -> None:
        """Keep what was done, in the transaction that does it."""
        before_us = self._database.noted(f"repair:{subject}")
        at_us = before_us or self._clock.now_us()
        self._database.note(f"repair:{subject}", at_us)
        values = {"subject": subject, "done": done, "operator": operator, "reason": reason, "at_us": at_us}
        if before_us is None or Repair.get_or_none(**values) is None:
            Repair.create(**values)
            repair = {"done": done, "reason": reason}
            note_change(self._database, self._clock, "repair", subject, {}, repair)

    @read
    def history(self, limit: int = 100) -> list[RepairView]:
        """Past repairs, newest first."""
        rows = Repair.select().order_by(Repair.id.desc()).limit(limit)
        return [RepairView(row.subject, row.done, row.operator, row.reason, row.at_us) for row in rows]


def _leg_view(row: LegRow) -> LegView:
    """A row of the leg table."""
    return LegView(
        row.id,
        row.request_id,
        "a" if row.side == "a" else "b",
        row.number,
        row.account_id,
        row.rate_id,
        row.terms_id,
        row.dialed_at_us,
        row.answered_at_us,
        row.answered_mark,
    )
