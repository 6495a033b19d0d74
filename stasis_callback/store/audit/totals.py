"""The totals that reports read, against the call records that they were made of, a day at a look.

They are no part of the books: nothing is charged by them. What is wrong with them is put right by making them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from stasis_callback.clock import iso
from stasis_callback.store.calls import ranking
from stasis_callback.store.calls.tables import TotalOfAccount
from stasis_callback.store.calls.times import BLOCK_US, LEVELS
from stasis_callback.store.calls.totals import KINDS, SUMS, TotalsTable, summed
from stasis_callback.store.database.snapshots import Snapshots
from stasis_callback.store.money.ledger import DAY_US

TO_DO = "run `stasis-callback report recount`"

_NEXT = " UNION ALL ".join(
    [
        "SELECT MIN(ended_at_us) FROM xdr WHERE ended_at_us >= ?",
        *(
            f"SELECT MIN(from_us) FROM {kind.table} WHERE hours = {kind.levels[-1]} AND from_us >= ?"
            for kind in KINDS
        ),
    ]
)


def days(looks: Snapshots, from_us: int) -> Iterator[tuple[int, list[str]]]:
    """Every day (UTC) from a time on in which something ended: where the next begins, and what is wrong with it."""
    block_us = None
    while True:
        with looks.look():
            until = _counted(looks)
            found = looks.rows(_NEXT, [from_us] * (1 + len(KINDS)))
            starts = [start for (start,) in found if isinstance(start, int)]
            if until <= 0 or not starts:
                return
            day_us = min(starts) // DAY_US * DAY_US
            wrong = [said for kind in KINDS for said in _wrong_day(looks, kind, day_us, until)]
            if day_us // BLOCK_US * BLOCK_US != block_us:
                block_us = day_us // BLOCK_US * BLOCK_US
                wrong += [said for kind in KINDS for said in _wrong_block(looks, kind, block_us)]
                wrong += _wrong_revenue(looks, block_us)
        from_us = day_us + DAY_US
        yield from_us, wrong


def _counted(looks: Snapshots) -> int:
    """The id up to which call records are in the totals; 0 while there are none."""
    rows = looks.rows("SELECT xdr_id FROM totals_until")
    return rows[0][0] if rows and isinstance(rows[0][0], int) else 0


def _wrong_day(looks: Snapshots, kind: TotalsTable, day_us: int, until: int) -> Iterator[str]:
    """What is wrong with a day and its hours, which must be those of the call records."""
    end_us = day_us + DAY_US
    key = ", ".join(("hours", "from_us", *kind.key))
    made = looks.rows(
        summed(kind, "x.id + 0 <= ? AND x.ended_at_us >= ? AND x.ended_at_us < ? AND level.hours IN (1, 24)"),
        (until, day_us, end_us),
    )
    kept = looks.rows(
        f"""SELECT {key}, {", ".join(SUMS)} FROM {kind.source()}
            WHERE hours IN (1, 24) AND from_us >= ? AND from_us < ?""",
        (day_us, end_us),
    )
    if _rows(made) != _rows(kept):
        yield (
            f"reports of {iso(day_us)[:10]}: the totals in {kind.table} differ from the call records: {TO_DO}"
        )


def _wrong_block(looks: Snapshots, kind: TotalsTable, block_us: int) -> Iterator[str]:
    """What is wrong with a block, which must be that of its days."""
    sums = ", ".join(f"SUM({name})" for name in SUMS)
    of = ", ".join(kind.key)
    within = f"FROM {kind.source()} WHERE hours = ? AND from_us >= ? AND from_us < ? GROUP BY {of}"
    of_days, of_block = (
        looks.rows(f"SELECT {of}, {sums} {within}", (hours, block_us, block_us + BLOCK_US))
        for hours in (24, LEVELS[0])
    )
    if _rows(of_days) != _rows(of_block):
        yield (
            f"reports of the 32 days from {iso(block_us)[:10]}: the totals in {kind.table} differ from those of the "
            f"days: {TO_DO}"
        )


def _wrong_revenue(looks: Snapshots, block_us: int) -> Iterator[str]:
    """What is wrong with what accounts paid in a block, which must be in both rows that have it."""
    of_block = looks.rows(
        f"""SELECT account_id, SUM(amount_micros - overrun_micros) FROM {TotalOfAccount._meta.table_name}
            WHERE hours = ? AND from_us = ? GROUP BY account_id""",
        (LEVELS[0], block_us),
    )
    for row_us, column in ranking.places(block_us):
        kept = looks.rows(
            f"SELECT account_id, {column} FROM {ranking.TABLE} WHERE from_us = ? AND {column} IS NOT NULL",
            (row_us,),
        )
        if _rows(kept) != _rows(of_block):
            yield (
                f"reports of the 32 days from {iso(block_us)[:10]}: {column} in {ranking.TABLE} differs from the "
                f"totals: {TO_DO}"
            )


def _rows(rows: list[tuple[object, ...]]) -> set[tuple[object, ...]]:
    """Rows to compare: PostgreSQL gives sums as another kind of number. What is no whole number stays as it is."""
    return {tuple(int(value) if isinstance(value, Decimal) else value for value in row) for row in rows}
