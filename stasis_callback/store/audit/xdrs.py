"""The rules for one call record with its leg, hold and charge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stasis_callback.core.money import format_amount
from stasis_callback.core.rating import Price, billed_seconds, charged_seconds, cost_micros
from stasis_callback.store.audit.rows import BookRow, XdrRow
from stasis_callback.store.money.chain import (
    HOLD_COLUMNS,
    LEG_COLUMNS,
    XDR_COLUMNS,
    is_forgotten,
    number_hash,
    xdr_content,
)


class Rated(NamedTuple):
    """A price, and the currency of its tariff."""

    price: Price
    currency: str


PriceOf = Callable[[int, int], Rated | None]
"""The price of a rate and terms, by the ids of their rows; None where they are not there, or make no price."""

_SAME = {
    "request_id": "on another request",
    "side": "on another side",
    "account_id": "on another account",
    "dialed_at_us": "dialled at another time",
    "answered_at_us": "answered at another time",
    "trunk_id": "on another trunk",
}
"""What an xDR repeats of its leg, and how to say that it does not."""


def content(row: XdrRow) -> tuple[object, ...] | None:
    """What its seal is over; None where the leg or its hold is missing."""
    if row.leg is None or row.hold is None:
        return None
    return xdr_content(
        [_number(row) if column == "number_hash" else row.xdr[column] for column in XDR_COLUMNS],
        [row.leg[column] for column in LEG_COLUMNS],
        [row.hold[column] for column in HOLD_COLUMNS],
        row.marks,
    )


def examine(row: XdrRow, book: BookRow, price_of: PriceOf) -> Iterator[str]:
    """What is wrong with a call record that this book pays for, but for its seal."""
    xdr, leg, hold = row.xdr, row.leg, row.hold
    named = f"leg {xdr['leg_id']}"
    if leg is None or hold is None:
        yield f"{named} has an xDR, but {'its hold' if leg else 'the leg'} is missing"
        return
    if leg["state"] != "settled":
        yield f"{named} has an xDR but is not settled"
    for column, words in _SAME.items():
        if xdr[column] != leg[column]:
            yield f"{named}: the xDR is {words} than the leg"
    if row.account_book_id != book.id:
        yield f"{named}: the xDR is in the chain of {book.name}, its account spends from another book"
    if xdr["currency"] != book.currency:
        yield f"{named}: the xDR is in {xdr['currency']}, {book.name} is not"
    if row.number != leg["number"] or not (row.number_salt or is_forgotten(row.number)):
        yield f"{named}: the number is not the one that was dialled"
    yield from _rated(named, xdr, leg, price_of)
    yield from _charged(named, row, book, hold)


def _number(row: XdrRow) -> str:
    """The hash that represents the number in the seal."""
    return number_hash(row.number_salt, row.number) if row.number_salt else str(row.xdr["number_hash"])


def _rated(named: str, xdr: dict[str, Any], leg: dict[str, Any], price_of: PriceOf) -> Iterator[str]:
    """What the seconds cost, by the rate and the terms that the leg was authorised with."""
    answered_at_us, duration_us = xdr["answered_at_us"], xdr["duration_us"]
    lasted_us = 0 if answered_at_us is None else max(xdr["ended_at_us"] - answered_at_us, 0)
    if duration_us != lasted_us:
        yield f"{named} lasted {lasted_us} microseconds by its times, the xDR says {duration_us}"
    sold = price_of(leg["rate_id"], leg["terms_id"])
    if sold is None:
        yield f"{named}: the rate it was charged by is missing or damaged"
        return
    price = sold.price
    if sold.currency != xdr["currency"]:
        yield f"{named}: the xDR is in {xdr['currency']}, its rate in {sold.currency}"
    seconds = charged_seconds(duration_us) if answered_at_us is not None else 0
    rated, billed = cost_micros(price, seconds, answered_at_us or 0), billed_seconds(price, seconds)
    if leg["cost_rate_id"]:
        yield from _cost(named, xdr, price_of(leg["cost_rate_id"], leg["cost_terms_id"]), seconds)
    if xdr["amount_micros"] != rated:
        says = format_amount(xdr["amount_micros"])
        yield f"{named}: the xDR says {says}, its rate gives {format_amount(rated)} for {seconds} s"
    if xdr["charged_s"] != billed:
        yield f"{named}: the xDR says {xdr['charged_s']} s, its rate bills {billed} s"
    if xdr["prefix"] != price.rate.prefix:
        yield f"{named}: the xDR says prefix {xdr['prefix']}, its rate is for {price.rate.prefix}"


def _cost(named: str, xdr: dict[str, Any], bought: Rated | None, seconds: int) -> Iterator[str]:
    """What the seconds cost us, by the trunk's rate."""
    if bought is None:
        yield f"{named}: the trunk's rate is missing or damaged"
        return
    cost = cost_micros(bought.price, seconds, xdr["answered_at_us"] or 0)
    if bought.currency != xdr["cost_currency"]:
        yield f"{named}: the xDR has its cost in {xdr['cost_currency']}, the trunk's rate is in {bought.currency}"
    if xdr["cost_micros"] != cost:
        says = format_amount(xdr["cost_micros"])
        yield f"{named}: the xDR says a cost of {says}, the trunk's rate gives {format_amount(cost)}"


def _charged(named: str, row: XdrRow, book: BookRow, hold: dict[str, Any]) -> Iterator[str]:
    """What was posted for it, and taken from the book."""
    amount, overrun = row.xdr["amount_micros"], row.xdr["overrun_micros"]
    posted = sum(line.amount_micros for line in row.lines if line.amount_micros > 0)
    paid = -sum(line.amount_micros for line in row.lines if line.book_id == book.id)
    says = f"{named}: the xDR says {format_amount(amount)}"
    if amount != posted:
        yield f"{says}, {format_amount(posted)} were posted"
    if amount - overrun != paid:
        yield f"{says} and {format_amount(overrun)} overrun, the account paid {format_amount(paid)}"
    held, state = hold["amount_micros"], hold["state"]
    if paid > held:
        yield f"{named}: the account paid {format_amount(paid)}, only {format_amount(held)} were held"
    if hold["book_id"] != book.id:
        yield f"{named}: its hold is on another book"
    if state != "open" and (state == "posted") != (row.charge_id is not None):
        yield f"{named}: its hold is {state}, {'a' if row.charge_id is not None else 'no'} charge was posted"
