"""The calculation of one charge, step by step, to explain it to operators and subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, TypedDict

from stasis_callback.admin.context import phone_number
from stasis_callback.clock import US_PER_S, iso
from stasis_callback.core.cost_parts import CostPart, cost_parts, has_off_peak
from stasis_callback.core.errors import InvalidInput, require
from stasis_callback.core.kinds import Kind
from stasis_callback.core.money import MICROS, divide_up, format_amount, format_percent, format_price
from stasis_callback.core.numbering import kind_of, sells
from stasis_callback.core.periods import time_zone
from stasis_callback.core.rating import Price, cost_micros

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
    start = [_start(price, start_us)] if has_off_peak(price) else []
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
        steps=[found.text, *start, *(_in_words(price, part) for part in parts), total],
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
    digits = phone_number(number)
    kind = kind_of(digits)
    if kind is Kind.EMERGENCY:
        raise InvalidInput(f"{digits} is an emergency number: it is never called")
    fitting = s.tariffs.fitting(tariff.id, digits, at_us)
    if not fitting:
        raise InvalidInput(f"tariff {tariff.name!r} has no rate for {digits}: the number cannot be called")
    best, *shorter = fitting
    if best.rate.forbidden:
        raise InvalidInput(
            f"tariff {tariff.name!r} forbids prefix {best.rate.prefix}, the longest match for {digits}: the number "
            "cannot be called"
        )
    if not sells(best.rate.prefix, digits, best.terms.opened):
        raise InvalidInput(
            f"tariff {tariff.name!r} does not sell calls to {digits}: it is {kind.meaning}, which the rate for "
            f"prefix {best.rate.prefix} does not name. Add a rate for a longer prefix, or use "
            f"`tariff set {tariff.name} --open {kind}`"
        )
    name = f" ({best.description})" if best.description else ""
    rivals = ", ".join(view.rate.prefix for view in shorter)
    text = f"{digits} is rated by tariff {tariff.name}, prefix {best.rate.prefix}{name}"
    return RateDecision(digits, tariff, best, f"{text}, a longer match than {rivals}" if rivals else text)


def _in_words(price: Price, part: CostPart) -> str:
    """One part of a charge, as a sentence."""
    terms, micros = price.terms, _exact(part.micros)
    if part.name == "call":
        return "an unanswered call is free"
    if part.name == "grace":
        return f"grace period: a call of up to {terms.grace_s} s is free"
    if part.name == "connect_fee":
        return f"connect fee: {format_amount(price.rate.connect_fee_micros)}"
    if part.name == "free_seconds":
        return f"free seconds: the first {terms.free_s} s are not charged, {part.rest_s} s remain"
    if part.name == "disconnect_fee":
        return f"disconnect fee, after {terms.disconnect_fee_after_s} s: {micros}"
    if part.name == "surcharge":
        return f"surcharge: {format_percent(terms.surcharge_bp)} % of {_exact(part.before)} = {micros}"
    if part.name == "minimum":
        return f"minimum charge: {format_amount(terms.minimum_micros)}, adds {micros}"
    if part.name == "maximum":
        return f"maximum charge: {format_amount(terms.maximum_micros)}, takes off {_exact(-part.micros)}"
    if part.name == "rounding":
        how = "to the nearest" if terms.rounding == "nearest" else f"{terms.rounding} to a"
        unit = format_amount(terms.rounding_micros)
        return f"rounding: {_exact(part.before)} {how} multiple of {unit}, adds {micros}"
    per_minute = format_price(part.price_micros, price.rate.price_minutes)
    return f"{_intervals(price, part)} {per_minute} a minute = {micros}"


def _intervals(price: Price, part: CostPart) -> str:
    which = {None: "", True: "off-peak", False: "peak"}[part.off_peak]
    if part.name == "first_interval":
        return f"first interval{', ' + which if which else ''}: {part.each_s} s at"
    # Of the seconds that remain, all are in whole intervals, peak and off-peak together.
    whole = divide_up(part.rest_s, part.each_s)
    of_these = f", {part.count} of them {which}" if which else ""
    total_s = part.count * part.each_s
    return f"next intervals: {part.rest_s} s are {whole} x {part.each_s} s{of_these} = {total_s} s at"


def _start(price: Price, start_us: int) -> str:
    zone = price.terms.time_zone
    local = datetime.fromtimestamp(start_us // US_PER_S, time_zone(zone))
    return (
        f"the call starts at {iso(start_us)}, {local:%a %H:%M} in {zone}; off-peak is {price.terms.off_peak}"
        + (", by the time of the answer" if price.terms.off_peak_by == "answer" else "")
    )


def _exact(micros: Fraction) -> str:
    """An exact amount for whole micros; otherwise cut after two more digits, with "..."."""
    if micros.denominator == 1:
        return format_amount(int(micros))
    sign, hundredths = ("-" if micros < 0 else ""), int(abs(micros) * 100)
    return f"{sign}{hundredths // (100 * MICROS)}.{hundredths % (100 * MICROS):08d}..."
