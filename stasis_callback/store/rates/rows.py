"""Reads the rate rows that are effective at a given time, with their terms."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from peewee import ModelSelect, fn

from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.book import RateView, terms_of
from stasis_callback.store.rates.tables import RateRow, TariffTerms

RATE_FIELDS = tuple(field.name for field in fields(Rate))
"""The columns of a rate, in the order in which `Rate` takes them; the prefix is the first."""


values_of = attrgetter(*RATE_FIELDS)
"""The values of a rate in that order."""

RATE_COLUMNS = tuple(getattr(RateRow, name) for name in RATE_FIELDS)


def in_force(tariff_id: int, at_us: int, revision: int) -> ModelSelect[RateRow]:
    """Of each prefix the row that is in force at `at_us`: the latest to begin, of those that begin at once the
    newest. Rows of after `revision` do not count: the tariff's own, where nothing is to be left out but drafts.
    """
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
    rows = RateRow.select().where(RateRow.tariff == tariff_id, RateRow.from_us <= at_us)
    return rows.where(RateRow.revision + 0 <= revision, ~fn.EXISTS(replaced))


def views(rows: ModelSelect[RateRow], tariff_id: int, at_us: int | None = None) -> list[RateView]:
    """The rows of one tariff, read, under its terms. Without a model for each row: there may be a million."""
    newest = newest_terms(tariff_id, at_us)
    terms_id, terms = newest.id, terms_of(newest)
    columns = (RateRow.id, RateRow.description, RateRow.from_us, *RATE_COLUMNS)
    return [
        RateView(rate_id, description, Rate(*values), terms_id, terms, from_us)
        for rate_id, description, from_us, *values in rows.select(*columns).tuples().iterator()
    ]


def newest_terms(tariff_id: int, at_us: int | None = None) -> TariffTerms:
    """The terms that go for new calls, now or at `at_us`."""
    rows = TariffTerms.select().where(TariffTerms.tariff == tariff_id).order_by(TariffTerms.id.desc())
    if at_us is not None:
        rows = rows.where(TariffTerms.created_at_us <= at_us)
    # Before the first terms there were no calls; for earlier times the first terms are returned.
    return rows.first() or TariffTerms.select().where(TariffTerms.tariff == tariff_id).get()
