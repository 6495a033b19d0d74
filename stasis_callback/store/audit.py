"""`ledger verify`: recomputes every sum from the entries and the rates, apart from the code that made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peewee import fn

from stasis_callback.core.money import format_amount
from stasis_callback.core.rating import charged_seconds, cost_micros
from stasis_callback.store.database import Database
from stasis_callback.store.models import Book, Entry, Hold, Leg, Transfer, Xdr
from stasis_callback.store.tariffs import Tariffs


def verify(database: Database, tariffs: Tariffs) -> list[str]:
    """What is wrong with the ledger, a sentence each; an empty list when every sum agrees.

    One transaction, so that it looks at a single moment while calls go on.
    """
    with database.transaction():
        return [*_transfers(), *_books(), *_holds(), *_xdrs(tariffs)]


def _transfers() -> list[str]:
    total = fn.SUM(Entry.amount_micros)
    uneven = Entry.select(Entry.transfer, total.alias("total")).group_by(Entry.transfer).having(total != 0)
    return [f"transfer {row.transfer_id} sums to {format_amount(row.total)}, not to 0" for row in uneven]


def _books() -> list[str]:
    entries = _sums(Entry.select())
    held = _sums(Hold.select().where(Hold.state == "open"))
    wrong = []
    for book in Book.select().where(~Book.house):
        if book.balance_micros != entries.get(book.id, 0):
            wrong.append(
                f"{book.name}: the balance is {format_amount(book.balance_micros)}, "
                f"its entries sum to {format_amount(entries.get(book.id, 0))}"
            )
        if book.held_micros != held.get(book.id, 0):
            wrong.append(
                f"{book.name}: {format_amount(book.held_micros)} are held, "
                f"its open holds sum to {format_amount(held.get(book.id, 0))}"
            )
        if book.balance_micros - book.held_micros + book.credit_limit_micros < 0:
            wrong.append(f"{book.name} is below its credit limit")
    return wrong


def _sums(rows: Iterable[Any]) -> dict[int, int]:
    """Amounts by book, added up here and not by the database that keeps the balances."""
    sums: dict[int, int] = {}
    for row in rows:
        sums[row.book_id] = sums.get(row.book_id, 0) + row.amount_micros
    return sums


def _holds() -> list[str]:
    stale = Hold.select(Hold.leg).join(Leg).where(Hold.state == "open", Leg.state == "settled")
    return [f"the hold of leg {hold.leg_id} is open though the leg is settled" for hold in stale]


def _xdrs(tariffs: Tariffs) -> list[str]:
    posted = {
        row.key.removeprefix("settle:"): row.total
        for row in Transfer.select(Transfer.key, fn.SUM(Entry.amount_micros).alias("total"))
        .join(Entry)
        .where(Transfer.kind == "settle", Entry.amount_micros > 0)
        .group_by(Transfer.key)
    }
    wrong = []
    for xdr in Xdr.select(Xdr, Leg).join(Leg):
        seconds = charged_seconds(xdr.duration_us) if xdr.answered_at_us is not None else 0
        expected = cost_micros(tariffs.version(xdr.leg.rate_id).rate, seconds)
        if not xdr.amount_micros == expected == posted.pop(xdr.leg_id, 0):
            wrong.append(
                f"leg {xdr.leg_id}: the xDR says {format_amount(xdr.amount_micros)}, "
                f"its rate gives {format_amount(expected)} for {seconds} s"
            )
        if xdr.account_id != xdr.leg.account_id:
            wrong.append(f"leg {xdr.leg_id}: the xDR stands on another account than the leg")
    wrong.extend(f"leg {leg_id} was charged but has no xDR" for leg_id in posted)
    wrong.extend(
        f"leg {leg.id} is settled but has no xDR"
        for leg in Leg.select().where(Leg.state == "settled", Leg.id.not_in(Xdr.select(Xdr.leg)))
    )
    return wrong
