"""Rows of a period, and pages of rows, for listings."""

from __future__ import annotations

import re
from typing import Any

from peewee import ModelSelect, Tuple

from stasis_callback.core.errors import InvalidInput

NEAR = 3000
"""How many of the newest rows are looked through, one by one."""


def between(
    rows: ModelSelect[Any], at_us: Any, since_us: int | None, until_us: int | None
) -> ModelSelect[Any]:
    """The rows whose column `at_us` is in a period: from `since_us` on, before `until_us`; None is without an end."""
    if since_us is not None:
        rows = rows.where(at_us >= since_us)
    if until_us is not None:
        rows = rows.where(at_us < until_us)
    return rows


def newest_first(rows: ModelSelect[Any], at_us: Any, key: Any, after: str) -> ModelSelect[Any]:
    """The rows by time and then by the column `key`, newest first; those after the row with the key `after`, if that
    is not "". Raises InvalidInput if there is no such row.
    """
    rows = rows.order_by(at_us.desc(), at_us.model._meta.primary_key.desc())
    if not after:
        return rows
    last = row_after(at_us.model, key, after)
    place = Tuple(getattr(last, at_us.name), last._pk)
    return rows.where(Tuple(at_us, at_us.model._meta.primary_key) < place)


def sought(rows: ModelSelect[Any], at_us: Any, limit: int, *, often: Any, seldom: Any) -> ModelSelect[Any]:
    """At most `limit` of `rows`, which are newest first, with a condition that is true for many or for few of them.

    It is given twice: `often` looks at row by row, `seldom` is what an index finds. So the newest rows are looked
    through first; where that is not enough there are few, and those are found and sorted.
    """
    edge = rows.select(at_us).limit(1).offset(NEAR).scalar()
    if edge is None:
        return rows.where(often).limit(limit)
    near = rows.where(often, at_us >= edge).limit(limit)
    return near if len(near) == limit else rows.where(seldom).limit(limit)


def begins(column: Any, digits: str) -> Any:
    """Whether digits are the beginning of a column, as an index finds it."""
    found = column.startswith(digits) & (column >= digits)
    end = behind(digits)
    return found & (column < end) if end else found


def behind(digits: str) -> str:
    """What is behind all that begins with these digits; "" where nothing is."""
    shorter = digits.rstrip("9")
    return shorter[:-1] + str(int(shorter[-1]) + 1) if shorter[-1:].isdecimal() else ""


def row_after(model: Any, key: Any, after: str) -> Any:
    """The row that ended the page before, by its key. Raises InvalidInput if it is not there (any more)."""
    is_number = key.field_type in ("AUTO", "BIGAUTO", "INT", "BIGINT")
    row = (
        None
        if is_number and not re.fullmatch("[0-9]{1,18}", after, re.ASCII)
        else model.get_or_none(key == after)
    )
    if row is None:
        raise InvalidInput(f"there is no {after[:40]!r} to go on after: begin with the first page")
    return row
