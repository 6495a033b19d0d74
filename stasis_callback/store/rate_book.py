"""The rates of a tariff in memory: the longest prefix match, kept up to date with the database.

A price list may have a million prefixes, so a call does not ask the database for its match. Rows of `rate` are only
ever added, so an index is brought up to date by reading the rows after the last one it knows; that there are some
is told by the tariff's `revision`, looked at every half second at most.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import cast

from stasis_callback.clock import Clock
from stasis_callback.core.rating import Price, Rate, Rounding, Terms
from stasis_callback.store.database import Database
from stasis_callback.store.models import RateRow, Tariff, TariffTerms

CHECK_EVERY_S = 0.5
VIEWS_LIMIT = 100_000

_NEVER_S = float("-inf")


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
        """What the cost of a call is computed from."""
        return Price(self.rate, self.terms)


@dataclass
class TariffIndex:
    """The prefixes of one tariff.

    A prefix leads to the id of its rate, negative where it is discontinued. One that has a version in force later
    on leads to all versions, by their beginning.
    """

    prefixes: dict[str, int | list[tuple[int, int]]] = field(default_factory=dict)
    longest: int = 0
    revision: int = -1
    last_id: int = 0
    read_us: int = 0
    terms_id: int = 0
    terms: Terms = field(default_factory=Terms)
    checked_s: float = _NEVER_S

    def add(self, prefix: str, rate_id: int, from_us: int, now_us: int) -> None:
        """Take in a row; rows come in the order in which they begin, of those that begin at once the newest last."""
        self.longest = max(self.longest, len(prefix))
        known = self.prefixes.get(prefix, 0)
        versions = known if isinstance(known, list) else [(0, known)] if known else []
        versions.insert(bisect_right(versions, from_us, key=lambda version: version[0]), (from_us, rate_id))
        # What is no longer in force is not looked for again.
        begun = bisect_right(versions, now_us, key=lambda version: version[0])
        versions = versions[max(begun - 1, 0) :]
        self.prefixes[prefix] = versions[0][1] if len(versions) == 1 and begun else versions

    def find(self, number: str, now_us: int) -> int | None:
        """The id of the rate with the longest prefix of `number` that is in force now."""
        for length in range(min(len(number), self.longest), 0, -1):
            found = self.prefixes.get(number[:length])
            if isinstance(found, list):
                begun = bisect_right(found, now_us, key=lambda version: version[0])
                found = found[begun - 1][1] if begun else None
            if found is not None and found > 0:
                return found
        return None


class RateBook:
    """The indexes of all tariffs that were asked for, shared by the threads of a process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._indexes: dict[int, TariffIndex] = {}
        self._views: dict[tuple[int, int], RateView] = {}
        self._loading = clock.lock()

    def match(self, tariff_id: int, number: str) -> RateView | None:
        """The rate in force with the longest prefix of `number`; None when there is none or it is forbidden."""
        index = self._current(tariff_id)
        rate_id = index.find(number, self._clock.now_us())
        if rate_id is None:
            return None
        view = self._views.get((rate_id, index.terms_id)) or self.version(rate_id, index.terms_id)
        return None if view.rate.forbidden else view

    def version(self, rate_id: int, terms_id: int) -> RateView:
        """A rate under some terms of its tariff, whatever the tariff says today."""
        known = self._views.get((rate_id, terms_id))
        if known is None:
            with self._database.reading():
                known = view(RateRow.get_by_id(rate_id), TariffTerms.get_by_id(terms_id))
            if len(self._views) >= VIEWS_LIMIT:
                self._views.clear()
            self._views[rate_id, terms_id] = known
        return known

    def expire(self, tariff_id: int) -> None:
        """This process changes a tariff: read it anew before the next match, the change may yet be rolled back."""
        self._indexes.pop(tariff_id, None)
        self._views.clear()

    def _current(self, tariff_id: int) -> TariffIndex:
        index = self._indexes.get(tariff_id)
        now_s = self._clock.monotonic_s()
        if index is not None and now_s - index.checked_s < CHECK_EVERY_S:
            return index
        with self._loading:
            index = self._indexes.get(tariff_id) or TariffIndex()
            with self._database.reading():
                revision = Tariff.get_by_id(tariff_id).revision
                if revision < index.revision:  # what was read has been rolled back
                    index = TariffIndex()
                if revision != index.revision or not index.terms_id:
                    index = self._read(tariff_id, index)
            # Said last: whoever finds it may use it without asking.
            index.revision, index.checked_s = revision, now_s
            self._indexes[tariff_id] = index
        return index

    def _read(self, tariff_id: int, index: TariffIndex) -> TariffIndex:
        """Take in the rows that are new."""
        now_us = self._clock.now_us()
        rows = (
            RateRow.select(RateRow.id, RateRow.prefix, RateRow.from_us, RateRow.discontinued)
            .where(RateRow.tariff == tariff_id, RateRow.id > index.last_id)
            .order_by(RateRow.from_us, RateRow.id)
        )
        for rate_id, prefix, from_us, discontinued in rows.tuples().iterator():
            if from_us < index.read_us:
                # Written before the last reading and committed after it. A version that began in between is still
                # the one in force, but the index has forgotten when it began.
                return self._read(tariff_id, TariffIndex())
            index.add(prefix, -rate_id if discontinued else rate_id, from_us, now_us)
            index.last_id = max(index.last_id, rate_id)
        index.read_us = now_us
        newest = (
            TariffTerms.select().where(TariffTerms.tariff == tariff_id).order_by(TariffTerms.id.desc()).get()
        )
        index.terms_id, index.terms = newest.id, terms_of(newest)
        return index


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
    )


def terms_of(row: TariffTerms) -> Terms:
    """The terms of a row."""
    return Terms(
        free_s=row.free_s,
        grace_s=row.grace_s,
        surcharge_bp=row.surcharge_bp,
        minimum_micros=row.minimum_micros,
        rounding_micros=row.rounding_micros,
        rounding=cast(Rounding, row.rounding),
        off_peak=row.off_peak,
        time_zone=row.time_zone,
    )


def view(row: RateRow, terms: TariffTerms) -> RateView:
    """A row of each, read."""
    return RateView(row.id, row.description, rate_of(row), terms.id, terms_of(terms), row.from_us)
