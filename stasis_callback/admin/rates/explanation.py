"""The calculation of one charge, step by step, to explain it to operators and subscribers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, TypedDict

from stasis_callback.clock import US_PER_S, iso
from stasis_callback.core.errors import InvalidInput, require
from stasis_callback.core.money import MICROS, format_amount
from stasis_callback.core.numbers import dialable
from stasis_callback.core.periods import time_zone
from stasis_callback.core.rating import Price, charge, cost_micros

if TYPE_CHECKING:
    from stasis_callback.store.rates.book import RateView
    from stasis_callback.store.rates.tariffs import TariffView
    from stasis_callback.store.stores import Stores


class Explanation(TypedDict):
    """The cost of a call and its calculation. `parts` are exact micros, as fractions if not whole; their sum is
    `amount_micros`.
    """

    number: str
    tariff: str
    prefix: str
    description: str
    start_at_us: int
    seconds: int
    currency: str
    amount_micros: int
    parts: dict[str, str]
    steps: list[str]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a charge: exact micros and its explanation."""

    name: str
    micros: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class RateDecision:
    """The rate that applies to a number, and why."""

    number: str
    tariff: TariffView
    view: RateView
    text: str


def explain_rate(s: Stores, tariff: TariffView, number: str, seconds: int, start_us: int) -> Explanation:
    """Explain the cost of `seconds` of talk. Raises InvalidInput if the number cannot be dialled."""
    found = decide(s, tariff, number, start_us)
    price, rate = found.view.price, found.view.rate
    amount_micros, parts = cost_micros(price, seconds, start_us), cost_parts(price, seconds, start_us)
    require(
        sum(part.micros for part in parts) == amount_micros,
        "the parts of an explanation do not sum up to the amount",
    )
    start = [_start(price, start_us)] if _has_off_peak(price) else []
    total = f"{seconds} s of talk cost {format_amount(amount_micros, tariff.currency)}"
    return Explanation(
        number=found.number,
        tariff=tariff.name,
        prefix=rate.prefix,
        description=found.view.description,
        start_at_us=start_us,
        seconds=seconds,
        currency=tariff.currency,
        amount_micros=amount_micros,
        parts={part.name: str(part.micros) for part in parts},
        steps=[found.text, *start, *(part.text for part in parts), total],
    )


def tariff_of(s: Stores, account: str | None, tariff: str | None, access_code: str) -> TariffView:
    """The tariff to use: the named one, or that of an account's calls with an access code.

    Raises InvalidInput unless exactly one of the two is given and exists.
    """
    if (account is None) == (tariff is None) or (access_code and tariff):
        raise InvalidInput("give either --account ID, optionally with --access-code, or --tariff NAME")
    if tariff is not None:
        return s.tariffs.named(tariff)
    return s.tariffs.get(s.accounts.tariff_for(s.accounts.named(account or ""), access_code))


def decide(s: Stores, tariff: TariffView, number: str, at_us: int) -> RateDecision:
    """The rate that applies to a number at a time. Raises InvalidInput if the number cannot be dialled."""
    digits = dialable(number)
    if digits is None:
        raise InvalidInput(
            f"{number!r} is not a phone number: write 3 to 15 digits, for example 420212345678"
        )
    fitting = s.tariffs.fitting(tariff.id, digits, at_us)
    if not fitting:
        raise InvalidInput(f"tariff {tariff.name!r} has no rate for {digits}: the number cannot be called")
    best, *shorter = fitting
    if best.rate.forbidden:
        raise InvalidInput(
            f"tariff {tariff.name!r} forbids prefix {best.rate.prefix}, the longest match for {digits}: the number "
            "cannot be called"
        )
    name = f" ({best.description})" if best.description else ""
    rivals = ", ".join(view.rate.prefix for view in shorter)
    text = f"{digits} is rated by tariff {tariff.name}, prefix {best.rate.prefix}{name}"
    return RateDecision(digits, tariff, best, f"{text}, a longer match than {rivals}" if rivals else text)


def cost_parts(price: Price, seconds: int, start_us: int) -> list[Part]:
    """The exact parts of `cost_micros`, in the order of calculation."""
    terms = price.terms
    if not seconds:
        return [Part("call", Fraction(0), "an unanswered call is free")]
    if seconds <= terms.grace_s:
        return [Part("grace", Fraction(0), f"grace period: a call of up to {terms.grace_s} s is free")]
    fee = price.rate.connect_fee_micros
    parts = [Part("connect_fee", Fraction(fee), f"connect fee: {format_amount(fee)}")]
    parts += _interval_parts(price, seconds, start_us)
    if terms.surcharge_bp:
        percent, before = format_amount(terms.surcharge_bp * 10_000), _sum(parts)
        micros = before * terms.surcharge_bp / 10_000
        parts.append(
            Part("surcharge", micros, f"surcharge: {percent} % of {_exact(before)} = {_exact(micros)}")
        )
    if (more := terms.minimum_micros - _sum(parts)) > 0:
        minimum = format_amount(terms.minimum_micros)
        parts.append(Part("minimum", more, f"minimum charge: {minimum}, adds {_exact(more)}"))
    exact, unit = _sum(parts), terms.rounding_micros
    units = {"up": math.ceil, "down": math.floor, "nearest": lambda x: math.floor(x + Fraction(1, 2))}
    if more := units[terms.rounding](exact / unit) * unit - exact:
        how = "to the nearest" if terms.rounding == "nearest" else f"{terms.rounding} to a"
        text = f"rounding: {_exact(exact)} {how} multiple of {format_amount(unit)}, adds {_exact(more)}"
        parts.append(Part("rounding", more, text))
    return parts


def _interval_parts(price: Price, seconds: int, start_us: int) -> list[Part]:
    """The free seconds, the first interval and the next intervals, peak and off-peak separately."""
    rate, terms, counted = price.rate, price.terms, charge(price, seconds, start_us)
    parts: list[Part] = []
    if terms.free_s:
        text = f"free seconds: the first {terms.free_s} s are not charged, {counted.counted_s} s remain"
        parts.append(Part("free_seconds", Fraction(0), text))
    if not counted.first:
        return parts
    two = _has_off_peak(price)
    off_first, off_next = rate.off_peak_first_price_micros, rate.off_peak_next_price_micros
    off_first = rate.first_price_micros if off_first is None else off_first
    off_next = rate.next_price_micros if off_next is None else off_next

    def part(name: str, text: str, interval_s: int, price_micros: int) -> Part:
        micros = Fraction(price_micros * interval_s, 60)
        return Part(name, micros, f"{text} {format_amount(price_micros)} a minute = {_exact(micros)}")

    which = (", off-peak" if counted.first_off_peak else ", peak") if two else ""
    first_micros = off_first if counted.first_off_peak else rate.first_price_micros
    text = f"first interval{which}: {rate.first_interval_s} s at"
    parts.append(part("first_interval", text, rate.first_interval_s, first_micros))
    rest_s, each_s = max(counted.counted_s - rate.first_interval_s, 0), rate.next_interval_s
    head = f"{rest_s} s are {counted.following} x {each_s} s"
    peak = counted.following - counted.following_off_peak
    if not two:
        text = f"next intervals: {head} = {counted.following * each_s} s at"
        return [*parts, part("next_intervals", text, counted.following * each_s, rate.next_price_micros)]
    for name, which, count, price_micros in (
        ("next_intervals", "peak", peak, rate.next_price_micros),
        ("next_intervals_off_peak", "off-peak", counted.following_off_peak, off_next),
    ):
        text = f"next intervals: {head}, {count} of them {which} = {count * each_s} s at"
        parts.append(part(name, text, count * each_s, price_micros))
    return parts


def _has_off_peak(price: Price) -> bool:
    """Whether the cost depends on the time of the call."""
    rate = price.rate
    return bool(price.terms.off_peak) and (
        rate.off_peak_first_price_micros is not None or rate.off_peak_next_price_micros is not None
    )


def _start(price: Price, start_us: int) -> str:
    zone = price.terms.time_zone
    local = datetime.fromtimestamp(start_us // US_PER_S, time_zone(zone))
    return (
        f"the call starts at {iso(start_us)}, {local:%a %H:%M} in {zone}; off-peak is {price.terms.off_peak}"
    )


def _sum(parts: list[Part]) -> Fraction:
    return sum((part.micros for part in parts), Fraction(0))


def _exact(micros: Fraction) -> str:
    """An exact amount for whole micros; otherwise cut after two more digits, with "..."."""
    if micros.denominator == 1:
        return format_amount(int(micros))
    sign, hundredths = ("-" if micros < 0 else ""), int(abs(micros) * 100)
    return f"{sign}{hundredths // (100 * MICROS)}.{hundredths % (100 * MICROS):08d}..."
