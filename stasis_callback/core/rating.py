"""The cost of a duration, and how long funds last. Pure functions of whole seconds and micros.

A price is a rate (for calls to a prefix) with the terms of its tariff (for all calls). The cost of an answered call
of `seconds` charged seconds is calculated in this order:

1. grace period: a call of at most `grace_s` seconds is free;
2. free seconds: the first `free_s` seconds are not counted in the intervals (the connect fee is still due);
3. the first interval in full, then every started next interval, each at its own price per minute prorated by the
   interval (PortaBilling: "first interval" and "next interval"); an interval is off-peak when it *begins* off-peak,
   or the whole call when it was *answered* off-peak, as the tariff says;
4. the connect fee is added, and the disconnect fee for a call of more than `disconnect_fee_after_s` seconds
   (A2Billing: "disconnect charge threshold"), then the post-call surcharge in percent of that sum;
5. at least the minimum charge;
6. the sum is rounded once, to the tariff's unit; without one, up to a micro;
7. at most the maximum charge (CGRateS: "max cost", after which a call is free).

Every started second counts in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.kinds import parse_kinds
from stasis_callback.core.money import (
    AMOUNT_LIMIT_MICROS,
    AMOUNT_LIMIT_TEXT,
    MICROS,
    divide_up,
    format_amount,
    format_price,
)
from stasis_callback.core.periods import OffPeak, parse_off_peak

US_PER_S = 1_000_000
INTERVAL_LIMIT_S = 3600
SURCHARGE_LIMIT_BP = 100_000
PRICE_MINUTES = tuple(10**n for n in range(7))
"""For how many minutes prices may be: a micro for a million minutes is the twelfth decimal."""

Rounding = Literal["up", "nearest", "down"]
OffPeakBy = Literal["interval", "answer"]


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of calls to one prefix. Amounts in micros, prices for `price_minutes` minutes, intervals in seconds.

    `price_minutes` is 1, or 10, 100, ... where a price per minute has more than six decimals: 0.03111356 a minute is
    3.111356 for 100 minutes. Off-peak prices are None if they equal the peak prices. `forbidden`: never dialled, and
    no shorter prefix is used instead. `discontinued`: the prefix is no longer in the tariff.
    """

    prefix: str
    connect_fee_micros: int = 0
    first_interval_s: int = 1
    first_price_micros: int = 0
    next_interval_s: int = 1
    next_price_micros: int = 0
    off_peak_first_price_micros: int | None = None
    off_peak_next_price_micros: int | None = None
    forbidden: bool = False
    discontinued: bool = False
    price_minutes: int = 1

    def __post_init__(self) -> None:
        """Check the ranges. Raises InvalidInput."""
        if not (self.prefix.isascii() and self.prefix.isdigit() and len(self.prefix) <= 15):
            raise InvalidInput(f"{self.prefix!r} is not a prefix: write 1 to 15 digits without +")
        for name, interval_s in (("first", self.first_interval_s), ("next", self.next_interval_s)):
            if not 1 <= interval_s <= INTERVAL_LIMIT_S:
                raise InvalidInput(
                    f"{name} interval of {interval_s} s is invalid: write 1 to {INTERVAL_LIMIT_S} seconds"
                )
        if self.price_minutes not in PRICE_MINUTES:
            raise InvalidInput(
                f"prices for {self.price_minutes} minutes are invalid: use 1, 10, ... {PRICE_MINUTES[-1]}"
            )
        for name, micros, minutes in (
            ("connect fee", self.connect_fee_micros, 1),
            ("first price", self.first_price_micros, self.price_minutes),
            ("next price", self.next_price_micros, self.price_minutes),
            ("off-peak first price", self.off_peak_first_price_micros, self.price_minutes),
            ("off-peak next price", self.off_peak_next_price_micros, self.price_minutes),
        ):
            if micros is not None and not 0 <= micros <= AMOUNT_LIMIT_MICROS:
                limit = AMOUNT_LIMIT_TEXT if minutes == 1 else format_price(AMOUNT_LIMIT_MICROS, minutes)
                raise InvalidInput(f"{name} must be 0 to {limit}{' at this precision' * (minutes > 1)}")

    @property
    def differs_off_peak(self) -> bool:
        """Whether calls cost something else off-peak."""
        peak, off_peak = prices(self)
        return peak != off_peak


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a tariff that apply to all its rates. Surcharge in basis points (hundredths of a percent)."""

    free_s: int = 0
    grace_s: int = 0
    surcharge_bp: int = 0
    minimum_micros: int = 0
    rounding_micros: int = 1
    rounding: Rounding = "up"
    off_peak: str = ""
    time_zone: str = "UTC"
    opened: str = ""
    """What the rates sell without naming it: `Kind`s, separated by commas."""
    off_peak_by: OffPeakBy = "interval"
    """What has to be in an off-peak period: the beginning of each interval, or the answer for the whole call."""
    disconnect_fee_micros: int = 0
    disconnect_fee_after_s: int = 0
    maximum_micros: int = 0
    """What a call costs at most; 0: no limit."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises InvalidInput."""
        for name, seconds in (
            ("free seconds", self.free_s),
            ("grace period", self.grace_s),
            ("time before the disconnect fee", self.disconnect_fee_after_s),
        ):
            if not 0 <= seconds <= INTERVAL_LIMIT_S:
                raise InvalidInput(f"{name} of {seconds} s is invalid: write 0 to {INTERVAL_LIMIT_S} seconds")
        if not 0 <= self.surcharge_bp <= SURCHARGE_LIMIT_BP:
            raise InvalidInput(f"the surcharge must be 0 to {SURCHARGE_LIMIT_BP // 100} percent")
        for name, micros in (
            ("minimum charge", self.minimum_micros),
            ("maximum charge", self.maximum_micros),
            ("disconnect fee", self.disconnect_fee_micros),
        ):
            if not 0 <= micros <= AMOUNT_LIMIT_MICROS:
                raise InvalidInput(f"the {name} must be 0 to {AMOUNT_LIMIT_TEXT}")
        if self.maximum_micros and self.maximum_micros < self.minimum_micros:
            raise InvalidInput(
                f"the maximum charge of {format_amount(self.maximum_micros)} is less than the minimum of "
                f"{format_amount(self.minimum_micros)}: write at least that, or 0 for no maximum"
            )
        if not 1 <= self.rounding_micros <= 1000 * MICROS:
            raise InvalidInput("the rounding unit must be 0.000001 to 1000.00")
        if self.rounding not in ("up", "nearest", "down"):
            raise InvalidInput(f"rounding {self.rounding!r} is invalid: write up, nearest or down")
        if self.off_peak_by not in ("interval", "answer"):
            raise InvalidInput(f"off-peak by {self.off_peak_by!r} is invalid: write interval or answer")
        parse_off_peak(self.off_peak, self.time_zone)
        parse_kinds(self.opened)

    def disconnect_fee_of(self, seconds: int) -> int:
        """The disconnect fee of a call, in micros: for one that is long enough."""
        return self.disconnect_fee_micros if seconds > self.disconnect_fee_after_s else 0


@dataclass(frozen=True, slots=True)
class Price:
    """A rate with its tariff's terms: with start and duration, it determines the cost of a call."""

    rate: Rate
    terms: Terms = Terms()

    @property
    def shortest_paid_s(self) -> int:
        """The duration of the shortest call that is charged; a call is only made if the funds cover it."""
        return self.terms.grace_s + 1

    def is_too_short(self, funded_s: int, most_s: int) -> bool:
        """Whether funds for so many seconds are too few for a call; `most_s` is the longest that one can be funded.

        Of a grace period beyond that no call is charged: then the longest is enough.
        """
        return funded_s < min(self.shortest_paid_s, most_s)


@dataclass(frozen=True, slots=True)
class Charge:
    """The steps of a cost calculation, for `rate explain`. Whole intervals; amounts in sixtieths of a micro."""

    counted_s: int
    """Seconds after the free ones."""
    first: int
    """1, or 0 if the free seconds cover the whole call."""
    first_off_peak: bool
    following: int
    following_off_peak: int
    intervals_sixtieths: int
    """For as many minutes as the prices of the rate are."""


def charged_seconds(duration_us: int) -> int:
    """Seconds to charge for a duration in microseconds: every started second counts in full."""
    return divide_up(max(duration_us, 0), US_PER_S)


def intervals(price: Price, seconds: int) -> tuple[int, int]:
    """The number of first and next intervals in `seconds` charged seconds; (0, 0) if nothing is charged."""
    if seconds <= price.terms.grace_s or seconds <= price.terms.free_s:
        return 0, 0
    rest_s = seconds - price.terms.free_s - price.rate.first_interval_s
    return 1, divide_up(max(rest_s, 0), price.rate.next_interval_s)


def billed_seconds(price: Price, seconds: int) -> int:
    """The billed seconds for `seconds` charged seconds: whole intervals; 0 for an unanswered leg."""
    first, following = intervals(price, seconds)
    return first * price.rate.first_interval_s + following * price.rate.next_interval_s


def cost_micros(price: Price, seconds: int, start_us: int = 0, slack_s: int = 0) -> int:
    """The cost in micros of `seconds` charged seconds from `start_us`. It never decreases with the duration.

    0 for an unanswered leg (`seconds` = 0). The start may be up to `slack_s` later than `start_us`, as for a leg that
    is still ringing: then every interval that may fall into the more expensive period is charged as such, so the cost
    for the actual start is never higher.
    """
    terms = price.terms
    if seconds <= terms.grace_s:
        return 0
    steps = charge(price, seconds, start_us, slack_s)
    per = 60 * price.rate.price_minutes
    fees_micros = price.rate.connect_fee_micros + terms.disconnect_fee_of(seconds)
    sixtieths = per * fees_micros + steps.intervals_sixtieths
    # Kept as one fraction up to here, so that it is rounded only once.
    over = per * 10_000
    sum_over = max(sixtieths * (10_000 + terms.surcharge_bp), terms.minimum_micros * over)
    cost = _rounded(sum_over, over * terms.rounding_micros, terms.rounding) * terms.rounding_micros
    return min(cost, terms.maximum_micros or cost)


def least_micros(price: Price, start_us: int) -> int:
    """The cost of the shortest call that is charged: with less funds no call is made."""
    return cost_micros(price, price.shortest_paid_s, start_us)


def charge(price: Price, seconds: int, start_us: int = 0, slack_s: int = 0) -> Charge:
    """The intervals of a call and their price, before all that `cost_micros` adds to them."""
    rate, (first, following) = price.rate, intervals(price, seconds)
    peak, off = prices(rate)
    first_off, following_off = _off_peak_intervals(price, first, following, start_us, slack_s)
    total = rate.first_interval_s * (off[0] if first_off else peak[0]) * first
    total += rate.next_interval_s * (following_off * off[1] + (following - following_off) * peak[1])
    counted_s = max(seconds - price.terms.free_s, 0) if seconds > price.terms.grace_s else 0
    return Charge(counted_s, first, bool(first_off), following, following_off, total)


def prices(rate: Rate) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and next price, for peak and off-peak."""
    off_first, off_next = rate.off_peak_first_price_micros, rate.off_peak_next_price_micros
    peak = (rate.first_price_micros, rate.next_price_micros)
    return peak, (peak[0] if off_first is None else off_first, peak[1] if off_next is None else off_next)


def _off_peak_intervals(
    price: Price, first: int, following: int, start_us: int, slack_s: int
) -> tuple[int, int]:
    """How many of the first and of the next intervals are off-peak."""
    rate, terms = price.rate, price.terms
    peak, off = prices(rate)
    off_peak = parse_off_peak(terms.off_peak, terms.time_zone) if peak != off else None
    if off_peak is None or not first:
        return 0, 0
    dearer = off[0] > peak[0], off[1] > peak[1]
    if terms.off_peak_by == "answer":
        first_off, each_off = (
            _off_peak_starts(off_peak, start_us, 1, 1, slack_s, dearer_off=one) for one in dearer
        )
        return first_off, each_off * following
    begin_us = start_us + terms.free_s * US_PER_S
    next_us = begin_us + rate.first_interval_s * US_PER_S
    return (
        _off_peak_starts(off_peak, begin_us, 1, 1, slack_s, dearer_off=dearer[0]),
        _off_peak_starts(off_peak, next_us, following, rate.next_interval_s, slack_s, dearer_off=dearer[1]),
    )


def _off_peak_starts(
    off_peak: OffPeak, begin_us: int, count: int, every_s: int, slack_s: int, *, dearer_off: bool
) -> int:
    """How many of `count` interval starts, `every_s` apart from `begin_us`, count as off-peak.

    A start that may be up to `slack_s` later, and so could be either, counts as the more expensive of the two.
    """
    if not count:
        return 0
    every_us, slack_us = every_s * US_PER_S, slack_s * US_PER_S
    last_us = begin_us + (count - 1) * every_us
    found, done = 0, begin_us  # starts before `done` are counted already
    for off_us, peak_us in off_peak.spans(begin_us, last_us + slack_us):
        # If off-peak is more expensive, a start counts from `slack_s` before the span; otherwise even the latest
        # possible start must be inside the span.
        first_us = max(off_us - slack_us if dearer_off else off_us, done)
        until_us = min(peak_us if dearer_off else peak_us - slack_us, last_us + 1)
        if first_us >= until_us:
            continue
        found += divide_up(until_us - begin_us, every_us) - divide_up(first_us - begin_us, every_us)
        done = until_us
    return found


def _rounded(amount: int, unit: int, rounding: Rounding) -> int:
    if rounding == "up":
        return divide_up(amount, unit)
    return (amount + unit // 2) // unit if rounding == "nearest" else amount // unit


def longest_s(cost_of: Callable[[int], int], funds_micros: int, limit_s: int) -> int:
    """The largest T in 0..limit_s with `cost_of(T) <= funds_micros`; -1 if even T = 0 costs too much.

    Exact for any cost that never decreases with T: a binary search over whole seconds.
    """
    if cost_of(0) > funds_micros:
        return -1
    if limit_s > 0 and cost_of(limit_s) <= funds_micros:
        return limit_s  # nearly always: then eight looks are saved
    low, high = 0, limit_s
    while low < high:
        middle = (low + high + 1) // 2
        if cost_of(middle) <= funds_micros:
            low = middle
        else:
            high = middle - 1
    return low


def joint_longest_s(
    price_a: Price,
    elapsed_a_s: int,
    ring_s: int,
    price_b: Price,
    funds_micros: int,
    limit_s: int,
    start_a_us: int = 0,
) -> int:
    """How long both legs can talk: the largest T with `charge_A(elapsed + ring + T) + charge_B(T) <= funds`.

    Leg A was answered at `start_a_us`, has run for `elapsed_a_s` seconds and continues while leg B rings (at most
    `ring_s`). `funds_micros` are all funds for both legs, including those held for leg A. 0 if they do not cover one
    second. Source: PortaSwitch, "Call authorization" of the callback chapter (both legs together never exceed the
    funds), with leg A's running time settled in PRODUCT.md.
    """
    now_us = start_a_us + elapsed_a_s * US_PER_S

    def both(talk_s: int) -> int:
        leg_a = cost_micros(price_a, elapsed_a_s + ring_s + talk_s, start_a_us)
        return leg_a + cost_micros(price_b, talk_s, now_us, ring_s)

    return max(longest_s(both, funds_micros, limit_s), 0)
