"""Rates as text fields: what commands take, and lines of our own format of CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, format_price, in_micros, parse_amount, parse_price
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.rate_cells import read_yes_or_no
from stasis_callback.core.rating import Rate

T = TypeVar("T")
D = TypeVar("D")


def rate_of(fields: Mapping[str, str]) -> Rate:
    """A rate from text fields; missing or empty ones get defaults. Raises InvalidInput, which names the column.

    Defaults: no connect fee, intervals of 1 second, next price equal to the first price, off-peak prices equal to
    peak prices, not forbidden. A discontinued rate needs no price.
    """
    discontinued = column(fields, "discontinued", read_yes_or_no, False)
    if not discontinued and not fields.get("first_price", "").strip():
        raise InvalidInput("first_price is missing: write an amount, for example 0.12")
    first = column(fields, "first_price", parse_price, Decimal(0))
    prices = [
        first,
        column(fields, "next_price", parse_price, first),
        column(fields, "off_peak_first_price", parse_price, None),
        column(fields, "off_peak_next_price", parse_price, None),
    ]
    minutes, (first_micros, next_micros, off_first_micros, off_next_micros) = in_micros(prices)
    return Rate(
        prefix=fields["prefix"] if discontinued else checked_prefix(fields["prefix"]),
        connect_fee_micros=column(fields, "connect_fee", parse_amount, 0),
        first_interval_s=column(fields, "first_interval", _seconds, 1),
        first_price_micros=first_micros or 0,
        next_interval_s=column(fields, "next_interval", _seconds, 1),
        next_price_micros=next_micros or 0,
        off_peak_first_price_micros=off_first_micros,
        off_peak_next_price_micros=off_next_micros,
        forbidden=column(fields, "forbidden", read_yes_or_no, False),
        discontinued=discontinued,
        price_minutes=minutes,
    )


def texts_of(rate: Rate) -> dict[str, str]:
    """The text fields of a rate; the inverse of `rate_of`."""

    def price(micros: int | None) -> str:
        return "" if micros is None else format_price(micros, rate.price_minutes)

    return {
        "prefix": rate.prefix,
        "connect_fee": format_amount(rate.connect_fee_micros),
        "first_interval": str(rate.first_interval_s),
        "first_price": price(rate.first_price_micros),
        "next_interval": str(rate.next_interval_s),
        "next_price": price(rate.next_price_micros),
        "off_peak_first_price": price(rate.off_peak_first_price_micros),
        "off_peak_next_price": price(rate.off_peak_next_price_micros),
        "forbidden": "yes" if rate.forbidden else "no",
    }


def column(fields: Mapping[str, str], name: str, parse: Callable[[str], T], default: D) -> T | D:
    """A field, parsed; the default if it is missing or empty. Raises InvalidInput, which names it."""
    text = fields.get(name, "").strip()
    try:
        return parse(text) if text else default
    except InvalidInput as error:
        raise InvalidInput(f"{name} {error}") from None


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise InvalidInput(f"{text!r} is not a whole number of seconds")
    return int(text)
