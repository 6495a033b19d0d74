"""Rate limit counters in the database, valid across processes and restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from peewee import BigIntegerField, IntegerField

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.fraud import Spent
from stasis_callback.core.limits import Limit
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.statements import every, run
from stasis_callback.store.database.tables import Table, TextField

CLOCKS_APART_S = 5
"""The clocks of two nodes differ by no more than this. A time further ahead was written by a clock that was wrong: it
was ahead for a moment, or was put back since.
"""

_TAKE = """INSERT INTO allowance (key, count, until_us) VALUES (?, 1, ?) ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN allowance.until_us <= ? THEN 1 ELSE allowance.count + 1 END,
    until_us = CASE WHEN allowance.until_us BETWEEN ? AND ? THEN allowance.until_us ELSE excluded.until_us END
    WHERE allowance.until_us NOT BETWEEN ? AND ? OR allowance.count < ? RETURNING count, until_us"""
_GIVE_BACK = "UPDATE allowance SET count = count - 1 WHERE key = ? AND count > 0 RETURNING count, until_us"
_CLEAR = "DELETE FROM allowance WHERE key = ?"
_COUNTER = "SELECT count, until_us FROM allowance WHERE key = ?"
_SUM = "CASE WHEN allowance.until_us <= ? THEN excluded.{0} ELSE allowance.{0} + excluded.{0} END"
_ADD = f"""INSERT INTO allowance (key, until_us, count, seconds, micros) VALUES %s ON CONFLICT (key) DO UPDATE SET
    count = {_SUM.format("count")}, seconds = {_SUM.format("seconds")}, micros = {_SUM.format("micros")},
    until_us = CASE WHEN allowance.until_us <= ? OR (allowance.until_us > excluded.until_us AND excluded.until_us > ?)
        THEN excluded.until_us ELSE allowance.until_us END
    RETURNING key, count, seconds, micros"""


class Allowance(Table):
    """How often something was done since a window of time began, how many seconds it took and what it cost; `key`
    says what, and by whom.
    """

    key = TextField(primary_key=True)
    count = IntegerField()
    until_us = BigIntegerField()
    seconds = BigIntegerField(default=0)
    micros = BigIntegerField(default=0)


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added to a counter with a fixed window: of a day, an hour (UTC)."""

    key: str
    period_s: int
    spent: Spent


class Limits:
    """Counters by key, such as `web:help:number:420212345678`. Every change is one conditional statement."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def take(self, key: str, limit: Limit) -> bool:
        """Count one more; False, and nothing counted, when the limit is reached.

        The window begins with the first and is not prolonged by what is refused. Any number of processes and threads
        together get no more than `limit.count`. A window that ends later than it can was begun by a clock that was
        ahead: what it counted counts on, and it ends as if it began now.
        """
        now_us = self._clock.now_us()
        until_us = now_us + limit.period_s * US_PER_S
        still_open = now_us + 1, until_us + CLOCKS_APART_S * US_PER_S
        values = _stored(key), until_us, now_us, *still_open, *still_open, limit.count
        return self._counted(_TAKE, key, *values, most=limit.count)

    @unit
    def take_all(self, counters: Sequence[tuple[str, Limit]]) -> str:
        """Count one more for each; the key whose limit is reached, and nothing counted, or ""."""
        taken: list[str] = []
        for key, limit in counters:
            if not self.take(key, limit):
                for other in taken:
                    self.give_back(other)
                return key
            taken.append(key)
        return ""

    def add(self, additions: Sequence[Addition]) -> dict[str, Spent]:
        """Add to counters, in one statement; what stands in each of them then. Within a transaction that is safe to
        repeat as a whole, after all else that it locks. What a clock that was ahead has counted for a period that is
        still to come counts for this one.
        """
        now_us = self._clock.now_us()
        # In one order, so that two transactions never wait for each other.
        rows = [
            (one.key, _end_us(now_us, one.period_s), one.spent.calls, one.spent.seconds, one.spent.micros)
            for one in sorted(additions, key=lambda one: one.key)
        ]
        # A period that ends so soon may be over for another node, which counts for the next one.
        soon_us = now_us + CLOCKS_APART_S * US_PER_S
        found = every(_addition(len(rows)), *chain.from_iterable(rows), *[now_us] * 4, soon_us)
        return {key: Spent(*spent) for key, *spent in found}

    @read
    def spent(self, keys: Sequence[str]) -> dict[str, Spent]:
        """What stands in these counters; none for those whose window is over."""
        rows = Allowance.select().where(Allowance.key.in_(keys), Allowance.until_us > self._clock.now_us())
        return {row.key: Spent(row.count, row.seconds, row.micros) for row in rows}

    @unit
    def give_back(self, key: str) -> None:
        """Undo the last count."""
        self._counted(_GIVE_BACK, key, _stored(key))

    def _counted(self, statement: str, key: str, *values: object, most: int | None = None) -> bool:
        """Count, unless an earlier run of this unit has: then the counter stands where that has left it.

        False where nothing was counted, and for more than `most`.
        """
        name = f"counted:{statement}:{key}"
        left = self._database.noted(name)
        if left is not None and run(_COUNTER, _stored(key)).fetchone() == left:
            return True
        rows = run(statement, *values).fetchall()
        counted = bool(rows) and (most is None or rows[0][0] <= most)
        if counted:
            self._database.note(name, rows[0])
        return counted

    @unit
    def clear(self, key: str) -> None:
        """Reset the counter."""
        run(_CLEAR, key)

    @unit
    def clear_all(self, prefix: str) -> None:
        """Reset all counters whose key begins with `prefix`."""
        Allowance.delete().where(Allowance.key.startswith(prefix)).execute()

    @read
    def counted(self, prefix: str) -> list[tuple[str, int, int]]:
        """The open counters whose key begins with `prefix`: key, count, and when the window is over."""
        rows = Allowance.select().where(
            Allowance.key.startswith(prefix), Allowance.until_us > self._clock.now_us(), Allowance.count > 0
        )
        return [(row.key, row.count, row.until_us) for row in rows.order_by(Allowance.key)]

    @read
    def wait_s(self, key: str) -> int:
        """How long until the window of this key is over, in whole seconds; 0 when none is open."""
        row = Allowance.get_or_none(Allowance.key == key)
        left_us = row.until_us - self._clock.now_us() if row else 0
        return max(-(-left_us // US_PER_S), 0)

    @unit
    def forget_old(self) -> None:
        """Remove expired windows."""
        Allowance.delete().where(Allowance.until_us <= self._clock.now_us()).execute()


@cache
def _addition(counters: int) -> str:
    return _ADD % ", ".join(["(?, ?, ?, ?, ?)"] * counters)


def _end_us(now_us: int, period_s: int) -> int:
    period_us = period_s * US_PER_S
    return (now_us // period_us + 1) * period_us


def _stored(key: str) -> object:
    """A key as it is stored: strangers write parts of it."""
    return Allowance.key.db_value(key)
