"""Reads the rate rows that are effective at a given time, with their terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from peewee import ModelSelect, fn

from stasis_callback.core.errors import require
from stasis_callback.core.rating import Rate
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.rates.book import RateView, terms_of
from stasis_callback.store.rates.tables import RateRow, Tariff, TariffTerms

RATE_FIELDS = tuple(field.name for field in fields(Rate))
"""The columns of a rate, in the order in which `Rate` takes them; the prefix is the first."""


values_of = attrgetter(*RATE_FIELDS)
"""The values of a rate in that order."""

RATE_COLUMNS = tuple(getattr(RateRow, name) for name in RATE_FIELDS)


PAGE = 5000
"""Rows that are read at once where a whole price list is read."""


def in_force(tariff_id: int, at_us: int, revision: int) -> ModelSelect[RateRow]:
    """Of each prefix the row that is in force at `at_us`: the latest to begin, of those that begin at once the
    newest. Rows of after `revision` do not count: the tariff's own, where nothing is to be left out but drafts.
    """
    return in_force_or_later(tariff_id, at_us, revision).where(RateRow.from_us <= at_us)


def in_force_or_later(tariff_id: int, at_us: int, revision: int) -> ModelSelect[RateRow]:
    """The same, and all rows that begin later."""
    newer = RateRow.alias()
    same_time_but_newer = (newer.from_us == RateRow.from_us) & (newer.id > RateRow.id)
    replaced = newer.select(1).where(
        newer.tariff == tariff_id,
        newer.prefix == RateRow.prefix,
        newer.from_us <= at_us,
        # Not a term for an index: SQLite would read all revisions of the tariff for each of its rows.
        newer.revision + 0 <= revision,
        (newer.from_us > RateRow.from_us) | same_time_but_newer,
    )
    rows = RateRow.select().where(RateRow.tariff == tariff_id)
    return rows.where(RateRow.revision + 0 <= revision, ~fn.EXISTS(replaced))


def coming(tariff_id: int, now_us: int, revision: int) -> ModelSelect[RateRow]:
    """The rows that begin later, of those of one prefix that begin at once the newest."""
    newer = RateRow.alias()
    replaced = newer.select(1).where(
        newer.tariff == tariff_id,
        newer.prefix == RateRow.prefix,
        newer.from_us == RateRow.from_us,
        newer.id > RateRow.id,
        newer.revision + 0 <= revision,
    )
    rows = RateRow.select().where(RateRow.tariff == tariff_id, RateRow.from_us > now_us)
    return rows.where(RateRow.revision + 0 <= revision, ~fn.EXISTS(replaced))


def in_pages(rows: ModelSelect[RateRow], *columns: Any) -> Iterator[tuple[Any, ...]]:
    """The prefix and these columns of each row, by prefix, and by time where it has several rows.

    A page at a time: a driver may hold all that a statement finds in memory. What is read must not change meanwhile,
    as the rows of a revision do not.
    """
    last, full = "", True
    while full:
        page = rows.where(RateRow.prefix > last).order_by(RateRow.prefix, RateRow.from_us, RateRow.id)
        found: list[Any] = list(page.select(RateRow.prefix, *columns).limit(PAGE).tuples())
        full = len(found) == PAGE
        if full:  # the rows of its last prefix may go on behind it
            of_last = sum(row[0] == found[-1][0] for row in found)
            require(of_last < PAGE, "a prefix has more versions than are read at once")
            found = found[:-of_last]
        yield from found
        last = found[-1][0] if full else last


def views(rows: ModelSelect[RateRow], tariff_id: int, at_us: int | None = None) -> list[RateView]:
    """The rows of one tariff, read, under its terms."""
    as_view = _as_view(tariff_id, at_us)
    values: Iterable[Any] = rows.select(*_VIEWED).tuples()
    return [as_view(one) for one in values]


def views_in_pages(rows: ModelSelect[RateRow], tariff_id: int) -> Iterator[RateView]:
    """The same by prefix, without holding them in memory."""
    as_view = _as_view(tariff_id)
    return (as_view(values) for _, *values in in_pages(rows, *_VIEWED))


_VIEWED = (RateRow.id, RateRow.description, RateRow.from_us, *RATE_COLUMNS)


def _as_view(tariff_id: int, at_us: int | None = None) -> Callable[[Sequence[Any]], RateView]:
    """Makes views of rows. Without a model for each row: there may be a million."""
    newest = newest_terms(tariff_id, at_us)
    terms_id, terms = newest.id, terms_of(newest)

    def as_view(values: Sequence[Any]) -> RateView:
        rate_id, description, from_us, *rate = values
        return RateView(rate_id, description, Rate(*rate), terms_id, terms, from_us)

    return as_view


def newest_terms(tariff_id: int, at_us: int | None = None) -> TariffTerms:
    """The terms that go for new calls, now or at `at_us`."""
    rows = TariffTerms.select().where(TariffTerms.tariff == tariff_id).order_by(TariffTerms.id.desc())
    if at_us is not None:
        rows = rows.where(TariffTerms.created_at_us <= at_us)
    # Before the first terms there were no calls; for earlier times the first terms are returned.
    return rows.first() or TariffTerms.select().where(TariffTerms.tariff == tariff_id).get()


def draft_of(tariff_id: int) -> str:
    """The key of the draft that a change of this tariff is: one at a time."""
    return f"tariff:{tariff_id}"


def remove_drafted_rates(tariff_id: int | str) -> int:
    """Within a transaction: remove some rates that were written for a revision that was never published."""
    published = Tariff.select(Tariff.revision).where(Tariff.id == tariff_id)
    some = RateRow.select(RateRow.id).where(RateRow.tariff == tariff_id, RateRow.revision > published)
    return int(RateRow.delete().where(RateRow.id.in_(some.limit(ROWS_AT_ONCE))).execute())
