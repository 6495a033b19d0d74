"""In which order trunks are tried for a call, and which of them would carry it at a loss. Pure.

A trunk's price is compared with what the subscriber pays for one talk of a defined length, because two tariffs with
different intervals and fees cannot be compared otherwise. Higher preference goes first, then lower cost (least cost
routing), then the name, so that the order is always the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.rating import Price, cost_micros

COMPARED_TALK_S = 180
"""The talk by which prices are compared: about what a call lasts (an ACD of three minutes is usual)."""

PassedOver = Literal["", "below_cost", "other_currency"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A trunk that can carry a call, and the price we pay for it."""

    trunk: str
    preference: int
    price: Price
    currency: str


@dataclass(frozen=True, slots=True)
class Margin:
    """What a trunk must leave of the price: `guard` off lets calls be sold below cost."""

    guard: bool = True
    min_percent: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """An offer, what the compared talk costs and earns, and why it is passed over ("" when it is not)."""

    offer: Offer
    cost_micros: int
    earned_micros: int
    passed_over: PassedOver


def rank(offers: Iterable[Offer], price: Price, currency: str, margin: Margin, at_us: int) -> list[Ranked]:
    """All offers, those that may be used first and in their order. `price` is what the subscriber pays."""
    earned = cost_micros(price, COMPARED_TALK_S, at_us)
    ranked = [_ranked(offer, earned, currency, margin, at_us) for offer in offers]
    return sorted(
        ranked, key=lambda r: (r.passed_over != "", -r.offer.preference, r.cost_micros, r.offer.trunk)
    )


def _ranked(offer: Offer, earned: int, currency: str, margin: Margin, at_us: int) -> Ranked:
    cost = cost_micros(offer.price, COMPARED_TALK_S, at_us)
    passed_over: PassedOver = ""
    if margin.guard and offer.currency != currency:
        passed_over = "other_currency"
    elif margin.guard and cost * 100 > earned * (100 - margin.min_percent):
        passed_over = "below_cost"
    return Ranked(offer, cost, earned, passed_over)
