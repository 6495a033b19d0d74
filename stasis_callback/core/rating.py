"""What a duration costs, and how long some funds last. Pure; whole seconds in, micros out.

A rate has a connect fee and two billing units, each with its own price per minute: the first interval is charged
as soon as the call is answered, then every started next interval (PortaBilling: "first interval" and "next
interval", price per minute prorated by the interval). A started second counts as a whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, divide_up, format_amount

US_PER_S = 1_000_000
INTERVAL_LIMIT_S = 3600


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of calls to one prefix. Amounts in micros, prices per minute, intervals in seconds."""

    prefix: str
    connect_fee_micros: int = 0
    first_interval_s: int = 1
    first_price_micros: int = 0
    next_interval_s: int = 1
    next_price_micros: int = 0
    forbidden: bool = False

    def __post_init__(self) -> None:
        """Refuse what no tariff means. Raises InvalidInput."""
        if not (self.prefix.isascii() and self.prefix.isdigit() and len(self.prefix) <= 15):
            raise InvalidInput(f"{self.prefix!r} is not a prefix: write 1 to 15 digits, without + or 00")
        for name, interval_s in (("first", self.first_interval_s), ("next", self.next_interval_s)):
            if not 1 <= interval_s <= INTERVAL_LIMIT_S:
                raise InvalidInput(f"{name} interval {interval_s} s: must be 1 to {INTERVAL_LIMIT_S} seconds")
        for name, micros in (
            ("connect fee", self.connect_fee_micros),
            ("first price", self.first_price_micros),
            ("next price", self.next_price_micros),
        ):
            if not 0 <= micros <= AMOUNT_LIMIT_MICROS:
                raise InvalidInput(f"{name} must be 0 to {format_amount(AMOUNT_LIMIT_MICROS)}")


def charged_seconds(duration_us: int) -> int:
    """Seconds to charge for a talk of `duration_us` microseconds: every started one."""
    return divide_up(max(duration_us, 0), US_PER_S)


def intervals(rate: Rate, seconds: int) -> tuple[int, int]:
    """How many first and next intervals `seconds` charged seconds are: (0, 0) for an unanswered leg."""
    if seconds <= 0:
        return 0, 0
    return 1, divide_up(max(seconds - rate.first_interval_s, 0), rate.next_interval_s)


def billed_seconds(rate: Rate, seconds: int) -> int:
    """The seconds that `seconds` charged seconds are billed as: whole intervals; 0 for an unanswered leg."""
    first, following = intervals(rate, seconds)
    return first * rate.first_interval_s + following * rate.next_interval_s


def cost_micros(rate: Rate, seconds: int) -> int:
    """What `seconds` charged seconds cost; 0 for an unanswered leg (`seconds` = 0). Never falls as time goes on."""
    first, following = intervals(rate, seconds)
    if not first:
        return 0
    per_minute = rate.first_price_micros * rate.first_interval_s
    per_minute += following * rate.next_price_micros * rate.next_interval_s
    return rate.connect_fee_micros + divide_up(per_minute, 60)


def longest_s(cost_of: Callable[[int], int], funds_micros: int, limit_s: int) -> int:
    """The largest T in 0..limit_s with `cost_of(T) <= funds_micros`; -1 when even T = 0 is too dear.

    Exact for any cost that never falls with T: a binary search over whole seconds.
    """
    if cost_of(0) > funds_micros:
        return -1
    low, high = 0, limit_s
    while low < high:
        middle = (low + high + 1) // 2
        if cost_of(middle) <= funds_micros:
            low = middle
        else:
            high = middle - 1
    return low


def joint_longest_s(
    rate_a: Rate, elapsed_a_s: int, ring_s: int, rate_b: Rate, funds_micros: int, limit_s: int
) -> int:
    """How long both legs can talk: the largest T with `charge_A(elapsed + ring + T) + charge_B(T) <= funds`.

    Leg A has run `elapsed_a_s` seconds already and goes on during the ringing of leg B (at most `ring_s`).
    `funds_micros` are all funds for both legs, what is held for A included. 0 when not one second is paid for.
    Source: PortaSwitch, "Call authorization" of the callback chapter (both legs together never exceed the
    funds), with leg A's running time settled in PRODUCT.md.
    """

    def both(talk_s: int) -> int:
        return cost_micros(rate_a, elapsed_a_s + ring_s + talk_s) + cost_micros(rate_b, talk_s)

    return max(longest_s(both, funds_micros, limit_s), 0)
