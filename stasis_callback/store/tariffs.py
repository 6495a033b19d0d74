"""Tariffs: what calls cost, now and later. Nothing is ever changed in place.

A new price, a prefix that ends, new terms and a change taken back are all new rows (`rate`, `tariff_terms`), in a
numbered revision of the tariff. So a call is rated for ever by what it was authorised with, and a change can be
undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from peewee import fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_currency
from stasis_callback.core.rating import Rate, Terms
from stasis_callback.store.checks import by_name, checked_name, is_new
from stasis_callback.store.database import Database, read, unit
from stasis_callback.store.models import RateRow, Tariff, TariffRevision, TariffTerms
from stasis_callback.store.rate_book import RateBook, RateView, rate_of, terms_of, view
from stasis_callback.store.rate_rows import (
    RATE_COLUMNS,
    RATE_FIELDS,
    in_force,
    newest_terms,
    values_of,
    views,
)
from stasis_callback.store.statements import insert_rows

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
class Change:
    """What is different for one prefix. `old` is None where there was no rate; a removed one is discontinued in
    `new`.
    """

    old: NewRate | None
    new: NewRate

    @property
    def prefix(self) -> str:
        """The prefix it is about."""
        return self.new.rate.prefix


@dataclass(frozen=True, slots=True)
class ImportDiff:
    """What an import changes, and how many of its rates change nothing."""

    changes: tuple[Change, ...]
    same: int

    @property
    def added(self) -> tuple[Change, ...]:
        """Rates of prefixes that had none."""
        return tuple(change for change in self.changes if change.old is None)

    @property
    def changed(self) -> tuple[Change, ...]:
        """Rates in place of others."""
        return tuple(c for c in self.changes if c.old is not None and not c.new.rate.discontinued)

    @property
    def removed(self) -> tuple[Change, ...]:
        """Rates that end."""
        return tuple(change for change in self.changes if change.new.rate.discontinued)


@dataclass(frozen=True, slots=True)
class TariffView:
    """A tariff: which it is, and its currency."""

    id: int
    name: str
    currency: str


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

    @unit
    def add(self, name: str, currency: str, terms: Terms | None = None) -> None:
        """Raises InvalidInput when the name is taken or the currency is none."""
        self._database.lock("tariffs")
        if is_new(self._database, Tariff, name, "tariff"):
            now_us = self._clock.now_us()
            tariff = Tariff.create(
                name=checked_name(name), currency=parse_currency(currency), revision=0, created_at_us=now_us
            )
            self._insert_terms(tariff.id, terms or Terms())

    @read
    def all(self) -> list[dict[str, object]]:
        """Every tariff by name, with the number of its rates in force."""
        return [
            {
                "name": t.name,
                "currency": t.currency,
                "rates": in_force(t.id, self._clock.now_us()).where(~RateRow.discontinued).count(),
            }
            for t in Tariff.select().order_by(Tariff.name)
        ]

    @read
    def named(self, name: str) -> TariffView:
        """The tariff of this name. Raises InvalidInput when there is none."""
        return self._view(by_name(Tariff, name, "tariff"))

    @read
    def get(self, tariff_id: int) -> TariffView:
        """The tariff with this row id."""
        return self._view(Tariff.get_by_id(tariff_id))

    @staticmethod
    def _view(row: Tariff) -> TariffView:
        return TariffView(row.id, row.name, row.currency)

    @read
    def terms(self, name: str) -> Terms:
        """The terms that go for new calls. Raises InvalidInput when there is no such tariff."""
        return terms_of(newest_terms(by_name(Tariff, name, "tariff").id))

    @unit
    def set_terms(self, name: str, terms: Terms, note: str = "") -> None:
        """Give a tariff other terms, from the next call on."""
        tariff = self._locked(name)
        if terms_of(newest_terms(tariff.id)) != terms:
            self._revise(tariff, "terms", note, 0)
            self._insert_terms(tariff.id, terms)

    @read
    def history(self, name: str, limit: int = 100) -> list[Revision]:
        """The changes of a tariff, newest first."""
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
        with self._database.transaction():
            row = self._locked(tariff)
            now_us = self._clock.now_us()
            _check(rates, now_us)
            known = _known_at(row.id, rates, now_us)
            changes: list[Change] = []
            for done, new in enumerate(rates, start=1):
                old = known.get(new.rate.prefix)
                if _differs(old, new):
                    changes.append(Change(old, new))
                progress(done)
            if changes and not dry_run:
                self._insert(row, kind, note, [change.new for change in changes], now_us)
        return ImportDiff(tuple(changes), len(rates) - len(changes))

    def remove_rate(self, tariff: str, prefix: str, from_us: int | None = None) -> None:
        """Take a rate out of force, from the next call or from a later time on. Raises InvalidInput when
        there is none.
        """
        with self._database.transaction():
            self._locked(tariff)
            old = self.find(tariff, prefix, from_us)
            if old is None:
                raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}: see `rate list`")
            gone = replace(old.rate, discontinued=True)
            self.put_rates(tariff, [NewRate(gone, old.description, from_us)], kind="remove")

    def roll_back(
        self, tariff: str, number: int, note: str = "", *, dry_run: bool = False
    ) -> tuple[Change, ...]:
        """Make the rates what they were after revision `number`, those of later times too; what that changes.

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
            restored = tuple(
                change for rows in versions.values() for change in _restored(rows, number, now_us)
            )
            if restored and not dry_run:
                note = note or f"to revision {number}"
                self._insert(row, "roll back", note, [change.new for change in restored], now_us)
            return restored

    def _locked(self, name: str) -> Tariff:
        """A tariff that nobody else changes until this transaction is over."""
        self._database.lock(f"tariff:{name}")
        return by_name(Tariff, name, "tariff")

    def _insert(self, tariff: Tariff, kind: str, note: str, rates: Sequence[NewRate], now_us: int) -> None:
        number = self._revise(tariff, kind, note, len(rates))
        insert_rows(
            RateRow,
            ("tariff_id", "revision", "description", *RATE_FIELDS, "from_us"),
            (
                (
                    tariff.id,
                    number,
                    new.description,
                    *values_of(new.rate),
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

    @read
    def rates(self, tariff: str, at_us: int | None = None, *, revision: int | None = None) -> list[RateView]:
        """The rates in force (now, or at `at_us`), by prefix; with `revision`, as if nothing had changed after it.

        Raises InvalidInput when there is no such tariff or revision.
        """
        row = by_name(Tariff, tariff, "tariff")
        if revision is not None and not 0 <= revision <= row.revision:
            raise InvalidInput(
                f"tariff {tariff!r} has no revision {revision}: see `stasis-callback rate history`"
            )
        rows = in_force(row.id, at_us or self._clock.now_us(), revision).where(~RateRow.discontinued)
        return views(rows.order_by(RateRow.prefix), row.id)

    @read
    def find(self, tariff: str, prefix: str, at_us: int | None = None) -> RateView | None:
        """The rate of exactly this prefix in force (now, or at `at_us`)."""
        row = by_name(Tariff, tariff, "tariff")
        rows = in_force(row.id, at_us or self._clock.now_us()).where(RateRow.prefix == prefix)
        return next(iter(views(rows.where(~RateRow.discontinued), row.id)), None)

    @read
    def scheduled(self, tariff: str) -> list[RateView]:
        """The rates that come into force later, by their time; discontinued ones too."""
        row = by_name(Tariff, tariff, "tariff")
        rows = RateRow.select().where(RateRow.tariff == row, RateRow.from_us > self._clock.now_us())
        return views(rows.order_by(RateRow.from_us, RateRow.prefix, RateRow.id), row.id)

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The rate with the longest prefix of `number` (digits); None when there is none or it is forbidden.

        No rate means no call: a destination that is not in the tariff is never dialled.
        """
        return self._book.match(tariff_id, number)

    @read
    def fitting(self, tariff_id: int, number: str, at_us: int) -> list[RateView]:
        """Every rate in force at some time whose prefix fits `number`, the longest first: for explaining a match."""
        prefixes = [number[:length] for length in range(1, min(len(number), PREFIX_LIMIT) + 1)]
        rows = in_force(tariff_id, at_us).where(~RateRow.discontinued, RateRow.prefix.in_(prefixes))
        return views(rows.order_by(fn.LENGTH(RateRow.prefix).desc()), tariff_id, at_us)

    def version(self, rate_id: int, terms_id: int) -> RateView:
        """The rate and the terms a leg was authorised with, whatever the tariff says today."""
        return self._book.version(rate_id, terms_id)

    @read
    def stored(self, rate_id: int, terms_id: int) -> RateView:
        """The same, read from the database and not from what this process remembers: for auditing."""
        return view(RateRow.get_by_id(rate_id), TariffTerms.get_by_id(terms_id))


def _known_at(tariff_id: int, rates: Sequence[NewRate], now_us: int) -> dict[str, NewRate]:
    """What is in force for each prefix of `rates` at the time the new one begins; nothing for a discontinued one."""
    wanted: dict[int, set[str]] = {}
    for new in rates:
        wanted.setdefault(max(new.from_us or 0, now_us), set()).add(new.rate.prefix)
    if len(wanted) > TIMES_LIMIT:
        raise InvalidInput(f"{len(wanted)} different times: at most {TIMES_LIMIT} in one import")
    known: dict[str, NewRate] = {}
    for at_us, prefixes in wanted.items():
        rows = in_force(tariff_id, at_us).where(~RateRow.discontinued)
        if len(prefixes) <= 100:
            rows = rows.where(RateRow.prefix.in_(prefixes))
        for description, *values in rows.select(RateRow.description, *RATE_COLUMNS).tuples().iterator():
            if values[0] in prefixes:
                known[values[0]] = NewRate(Rate(*values), description)
    return known


def _differs(old: NewRate | None, new: NewRate) -> bool:
    if new.rate.discontinued or old is None:
        return new.rate.discontinued == (old is not None)
    return old.rate != new.rate or old.description != new.description


def _restored(rows: list[RateRow], number: int, now_us: int) -> Iterable[Change]:
    """What must be added to a prefix's rows so that from now on it is what the rows up to revision `number` say."""

    def at(time_us: int, candidates: list[RateRow]) -> NewRate | None:
        begun = [row for row in candidates if row.from_us <= time_us]
        best = max(begun, key=lambda row: (row.from_us, row.id), default=None)
        return (
            NewRate(rate_of(best), best.description) if best is not None and not best.discontinued else None
        )

    before = [row for row in rows if row.revision <= number]
    for time_us in sorted({now_us} | {row.from_us for row in rows if row.from_us > now_us}):
        wanted, present = at(time_us, before), at(time_us, rows)
        if wanted == present:
            continue
        if wanted is not None:
            yield Change(present, replace(wanted, from_us=time_us))
        elif present is not None:
            gone = replace(present.rate, discontinued=True)
            yield Change(present, NewRate(gone, present.description, time_us))


def _check(rates: Sequence[NewRate], now_us: int) -> None:
    (prefix, times), *_ = Counter(new.rate.prefix for new in rates).most_common(1) or [("", 0)]
    if times > 1:
        raise InvalidInput(f"prefix {prefix} stands twice: each prefix can have one rate")
    past = next((new.rate.prefix for new in rates if new.from_us is not None and new.from_us < now_us), "")
    if past:
        raise InvalidInput(f"prefix {past} is to begin in the past: leave its time out for now")
