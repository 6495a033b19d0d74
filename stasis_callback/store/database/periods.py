"""Rows of a period, for listings."""

from __future__ import annotations

from typing import Any

from peewee import ModelSelect


def between(
    rows: ModelSelect[Any], at_us: Any, since_us: int | None, until_us: int | None
) -> ModelSelect[Any]:
    """The rows whose column `at_us` is in a period: from `since_us` on, before `until_us`; None is without an end."""
    if since_us is not None:
        rows = rows.where(at_us >= since_us)
    if until_us is not None:
        rows = rows.where(at_us < until_us)
    return rows
