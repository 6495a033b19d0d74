"""The trunks on which a call is tried, one after another, and the dial string for each.

Until a trunk of the database is enabled, the trunk of the settings carries everything, and its cost is unknown. Where
all are disabled afterwards, nothing is called: who disables the last one wants no calls over it, nor over another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.answers import USUAL, Answers, parse_answers
from stasis_callback.core.errors import require
from stasis_callback.core.numbering import is_emergency
from stasis_callback.core.numbers import is_dialable, mask
from stasis_callback.core.options import CallOptions
from stasis_callback.core.routing import Margin, Offer, Ranked, rank
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.core.words import Skipped
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.tariffs import Tariffs
from stasis_callback.store.rates.trunks import NO_PROGRESS_S, Carrier, Trunks, TrunkView

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Way:
    """How a leg goes out: the PJSIP endpoint, how its trunk writes numbers, and what we pay for it.

    `carrier` is None for the trunk of the settings: what that costs is not known. `answers` are what answers mean on
    this trunk; after `no_progress_s` seconds without a sign of life it is given up.
    """

    endpoint: str
    form: NumberForm = NumberForm()
    carrier: Carrier | None = None
    answers: Answers = field(default_factory=lambda: USUAL)
    no_progress_s: int = NO_PROGRESS_S

    @classmethod
    def over(cls, trunk: TrunkView, cost: RateView) -> Way:
        """The way over a trunk of the database."""
        return cls(
            trunk.name,
            trunk.number_form,
            Carrier(trunk, cost),
            parse_answers(trunk.answers),
            trunk.no_progress_s,
        )

    def dial_string(self, number: str) -> str:
        """The dial string for a number: `+?[0-9]{3,32}`, one trunk, nothing a caller could add to."""
        require(is_dialable(number), "only 3 to 15 digits are ever dialled")
        require(not is_emergency(number), "emergency numbers are never dialled")
        dialled = self.form.dialled(number)
        require(bool(dialled), "the trunk's number_rules leave nothing that can be dialled")
        return f"PJSIP/{dialled}@{self.endpoint}"

    def caller_id(self, number: str) -> str:
        """The caller id to show for a number; as it is where the trunk's rules leave nothing of it."""
        return self.form.shown(number) or number


@dataclass(frozen=True, slots=True)
class Considered:
    """A trunk, and how it ranks or why it is skipped."""

    trunk: TrunkView
    cost: RateView | None = None
    ranked: Ranked | None = None
    why_not: Skipped | None = None


class Router:
    """Selects the trunks for a leg."""

    def __init__(
        self, trunks: Trunks, tariffs: Tariffs, clock: Clock, trunk: str, form: NumberForm | None = None
    ) -> None:
        """`trunk` and its `form` are those of the settings."""
        self._trunks = trunks
        self._tariffs = tariffs
        self._clock = clock
        self._settings_way = Way(trunk, form or NumberForm())

    def ways(
        self,
        number: str,
        rate: RateView,
        currency: str,
        options: CallOptions,
        trunks: list[TrunkView] | None = None,
    ) -> list[Way]:
        """The trunks to try for a call that is paid for by `rate`, the best first; [] when none will do.

        `trunks` are all there are, where they were read already.
        """
        trunks = self._trunks.all() if trunks is None else trunks
        if not any(trunk.enabled_at_us is not None for trunk in trunks):
            way = self._settings_way
            if way.form.dialled(number):
                return [way]
            log.warning("route.none", number=mask(number), reasons={way.endpoint: Skipped.NUMBER_RULES})
            return []
        considered = self.consider(trunks, number, rate, currency, options)
        ways = [
            Way.over(one.trunk, one.cost) for one in considered if one.cost is not None and not one.why_not
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
            dialled = trunk.number_form.dialled(number)
            if not trunk.enabled or preference is None or cost is None or not dialled:
                reasons = {
                    Skipped.DISABLED: not trunk.enabled,
                    Skipped.NO_ROUTE: preference is None,
                    Skipped.NO_RATE: cost is None,
                    Skipped.NUMBER_RULES: not dialled,
                }
                why_not = next(reason for reason, holds in reasons.items() if holds)
                out.append(Considered(trunk, why_not=why_not))
            else:
                costs[trunk.name] = trunk, cost
                offers.append(Offer(trunk.name, preference, cost.price, trunk.currency))
        margin = Margin(options.margin_guard, options.min_margin_percent)
        ranked = rank(offers, rate.price, currency, margin, self._clock.now_us())
        return [Considered(*costs[r.offer.trunk], r, r.passed_over) for r in ranked] + out
