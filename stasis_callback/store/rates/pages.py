"""Rates page by page, by their prefixes."""

from __future__ import annotations

from stasis_callback.clock import Clock
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.rows import in_force, views
from stasis_callback.store.rates.tables import RateRow, Tariff


class RatePages:
    """Lists of rates, which may be a million."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @read
    def page(self, tariff: str, *, prefix: str = "", after: str = "", limit: int = 50) -> list[RateView]:
        """The rates in force whose prefix begins with `prefix`, from the one after `after` on.

        Raises InvalidInput when there is no such tariff.
        """
        row = by_name(Tariff, tariff, "tariff")
        rows = in_force(row.id, self._clock.now_us(), row.revision).where(~RateRow.discontinued)
        rows = rows.where(RateRow.prefix > after, RateRow.prefix.startswith(prefix))
        return views(rows.order_by(RateRow.prefix).limit(limit), row.id)
