"""Tariffs: effective and scheduled rates. Nothing is ever changed in place.

New rates, discontinued prefixes, new terms and rollbacks are all new rows (`rate`, `tariff_terms`), in a numbered
revision of the tariff. So a call is always rated by what it was authorised with, and a change can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from peewee import Tuple, fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.core.money import parse_currency
from stasis_callback.core.rating import Terms
from stasis_callback.store.database.database import LONG_S, Database, read, unit
from stasis_callback.store.database.drafts import Draft, Writing, drafting
from stasis_callback.store.database.names import by_name, checked_name, hidden_name, is_new
from stasis_callback.store.database.periods import begins, row_after
from stasis_callback.store.database.statements import insert_rows
from stasis_callback.store.database.trail import note_change
from stasis_callback.store.rates.book import CHECK_EVERY_S, TERMS_FIELDS, RateBook, RateView, terms_of, view
from stasis_callback.store.rates.changes import Change as Change
from stasis_callback.store.rates.changes import ImportDiff as ImportDiff
from stasis_callback.store.rates.changes import NewRate as NewRate
from stasis_callback.store.rates.changes import (
    check_older,
    differences,
    require_off_peak_hours,
    restoring,
    without_repeats,
)
from stasis_callback.store.rates.records import noted_changes, noted_terms
from stasis_callback.store.rates.rows import (
    PAGE,
    RATE_FIELDS,
    coming,
    draft_of,
    in_force,
    newest_terms,
    remove_drafted_rates,
    values_of,
    views,
    views_in_pages,
)
from stasis_callback.store.rates.spool import Spool as Spool
from stasis_callback.store.rates.tables import RateRow, Tariff, TariffRevision, TariffTerms
from stasis_callback.workers import Worker

PREFIX_LIMIT = 15
NOTE_LIMIT = 200


@dataclass(frozen=True, slots=True)
class TariffView:
    """A tariff: which it is, and its currency."""

    id: int
    name: str
    currency: str


@dataclass(frozen=True, slots=True)
class _Count:
    """How many rates of a revision are in force, from one time on and before another."""

    revision: int
    from_us: int
    until_us: int
    rates: int


_NEVER_US = 1 << 62
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision: one change of a tariff."""

    number: int
    kind: str
    note: str
    rates: int
    created_at_us: int


class TariffChange:
    """A change of one tariff under way: its rates are written with a number that readers do not know yet."""

    def __init__(
        self,
        tariff: Tariff,
        kind: str,
        note: str,
        writing: Writing,
        began_us: int,
        noted: Callable[[str, Mapping[str, object], Mapping[str, object]], None],
    ) -> None:
        """`noted` writes the audit log: the name of the tariff, before, after."""
        self.tariff = tariff
        self._noted = noted
        self.began_us = began_us
        """When rates begin that say no time of their own."""
        self._number = tariff.revision + 1
        self._kind = kind
        self._note = note
        self._writing = writing

    def publish(
        self,
        rates: Iterable[NewRate],
        also: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] = lambda _done: None,
        *,
        noted: tuple[Mapping[str, object], Mapping[str, object]] = ({}, {}),
    ) -> None:
        """Write the rates, then let them count; `also` runs in the transaction that does. `progress` is called with
        the number written so far. `noted` is what the audit log says of it beside the revision: before, after.
        """
        count = self._writing.write(rates, self._insert, progress)
        revision = {
            "tariff": self.tariff.id,
            "number": self._number,
            "kind": self._kind,
            "note": self._note,
            "rates": count,
            "created_at_us": self.began_us,
        }

        def counts() -> None:
            Tariff.update(revision=self._number).where(Tariff.id == self.tariff.id).execute()
            TariffRevision.create(**revision)
            also()
            after = {
                "revision": self._number,
                "change": self._kind,
                "rates": count or None,
                "note": self._note,
            }
            self._noted(
                self.tariff.name, {"revision": self.tariff.revision, **noted[0]}, {**after, **noted[1]}
            )

        self._writing.publish(counts, lambda: TariffRevision.get_or_none(**revision) is not None)

    def _insert(self, rates: Sequence[NewRate]) -> None:
        columns = ("tariff_id", "revision", "description", *RATE_FIELDS, "from_us", "takes_back")
        which = self.tariff.id, self._number
        insert_rows(
            RateRow,
            columns,
            (
                (
                    *which,
                    r.description,
                    *values_of(r.rate),
                    max(r.from_us or 0, self.began_us),
                    r.takes_back,
                )
                for r in rates
            ),
        )


class Tariffs:
    """Tariffs, their rates and terms, and the longest prefix match."""

    def __init__(self, database: Database, clock: Clock, sold: Callable[[], set[int]]) -> None:
        """`sold` says which tariffs calls are charged by: those of products."""
        self._database = database
        self._clock = clock
        self._book = RateBook(database, clock, sold)
        self.check_every_s = CHECK_EVERY_S
        """How often the worker looks whether a price list has changed."""
        self._counts: dict[int, _Count] = {}

    # --- tariffs -------------------------------------------------------------------------------------------------

    @unit
    def add(self, name: str, currency: str, terms: Terms | None = None) -> None:
        """Add a tariff. Raises InvalidInput if the name is taken or the currency code is invalid."""
        self._database.lock("tariffs")
        if is_new(self._database, Tariff, name, "tariff"):
            now_us = self._clock.now_us()
            tariff = Tariff.create(
                name=checked_name(name), currency=parse_currency(currency), revision=0, created_at_us=now_us
            )
            self._insert_terms(tariff.id, terms or Terms())
            self._noted(name, {}, {"currency": tariff.currency})

    def _noted(self, name: str, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """Write a change into the audit log, within its transaction."""
        note_change(self._database, self._clock, "tariff", name, before, after)

    @read
    def all(self) -> list[dict[str, object]]:
        """Every tariff by name, with the number of its rates in force."""
        there = Tariff.removed_at_us.is_null()
        return [self._summary(row) for row in Tariff.select().where(there).order_by(Tariff.name)]

    @read
    def summary(self, name: str) -> dict[str, object]:
        """The same of one. Raises InvalidInput if it does not exist."""
        return self._summary(by_name(Tariff, name, "tariff"))

    def _summary(self, row: Tariff) -> dict[str, object]:
        return {"name": row.name, "currency": row.currency, "rates": self._rates_of(row)}

    def _rates_of(self, row: Tariff) -> int:
        """The number of rates in force: counted once for a revision, until another rate comes into force.

        Counting half a million takes a third of a second.
        """
        now_us, known = self._clock.now_us(), self._counts.get(row.id)
        if known is None or known.revision != row.revision or not known.from_us <= now_us < known.until_us:
            rates = in_force(row.id, now_us, row.revision).where(~RateRow.discontinued).count()
            coming = RateRow.select(fn.MIN(RateRow.from_us)).where(
                RateRow.tariff == row, RateRow.from_us > now_us
            )
            known = _Count(row.revision, now_us, coming.scalar() or _NEVER_US, rates)
            self._counts[row.id] = known
        return known.rates

    @read
    def named(self, name: str) -> TariffView:
        """The tariff with this name. Raises InvalidInput if it does not exist."""
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
        """The terms that apply to new calls. Raises InvalidInput if the tariff does not exist."""
        return terms_of(newest_terms(by_name(Tariff, name, "tariff").id))

    def change_terms(self, name: str, changes: Mapping[str, Any], note: str = "") -> tuple[Terms, Terms]:
        """Change some of the terms of a tariff, from the next call on: fields of `Terms`; the terms before and after.

        Raises InvalidInput for values that `Terms` refuses.
        """
        with self._changing(name, "terms", note) as change:
            tariff_id = change.tariff.id
            old = self._database.read(lambda: terms_of(newest_terms(tariff_id)))
            new = replace(old, **changes)
            if new != old:
                currency = change.tariff.currency
                differing = noted_terms(old, currency), noted_terms(new, currency)
                change.publish([], lambda: self._insert_terms(tariff_id, new), noted=differing)
        return old, new

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
        rates: Iterable[NewRate],
        *,
        dry_run: bool = False,
        kind: str = "import",
        note: str = "",
        progress: Callable[[int], None] = lambda _done: None,
    ) -> ImportDiff:
        """Add rates or replace those of the same prefix, all or nothing; says what is (or would be) different.

        For a few: see `put_list`.
        """
        with Spool() as spool:
            for new in rates:
                spool.add(new)
            self.put_list(tariff, spool, dry_run=dry_run, kind=kind, note=note, compared=progress)
            return ImportDiff(tuple(spool.changes()), spool.same)

    def put_list(
        self,
        tariff: str,
        spool: Spool,
        *,
        complete_us: int | None = None,
        dry_run: bool = False,
        kind: str = "import",
        note: str = "",
        compared: Callable[[int], None] = lambda _done: None,
        written: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """Put the rates of a list into a tariff, all or nothing; what is (or would be) different is left in `spool`.

        A time that has passed means at once. With `complete_us` the list is complete: from then on all other rates
        are withdrawn. `compared` and `written` are called with the number compared and written so far. Raises
        InvalidInput when one has an off-peak price although the tariff has no off-peak hours, or another change of
        the tariff is being made.
        """
        if dry_run:
            with self._comparing():
                row = by_name(Tariff, tariff, "tariff")
                spool.put(differences(row, spool, self._clock.now_us(), complete_us, compared))
                require_off_peak_hours(row, spool.changes())
            return
        with self._changing(tariff, kind, note) as change:
            with self._comparing():
                spool.put(differences(change.tariff, spool, change.began_us, complete_us, compared))
                require_off_peak_hours(change.tariff, spool.changes())
            if spool.count():
                rates = (one.new for one in spool.changes())
                change.publish(rates, progress=written, noted=noted_changes(spool))

    def copy(self, name: str, new: str) -> int:
        """Copy a tariff under a new name, as it is: its terms, and its rates in force and scheduled; how many rates.

        Nothing of it is checked again: what older releases took, and prices that are not charged now, are a part of
        it. Written some hundred rates at a time, and there under its name with the last of them. Raises InvalidInput.
        """
        with Spool() as spool:
            with self._comparing():
                old, terms = self.named(name), self.terms(name)
                with self.each_rate(name) as rates:
                    for one in rates:
                        spool.add(NewRate(one.rate, one.description))
                for one in self.scheduled(name):
                    spool.add(NewRate(one.rate, one.description, one.from_us))
            hidden = self._hidden_copy(checked_name(new), old.currency)
            try:
                self._write_copy(hidden, new, old, spool, terms)
            except BaseException:
                with suppress(StoreUnavailable):  # then the next copy of this name does it
                    self._forget_copy(hidden.id)
                raise
            return spool.prefixes

    @unit
    def _hidden_copy(self, new: str, currency: str) -> Tariff:
        """A tariff that nobody finds, for a copy of this name; the one that was left behind, if there is one."""
        self._database.lock("tariffs")
        if Tariff.get_or_none(Tariff.name == new) is not None:
            raise InvalidInput(f"tariff {new!r} already exists")
        now_us, name = self._clock.now_us(), hidden_name(f"copy: {new}")
        left = Tariff.get_or_none(Tariff.name == name)
        if (
            left is not None
        ):  # perhaps of another tariff, or just being written: nothing of it is changed here
            return left
        values = {"name": name, "currency": currency, "created_at_us": now_us, "removed_at_us": now_us}
        return Tariff.create(revision=0, **values)

    def _write_copy(self, hidden: Tariff, new: str, old: TariffView, spool: Spool, terms: Terms) -> None:
        busy = f"tariff {new!r} is being copied by another command: wait until that is over"

        def may_begin() -> None:
            if Tariff.get_or_none(Tariff.id == hidden.id, Tariff.removed_at_us.is_null(False)) is None:
                raise InvalidInput(busy)  # it was, since this one looked for it

        def appears() -> None:
            self._database.lock("tariffs")
            if Tariff.get_or_none(Tariff.name == new) is not None:
                raise InvalidInput(f"tariff {new!r} already exists: it was added meanwhile")
            given = {"name": new, "currency": old.currency, "removed_at_us": None}
            Tariff.update(**given).where(Tariff.id == hidden.id).execute()
            self._insert_terms(hidden.id, terms)
            usual, own = (noted_terms(one, old.currency) for one in (Terms(), terms))
            unusual = {name: value for name, value in own.items() if value != usual[name]}
            self._noted(new, {}, {"currency": old.currency, **unusual})

        with drafting(
            self._database,
            self._clock,
            draft_of(hidden.id),
            busy=busy,
            remove_some=lambda: remove_drafted_rates(hidden.id),
            may_begin=may_begin,
        ) as writing:
            hidden.name = new
            change = TariffChange(
                hidden, "copy", f"of {old.name}", writing, self._clock.now_us(), self._noted
            )
            change.publish((entry.new for entry in spool.entries()), appears)
        self._book.expire(hidden.id)

    @unit
    def _forget_copy(self, tariff_id: int) -> None:
        """Remove what is left of a copy that failed, unless another command goes on with it."""
        self._database.lock(f"draft:{draft_of(tariff_id)}")
        if Draft.get_or_none(Draft.key == draft_of(tariff_id)) is not None:
            return
        if not RateRow.select().where(RateRow.tariff == tariff_id).exists():
            Tariff.delete().where(Tariff.id == tariff_id, Tariff.removed_at_us.is_null(False)).execute()

    def remove_rate(self, tariff: str, prefix: str, from_us: int | None = None) -> None:
        """Take a rate out of force, from the next call or from a later time on. Raises InvalidInput when
        there is none.
        """
        with self._database.transaction():
            old = self.find(tariff, prefix, from_us)
            if old is None:
                raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}: see `rate list`")
            gone = replace(old.rate, discontinued=True)
            self.put_rates(tariff, [NewRate(gone, old.description, from_us)], kind="remove")

    def roll_back(
        self, tariff: str, number: int, note: str = "", *, dry_run: bool = False
    ) -> tuple[Change, ...]:
        """Make the rates what they were after revision `number`; what that changes. For a few: see `restore`."""
        with Spool() as spool:
            self.restore(tariff, number, spool, note, dry_run=dry_run)
            return tuple(spool.changes())

    def restore(
        self, tariff: str, number: int, spool: Spool, note: str = "", *, dry_run: bool = False
    ) -> None:
        """Make the rates what they were after revision `number`, those of later times too; what that changes is left
        in `spool`.

        The terms are left as they are. Raises InvalidInput when there is no such revision, or another change of the
        tariff is being made.
        """
        if dry_run:
            with self._comparing():
                row = by_name(Tariff, tariff, "tariff")
                check_older(row, number)
                spool.put(restoring(row, number, self._clock.now_us()))
            return
        with self._changing(tariff, "roll back", note or f"to revision {number}") as change:
            check_older(change.tariff, number)
            with self._comparing():
                spool.put(restoring(change.tariff, number, change.began_us))
            if spool.count():
                change.publish((one.new for one in spool.changes()), noted=noted_changes(spool))

    @contextmanager
    def _changing(self, name: str, kind: str, note: str) -> Iterator[TariffChange]:
        """A tariff that nobody else changes until the block is left."""
        if len(note) > NOTE_LIMIT:
            raise InvalidInput(f"the note is too long: write at most {NOTE_LIMIT} characters")
        tariff_id = self.named(name).id
        with drafting(
            self._database,
            self._clock,
            draft_of(tariff_id),
            busy=f"tariff {name!r} is being changed by another command: wait until that is over",
            remove_some=lambda: remove_drafted_rates(tariff_id),
        ) as writing:
            row = self._database.read(lambda: Tariff.get_by_id(tariff_id))
            yield TariffChange(row, kind, note, writing, self._clock.now_us(), self._noted)
        self._book.expire(tariff_id)

    @contextmanager
    def _comparing(self) -> Iterator[None]:
        """For reading a whole price list, which nobody else waits for."""
        with self._database.patience(LONG_S), self._database.reading():
            yield

    def _insert_terms(self, tariff_id: int, terms: Terms) -> None:
        values = {name: getattr(terms, name) for name in TERMS_FIELDS}
        TariffTerms.create(tariff=tariff_id, created_at_us=self._clock.now_us(), **values)

    # --- rates out ------------------------------------------------------------------------------------------------

    def rates(self, tariff: str, at_us: int | None = None, *, revision: int | None = None) -> list[RateView]:
        """The rates in force (now, or at `at_us`), by prefix; with `revision`, as if nothing had changed after it.

        Raises InvalidInput when there is no such tariff or revision.
        """
        with self.each_rate(tariff, at_us, revision=revision) as rates:
            return list(rates)

    @contextmanager
    def each_rate(
        self, tariff: str, at_us: int | None = None, *, revision: int | None = None
    ) -> Iterator[Iterator[RateView]]:
        """The same one by one, within the block: there may be a million."""
        with self._comparing():
            row = by_name(Tariff, tariff, "tariff")
            if revision is not None and not 0 <= revision <= row.revision:
                raise InvalidInput(
                    f"tariff {tariff!r} has no revision {revision}: see `stasis-callback rate history`"
                )
            counting = row.revision if revision is None else revision
            rows = in_force(row.id, at_us or self._clock.now_us(), counting).where(~RateRow.discontinued)
            yield views_in_pages(rows, row.id)

    @read
    def some_rates(
        self, tariff: str, at_us: int | None = None, *, digits: str = "", after: str = "", limit: int
    ) -> list[RateView]:
        """The same, but only `limit`, of the prefixes that begin with `digits` and follow the prefix `after`."""
        row = by_name(Tariff, tariff, "tariff")
        rows = in_force(row.id, at_us or self._clock.now_us(), row.revision).where(~RateRow.discontinued)
        rows = rows.where(begins(RateRow.prefix, digits), RateRow.prefix > after)
        return views(rows.order_by(RateRow.prefix).limit(limit), row.id)

    @read
    def find(self, tariff: str, prefix: str, at_us: int | None = None) -> RateView | None:
        """The rate of exactly this prefix in force (now, or at `at_us`)."""
        row = by_name(Tariff, tariff, "tariff")
        rows = in_force(row.id, at_us or self._clock.now_us(), row.revision)
        rows = rows.where(RateRow.prefix == prefix)
        return next(iter(views(rows.where(~RateRow.discontinued), row.id)), None)

    @read
    def scheduled(
        self, tariff: str, *, digits: str = "", after: str = "", limit: int | None = None
    ) -> list[RateView]:
        """The rates that come into force later, by their time; discontinued ones too. What was replaced or taken back
        is none of them.

        `limit` of them, of the prefixes that begin with `digits`, behind the one with the id `after`. Raises
        InvalidInput if there is none.
        """
        row, now_us = by_name(Tariff, tariff, "tariff"), self._clock.now_us()
        columns = RateRow.from_us, RateRow.prefix, RateRow.id
        rows = (
            coming(row.id, now_us, row.revision).where(RateRow.prefix.startswith(digits)).order_by(*columns)
        )
        last = row_after(RateRow, RateRow.id, after) if after else None
        place = (last.from_us, last.prefix, last.id) if last is not None else (0, "", 0)
        found: list[RateView] = []
        at_once = min(limit or PAGE, PAGE)
        while len(found) < (limit or _NO_LIMIT):
            page = views(rows.where(Tuple(*columns) > Tuple(*place)).limit(at_once), row.id)
            found += without_repeats(row, page, now_us)
            if len(page) < at_once:
                break
            place = (page[-1].from_us, page[-1].rate.prefix, page[-1].id)
        return found[:limit]

    @read
    def next_change(self, tariff: str, prefix: str, after_us: int | None = None) -> RateView | None:
        """What ends the rate that exactly this prefix has at a time, by default now: the next scheduled one."""
        row, now_us = by_name(Tariff, tariff, "tariff"), self._clock.now_us()
        rows = coming(row.id, now_us, row.revision).where(RateRow.prefix == prefix)
        rows = rows.where(RateRow.from_us > (after_us or now_us)).order_by(RateRow.from_us)
        return next(iter(without_repeats(row, views(rows, row.id), now_us)), None)

    @read
    def off_peak_rates(self, tariff: str) -> int:
        """How many rates in force cost something else off-peak."""
        row = by_name(Tariff, tariff, "tariff")
        rows = in_force(row.id, self._clock.now_us(), row.revision).where(~RateRow.discontinued)
        # Not so for NULL, which stands for the peak price.
        first = RateRow.off_peak_first_price_micros != RateRow.first_price_micros
        following = RateRow.off_peak_next_price_micros != RateRow.next_price_micros
        return rows.where(first | following).count()

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The rate with the longest prefix of `number` (digits); None when there is none or it is forbidden.

        No rate means no call: a destination that is not in the tariff is never dialled.
        """
        return self._book.match(tariff_id, number)

    def warm(self) -> None:
        """Read the price lists that calls need, so that none of them has to wait for that."""
        self._book.refresh()

    def worker(self) -> Worker:
        """What keeps them up to date beside calls. While it runs, calls go on with the list there is."""
        return Worker("price-lists", self._keep_fresh, self._clock)

    def _keep_fresh(self, worker: Worker) -> None:
        with self._book.kept_fresh():
            while worker.goes_on:
                self._book.refresh()
                worker.pause(self.check_every_s)

    @read
    def fitting(self, tariff_id: int, number: str, at_us: int) -> list[RateView]:
        """Every rate in force at some time whose prefix fits `number`, the longest first: for explaining a match."""
        prefixes = [number[:length] for length in range(1, min(len(number), PREFIX_LIMIT) + 1)]
        rows = in_force(tariff_id, at_us, Tariff.get_by_id(tariff_id).revision)
        rows = rows.where(~RateRow.discontinued, RateRow.prefix.in_(prefixes))
        return views(rows.order_by(fn.LENGTH(RateRow.prefix).desc()), tariff_id, at_us)

    def version(self, rate_id: int, terms_id: int) -> RateView:
        """The rate and the terms with which a leg was authorised, even if the tariff has changed since."""
        return self._book.version(rate_id, terms_id)

    @read
    def stored(self, rate_id: int, terms_id: int) -> RateView:
        """The same, read from the database and not from what this process remembers: for auditing."""
        return view(RateRow.get_by_id(rate_id), TariffTerms.get_by_id(terms_id))
