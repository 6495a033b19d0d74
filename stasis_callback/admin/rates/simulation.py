"""What funds buy: the maximum talk time of both legs of a callback, and its cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypedDict

from stasis_callback.admin.rates.explanation import decide
from stasis_callback.core.money import format_amount
from stasis_callback.core.rating import cost_micros, joint_longest_s, longest_s

if TYPE_CHECKING:
    from stasis_callback.store.rates.tariffs import TariffView
    from stasis_callback.store.stores import Stores


class Simulation(TypedDict):
    """What funds buy. Leg B is answered `ring_s` after leg A; costs are for the maximum talk time."""

    tariff: str
    currency: str
    funds_micros: int
    start_at_us: int
    ring_s: int
    limit_s: int
    prefix_a: str
    prefix_b: str
    talk_s: int
    leg_a_s: int
    leg_a_micros: int
    leg_b_micros: int
    total_micros: int
    left_micros: int
    leg_a_alone_s: int
    leg_a_alone_micros: int
    steps: list[str]


def simulate(
    s: Stores,
    tariff: TariffView,
    funds_micros: int,
    number_a: str,
    number_b: str,
    start_us: int,
    ring_s: int,
    limit_s: int,
) -> Simulation:
    """The maximum talk time that `funds_micros` pay for. Raises InvalidInput if a number cannot be dialled."""
    a, b = decide(s, tariff, number_a, start_us), decide(s, tariff, number_b, start_us)
    price_a, price_b = a.view.price, b.view.price
    talk_s = joint_longest_s(price_a, 0, ring_s, price_b, funds_micros, limit_s, start_us)
    if price_b.is_too_short(talk_s, limit_s):
        talk_s = 0  # leg B would not be dialled
    leg_a_s = ring_s + talk_s if talk_s else 0
    money = partial(format_amount, currency=tariff.currency)

    def both(seconds: int) -> tuple[int, int]:
        leg_a = cost_micros(price_a, ring_s + seconds, start_us)
        return leg_a, cost_micros(price_b, seconds, start_us, ring_s)

    leg_a, leg_b = both(talk_s) if talk_s else (0, 0)
    alone_s = max(longest_s(lambda t: cost_micros(price_a, t, start_us), funds_micros, limit_s), 0)
    alone = cost_micros(price_a, alone_s, start_us)
    steps = [f"leg A: {a.text}", f"leg B: {b.text}"]
    if talk_s:
        steps += [
            f"maximum talk time: {talk_s} s ({_clock(talk_s)})",
            f"leg A: {leg_a_s} s, including {ring_s} s before the answer of leg B: {money(leg_a)}",
            f"leg B: {talk_s} s: {money(leg_b)}",
            f"total: {money(leg_a + leg_b)} of {money(funds_micros)}",
            f"one more second would cost {money(sum(both(talk_s + 1)))}"
            if talk_s < limit_s
            else f"limited to {limit_s} s by --limit, not by funds",
        ]
    else:
        cost = money(sum(both(price_b.shortest_paid_s)))
        steps.append(f"no call: {money(funds_micros)} is less than {cost}, the cost of the shortest call")
    steps.append(f"leg A alone: {alone_s} s ({_clock(alone_s)}) for {money(alone)}")
    return Simulation(
        tariff=tariff.name,
        currency=tariff.currency,
        funds_micros=funds_micros,
        start_at_us=start_us,
        ring_s=ring_s,
        limit_s=limit_s,
        prefix_a=a.view.rate.prefix,
        prefix_b=b.view.rate.prefix,
        talk_s=talk_s,
        leg_a_s=leg_a_s,
        leg_a_micros=leg_a,
        leg_b_micros=leg_b,
        total_micros=leg_a + leg_b,
        left_micros=funds_micros - leg_a - leg_b,
        leg_a_alone_s=alone_s,
        leg_a_alone_micros=alone,
        steps=steps,
    )


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
