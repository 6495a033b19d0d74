"""The rates of a tariff in memory: the longest prefix match, kept up to date with the database.

A price list may have a million prefixes, so a call does not ask the database for its match, nor does it wait for a
list to be read. Each list in memory is what one revision of the tariff says. A newer one is made of it and of the
rows that are newer, beside calls (`refresh`, by the service's worker), and takes its place when it is complete.

A process without that worker, such as a command, looks itself whether there is a newer revision, each half second at
most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, replace

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Price, Rate, Terms
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.foreign import tell_unusable
from stasis_callback.store.database.statements import every, one, run
from stasis_callback.store.rates.tables import RateRow, TariffTerms

CHECK_EVERY_S = 0.5
OLDEST_S = 30.0
"""A list that was not found to be the newest for so long is not used: the call that needs it reads it itself."""
CLOCK_STEP_US = 86_400 * US_PER_S
"""What was in force so long before a list was read is known to it too: the clock may be set back."""
PAGE = 5000
VIEWS_LIMIT = 100_000

_NEVER_S = float("-inf")
_BOUGHT = "SELECT tariff_id FROM trunk"
_REVISIONS = "SELECT id, revision FROM tariff"
_REVISION = "SELECT revision FROM tariff WHERE id = ?"
_OF_REVISION = """SELECT revision, id, prefix, from_us, discontinued FROM rate
    WHERE tariff_id = ? AND revision = ? AND id > ? ORDER BY id LIMIT ?"""
_OF_NEXT_REVISIONS = """SELECT revision, id, prefix, from_us, discontinued FROM rate
    WHERE tariff_id = ? AND revision > ? AND revision <= ? ORDER BY revision, id LIMIT ?"""

_ID_BITS = 48

TERMS_FIELDS = tuple(field.name for field in fields(Terms))
"""The columns of terms."""


@dataclass(frozen=True, slots=True)
class RateView:
    """A rate with the rows it and its terms stand in, so that a call keeps the versions it was authorised with."""

    id: int
    description: str
    rate: Rate
    terms_id: int
    terms: Terms
    from_us: int

    @property
    def price(self) -> Price:
        """The price: the rate with the terms of its tariff."""
        return Price(self.rate, self.terms)


@dataclass
class TariffIndex:
    """The prefixes of one tariff as of one revision.

    A prefix leads to its version, or to a tuple of them in the order in which they begin. A version is one number:
    when it begins, the id of its row, and in the lowest bit whether it is discontinued; so the versions of a prefix
    sort as they replace each other, and a million of them need little memory.
    """

    since_us: int
    """What had been replaced before this time is not in it: it cannot answer for a time before."""
    prefixes: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    longest: int = 0
    revision: int = -1
    terms_id: int = 0
    checked_s: float = _NEVER_S
    """When it was last known to be the newest."""

    def add(self, prefix: str, rate_id: int, from_us: int, discontinued: bool) -> None:
        """Take in a row."""
        version = _version(from_us, rate_id) | discontinued
        self.longest = max(self.longest, len(prefix))
        known = self.prefixes.get(prefix)
        if known is None:
            self.prefixes[prefix] = version
            return
        versions = sorted((*known, version) if isinstance(known, tuple) else (known, version))
        replaced = bisect_left(versions, _version(self.since_us + 1)) - 1
        versions = versions[max(replaced, 0) :]
        self.prefixes[prefix] = tuple(versions) if len(versions) > 1 else versions[0]

    def find(self, number: str, now_us: int) -> int | None:
        """The id of the rate with the longest prefix of `number` that is in force now."""
        later = _version(now_us + 1)
        for length in range(min(len(number), self.longest), 0, -1):
            found = self.prefixes.get(number[:length])
            if isinstance(found, tuple):
                begun = bisect_left(found, later)
                found = found[begun - 1] if begun else None
            if found is not None and found < later and not found & 1:
                return (found >> 1) & ((1 << _ID_BITS) - 1)
        return None


def _version(from_us: int, rate_id: int = 0) -> int:
    return (from_us << _ID_BITS | rate_id) << 1


class RateBook:
    """The lists of all tariffs that were asked for, shared by the threads of a process."""

    def __init__(self, database: Database, clock: Clock, sold: Callable[[], set[int]]) -> None:
        self._database = database
        self._clock = clock
        self._sold = sold
        self._indexes: dict[int, TariffIndex] = {}
        self._views: dict[tuple[int, int], RateView] = {}
        self._reading: dict[int, AbstractContextManager[object]] = {}
        self._fresh_for_s = CHECK_EVERY_S

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The effective rate with the longest prefix of `number`; None if there is none or it is forbidden, or its
        terms, as another version has stored them, cannot be read: nothing is sold or bought by them.
        """
        now_us = self._clock.now_us()
        index = self._current(tariff_id, now_us, self._fresh_for_s)
        rate_id = index.find(number, now_us)
        if rate_id is None:
            return None
        try:
            view = self.version(rate_id, index.terms_id)
        except InvalidInput as error:
            tell_unusable(f"tariff {tariff_id}", "terms", str(error))
            return None
        return None if view.rate.forbidden else view

    def version(self, rate_id: int, terms_id: int) -> RateView:
        """A rate with given terms of its tariff, even if the tariff has changed since."""
        known = self._views.get((rate_id, terms_id))
        if known is None:
            known = self._database.read(
                lambda: view(RateRow.get_by_id(rate_id), TariffTerms.get_by_id(terms_id))
            )
            if len(self._views) >= VIEWS_LIMIT:
                self._views.clear()
            self._views[rate_id, terms_id] = known
        return known

    def expire(self, tariff_id: int) -> None:
        """This process changes a tariff: read it anew before the next match, the change may yet be rolled back."""
        self._indexes.pop(tariff_id, None)
        self._views.clear()

    def refresh(self) -> None:
        """Bring up to date what calls may ask for: the tariffs of products and trunks, and those asked for before."""
        now_us, looked_s = self._clock.now_us(), self._clock.monotonic_s()
        used, revisions = self._used()
        for tariff_id in used | set(self._indexes):
            index = self._indexes.get(tariff_id)
            if index and index.revision == revisions[tariff_id] and index.since_us <= now_us:
                index.checked_s = looked_s
            else:
                self._current(tariff_id, now_us, 0.0)

    @contextmanager
    def kept_fresh(self) -> Iterator[None]:
        """Within the block somebody calls `refresh` every half second: calls need not look themselves."""
        self._fresh_for_s = OLDEST_S
        try:
            yield
        finally:
            self._fresh_for_s = CHECK_EVERY_S

    @read
    def _used(self) -> tuple[set[int], dict[int, int]]:
        """The tariffs of products and trunks, and the revision of every tariff."""
        return self._sold() | {tariff_id for (tariff_id,) in every(_BOUGHT)}, dict(every(_REVISIONS))

    def _current(self, tariff_id: int, now_us: int, fresh_for_s: float) -> TariffIndex:
        """The list of a tariff, known to be the newest not longer than `fresh_for_s` ago, that can answer for now."""
        index = self._indexes.get(tariff_id)
        if index is not None and index.since_us <= now_us and self._age_s(index) < fresh_for_s:
            return index
        with self._reading.setdefault(tariff_id, self._clock.lock()):
            index = self._indexes.get(tariff_id)
            if index is None or index.since_us > now_us:
                index = TariffIndex(now_us - CLOCK_STEP_US)
            elif self._age_s(index) < fresh_for_s:
                return index  # another thread has read it meanwhile
            looked_s = self._clock.monotonic_s()
            (revision,) = self._database.read(lambda: one(_REVISION, tariff_id))
            if revision < index.revision:  # what was read has been rolled back
                index = TariffIndex(now_us - CLOCK_STEP_US)
            if revision != index.revision:
                index = self._newer(tariff_id, index, revision, now_us)
            index.checked_s = looked_s
            self._indexes[tariff_id] = index
        return index

    def _age_s(self, index: TariffIndex) -> float:
        return self._clock.monotonic_s() - index.checked_s

    def _newer(self, tariff_id: int, old: TariffIndex, revision: int, now_us: int) -> TariffIndex:
        """`old` and what is newer: a list of its own, because calls go on using the old one."""
        since_us = max(old.since_us, now_us - CLOCK_STEP_US)
        index = replace(old, prefixes=dict(old.prefixes), revision=revision, since_us=since_us)
        for rate_id, prefix, from_us, discontinued in self._rows(tariff_id, old.revision, revision):
            index.add(prefix, rate_id, from_us, discontinued)
        terms = TariffTerms.select(TariffTerms.id).where(TariffTerms.tariff == tariff_id)
        newest = terms.order_by(TariffTerms.id.desc()).limit(1)
        index.terms_id = self._database.read(newest.scalar)
        return index

    def _rows(self, tariff_id: int, after: int, up_to: int) -> Iterator[tuple[int, str, int, bool]]:
        """The rows of the revisions after one and up to another, a page at a time: no statement takes long."""
        page = self._page(_OF_NEXT_REVISIONS, tariff_id, after, up_to)
        while page:
            for _, rate_id, prefix, from_us, discontinued in page:
                yield rate_id, prefix, from_us, bool(discontinued)
            revision, last_id = page[-1][:2]
            page = self._page(_OF_REVISION, tariff_id, revision, last_id) or self._page(
                _OF_NEXT_REVISIONS, tariff_id, revision, up_to
            )

    @read
    def _page(self, statement: str, *values: int) -> list[tuple[int, int, str, int, bool]]:
        rows: list[tuple[int, int, str, int, bool]] = run(statement, *values, PAGE).fetchall()
        return rows


def rate_of(row: RateRow) -> Rate:
    """The rate of a row."""
    return Rate(
        prefix=row.prefix,
        connect_fee_micros=row.connect_fee_micros,
        first_interval_s=row.first_interval_s,
        first_price_micros=row.first_price_micros,
        next_interval_s=row.next_interval_s,
        next_price_micros=row.next_price_micros,
        off_peak_first_price_micros=row.off_peak_first_price_micros,
        off_peak_next_price_micros=row.off_peak_next_price_micros,
        forbidden=bool(row.forbidden),
        discontinued=bool(row.discontinued),
        price_minutes=row.price_minutes,
    )


def terms_of(row: TariffTerms) -> Terms:
    """The terms of a row."""
    return Terms(**{name: getattr(row, name) for name in TERMS_FIELDS})


def view(row: RateRow, terms: TariffTerms) -> RateView:
    """The view of a rate row with its terms row."""
    return RateView(row.id, row.description, rate_of(row), terms.id, terms_of(terms), row.from_us)
