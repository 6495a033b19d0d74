"""`ledger verify`: recomputes every sum from the entries and the rates, apart from the code that made them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from peewee import fn

from stasis_callback.core.money import format_amount
from stasis_callback.core.rating import billed_seconds, charged_seconds, cost_micros
from stasis_callback.store.database import Database
from stasis_callback.store.ledger import DAY_US
from stasis_callback.store.models import Account, Book, Entry, Hold, Leg, Request, Transfer, Voucher, Xdr
from stasis_callback.store.tariffs import Tariffs


def verify(database: Database, tariffs: Tariffs) -> list[str]:
    """What is wrong with the ledger, a sentence each; an empty list when every sum agrees.

    One transaction, so that it looks at a single moment while calls go on.
    """
    with database.transaction():
        return [
            *_transfers(),
            *_reversals(),
            *_books(),
            *_spendings(),
            *_vouchers(),
            *_legs(),
            *_xdrs(tariffs),
        ]


def _transfers() -> list[str]:
    total = fn.SUM(Entry.amount_micros)
    uneven = (
        Entry.select(Entry.transfer, Book.currency.alias("currency"), total.alias("total"))
        .join(Book)
        .group_by(Entry.transfer, Book.currency)
        .having(total != 0)
    )
    return [
        f"transfer {row.transfer_id} sums to {format_amount(int(row.total), row.currency)}, not to 0"
        for row in uneven.objects()
    ]


def _reversals() -> list[str]:
    """A reversal is the mirror image of what it takes back."""
    reversals = {row.id: row.reverses_id for row in Transfer.select().where(Transfer.reverses.is_null(False))}
    wanted = {*reversals, *reversals.values()}
    lines: dict[int, list[tuple[int, int]]] = {}
    for entry in Entry.select() if wanted else ():
        if entry.transfer_id in wanted:
            lines.setdefault(entry.transfer_id, []).append((entry.book_id, entry.amount_micros))
    return [
        f"transfer {reversal} does not take back transfer {original}"
        for reversal, original in reversals.items()
        if sorted(lines.get(reversal, [])) != sorted((b, -a) for b, a in lines.get(original, []))
    ]


def _spendings() -> list[str]:
    """What counts towards a daily cap is what was charged on that day."""
    charged: dict[tuple[int, int], int] = {}
    for entry in Entry.select(Entry, Transfer).join(Transfer).where(Transfer.kind == "settle"):
        day = entry.book_id, entry.transfer.created_at_us // DAY_US
        charged[day] = charged.get(day, 0) - entry.amount_micros
    return [
        f"{book.name}: {format_amount(book.spent_micros)} count as spent on its last day, "
        f"{format_amount(charged.get((book.id, book.spent_day), 0))} were charged"
        for book in Book.select().where(~Book.house)
        if book.spent_micros != charged.get((book.id, book.spent_day), 0)
    ]


def _vouchers() -> list[str]:
    """A voucher is redeemed when, and only when, it was paid in."""
    paid = {
        int(row.key.removeprefix("voucher:")): row
        for row in Transfer.select().where(Transfer.kind == "voucher")
    }
    redeemed = {row.id for row in Voucher.select().where(Voucher.state == "redeemed")}
    wrong = [f"voucher {voucher} is redeemed but was not paid in" for voucher in sorted(redeemed - set(paid))]
    return wrong + [
        f"voucher {voucher} was paid in but is not redeemed" for voucher in sorted(set(paid) - redeemed)
    ]


def _books() -> list[str]:
    entries = _sums(Entry.select())
    held = _sums(Hold.select().where(Hold.state == "open"))
    wrong: list[str] = []
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


def _legs() -> list[str]:
    stale = Hold.select(Hold.leg).join(Leg).where(Hold.state == "open", Leg.state == "settled")
    wrong = [f"the hold of leg {hold.leg_id} is open though the leg is settled" for hold in stale]
    left = Leg.select().join(Request).where(Leg.state != "settled", Request.finished_at_us.is_null(False))
    wrong.extend(f"leg {leg.id} is not settled though its callback is over" for leg in left)
    has_xdr = Leg.id.in_(Xdr.select(Xdr.leg))
    silent = Leg.select().where(Leg.state == "settled", ~has_xdr)
    wrong.extend(f"leg {leg.id} is settled but has no xDR" for leg in silent)
    early = Leg.select().where(Leg.state != "settled", has_xdr)
    wrong.extend(f"leg {leg.id} has an xDR but is not settled" for leg in early)
    return wrong


def _xdrs(tariffs: Tariffs) -> list[str]:
    charged, taken = _postings()
    holds = {hold.leg_id: hold.amount_micros for hold in Hold.select()}
    price_of = cache(lambda rate_id, terms_id: tariffs.stored(rate_id, terms_id).price)
    wrong: list[str] = []
    for xdr in Xdr.select(Xdr, Leg, Account).join(Leg).join(Account):
        leg, amount, overrun = xdr.leg, xdr.amount_micros, xdr.overrun_micros
        seconds = charged_seconds(xdr.duration_us) if xdr.answered_at_us is not None else 0
        price = price_of(leg.rate_id, leg.terms_id)
        rated, billed = cost_micros(price, seconds, xdr.answered_at_us or 0), billed_seconds(price, seconds)
        if leg.cost_rate_id is not None:
            cost = cost_micros(
                price_of(leg.cost_rate_id, leg.cost_terms_id), seconds, xdr.answered_at_us or 0
            )
            if xdr.cost_micros != cost:
                wrong.append(
                    f"leg {leg.id}: the xDR says a cost of {format_amount(xdr.cost_micros)}, "
                    f"the trunk's rate gives {format_amount(cost)}"
                )
        posted = charged.pop(leg.id, 0)
        paid, held = taken.get((leg.id, leg.account.book_id), 0), holds.get(leg.id, 0)
        says = f"leg {leg.id}: the xDR says {format_amount(amount)}"
        if amount != rated:
            wrong.append(f"{says}, its rate gives {format_amount(rated)} for {seconds} s")
        if xdr.charged_s != billed:
            wrong.append(f"leg {leg.id}: the xDR says {xdr.charged_s} s, its rate bills {billed} s")
        if amount != posted:
            wrong.append(f"{says}, {format_amount(posted)} were posted")
        if amount - overrun != paid:
            wrong.append(
                f"{says} and {format_amount(overrun)} overrun, the account paid {format_amount(paid)}"
            )
        if paid > held:
            wrong.append(
                f"leg {leg.id}: the account paid {format_amount(paid)}, only {format_amount(held)} were held"
            )
        if xdr.account_id != leg.account_id:
            wrong.append(f"leg {leg.id}: the xDR stands on another account than the leg")
    return wrong + [f"leg {leg_id} was charged but has no xDR" for leg_id in charged]


def _postings() -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """What was charged for each leg, and what was taken for it from each book."""
    charged: dict[str, int] = {}
    taken: dict[tuple[str, int], int] = {}
    for entry in Entry.select(Entry, Transfer).join(Transfer).where(Transfer.kind == "settle"):
        leg_id, amount = entry.transfer.key.removeprefix("settle:"), entry.amount_micros
        if amount > 0:
            charged[leg_id] = charged.get(leg_id, 0) + amount
        else:
            taken[leg_id, entry.book_id] = taken.get((leg_id, entry.book_id), 0) - amount
    return charged, taken
