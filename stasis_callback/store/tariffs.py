"""Tariffs and their rates. A rate row is never changed: a new price closes the old version and adds another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_currency
from stasis_callback.core.rating import Rate
from stasis_callback.store.accounts import by_name, checked_name
from stasis_callback.store.database import Database
from stasis_callback.store.models import RateRow, Tariff

PREFIX_LIMIT = 15


@dataclass(frozen=True, slots=True)
class RateView:
    """A rate with the row it stands in, so that a call keeps the version it was authorised with."""

    id: int
    description: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to put into a tariff."""

    rate: Rate
    description: str = ""


@dataclass(frozen=True, slots=True)
class ImportDiff:
    """What an import changes, by prefix."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    same: int


class Tariffs:
    """Tariffs, rates and the longest prefix match."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str, currency: str) -> None:
        """Raises InvalidInput when the name is taken or the currency is none."""
        with self._database.transaction():
            if Tariff.get_or_none(Tariff.name == name) is not None:
                raise InvalidInput(f"tariff {name!r} exists already")
            Tariff.create(
                name=checked_name(name), currency=parse_currency(currency), created_at_us=self._clock.now_us()
            )

    def all(self) -> list[dict[str, object]]:
        """Every tariff by name, with the number of its rates."""
        with self._database.reading():
            return [
                {
                    "name": t.name,
                    "currency": t.currency,
                    "rates": RateRow.select().where(RateRow.tariff == t, RateRow.until_us.is_null()).count(),
                }
                for t in Tariff.select().order_by(Tariff.name)
            ]

    def currency(self, name: str) -> str:
        """The currency of a tariff. Raises InvalidInput when there is none of this name."""
        with self._database.reading():
            return str(by_name(Tariff, name, "tariff").currency)

    def rates(self, tariff: str) -> list[RateView]:
        """The rates in force, by prefix."""
        with self._database.reading():
            rows = RateRow.select().where(
                RateRow.tariff == by_name(Tariff, tariff, "tariff"), RateRow.until_us.is_null()
            )
            return [_view(row) for row in rows.order_by(RateRow.prefix)]

    def put_rates(
        self,
        tariff: str,
        rates: Sequence[NewRate],
        *,
        dry_run: bool = False,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> ImportDiff:
        """Add rates or replace those of the same prefix, all or nothing; says what is (or would be) different.

        `progress` is called with the number of rates done so far. Raises InvalidInput when a prefix stands twice.
        """
        _no_prefix_twice(rates)
        with self._database.transaction():
            row = by_name(Tariff, tariff, "tariff")
            now_us = self._clock.now_us()
            in_force = {
                r.prefix: r for r in RateRow.select().where(RateRow.tariff == row, RateRow.until_us.is_null())
            }
            added, changed = [], []
            for done, new in enumerate(rates, start=1):
                old = in_force.get(new.rate.prefix)
                if old is None:
                    added.append(new)
                elif (_rate(old), old.description) != (new.rate, new.description):
                    changed.append(new)
                progress(done)
            if not dry_run:
                _close([in_force[new.rate.prefix].id for new in changed], now_us)
                _insert(row.id, added + changed, now_us)
        return ImportDiff(
            tuple(n.rate.prefix for n in added),
            tuple(n.rate.prefix for n in changed),
            len(rates) - len(added) - len(changed),
        )

    def remove_rate(self, tariff: str, prefix: str) -> None:
        """Take a rate out of force, from the next call on. Raises InvalidInput when there is none."""
        with self._database.transaction():
            row = by_name(Tariff, tariff, "tariff")
            closed = (
                RateRow.update(until_us=self._clock.now_us())
                .where(RateRow.tariff == row, RateRow.prefix == prefix, RateRow.until_us.is_null())
                .execute()
            )
            if not closed:
                raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}")

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The rate with the longest prefix of `number` (digits); None when there is none or it is forbidden.

        No rate means no call: a destination that is not in the tariff is never dialled.
        """
        prefixes = [number[:length] for length in range(1, min(len(number), PREFIX_LIMIT) + 1)]
        with self._database.reading():
            rows = RateRow.select().where(
                RateRow.tariff == tariff_id, RateRow.prefix.in_(prefixes), RateRow.until_us.is_null()
            )
            best = max(rows, key=lambda row: len(row.prefix), default=None)
            return _view(best) if best is not None and not best.forbidden else None

    def version(self, rate_id: int) -> RateView:
        """The rate a leg was authorised with, whatever the tariff says today."""
        with self._database.reading():
            return _view(RateRow.get_by_id(rate_id))


def _no_prefix_twice(rates: Iterable[NewRate]) -> None:
    seen: set[str] = set()
    for new in rates:
        if new.rate.prefix in seen:
            raise InvalidInput(f"prefix {new.rate.prefix} stands twice: each prefix can have one rate")
        seen.add(new.rate.prefix)


def _close(ids: Sequence[int], now_us: int) -> None:
    for start in range(0, len(ids), 500):
        RateRow.update(until_us=now_us).where(RateRow.id.in_(ids[start : start + 500])).execute()


def _insert(tariff_id: int, rates: Sequence[NewRate], now_us: int) -> None:
    rows = [
        {
            "tariff": tariff_id,
            "prefix": new.rate.prefix,
            "description": new.description,
            "connect_fee_micros": new.rate.connect_fee_micros,
            "first_interval_s": new.rate.first_interval_s,
            "first_price_micros": new.rate.first_price_micros,
            "next_interval_s": new.rate.next_interval_s,
            "next_price_micros": new.rate.next_price_micros,
            "forbidden": new.rate.forbidden,
            "from_us": now_us,
        }
        for new in rates
    ]
    for start in range(0, len(rows), 500):
        RateRow.insert_many(rows[start : start + 500]).execute()


def _rate(row: RateRow) -> Rate:
    return Rate(
        prefix=row.prefix,
        connect_fee_micros=row.connect_fee_micros,
        first_interval_s=row.first_interval_s,
        first_price_micros=row.first_price_micros,
        next_interval_s=row.next_interval_s,
        next_price_micros=row.next_price_micros,
        forbidden=bool(row.forbidden),
    )


def _view(row: RateRow) -> RateView:
    return RateView(row.id, row.description, _rate(row))
