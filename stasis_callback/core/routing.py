"""The order in which trunks are tried for a call, and which are skipped because of their cost. Pure functions.

Cost and revenue are compared for a call of a fixed duration, because tariffs with different intervals and fees
cannot be compared otherwise. Order: higher preference, then lower cost (least cost routing), then name, so that the
order is deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stasis_callback.core.rating import Price, cost_micros
from stasis_callback.core.words import Skipped

COMPARED_TALK_S = 180
"""The duration for which costs are compared: a typical ACD of three minutes."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A trunk that can carry a call, and its cost."""

    trunk: str
    preference: int
    price: Price
    currency: str


@dataclass(frozen=True, slots=True)
class Margin:
    """The required margin. With `guard` off, calls may be sold below cost."""

    guard: bool = True
    min_percent: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """An offer with cost and revenue of the compared call, and why it is skipped (None if it is not)."""

    offer: Offer
    cost_micros: int
    earned_micros: int
    passed_over: Skipped | None


def rank(offers: Iterable[Offer], price: Price, currency: str, margin: Margin, at_us: int) -> list[Ranked]:
    """All offers: usable ones first, in order, then skipped ones. `price` is what the subscriber pays."""
    earned = cost_micros(price, COMPARED_TALK_S, at_us)
    ranked = [_ranked(offer, earned, currency, margin, at_us) for offer in offers]
    return sorted(
        ranked, key=lambda r: (r.passed_over is not None, -r.offer.preference, r.cost_micros, r.offer.trunk)
    )


def _ranked(offer: Offer, earned: int, currency: str, margin: Margin, at_us: int) -> Ranked:
    cost = cost_micros(offer.price, COMPARED_TALK_S, at_us)
    passed_over: Skipped | None = None
    if margin.guard and offer.currency != currency:
        passed_over = Skipped.OTHER_CURRENCY
    elif margin.guard and cost * 100 > earned * (100 - margin.min_percent):
        passed_over = Skipped.BELOW_COST
    return Ranked(offer, cost, earned, passed_over)
