"""What other subpackages may read from the books: they never access the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from peewee import JOIN, ModelSelect

from stasis_callback.core.states import HoldState
from stasis_callback.store.database.tables import Table
from stasis_callback.store.money import tables as _tables

Row = TypeVar("Row", bound=Table)


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What is held for a leg that is not charged yet."""

    leg_id: str
    book_id: int
    currency: str
    amount_micros: int


def with_books(rows: ModelSelect[Row], model: type[Row]) -> ModelSelect[Row]:
    """Also select the book of each row (attribute `book`, None if there is none), to show its funds."""
    joined: ModelSelect[Row] = (
        rows.select_extend(_tables.Book).switch(model).join(_tables.Book, JOIN.LEFT_OUTER)
    )
    return joined


def amounts(book: Any) -> dict[str, object]:
    """The funds of a book as a record; all values are None if there is no book."""
    names = ("balance_micros", "held_micros", "credit_limit_micros", "daily_cap_micros")
    return {name: getattr(book, name, None) for name in names}


def open_holds(book_id: int | None = None) -> Sequence[OpenHold]:
    """All holds that are open, or those of one book. Within a `read` or a unit."""
    rows = _tables.Hold.select(
        _tables.Hold.leg, _tables.Hold.book, _tables.Book.currency, _tables.Hold.amount_micros
    ).join(_tables.Book)
    rows = rows.where(_tables.Hold.state == HoldState.OPEN)
    if book_id is not None:
        rows = rows.where(_tables.Hold.book == book_id)
    return [OpenHold(*row) for row in rows.tuples()]
