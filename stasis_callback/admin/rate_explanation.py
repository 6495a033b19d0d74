"""The arithmetic of one charge, in words and figures: for operators, and for subscribers who ask."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypedDict

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import MICROS, format_amount
from stasis_callback.core.numbers import dialable
from stasis_callback.core.rating import Price, cost_micros, intervals

if TYPE_CHECKING:
    from stasis_callback.engine.stores import Stores


class Explanation(TypedDict):
    """What a talk costs and why."""

    number: str
    account: str
    tariff: str
    prefix: str
    description: str
    seconds: int
    currency: str
    amount_micros: int
    steps: list[str]


def explain_rate(s: Stores, number: str, account_id: str, seconds: int) -> Explanation:
    """Why `seconds` of talk with a number cost what they do. Raises InvalidInput when it cannot be dialled."""
    digits = dialable(number)
    if digits is None:
        raise InvalidInput(f"{number!r} is not a number to dial: write 3 to 15 digits, like 420212345678")
    account = s.accounts.named(account_id)
    tariff = next(str(p["tariff"]) for p in s.accounts.products() if p["name"] == account.product)
    fits = [view for view in s.tariffs.rates(tariff) if digits.startswith(view.rate.prefix)]
    if not fits:
        raise InvalidInput(f"tariff {tariff!r} has no rate for {digits}: such a call is never dialled")
    best = max(fits, key=lambda view: len(view.rate.prefix))
    if best.rate.forbidden:
        raise InvalidInput(
            f"tariff {tariff!r} forbids prefix {best.rate.prefix}, the longest that fits {digits}: such a call is "
            "never dialled"
        )
    others = ", ".join(view.rate.prefix for view in fits if view is not best)
    name = f" ({best.description})" if best.description else ""
    rivals = f", longer than {others}" if others else ""
    decided = f"{digits} is rated by tariff {tariff}, prefix {best.rate.prefix}{name}{rivals}"
    return Explanation(
        number=digits,
        account=account.number,
        tariff=tariff,
        prefix=best.rate.prefix,
        description=best.description,
        seconds=seconds,
        currency=account.currency,
        amount_micros=cost_micros(best.price, seconds),
        steps=[decided, *_steps(best.price, seconds, account.currency)],
    )


def _steps(price: Price, seconds: int, currency: str) -> list[str]:
    rate = price.rate
    total = format_amount(cost_micros(price, seconds), currency)
    first, following = intervals(price, seconds)
    if not first:
        return [f"a call that is not answered costs nothing: {total}"]
    next_s = following * rate.next_interval_s
    return [
        f"connect fee: {format_amount(rate.connect_fee_micros)}",
        f"first interval: {rate.first_interval_s} s at {_price(rate.first_price_micros)} "
        f"= {_part(rate.first_price_micros, rate.first_interval_s)}",
        f"next intervals: {max(seconds - rate.first_interval_s, 0)} s are {following} x {rate.next_interval_s} s "
        f"= {next_s} s at {_price(rate.next_price_micros)} = {_part(rate.next_price_micros, next_s)}",
        f"{seconds} s of talk cost {total} (a started millionth is charged)",
    ]


def _price(micros: int) -> str:
    return f"{format_amount(micros)} a minute"


def _part(price_micros: int, seconds: int) -> str:
    """Price times time, exactly where it fits into micros, else with two more digits to show that it goes on."""
    exact = Fraction(price_micros * seconds, 60)
    if exact.denominator == 1:
        return format_amount(int(exact))
    hundredths = int(exact * 100)
    return f"{hundredths // (100 * MICROS)}.{hundredths % (100 * MICROS):08d}..."
