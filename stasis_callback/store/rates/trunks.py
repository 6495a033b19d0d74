"""Vendors, their trunks and routes: destinations, costs and capacity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stasis_callback.clock import Clock
from stasis_callback.core.answers import format_answers, parse_answers
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import Limit
from stasis_callback.core.money import parse_currency
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.trunk_numbers import NUMBER_FORM_NAMES, NumberForm
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.foreign import tell_unusable
from stasis_callback.store.database.limits import Limits
from stasis_callback.store.database.names import by_name, checked_name, checked_word, in_use, is_new
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.tables import Route, Tariff, Trunk, Vendor

PREFERENCE_LIMIT = 100
CALLS_LIMIT = 100_000
INCOMING = "-in"
"""Of the name of an endpoint of a trunk that missed calls alone come over."""
NO_PROGRESS_S = 5
"""A carrier that works says "ringing" or announces something well within this."""
NO_PROGRESS_LIMIT_S = 60

_ALL = """SELECT trunk.id, trunk.name, vendor.name, tariff.name, trunk.tariff_id, tariff.currency, trunk.enabled,
    trunk.preference, trunk.calls_limit, trunk.calls_per_s, trunk.number_rules, trunk.number_form, trunk.answers,
    trunk.no_progress_s, trunk.enabled_at_us, route.prefix, route.preference
    FROM trunk JOIN vendor ON vendor.id = trunk.vendor_id JOIN tariff ON tariff.id = trunk.tariff_id
    LEFT JOIN route ON route.trunk_id = trunk.id WHERE trunk.removed_at_us IS NULL
    ORDER BY trunk.name, route.prefix"""
_OPEN_LEGS = "SELECT COUNT(*) FROM leg WHERE trunk_id = ? AND state <> 'settled' AND id <> ?"


@dataclass(frozen=True, slots=True)
class VendorView:
    """A vendor: a carrier that terminates our calls."""

    name: str
    currency: str
    trunks: int


@dataclass(frozen=True, slots=True)
class TrunkView:
    """A trunk. `name` is the PJSIP endpoint's; `routes` are preferences by prefix (none: wherever it has a rate).

    `answers` says what SIP statuses mean on it, as text (`core/answers.py`). Until a trunk was enabled once, which
    `enabled_at_us` says, the trunk of the settings carries all calls.
    """

    id: int
    name: str
    vendor: str
    tariff: str
    tariff_id: int
    currency: str
    enabled: bool
    preference: int
    calls_limit: int | None
    calls_per_s: int | None
    number_rules: str
    number_form: NumberForm
    answers: str
    no_progress_s: int
    enabled_at_us: int | None
    routes: Mapping[str, int]

    def preference_for(self, number: str) -> int | None:
        """The preference for a number, by the longest of its routes that fits; None when it does not lead there."""
        if not self.routes:
            return self.preference
        fitting = [prefix for prefix in self.routes if number.startswith(prefix)]
        return self.routes[max(fitting, key=len)] if fitting else None


@dataclass(frozen=True, slots=True)
class Carrier:
    """A trunk chosen for one leg, and the rate we pay for it."""

    trunk: TrunkView
    cost: RateView


class Trunks:
    """The vendor, trunk and route tables."""

    def __init__(self, database: Database, limits: Limits, clock: Clock) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock

    # --- vendors ---------------------------------------------------------------------------------------------

    @unit
    def add_vendor(self, name: str, currency: str) -> None:
        """Add a vendor that bills us in one currency. Raises InvalidInput."""
        if is_new(self._database, Vendor, checked_name(name), "vendor"):
            Vendor.create(name=name, currency=parse_currency(currency), created_at_us=self._clock.now_us())

    @read
    def vendors(self) -> list[VendorView]:
        """All vendors by name."""
        return [
            VendorView(
                row.name, row.currency, Trunk.select().where(Trunk.vendor == row, _NOT_REMOVED).count()
            )
            for row in Vendor.select().order_by(Vendor.name)
        ]

    # --- trunks ----------------------------------------------------------------------------------------------

    @unit
    def add(
        self, /, name: str, *, vendor: str, tariff: str, enabled: bool = True, **values: Any
    ) -> TrunkView:
        """Add a trunk, or one that was removed anew; `values` as for `change`. Raises InvalidInput, and then nothing
        is added.
        """
        again = self._database.repeated(f"trunk:{checked_word(name, 'a PJSIP endpoint')}")
        self._database.lock("trunks")
        row = Trunk.get_or_none(Trunk.name == name)
        if row is not None and row.removed_at_us is None:
            if not again:
                raise InvalidInput(f"trunk {name!r} already exists")
        else:
            row = Trunk(name=name) if row is None else row
            row.vendor, _ = in_use(Vendor, vendor, "vendor"), in_use(Tariff, tariff, "tariff")
            row.tariff = _cost_tariff(vendor, tariff)
            row.enabled, row.preference, row.number_rules = False, 50, ""
            row.number_form, row.answers, row.no_progress_s = "{}", "", NO_PROGRESS_S
            row.calls_limit = row.calls_per_s = row.enabled_at_us = row.removed_at_us = None
            row.created_at_us = self._clock.now_us()
            row.save()
        return self.change(name, enabled=enabled, **values)

    @unit
    def remove(self, name: str) -> None:
        """Remove a trunk that is disabled, with its routes; its call records keep its name. Raises InvalidInput."""
        if self._database.repeated(f"remove trunk:{name}") and not _is_there(name):
            return
        self._database.lock("trunks")
        row = _trunk(name)
        if row.enabled:
            raise InvalidInput(f"trunk {name!r} is enabled: run `stasis-callback trunk disable {name}` first")
        Route.delete().where(Route.trunk == row).execute()
        row.removed_at_us = self._clock.now_us()
        row.save()

    @unit
    def change(
        self,
        name: str,
        *,
        tariff: str | None = None,
        enabled: bool | None = None,
        preference: int | None = None,
        calls_limit: int | None = None,
        calls_per_s: int | None = None,
        number_rules: str | None = None,
        number_form: Mapping[str, str] | None = None,
        answers: str | None = None,
        no_progress_s: int | None = None,
    ) -> TrunkView:
        """Change what is not None, from the next call on; 0 takes a limit away, and "" what is set of `number_form`.
        Raises InvalidInput.
        """
        self._database.lock("trunks")
        row = _trunk(name)
        if tariff is not None:
            row.tariff = _cost_tariff(row.vendor.name, tariff)
        if preference is not None:
            row.preference = _checked_preference(preference)
        if number_rules is not None:
            NumberForm.parse({"called_out": number_rules})
            row.number_rules = number_rules
        if number_form is not None:
            NumberForm.parse({key: text for key, text in number_form.items() if text})
            merged = json.loads(row.number_form) | number_form
            row.number_form = json.dumps({key: text for key, text in merged.items() if text})
        if answers is not None:
            row.answers = format_answers(parse_answers(answers))
        if no_progress_s is not None:
            row.no_progress_s = _checked_no_progress(no_progress_s)
        row.enabled = row.enabled if enabled is None else enabled
        if row.enabled and row.enabled_at_us is None:
            row.enabled_at_us = self._clock.now_us()
        row.calls_limit = row.calls_limit if calls_limit is None else _checked_limit(calls_limit)
        row.calls_per_s = row.calls_per_s if calls_per_s is None else _checked_limit(calls_per_s)
        row.save()
        return self.named(name)

    @read
    def all(self) -> list[TrunkView]:
        """All trunks by name."""
        trunks: dict[int, TrunkView] = {}
        routes: dict[int, dict[str, int]] = {}
        for *trunk, prefix, preference in every(_ALL):
            if trunk[0] not in trunks:
                routes[trunk[0]] = {}
                trunks[trunk[0]] = _view(trunk, routes[trunk[0]])
            if prefix is not None:
                routes[trunk[0]][prefix] = preference
        return list(trunks.values())

    @read
    def named(self, name: str) -> TrunkView:
        """The trunk with this name. Raises InvalidInput if it does not exist."""
        _trunk(name)
        return next(trunk for trunk in self.all() if trunk.name == name)

    @read
    def recorded(self, name: str) -> str:
        """The name of a trunk that calls may have gone over, also of one that was removed. Raises InvalidInput."""
        return str(by_name(Trunk, name, "trunk").name)

    @read
    def number_form(self, endpoint: str) -> NumberForm | None:
        """How the trunk of an endpoint writes numbers; None where the endpoint is no trunk's."""
        return form_of(endpoint, self.all())

    def has_room(self, trunk: TrunkView, leg_id: str) -> bool:
        """Within the transaction that notes a leg: whether the trunk can carry it beside all others.

        Asked under a lock of the trunk's name, so that any number of processes stay within its limits.
        """
        if trunk.calls_limit is None and trunk.calls_per_s is None:
            return True
        self._database.lock(f"trunk:{trunk.id}")
        if trunk.calls_limit is not None and one(_OPEN_LEGS, trunk.id, leg_id)[0] >= trunk.calls_limit:
            return False
        return trunk.calls_per_s is None or self._limits.take(
            f"trunk:{trunk.id}", Limit(trunk.calls_per_s, 1)
        )

    # --- routes ----------------------------------------------------------------------------------------------

    @unit
    def add_route(self, trunk: str, prefix: str, preference: int | None = None) -> None:
        """Let a trunk carry calls to a prefix, or change the preference it has there. Raises InvalidInput."""
        checked_prefix(prefix)
        row = _trunk(trunk)
        value = row.preference if preference is None else _checked_preference(preference)
        if not Route.update(preference=value).where(Route.trunk == row, Route.prefix == prefix).execute():
            Route.create(trunk=row, prefix=prefix, preference=value)

    @unit
    def remove_route(self, trunk: str, prefix: str) -> None:
        """Remove a route from a trunk. Raises InvalidInput if it does not exist."""
        row = _trunk(trunk)
        again = self._database.repeated(f"remove route:{trunk}:{prefix}")
        if not Route.delete().where(Route.trunk == row, Route.prefix == prefix).execute() and not again:
            raise InvalidInput(
                f"trunk {trunk!r} has no route for prefix {prefix!r}: see `stasis-callback route list`"
            )


def form_of(endpoint: str, trunks: Sequence[TrunkView]) -> NumberForm | None:
    """How the trunk of an endpoint writes numbers; None where the endpoint is of none of `trunks`."""
    forms = {trunk.name: trunk.number_form for trunk in trunks}
    return forms.get(endpoint) or forms.get(endpoint.removesuffix(INCOMING))


_NOT_REMOVED = Trunk.removed_at_us.is_null()


def _is_there(name: str) -> bool:
    return bool(Trunk.select().where(Trunk.name == name, _NOT_REMOVED).exists())


def _trunk(name: str) -> Trunk:
    if not _is_there(name):
        raise InvalidInput(f"unknown trunk {name!r}: see `stasis-callback trunk list`")
    return by_name(Trunk, name, "trunk")


def _cost_tariff(vendor: str, tariff: str) -> Tariff:
    row, currency = by_name(Tariff, tariff, "tariff"), by_name(Vendor, vendor, "vendor").currency
    if row.currency != currency:
        raise InvalidInput(
            f"vendor {vendor!r} bills in {currency}, tariff {tariff!r} is in {row.currency}: use one in {currency}"
        )
    return row


def _checked_preference(preference: int) -> int:
    if not 0 <= preference <= PREFERENCE_LIMIT:
        raise InvalidInput(f"preference {preference} is invalid: write 0 to {PREFERENCE_LIMIT}")
    return preference


def _checked_limit(count: int) -> int | None:
    if not 0 <= count <= CALLS_LIMIT:
        raise InvalidInput(
            f"a limit of {count} calls is invalid: write 1 to {CALLS_LIMIT}, or 0 for no limit"
        )
    return count or None


_NO_NUMBER = "s/^.*$//"
_UNREADABLE = NumberForm(caller_in=_NO_NUMBER, called_in=_NO_NUMBER, called_out=_NO_NUMBER)
"""Stands for a form that only another version can read: by a default, callers would be taken for others, and others
be called. So no number is read or dialled.
"""


@lru_cache(1000)
def _form(trunk: str, number_rules: str, stored: str) -> NumberForm:
    """How a trunk writes numbers, without what another version has stored beside it."""
    found = json.loads(stored) | {"called_out": number_rules}
    for name in found.keys() - NUMBER_FORM_NAMES:
        tell_unusable(f"trunk {trunk}", name, "unknown")
    try:
        return NumberForm.parse({name: text for name, text in found.items() if name in NUMBER_FORM_NAMES})
    except InvalidInput as error:
        tell_unusable(f"trunk {trunk}", "number_form", str(error))
        return _UNREADABLE


@lru_cache(1000)
def _answers(trunk: str, stored: str) -> str:
    """What is stored of its answers without those that have a meaning in another version only."""
    usable = []
    for item in stored.split(";"):
        try:
            parse_answers(item)
            usable.append(item)
        except InvalidInput as error:
            tell_unusable(f"trunk {trunk}", "answers", str(error))
    return ";".join(usable)


def _checked_no_progress(seconds: int) -> int:
    if not 1 <= seconds <= NO_PROGRESS_LIMIT_S:
        raise InvalidInput(f"a no-progress time of {seconds} s is invalid: write 1 to {NO_PROGRESS_LIMIT_S}")
    return seconds


def _view(row: Sequence[Any], routes: Mapping[str, int]) -> TrunkView:
    """What `_ALL` has of a trunk, but for its routes."""
    values = [*row, routes]
    values[6] = bool(values[6])  # `enabled`: a number in SQLite
    values[11] = _form(values[1], values[10], values[11])
    values[12] = _answers(values[1], values[12])
    return TrunkView(*values)
