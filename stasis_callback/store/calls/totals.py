"""What call records add up to, kept for reports: these read some hundred totals, and not a million records.

Times are cut into hours, days and blocks of 32 days, all of UTC: any span of time is some of them, and at its ends
less than two hours, whose call records are read themselves. So the days of every time zone can be added up, and
another zone needs nothing new.

No call waits for this: the transaction that writes a call record does not touch the totals. A worker adds what is new
in the order of the records' ids, and notes in the same transaction up to which it came (`totals_until`). A report
reads the totals, and the records behind that id, in one moment: it is exact, however far the worker is. A record that
comes late has an id as new as any other, whatever hour it ended in. Records are never changed but for their telephone
numbers, and never removed, so a total that is right stays right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import structlog

from stasis_callback.clock import Clock
from stasis_callback.store.calls import ranking
from stasis_callback.store.calls.tables import (
    CallClass,
    Total,
    TotalOfAccount,
    TotalOfCustomer,
    TotalOfDigits,
    TotalOfPrefix,
    TotalOfTrunk,
)
from stasis_callback.store.calls.times import HOUR_US, LEVELS
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.pace import Pace
from stasis_callback.store.database.statements import changed, every, one, run
from stasis_callback.store.database.tables import Table
from stasis_callback.workers import Worker

log = structlog.get_logger()

EVERY_S = 30.0
XDRS_AT_ONCE = 200
"""So many are added in one transaction: each changes up to nineteen rows, which takes some milliseconds together."""
EMPTIED = -1
"""In place of an id: the totals are being removed."""

SUMS = {
    "attempts": "1",
    "answered": "CASE WHEN x.answered_at_us IS NULL THEN 0 ELSE 1 END",
    "duration_us": "x.duration_us",
    "charged_s": "x.charged_s",
    "amount_micros": "x.amount_micros",
    "overrun_micros": "x.overrun_micros",
    "cost_micros": "x.cost_micros",
}
"""What is added up, and what one call record `x` adds to it."""
OF_XDR = {
    "trunk_id": "COALESCE(x.trunk_id, 0)",
    "side": "x.side",
    "outcome": "x.outcome",
    "prefix": "x.prefix",
    # What is left of a number that is forgotten (`money.chain.forgotten`): so these totals stay those of the records.
    "first_digits": "replace(substr(x.number, 1, CASE WHEN length(x.number) >= 9 THEN 5 ELSE 2 END), 'x', '')",
    "account_id": "x.account_id",
    "customer_id": "a.customer_id",
    "class_id": "COALESCE(c.id, 0)",
}
"""By what it is added up, and what a call record `x` of the account `a` and the class `c` has for that."""


CLASS = ("prefix", "first_digits", "trunk_id", "side", "outcome", "currency", "cost_currency")
"""What a class of calls is."""
_OF_CLASS = {name: OF_XDR.get(name, f"x.{name}") for name in CLASS}
_CLASSES = CallClass._meta.table_name


@dataclass(frozen=True, slots=True)
class TotalsTable:
    """A table of totals: by what it adds up, for times of which lengths, and by which columns it tells that apart."""

    model: type[Table]
    of: tuple[str, ...]
    levels: tuple[int, ...] = LEVELS
    has_classes: bool = False

    @property
    def table(self) -> str:
        """Its name."""
        return str(self.model._meta.table_name)

    @property
    def key(self) -> tuple[str, ...]:
        """What its rows are told apart by within a time."""
        return ("account_id", "class_id") if self.has_classes else (*self.of, "currency", "cost_currency")

    def source(self, names: Set[str] = frozenset(CLASS), few: str = "") -> str:
        """What to read as `t`: a table with its times and sums, and of its other columns those of `names`.

        `few` is a condition for `t` that is true of few rows, which are read before anything else.
        """
        columns = ", ".join(("hours", "from_us", *self.key, *SUMS))
        of_few = f"(SELECT {columns} FROM {self.table} AS t WHERE {few})"
        if not self.has_classes or not names & set(CLASS):
            return f"{of_few} AS t" if few else f"{self.table} AS t"
        columns = ", ".join(
            [f"o.{name}" for name in ("hours", "from_us", *self.key, *SUMS)] + [f"c.{name}" for name in CLASS]
        )
        begin, table = (f"WITH few AS MATERIALIZED {of_few}", "few") if few else ("", self.table)
        # Totals come first, and their classes are looked up. To find those of each class in turn takes longer:
        # SQLite keeps the order of the two, and PostgreSQL has no index for the sum.
        return f"""({begin} SELECT {columns} FROM {table} AS o CROSS JOIN call_class AS c
            WHERE c.id = o.class_id + 0) AS t"""


KINDS = (
    TotalsTable(Total, ()),
    TotalsTable(TotalOfTrunk, ("trunk_id", "side", "outcome")),
    TotalsTable(TotalOfPrefix, ("prefix", "trunk_id", "side", "outcome")),
    TotalsTable(TotalOfDigits, ("first_digits", "prefix", "trunk_id", "side", "outcome")),
    TotalsTable(TotalOfCustomer, ("customer_id", "prefix", "first_digits", "trunk_id")),
    # Hours of accounts would be as many as call records; the hours of a day are these themselves.
    TotalsTable(
        TotalOfAccount,
        ("account_id", "prefix", "first_digits", "trunk_id", "side", "outcome"),
        LEVELS[:-1],
        has_classes=True,
    ),
)
"""The smallest first."""


def xdr_source(of: Sequence[str]) -> str:
    """The FROM of a SELECT of call records by these."""
    source = "xdr AS x"
    if "customer_id" in of:
        source += " JOIN account AS a ON a.id = x.account_id"
    if "class_id" in of:
        source += " LEFT JOIN call_class AS c ON " + " AND ".join(f"c.{n} = {_OF_CLASS[n]}" for n in CLASS)
    return source


def summed(kind: TotalsTable, where: str) -> str:
    """A SELECT of the rows that the call records `x` make in a table of totals: the time, its key, and `SUMS`."""
    of = ", ".join(OF_XDR.get(name, f"x.{name}") for name in kind.key)
    sums = ", ".join(f"SUM({sql})" for sql in SUMS.values())
    begin = f"x.ended_at_us / (level.hours * {HOUR_US}) * (level.hours * {HOUR_US})"
    levels = ", ".join(f"({hours})" for hours in kind.levels)
    groups = ", ".join(str(n + 1) for n in range(2 + len(kind.key)))
    return f"""WITH level (hours) AS (VALUES {levels})
        SELECT level.hours, {begin}, {of}, {sums}
        FROM {xdr_source(kind.key)} CROSS JOIN level WHERE {where} GROUP BY {groups}"""


def _adding(kind: TotalsTable) -> str:
    """The statement that adds the call records behind one id and up to another to a table."""
    key = ", ".join(("hours", "from_us", *kind.key))
    more = ", ".join(f"{name} = {kind.table}.{name} + excluded.{name}" for name in SUMS)
    return f"""INSERT INTO {kind.table} ({key}, {", ".join(SUMS)})
        {summed(kind, "x.id > ? AND x.id <= ?")} ON CONFLICT ({key}) DO UPDATE SET {more}"""


def _classing() -> str:
    """The statement that adds the classes of these call records which are new. One transaction at a time does."""
    columns = ", ".join(f"{_OF_CLASS[name]} AS {name}" for name in CLASS)
    return f"""INSERT INTO {_CLASSES} (id, {", ".join(CLASS)})
        SELECT (SELECT COALESCE(MAX(id), 0) FROM {_CLASSES}) + ROW_NUMBER() OVER (), new.* FROM (
            SELECT DISTINCT {columns} FROM {xdr_source(("class_id",))} WHERE x.id > ? AND x.id <= ? AND c.id IS NULL
        ) AS new"""


def _removing(table: str, key: Sequence[str]) -> str:
    """The statement that removes some rows of a table."""
    of = ", ".join(key)
    return f"""DELETE FROM {table} WHERE ({of}) IN (SELECT {of} FROM {table} LIMIT {XDRS_AT_ONCE})
        RETURNING from_us"""


_UNTIL = "SELECT xdr_id FROM totals_until WHERE id = 1"
_HIGHEST = "SELECT MAX(id) FROM xdr"
_LAST = f"SELECT MAX(id) FROM (SELECT id FROM xdr WHERE id > ? AND id <= ? ORDER BY id LIMIT {XDRS_AT_ONCE}) AS found"
_BEGIN = "INSERT INTO totals_until (id, xdr_id) VALUES (1, 0) ON CONFLICT (id) DO NOTHING"
_MOVE = "UPDATE totals_until SET xdr_id = ? WHERE id = 1 AND xdr_id = ? RETURNING id"
_CLASSING = _classing()
_ADDING = tuple(_adding(kind) for kind in KINDS)
_REMOVING = (
    *(_removing(kind.table, ("hours", "from_us", *kind.key)) for kind in KINDS),
    _removing(ranking.TABLE, ranking.KEY),
)


def counted_until() -> int:
    """Within a read: the id of the last call record that is in the totals; 0 for none."""
    row = one(_UNTIL)
    return max(int(row[0]), 0) if row else 0


class Totals:
    """Keeps the totals."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def worker(self) -> Worker:
        """The worker that adds what is new. Several nodes may have one: each record is added once."""
        return Worker("totals", self._work, self._clock)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            added = self.catch_up(goes_on=lambda: worker.goes_on)
            if added > XDRS_AT_ONCE:
                log.info("totals.added", xdrs=added)
            worker.pause(EVERY_S)

    def catch_up(self, *, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Add what is not in the totals yet, some hundred records at once, with pauses; how many there were."""
        pace, added = Pace(self._clock), 0
        highest, until = self._settled(goes_on), self._until()
        while goes_on() and (until == EMPTIED or until < highest):
            added += self._emptied() if until == EMPTIED else self._added(until, highest)
            pace.rest()
            until = self._until()
        return added

    @unit
    def recount(self) -> None:
        """Have the worker remove all totals and make them anew. Reports read the call records until it has."""
        run(_BEGIN)
        run("UPDATE totals_until SET xdr_id = ? WHERE id = 1", EMPTIED)

    @read
    def behind(self) -> int:
        """How many call records are not in the totals yet, at most."""
        return int(one(_HIGHEST)[0] or 0) - counted_until()

    @read
    def _until(self) -> int:
        row = one(_UNTIL)
        return int(row[0]) if row else 0

    def _settled(self, goes_on: Callable[[], bool]) -> int:
        """An id behind which every call record is that has not been committed yet.

        On SQLite, with one writer, ids are committed in their order. On PostgreSQL a transaction may have an id and
        commit it after those of others. Which writes a call record has locked its leg before it takes the id, so it
        had a number of its own by then: when no transaction is under way that had one when the id was seen, nothing
        below it can come any more. Such transactions are short; one that is not delays the totals, and no
        report is wrong for that.
        """
        highest, numbers = self._seen()
        pause = self._clock.inbox()
        while numbers is not None and goes_on() and self._oldest() < numbers:
            pause.get(0.1)
        return highest if goes_on() else 0

    @read
    def _seen(self) -> tuple[int, int | None]:
        """The highest id, and after that the number that the next transaction gets; None on SQLite."""
        highest = int(one(_HIGHEST)[0] or 0)
        if self._database.alone:
            return highest, None
        return highest, int(one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0])

    @read
    def _oldest(self) -> int:
        """On PostgreSQL: the number of the oldest transaction that is under way."""
        return int(one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")[0])

    @unit
    def _added(self, until: int, highest: int) -> int:
        """Add the next records behind the id `until`; how many, 0 when somebody else has done so."""
        last = int(one(_LAST, until, highest)[0])
        run(_BEGIN)
        if not changed(_MOVE, last, until):  # which also has other nodes wait
            return int(self._database.noted(f"totals:{last}") or 0)
        self._database.note(f"totals:{last}", last - until)
        for adding in (_CLASSING, *_ADDING):
            run(adding, until, last)
        ranking.add(until, last)
        return last - until

    @unit
    def _emptied(self) -> int:
        """Remove some of the totals; with the last of them they begin anew. Always 0: nothing was added."""
        if changed(_MOVE, EMPTIED, EMPTIED) and not any(every(removing) for removing in _REMOVING):
            run(_MOVE, 0, EMPTIED)
        return 0
