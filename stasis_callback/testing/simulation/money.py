"""The auditor's own idea of what a call costs, written from the documentation of tariffs and not from `core/rating`.

Slow and plain on purpose: seconds are walked through one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class PriceList:
    """What calls to a prefix cost. Amounts in micros, prices per minute, times in seconds."""

    prefix: str
    fee: int = 0
    first_s: int = 1
    first_price: int = 0
    next_s: int = 1
    next_price: int = 0
    free_s: int = 0
    grace_s: int = 0
    surcharge_bp: int = 0
    minimum: int = 0
    unit: int = 1
    end_fee: int = 0
    end_fee_after_s: int = 0
    maximum: int = 0

    def cost(self, seconds: int) -> int:
        """The cost of a call of this many started seconds."""
        if seconds <= self.grace_s:
            return 0
        total = Fraction(self.fee)
        paid_until_s = self.free_s
        while paid_until_s < seconds:
            first = paid_until_s == self.free_s
            length_s = self.first_s if first else self.next_s
            price = self.first_price if first else self.next_price
            total += Fraction(price * length_s, 60)
            paid_until_s += length_s
        if seconds > self.end_fee_after_s:
            total += self.end_fee
        total *= Fraction(10_000 + self.surcharge_bp, 10_000)
        total = max(total, Fraction(self.minimum))
        rounded = -(-total // self.unit) * self.unit
        return rounded if not self.maximum else min(rounded, self.maximum)

    def billed_s(self, seconds: int) -> int:
        """The billed seconds: whole intervals."""
        if seconds <= self.grace_s or seconds <= self.free_s:
            return 0
        billed_s = self.first_s
        while self.free_s + billed_s < seconds:
            billed_s += self.next_s
        return billed_s


def started_seconds(us: int) -> int:
    """A started second counts as a whole one."""
    return -(-max(us, 0) // 1_000_000)


def price_of(lists: Iterable[PriceList], number: str) -> PriceList | None:
    """The list with the longest prefix of a number."""
    found = [one for one in lists if number.startswith(one.prefix)]
    return max(found, key=lambda one: len(one.prefix), default=None)
