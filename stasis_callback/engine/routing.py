"""The trunks on which a call is tried, one after another, and the dial string for each.

If there are no trunks in the database, the trunk of the settings carries everything, and its cost is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.errors import require
from stasis_callback.core.numbering import is_emergency
from stasis_callback.core.numbers import Rule, is_dialable, mask, parse_rules, translate
from stasis_callback.core.options import CallOptions
from stasis_callback.core.routing import Margin, Offer, Ranked, rank
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.tariffs import Tariffs
from stasis_callback.store.rates.trunks import Carrier, Trunks, TrunkView

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Way:
    """How a leg goes out: the PJSIP endpoint, what its trunk makes of a number, and what we pay for it.

    `carrier` is None for the trunk of the settings: what that costs is not known.
    """

    endpoint: str
    number_rules: tuple[Rule, ...] = ()
    carrier: Carrier | None = None

    def dial_string(self, number: str) -> str:
        """The dial string for a number: `+?[0-9]{3,32}`, one trunk, nothing a caller could add to."""
        require(is_dialable(number), "only 3 to 15 digits are ever dialled")
        require(not is_emergency(number), "emergency numbers are never dialled")
        dialled = dialled_number(self.number_rules, number)
        require(bool(dialled), "the trunk's number_rules leave nothing that can be dialled")
        return f"PJSIP/{dialled}@{self.endpoint}"


@dataclass(frozen=True, slots=True)
class Considered:
    """A trunk, and why it does not come into question or how it ranks.

    `why_not`: `disabled`, `no_route`, `no_rate`, `number_rules` (they leave nothing that can be dialled).
    """

    trunk: TrunkView
    cost: RateView | None = None
    ranked: Ranked | None = None
    why_not: str = ""


class Router:
    """Selects the trunks for a leg."""

    def __init__(
        self, trunks: Trunks, tariffs: Tariffs, clock: Clock, trunk: str, number_rules: tuple[Rule, ...] = ()
    ) -> None:
        """`trunk` and its `number_rules` are those of the settings."""
        self._trunks = trunks
        self._tariffs = tariffs
        self._clock = clock
        self._settings_way = Way(trunk, number_rules)

    def ways(self, number: str, rate: RateView, currency: str, options: CallOptions) -> list[Way]:
        """The trunks to try for a call that is paid for by `rate`, the best first; [] when none will do."""
        trunks = self._trunks.all()
        if not trunks:
            way = self._settings_way
            if dialled_number(way.number_rules, number):
                return [way]
            log.warning("route.none", number=mask(number), reasons={way.endpoint: "number_rules"})
            return []
        considered = self.consider(trunks, number, rate, currency, options)
        ways = [
            Way(one.trunk.name, parse_rules(one.trunk.number_rules), Carrier(one.trunk, one.cost))
            for one in considered
            if one.cost is not None and not one.why_not
        ]
        if not ways:
            reasons = {one.trunk.name: one.why_not for one in considered}
            log.warning("route.none", number=mask(number), reasons=reasons)
        return ways

    def consider(
        self, trunks: list[TrunkView], number: str, rate: RateView, currency: str, options: CallOptions
    ) -> list[Considered]:
        """Every trunk: those to be tried first and in their order, then the others, each with why not."""
        out: list[Considered] = []
        costs: dict[str, tuple[TrunkView, RateView]] = {}
        offers: list[Offer] = []
        for trunk in trunks:
            preference = trunk.preference_for(number)
            cost = self._tariffs.match(trunk.tariff_id, number)
            dialled = dialled_number(parse_rules(trunk.number_rules), number)
            if not trunk.enabled or preference is None or cost is None or not dialled:
                reasons = {
                    "disabled": not trunk.enabled,
                    "no_route": preference is None,
                    "no_rate": cost is None,
                    "number_rules": not dialled,
                }
                why_not = next(reason for reason, holds in reasons.items() if holds)
                out.append(Considered(trunk, why_not=why_not))
            else:
                costs[trunk.name] = trunk, cost
                offers.append(Offer(trunk.name, preference, cost.price, trunk.currency))
        margin = Margin(options.margin_guard, options.min_margin_percent)
        ranked = rank(offers, rate.price, currency, margin, self._clock.now_us())
        return [Considered(*costs[r.offer.trunk], r, r.passed_over) for r in ranked] + out


def dialled_number(rules: tuple[Rule, ...], number: str) -> str:
    """What a trunk is to dial for a number: 3 to 32 digits after an optional `+` (a carrier's own prefix may come on
    top of E.164's 15); "" when its rules leave something else, or an emergency number.
    """
    dialled = translate(rules, number)
    if not re.fullmatch(r"\+?[0-9]{3,32}", dialled, re.ASCII) or is_emergency(dialled.removeprefix("+")):
        return ""
    return dialled
