"""Results of the ledger: a hold that is being closed, the charge of a leg, the statement of a book."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stasis_callback.store.database.periods import NEAR, row_after
from stasis_callback.store.database.statements import every, one
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


_MOVED_OF = """SELECT transfer.id, transfer.created_at_us, transfer.kind, transfer.key, transfer.note,
    transfer.operator, entry.amount_micros, transfer.balance_micros, transfer.book_id, book.currency
    FROM {} CROSS JOIN book CROSS JOIN entry WHERE book.id = transfer.book_id
    AND entry.transfer_id = transfer.id AND CASE WHEN entry.book_id = transfer.book_id THEN TRUE ELSE FALSE END"""
"""Transfers (a table, or a SELECT called so) with their entries in their own books.

`CROSS JOIN` has SQLite begin with the transfers. PostgreSQL takes a second pair of equal columns to be true of few
rows, and would join all transfers to find these; not so of a CASE.
"""
_MOVED = _MOVED_OF.format("transfer")
_EDGE = "SELECT created_at_us FROM transfer WHERE {} ORDER BY created_at_us DESC LIMIT 1 OFFSET ?"
_NEWEST_FIRST = " ORDER BY transfer.created_at_us DESC, transfer.id DESC LIMIT ?"


def entries(
    books: tuple[str, Sequence[object]] | None,
    *,
    kind: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    limit: int = -1,
    after: str = "",
) -> list[EntryLine]:
    """Entries of books, newest first, from the one after `after` (its transfer) on. For within `Database.reading`.

    `books` is a statement that gives their ids, and its values; None for all but the house's. A negative `limit` is
    none. Raises InvalidInput if there is no `after`.
    """
    wanted: list[tuple[str, object]] = []
    if kind is not None:
        wanted.append(("transfer.kind = ?", kind))
    if since_us is not None:
        wanted.append(("transfer.created_at_us >= ?", since_us))
    if until_us is not None:
        wanted.append(("transfer.created_at_us < ?", until_us))
    where, values = " AND ".join(["TRUE", *(sql for sql, _ in wanted)]), [value for _, value in wanted]
    if after:
        last = row_after(_tables.Transfer, _tables.Transfer.id, after)
        where += " AND (transfer.created_at_us, transfer.id) < (?, ?)"
        values += [last.created_at_us, last.id]
    rows, most = f"{_MOVED} AND NOT book.house AND {where}", limit if limit >= 0 else 2**62
    if books is None:
        return _lines(every(rows + _NEWEST_FIRST, *values, most))
    statement, ids = books
    # As `periods.sought` does it: a customer's books may have nearly all entries or hardly any.
    edge = one(_EDGE.format(where), *values, NEAR) if limit >= 0 else None
    if edge:
        near = f"{where} AND created_at_us >= ? AND +book_id IN ({statement})"
        # Each has one entry in its book, so those to show are known before books and entries are read.
        some = _MOVED_OF.format(f"(SELECT * FROM transfer WHERE {near}{_NEWEST_FIRST}) AS transfer")
        found = every(some + _NEWEST_FIRST, *values, edge[0], *ids, most, most)
        if len(found) == limit:
            return _lines(found)
    return _lines(every(f"{rows} AND transfer.book_id IN ({statement}){_NEWEST_FIRST}", *values, *ids, most))


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
    newest = every(f"{_MOVED} AND transfer.book_id = ? ORDER BY transfer.link DESC LIMIT ?", book_id, limit)
    return [entry.line for entry in _lines(newest)[::-1]]


def _lines(found: Sequence[Sequence[Any]]) -> list[EntryLine]:
    """Rows of `_MOVED`, as listings and statements have them."""
    taken_back: dict[int, int] = {}
    for start in range(0, len(found), 500):
        ids = [row[0] for row in found[start : start + 500]]
        for reversal in _tables.Transfer.select().where(_tables.Transfer.reverses.in_(ids)):
            taken_back[reversal.reverses_id] = reversal.id
    return [
        EntryLine(book_id, currency, StatementLine(*told, taken_back.get(told[0])))  # type: ignore[call-arg]
        for *told, book_id, currency in found
    ]
