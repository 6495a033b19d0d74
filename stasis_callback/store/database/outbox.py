"""What every outbox does: rows that are due are claimed for a while, tried, and closed or postponed.

The tables differ in what they carry; all have `delivery` (`due` until it is over), `attempts` and `due_at_us`. A
claim is an UPDATE that only succeeds if the row is as it was read, so of several processes one gets it. A row whose
claimer died is tried again when its time is up, so everything is delivered at least once.
"""

from __future__ import annotations

from typing import Any

from peewee import Expression, ModelSelect

DUE = "due"


def waiting(table: type[Any]) -> ModelSelect[Any]:
    """All rows that are not delivered and not given up."""
    rows: ModelSelect[Any] = table.select().where(table.delivery == DUE)
    return rows


def due(table: type[Any], now_us: int) -> ModelSelect[Any]:
    """The rows that may be tried now."""
    return waiting(table).where(table.due_at_us <= now_us)


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
