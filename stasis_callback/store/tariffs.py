"""Tariffs: what calls cost, now and later. Nothing is ever changed in place.

A new price, a prefix that ends, new terms and a change taken back are all new rows (`rate`, `tariff_terms`), in a
numbered revision of the tariff. So a call is rated for ever by what it was authorised with, and a change can be
undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from peewee import ModelSelect, fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_currency
from stasis_callback.core.rating import Rate, Terms
from stasis_callback.store.bulk import insert_rows
from stasis_callback.store.checks import by_name, checked_name
from stasis_callback.store.database import Database
from stasis_callback.store.models import RateRow, Tariff, TariffRevision, TariffTerms
from stasis_callback.store.rate_book import RateBook, RateView, rate_of, terms_of, view

PREFIX_LIMIT = 15
NOTE_LIMIT = 200
TIMES_LIMIT = 50
"""Different times at which the rates of one import may come into force."""


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to put into a tariff, in force from `from_us` on; at once when that is None."""

    rate: Rate
    description: str = ""
    from_us: int | None = None


@dataclass(frozen=True, slots=True)
class ImportDiff:
    """What an import changes, by prefix."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    same: int
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of a tariff."""

    number: int
    kind: str
    note: str
    rates: int
    created_at_us: int


class Tariffs:
    """Tariffs, their rates and terms, and the longest prefix match."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._book = RateBook(database, clock)

    # --- tariffs -------------------------------------------------------------------------------------------------

    def add(self, name: str, currency: str, terms: Terms | None = None) -> None:
        """Raises InvalidInput when the name is taken or the currency is none."""
        with self._database.transaction():
            self._database.lock("tariffs")
            if Tariff.get_or_none(Tariff.name == name) is not None:
                raise InvalidInput(f"tariff {name!r} exists already")
            now_us = self._clock.now_us()
            tariff = Tariff.create(
                name=checked_name(name), currency=parse_currency(currency), revision=0, created_at_us=now_us
            )
            self._insert_terms(tariff.id, terms or Terms())

    def all(self) -> list[dict[str, object]]:
        """Every tariff by name, with the number of its rates in force."""
        with self._database.reading():
            return [
                {
                    "name": t.name,
                    "currency": t.currency,
                    "rates": _in_force(t.id, self._clock.now_us()).where(~RateRow.discontinued).count(),
                }
                for t in Tariff.select().order_by(Tariff.name)
            ]

    def currency(self, name: str) -> str:
        """The currency of a tariff. Raises InvalidInput when there is none of this name."""
        with self._database.reading():
            return str(by_name(Tariff, name, "tariff").currency)

    def terms(self, name: str) -> Terms:
        """The terms that go for new calls. Raises InvalidInput when there is no such tariff."""
        with self._database.reading():
            return terms_of(_newest_terms(by_name(Tariff, name, "tariff").id))

    def set_terms(self, name: str, terms: Terms, note: str = "") -> None:
        """Give a tariff other terms, from the next call on."""
        with self._database.transaction():
            tariff = self._locked(name)
            if terms_of(_newest_terms(tariff.id)) != terms:
                self._revise(tariff, "terms", note, 0)
                self._insert_terms(tariff.id, terms)

    def history(self, name: str, limit: int = 100) -> list[Revision]:
        """The changes of a tariff, newest first."""
        with self._database.reading():
            rows = TariffRevision.select().where(TariffRevision.tariff == by_name(Tariff, name, "tariff"))
            return [
                Revision(r.number, r.kind, r.note, r.rates, r.created_at_us)
                for r in rows.order_by(TariffRevision.number.desc()).limit(limit)
            ]

    # --- rates in -------------------------------------------------------------------------------------------------

    def put_rates(
        self,
        tariff: str,
        rates: Sequence[NewRate],
        *,
        dry_run: bool = False,
        kind: str = "import",
        note: str = "",
        progress: Callable[[int], None] = lambda _done: None,
    ) -> ImportDiff:
        """Add rates or replace those of the same prefix, all or nothing; says what is (or would be) different.

        `progress` is called with the number of rates done so far. Raises InvalidInput when a prefix stands twice or a
        rate is to begin in the past: calls were rated without it.
        """
        _no_prefix_twice(rates)
        with self._database.transaction():
            row = self._locked(tariff)
            now_us = self._clock.now_us()
            _not_in_the_past(rates, now_us)
            known = _known_at(row.id, rates, now_us)
            added: list[str] = []
            changed: list[str] = []
            removed: list[str] = []
            new_rows: list[NewRate] = []
            for done, new in enumerate(rates, start=1):
                prefix, old = new.rate.prefix, known.get(new.rate.prefix)
                gone = old is None or old[0].discontinued
                if not (new.rate.discontinued and gone) and old != (new.rate, new.description):
                    (removed if new.rate.discontinued else added if gone else changed).append(prefix)
                    new_rows.append(new)
                progress(done)
            diff = ImportDiff(tuple(added), tuple(changed), len(rates) - len(new_rows), tuple(removed))
            if new_rows and not dry_run:
                self._insert(row, kind, note, new_rows, now_us)
        return diff

    def remove_rate(self, tariff: str, prefix: str, from_us: int | None = None) -> None:
        """Take a rate out of force, from the next call or from a later time on. Raises InvalidInput when
        there is none.
        """
        with self._database.transaction():
            row = self._locked(tariff)
            at_us = from_us or self._clock.now_us()
            old = _in_force(row.id, at_us).where(RateRow.prefix == prefix, ~RateRow.discontinued).first()
            if old is None:
                raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}")
            gone = replace(rate_of(old), discontinued=True)
            self.put_rates(tariff, [NewRate(gone, old.description, from_us)], kind="remove")

    def roll_back(self, tariff: str, number: int, note: str = "") -> int:
        """Make the rates what they were after revision `number`, those of later times too; how many were changed.

        The terms are left as they are. Raises InvalidInput when there is no such revision.
        """
        with self._database.transaction():
            row = self._locked(tariff)
            if not 0 <= number < row.revision:
                raise InvalidInput(
                    f"tariff {tariff!r} has no revision {number} to go back to: see `stasis-callback rate history`"
                )
            now_us = self._clock.now_us()
            after = RateRow.select(RateRow.prefix).where(RateRow.tariff == row, RateRow.revision > number)
            versions: dict[str, list[RateRow]] = {}
            for rate in RateRow.select().where(RateRow.tariff == row, RateRow.prefix.in_(after)):
                versions.setdefault(rate.prefix, []).append(rate)
            restored = [new for rows in versions.values() for new in _restored(rows, number, now_us)]
            if restored:
                self._insert(row, "roll back", note or f"to revision {number}", restored, now_us)
            return len(restored)

    def _locked(self, name: str) -> Tariff:
        """A tariff that nobody else changes until this transaction is over."""
        self._database.lock(f"tariff:{name}")
        return by_name(Tariff, name, "tariff")

    def _insert(self, tariff: Tariff, kind: str, note: str, rates: Sequence[NewRate], now_us: int) -> None:
        number = self._revise(tariff, kind, note, len(rates))
        insert_rows(
            RateRow,
            ("tariff_id", "revision", "prefix", "description", *_RATE_COLUMNS, "from_us"),
            (
                (
                    tariff.id,
                    number,
                    new.rate.prefix,
                    new.description,
                    *(getattr(new.rate, name) for name in _RATE_COLUMNS),
                    max(new.from_us or 0, now_us),
                )
                for new in rates
            ),
        )

    def _insert_terms(self, tariff_id: int, terms: Terms) -> None:
        values = {f.name: getattr(terms, f.name) for f in fields(Terms)}
        TariffTerms.create(tariff=tariff_id, created_at_us=self._clock.now_us(), **values)

    def _revise(self, tariff: Tariff, kind: str, note: str, rates: int) -> int:
        """Note a change; its number. The tariff is locked, so the rows of two changes never mix."""
        if len(note) > NOTE_LIMIT:
            raise InvalidInput(f"a note has at most {NOTE_LIMIT} characters")
        Tariff.update(revision=Tariff.revision + 1).where(Tariff.id == tariff.id).execute()
        number = int(Tariff.get_by_id(tariff.id).revision)
        TariffRevision.create(
            tariff=tariff,
            number=number,
            kind=kind,
            note=note,
            rates=rates,
            created_at_us=self._clock.now_us(),
        )
        self._book.expire(tariff.id)
        return number

    # --- rates out ------------------------------------------------------------------------------------------------

    def rates(self, tariff: str, at_us: int | None = None) -> list[RateView]:
        """The rates in force (now, or at `at_us`), by prefix."""
        with self._database.reading():
            row = by_name(Tariff, tariff, "tariff")
            terms = _newest_terms(row.id)
            rows = _in_force(row.id, at_us or self._clock.now_us()).where(~RateRow.discontinued)
            return [view(rate, terms) for rate in rows.order_by(RateRow.prefix)]

    def scheduled(self, tariff: str) -> list[RateView]:
        """The rates that come into force later, by their time; discontinued ones too."""
        with self._database.reading():
            row = by_name(Tariff, tariff, "tariff")
            rows = RateRow.select().where(RateRow.tariff == row, RateRow.from_us > self._clock.now_us())
            terms = _newest_terms(row.id)
            return [view(rate, terms) for rate in rows.order_by(RateRow.from_us, RateRow.prefix, RateRow.id)]

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The rate with the longest prefix of `number` (digits); None when there is none or it is forbidden.

        No rate means no call: a destination that is not in the tariff is never dialled.
        """
        return self._book.match(tariff_id, number)

    def fitting(self, tariff_id: int, number: str, at_us: int) -> list[RateView]:
        """Every rate in force at some time whose prefix fits `number`, the longest first: for explaining a match."""
        prefixes = [number[:length] for length in range(1, min(len(number), PREFIX_LIMIT) + 1)]
        with self._database.reading():
            terms = _newest_terms(tariff_id, at_us)
            rows = _in_force(tariff_id, at_us).where(~RateRow.discontinued, RateRow.prefix.in_(prefixes))
            return [view(rate, terms) for rate in rows.order_by(fn.LENGTH(RateRow.prefix).desc())]

    def version(self, rate_id: int, terms_id: int) -> RateView:
        """The rate and the terms a leg was authorised with, whatever the tariff says today."""
        return self._book.version(rate_id, terms_id)

    def stored(self, rate_id: int, terms_id: int) -> RateView:
        """The same, read from the database and not from what this process remembers: for auditing."""
        with self._database.reading():
            return view(RateRow.get_by_id(rate_id), TariffTerms.get_by_id(terms_id))


_RATE_COLUMNS = tuple(f.name for f in fields(Rate) if f.name != "prefix")


def _in_force(tariff_id: int, at_us: int) -> ModelSelect[RateRow]:
    """Of each prefix the row that is in force at `at_us`: the latest to begin, of those that begin at once the
    newest.
    """
    newer = RateRow.alias()
    same_time_but_newer = (newer.from_us == RateRow.from_us) & (newer.id > RateRow.id)
    replaced = newer.select(1).where(
        newer.tariff == tariff_id,
        newer.prefix == RateRow.prefix,
        newer.from_us <= at_us,
        (newer.from_us > RateRow.from_us) | same_time_but_newer,
    )
    return RateRow.select().where(RateRow.tariff == tariff_id, RateRow.from_us <= at_us, ~fn.EXISTS(replaced))


def _known_at(tariff_id: int, rates: Sequence[NewRate], now_us: int) -> dict[str, tuple[Rate, str]]:
    """What is in force for each prefix of `rates` at the time the new one begins."""
    wanted: dict[int, set[str]] = {}
    for new in rates:
        wanted.setdefault(max(new.from_us or 0, now_us), set()).add(new.rate.prefix)
    if len(wanted) > TIMES_LIMIT:
        raise InvalidInput(f"{len(wanted)} different times: at most {TIMES_LIMIT} in one import")
    known: dict[str, tuple[Rate, str]] = {}
    for at_us, prefixes in wanted.items():
        rows = _in_force(tariff_id, at_us)
        if len(prefixes) <= 100:
            rows = rows.where(RateRow.prefix.in_(prefixes))
        columns = [getattr(RateRow, name) for name in ("description", "prefix", *_RATE_COLUMNS)]
        for description, prefix, *values in rows.select(*columns).tuples().iterator():
            if prefix in prefixes:
                known[prefix] = (Rate(prefix, *values), description)
    return known


def _restored(rows: list[RateRow], number: int, now_us: int) -> Iterable[NewRate]:
    """What must be added to a prefix's rows so that from now on it is what the rows up to revision `number` say."""

    def at(time_us: int, candidates: list[RateRow]) -> tuple[Rate, str] | None:
        begun = [row for row in candidates if row.from_us <= time_us]
        best = max(begun, key=lambda row: (row.from_us, row.id), default=None)
        return (rate_of(best), best.description) if best is not None and not best.discontinued else None

    before = [row for row in rows if row.revision <= number]
    for time_us in sorted({now_us} | {row.from_us for row in rows if row.from_us > now_us}):
        old, new = at(time_us, before), at(time_us, rows)
        if old == new:
            continue
        if old is not None:
            yield NewRate(old[0], old[1], time_us)
        elif new is not None:
            yield NewRate(replace(new[0], discontinued=True), new[1], time_us)


def _newest_terms(tariff_id: int, at_us: int | None = None) -> TariffTerms:
    rows = TariffTerms.select().where(TariffTerms.tariff == tariff_id).order_by(TariffTerms.id.desc())
    if at_us is not None:
        rows = rows.where(TariffTerms.created_at_us <= at_us)
    # Before the first terms there were no calls; whoever asks for then gets those.
    return rows.first() or TariffTerms.select().where(TariffTerms.tariff == tariff_id).get()


def _no_prefix_twice(rates: Iterable[NewRate]) -> None:
    seen: set[str] = set()
    for new in rates:
        if new.rate.prefix in seen:
            raise InvalidInput(f"prefix {new.rate.prefix} stands twice: each prefix can have one rate")
        seen.add(new.rate.prefix)


def _not_in_the_past(rates: Iterable[NewRate], now_us: int) -> None:
    for new in rates:
        if new.from_us is not None and new.from_us < now_us:
            raise InvalidInput(
                f"prefix {new.rate.prefix} is to begin in the past: leave its time out for now"
            )
