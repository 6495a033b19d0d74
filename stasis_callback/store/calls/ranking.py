"""What accounts paid in each block of 32 days, in one row of an account: which paid the most in a long time.

Among a hundred thousand accounts with a call now and then, the totals of a year are hardly fewer than its call
records, and to rank accounts by them takes half a second. A row here has 24 blocks, and begins with every twelfth: so
each block is in two rows, and any time of up to thirteen blocks (416 days) within one. Whichever blocks are meant,
one row of an account is read. What the time has more or less than whole blocks comes from the totals of days.
"""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.store.calls.tables import AccountRevenue
from stasis_callback.store.calls.times import BLOCK_US
from stasis_callback.store.database.statements import every, run

BLOCKS = AccountRevenue.BLOCKS
"""How many blocks a row has."""
STEP = BLOCKS // 2
"""How many blocks behind one row the next begins."""
TABLE = "account_revenue"
KEY = ("from_us", "account_id")
COLUMNS = tuple(f"block_{n}" for n in range(BLOCKS))
LEAST_BLOCKS = 2
"""Less is read from the totals of days."""


@dataclass(frozen=True, slots=True)
class RankedTime:
    """The whole blocks nearest to a time, and what it has more or less than these: at each end half a block at most.

    `rows` are where rows of an account begin, and which of their columns are meant. Each time of `more` and `less`
    ends before its second value.
    """

    rows: tuple[tuple[int, tuple[str, ...]], ...]
    more: tuple[tuple[int, int], ...]
    less: tuple[tuple[int, int], ...]

    def revenue(self) -> tuple[str, tuple[int, ...]]:
        """A SELECT of `account_id` and its `revenue` in the whole blocks, NULL without calls; and its values."""
        parts = [
            f"SELECT account_id, {_sum(columns)} AS revenue FROM {TABLE} WHERE from_us = ?"
            for _, columns in self.rows
        ]
        values = tuple(from_us for from_us, _ in self.rows)
        if len(parts) == 1:
            return parts[0], values
        union = " UNION ALL ".join(parts)
        return f"SELECT account_id, SUM(revenue) AS revenue FROM ({union}) AS b GROUP BY account_id", values

    def accounts(self) -> tuple[str, tuple[int, ...]]:
        """A SELECT of something for each row that is read; and its values."""
        begins = tuple(from_us for from_us, _ in self.rows)
        return f"SELECT 1 AS one FROM {TABLE} WHERE from_us IN ({', '.join('?' * len(begins))})", begins


def ranked_time(from_us: int, to_us: int) -> RankedTime | None:
    """A time from `from_us` on and before `to_us`; None where it is too short for this."""
    first, last = (round(at_us / BLOCK_US) for at_us in (from_us, to_us))
    if last - first < LEAST_BLOCKS:
        return None
    first_us, last_us = first * BLOCK_US, last * BLOCK_US
    lowest, highest = min(from_us // BLOCK_US, first), max(-(-to_us // BLOCK_US), last)
    rows = []
    for begin in range(lowest // STEP * STEP, highest, BLOCKS):
        meant = range(max(first - begin, 0), min(last - begin, BLOCKS))
        rows.append((begin * BLOCK_US, tuple(COLUMNS[n] for n in meant)))
    ends = (
        (from_us, first_us, False),
        (first_us, from_us, True),
        (last_us, to_us, False),
        (to_us, last_us, True),
    )
    more, less = (
        tuple(
            (begin_us, end_us) for begin_us, end_us, missing in ends if missing is one and begin_us < end_us
        )
        for one in (False, True)
    )
    return RankedTime(tuple(rows), more, less)


def places(block_us: int) -> tuple[tuple[int, str], ...]:
    """Where the block is that begins then: the rows, and the column in each."""
    block = block_us // BLOCK_US
    begins = (block // STEP * STEP, (block // STEP - 1) * STEP)
    return tuple((begin * BLOCK_US, COLUMNS[block - begin]) for begin in begins)


def _sum(columns: tuple[str, ...]) -> str:
    return " + ".join(f"COALESCE({name}, 0)" for name in columns) or "0"


def _adding(column: str) -> str:
    """The statement that adds those call records behind one id and up to another which ended in a column's block."""
    return f"""INSERT INTO {TABLE} ({", ".join(KEY)}, {column})
        SELECT CAST(? AS BIGINT), x.account_id, SUM(x.amount_micros - x.overrun_micros) FROM xdr AS x
        WHERE x.id > ? AND x.id <= ? AND x.ended_at_us + 0 >= ? AND x.ended_at_us + 0 < ? GROUP BY x.account_id
        ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {column} = COALESCE({TABLE}.{column}, 0) + excluded.{column}"""


_ADDING = {column: _adding(column) for column in COLUMNS}
_ENDED_IN = f"SELECT DISTINCT x.ended_at_us / {BLOCK_US} FROM xdr AS x WHERE x.id > ? AND x.id <= ?"


def add(until: int, last: int) -> None:
    """Within a transaction: add the call records behind one id and up to another, most of them of one block."""
    for (block,) in every(_ENDED_IN, until, last):
        block_us = int(block) * BLOCK_US
        for row_us, column in places(block_us):
            run(_ADDING[column], row_us, until, last, block_us, block_us + BLOCK_US)
