"""The fields of rates and terms by name, as commands show them and as the audit log notes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from itertools import islice

from stasis_callback.clock import iso
from stasis_callback.core.kinds import parse_kinds
from stasis_callback.core.money import format_number, format_percent, format_price
from stasis_callback.core.rating import Terms
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.spool import NewRate, Spool

_VERSIONS_LIMIT = 100


def rate_record(view: RateView | NewRate) -> dict[str, object]:
    """A rate, prices per minute. `from` is its start; None means the next call."""
    fields = {"description": view.description} | asdict(view.rate)
    minutes = view.rate.price_minutes
    del fields["price_minutes"]
    if minutes != 1:
        prices = {name: fields[name] for name in fields if name.endswith("_price_micros")}
        fields |= {name: micros and Fraction(micros, minutes) for name, micros in prices.items()}
    return fields | {"from": None if view.from_us is None else iso(view.from_us)}


def terms_record(terms: Terms) -> dict[str, object]:
    """The terms of a tariff."""
    return {
        "grace_s": terms.grace_s,
        "free_s": terms.free_s,
        "disconnect_fee_micros": terms.disconnect_fee_micros,
        "disconnect_fee_after_s": terms.disconnect_fee_after_s,
        "surcharge_percent": format_percent(terms.surcharge_bp),
        "minimum_micros": terms.minimum_micros,
        "maximum_micros": terms.maximum_micros or None,  # no maximum is not one of nothing
        "rounding_unit_micros": terms.rounding_micros,
        "rounding": terms.rounding,
        "off_peak": terms.off_peak,
        "off_peak_by": terms.off_peak_by,
        "time_zone": terms.time_zone,
        "opened": [str(kind) for kind in parse_kinds(terms.opened)],
    }


def noted_terms(terms: Terms, currency: str) -> dict[str, object]:
    """What the audit log notes of terms: amounts as text."""
    return _texts(terms_record(terms), currency)


def noted_changes(spool: Spool) -> tuple[dict[str, object], dict[str, object]]:
    """What the audit log notes of changed rates, before and after: one prefix with its fields, of more how many were
    added, changed and removed. Which these were is in the revisions of the tariff.
    """
    change = next(spool.changes())
    if any(other.prefix != change.prefix for other in islice(spool.changes(), _VERSIONS_LIMIT)):
        counts = {kind: spool.count(kind) for kind in ("added", "changed", "removed")}
        return {}, {kind: count for kind, count in counts.items() if count}
    old = _noted_rate(change.old) if change.old else {}
    new = {} if change.new.rate.discontinued else _noted_rate(change.new)
    starts = {} if change.new.from_us is None else {"from": iso(change.new.from_us)}
    return old, {"prefix": change.prefix} | new | starts


def _noted_rate(rate: NewRate) -> dict[str, object]:
    hidden = ("prefix", "discontinued", "from")
    return {name: value for name, value in _texts(rate_record(rate)).items() if name not in hidden}


def _texts(record: Mapping[str, object], currency: str = "") -> dict[str, object]:
    return {name.removesuffix("_micros"): _text(name, value, currency) for name, value in record.items()}


def _text(name: str, value: object, currency: str) -> object:
    if isinstance(value, Fraction):
        return format_price(value.numerator, value.denominator)
    return format_number(value, currency) if name.endswith("_micros") and isinstance(value, int) else value
