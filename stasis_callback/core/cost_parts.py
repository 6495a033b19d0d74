"""The parts of a charge: the same calculation as `rating.cost_micros`, one exact amount per step.

For explaining a charge; nothing is charged by it. A property test holds the sum of the parts against the charge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from stasis_callback.core.rating import Price, charge, prices

PartName = Literal[
    "call",
    "grace",
    "connect_fee",
    "free_seconds",
    "first_interval",
    "next_intervals",
    "next_intervals_off_peak",
    "disconnect_fee",
    "surcharge",
    "minimum",
    "rounding",
    "maximum",
]


@dataclass(frozen=True, slots=True)
class CostPart:
    """One step. `micros` is exact; `before` is the exact sum of the steps before it.

    For intervals: `count` of `each_s` seconds at `price_micros` for the rate's `price_minutes`, out of `rest_s`
    seconds; `off_peak` is None if the time of the call does not matter. For `free_seconds`, `rest_s` are the seconds
    that remain.
    """

    name: PartName
    micros: Fraction
    before: Fraction = Fraction(0)
    count: int = 0
    each_s: int = 0
    rest_s: int = 0
    price_micros: int = 0
    off_peak: bool | None = None


def has_off_peak(price: Price) -> bool:
    """Whether the cost depends on the time of the call."""
    return bool(price.terms.off_peak) and price.rate.differs_off_peak


def cost_parts(price: Price, seconds: int, start_us: int) -> list[CostPart]:
    """The exact parts of `cost_micros(price, seconds, start_us)`, in the order of calculation."""
    terms = price.terms
    if not seconds:
        return [CostPart("call", Fraction(0))]
    if seconds <= terms.grace_s:
        return [CostPart("grace", Fraction(0))]
    parts = [CostPart("connect_fee", Fraction(price.rate.connect_fee_micros))]
    parts += _intervals(price, seconds, start_us)
    if fee := terms.disconnect_fee_of(seconds):
        parts.append(CostPart("disconnect_fee", Fraction(fee)))
    total = _sum(parts)
    if terms.surcharge_bp:
        parts.append(CostPart("surcharge", total * terms.surcharge_bp / 10_000, total))
    total = _sum(parts)
    if (more := terms.minimum_micros - total) > 0:
        parts.append(CostPart("minimum", more, total))
    total, unit = _sum(parts), terms.rounding_micros
    units = {"up": math.ceil, "down": math.floor, "nearest": lambda x: math.floor(x + Fraction(1, 2))}
    if more := units[terms.rounding](total / unit) * unit - total:
        parts.append(CostPart("rounding", more, total))
    total = _sum(parts)
    if terms.maximum_micros and total > terms.maximum_micros:
        parts.append(CostPart("maximum", terms.maximum_micros - total, total))
    return parts


def _intervals(price: Price, seconds: int, start_us: int) -> list[CostPart]:
    """The free seconds, the first interval and the next intervals, peak and off-peak separately."""
    rate, counted = price.rate, charge(price, seconds, start_us)
    parts: list[CostPart] = []
    if price.terms.free_s:
        parts.append(CostPart("free_seconds", Fraction(0), rest_s=counted.counted_s))
    if not counted.first:
        return parts
    two = has_off_peak(price)
    peak_prices, off_peak_prices = prices(rate)
    rest_s = max(counted.counted_s - rate.first_interval_s, 0)

    def part(name: PartName, count: int, each_s: int, price_micros: int, off_peak: bool) -> CostPart:
        return CostPart(
            name,
            Fraction(price_micros * count * each_s, 60 * rate.price_minutes),
            count=count,
            each_s=each_s,
            rest_s=rest_s,
            price_micros=price_micros,
            off_peak=off_peak if two else None,
        )

    off, following = counted.first_off_peak, counted.following
    first = (off_peak_prices if off else peak_prices)[0]
    parts.append(part("first_interval", 1, rate.first_interval_s, first, off))
    each_s = rate.next_interval_s
    parts.append(
        part("next_intervals", following - counted.following_off_peak, each_s, peak_prices[1], False)
    )
    if two:
        parts.append(
            part("next_intervals_off_peak", counted.following_off_peak, each_s, off_peak_prices[1], True)
        )
    return parts


def _sum(parts: list[CostPart]) -> Fraction:
    return sum((part.micros for part in parts), Fraction(0))
