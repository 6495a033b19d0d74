"""What every outbox does: rows that are due are claimed for a while, tried, and closed or postponed.

The tables differ in what they carry; all have `delivery` (`due` until it is over), `attempts` and `due_at_us`. A
claim is an UPDATE that only succeeds if the row is as it was read, so of several processes one gets it. A row whose
claimer died is tried again when its time is up, so everything is delivered at least once.

When a row is due is a time of the wall clock. One that was ahead for a moment, or was put back, would let a row wait
for hours; so what is due later than any sender says is due now.
"""

from __future__ import annotations

from typing import Any

from peewee import Expression, ModelSelect

from stasis_callback.clock import US_PER_S
from stasis_callback.store.database.limits import CLOCKS_APART_S

DUE = "due"
LONGEST_PAUSE_S = 3600
"""The longest that any sender leaves between two attempts."""
_LATEST_US = (LONGEST_PAUSE_S + CLOCKS_APART_S) * US_PER_S


def waiting(table: type[Any]) -> ModelSelect[Any]:
    """All rows that are not delivered and not given up."""
    rows: ModelSelect[Any] = table.select().where(table.delivery == DUE)
    return rows


def due(table: type[Any], now_us: int) -> ModelSelect[Any]:
    """The rows that may be tried now."""
    later = table.due_at_us > now_us + _LATEST_US
    return waiting(table).where((table.due_at_us <= now_us) | later)


def is_due(row: Any, now_us: int) -> bool:
    """The same, of a row that waits."""
    return not now_us < row.due_at_us <= now_us + _LATEST_US


def claim(row: Any, until_us: int) -> bool:
    """Within a unit: count an attempt and keep others off a row until then; False if another process was faster."""
    table = type(row)
    as_read = (table.id == row.id) & (table.delivery == DUE) & (table.due_at_us == row.due_at_us)
    changed = table.update(attempts=row.attempts + 1, due_at_us=until_us).where(as_read).execute()
    return bool(changed)


def postpone(table: type[Any], which: Expression, due_at_us: int) -> None:
    """Within a unit: let rows that wait be due at a time."""
    table.update(due_at_us=due_at_us).where(which, table.delivery == DUE).execute()


def close(table: type[Any], which: Expression, delivery: str, **also: object) -> int:
    """Within a unit: end the delivery of rows that wait, as `sent`, `failed` or otherwise; how many there were."""
    return int(table.update(delivery=delivery, **also).where(which, table.delivery == DUE).execute())
