"""Results of the ledger: a hold that is being closed, the charge of a leg, the statement of a book."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stasis_callback.store.database.periods import between
from stasis_callback.store.database.statements import one
from stasis_callback.store.database.tables import Table
from stasis_callback.store.money import tables as _tables
from stasis_callback.store.money.chain import XDR_COLUMNS, Chain, hidden_number, marks, xdr_content


@dataclass(slots=True)
class LockedHold:
    """A hold that no other transaction changes before this one is over, nor its book.

    `revenue_id` is the house's book that earns what is charged (None before the first).
    """

    leg_id: str
    amount_micros: int
    state: str
    created_at_us: int
    closed_at_us: int | None
    revenue_id: int | None
    chain: Chain

    @classmethod
    def of(cls, row: Sequence[Any], chains: dict[int, Chain]) -> LockedHold:
        """A row of `ledger.LOCKED_HOLD`. Of one book there is one chain, however many of its holds are closed:
        `chains` has those of the transaction so far, by book.
        """
        leg_id, amount_micros, state, created_at_us, closed_at_us, revenue_id, *book = row
        chain = chains.setdefault(book[0], Chain(*book))
        return cls(leg_id, amount_micros, state, created_at_us, closed_at_us, revenue_id, chain)


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A locked hold as it is, and what it is to be."""

    leg_id: str
    book_id: int
    held_micros: int
    state: str
    amount_micros: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a leg was charged: `paid_micros` by the account, `overrun_micros` by the house."""

    paid_micros: int
    overrun_micros: int


class CallRecord(NamedTuple):
    """An xDR for its table before it is sealed, by its columns, and of its leg the values of `chain.LEG_COLUMNS`."""

    table: type[Table]
    xdr: dict[str, object]
    leg: Sequence[object]

    def sealed(self, hold: LockedHold) -> dict[str, object]:
        """Every column of its row, as the next link of the chain of the book that pays, behind its closed hold."""
        salt, hashed = hidden_number(str(self.xdr["number"]))
        xdr = [hashed if column == "number_hash" else self.xdr[column] for column in XDR_COLUMNS]
        chain = hold.chain
        held = chain.book_id, hold.amount_micros, hold.state, hold.created_at_us, hold.closed_at_us
        link, seal = chain.append(xdr_content(xdr, self.leg, held, marks(self.xdr)))
        return {**self.xdr, "number_salt": salt, "book_id": chain.book_id, "link": link, "seal": seal}


Record = Callable[[int], CallRecord]
"""Makes a call record of what the leg cost above its hold."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry of a book: what moved, why, and the balance after it."""

    transfer: int
    created_at_us: int
    kind: str
    key: str
    note: str
    operator: str
    amount_micros: int
    balance_micros: int
    reversed_by: int | None


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of any subscriber's book."""

    book_id: int
    currency: str
    line: StatementLine


def entries(
    books: object,
    *,
    kind: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    limit: int = -1,
    offset: int = 0,
) -> list[EntryLine]:
    """Entries of books, newest first. For within `Database.reading`.

    `books` are ids, or a query of them; None for all but the house's. A negative `limit` is none.
    """
    rows = _tables.Entry.select(_tables.Entry, _tables.Transfer, _tables.Book.currency.alias("currency"))
    rows = (
        rows.join(_tables.Transfer)
        .join(_tables.Book)
        .where(_tables.Entry.book == _tables.Transfer.book, ~_tables.Book.house)
    )
    if books is not None:
        rows = rows.where(_tables.Transfer.book.in_(books))
    if kind is not None:
        rows = rows.where(_tables.Transfer.kind == kind)
    rows = between(rows, _tables.Transfer.created_at_us, since_us, until_us)
    rows = rows.order_by(_tables.Transfer.id.desc())
    found = list((rows if limit < 0 else rows.limit(limit).offset(offset)).objects())
    return [
        EntryLine(row.book_id, row.currency, line) for row, line in zip(found, _lines(found), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class LegFunds:
    """What was held for a leg, and what became of that. `transfer` is the charge (None: nothing was charged)."""

    leg_id: str
    currency: str
    held_micros: int
    held_at_us: int
    closed_at_us: int | None
    transfer: int | None
    reversed_by: int | None
    reversed_at_us: int | None
    reversal: str
    """Who took the charge back, and why; "" if nobody did."""


_LEG_FUNDS = """SELECT hold.leg_id, book.currency, hold.amount_micros, hold.created_at_us, hold.closed_at_us, paid.id,
    back.id, back.created_at_us, COALESCE(back.operator || ': ' || back.note, '')
    FROM hold JOIN book ON book.id = hold.book_id LEFT JOIN transfer AS paid ON paid.key = 'settle:' || hold.leg_id
    LEFT JOIN transfer AS back ON back.reverses_id = paid.id WHERE hold.leg_id = ?"""


def funds_of_leg(leg_id: str) -> LegFunds | None:
    """What was held for a leg; None for one without a hold. For within `Database.reading`."""
    row = one(_LEG_FUNDS, leg_id)
    return LegFunds(*row) if row else None


def balance_before_us(book_id: int, at_us: int) -> int:
    """What was in a book before a time. For within `Database.reading`."""
    rows = _tables.Transfer.select(_tables.Transfer.balance_micros).where(
        _tables.Transfer.book == book_id, _tables.Transfer.created_at_us < at_us
    )
    last = rows.order_by(_tables.Transfer.link.desc()).first()
    return int(last.balance_micros) if last else 0


def statement(book_id: int, limit: int) -> list[StatementLine]:
    """The newest `limit` entries of a book, oldest first. For within `Database.reading`."""
    rows = list(
        _tables.Entry.select(_tables.Entry, _tables.Transfer)
        .join(_tables.Transfer)
        .where(_tables.Transfer.book == book_id, _tables.Entry.book == book_id)
        .order_by(_tables.Transfer.link.desc())
        .limit(limit)
    )
    return _lines(rows)[::-1]


def _lines(rows: Sequence[_tables.Entry]) -> list[StatementLine]:
    """Entries with their transfers, as statements have them."""
    taken_back: dict[int, int] = {}
    for start in range(0, len(rows), 500):
        ids = [row.transfer_id for row in rows[start : start + 500]]
        for reversal in _tables.Transfer.select().where(_tables.Transfer.reverses.in_(ids)):
            taken_back[reversal.reverses_id] = reversal.id
    lines = []
    for row in rows:
        t = row.transfer
        told = t.id, t.created_at_us, t.kind, t.key, t.note, t.operator
        lines.append(StatementLine(*told, row.amount_micros, t.balance_micros, taken_back.get(t.id)))
    return lines
