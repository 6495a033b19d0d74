"""What other subpackages may read from the books: they never access the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from peewee import JOIN, ModelSelect

from stasis_callback.core.states import HoldState
from stasis_callback.store.database.tables import Table
from stasis_callback.store.money.tables import Book, Hold

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
    joined: ModelSelect[Row] = rows.select_extend(Book).switch(model).join(Book, JOIN.LEFT_OUTER)
    return joined


def amounts(book: Any) -> dict[str, object]:
    """The funds of a book as a record; all values are None if there is no book."""
    names = ("balance_micros", "held_micros", "credit_limit_micros", "daily_cap_micros")
    return {name: getattr(book, name, None) for name in names}


def open_holds(book_id: int | None = None) -> Sequence[OpenHold]:
    """All holds that are open, or those of one book. Within a `read` or a unit."""
    rows = Hold.select(Hold.leg, Hold.book, Book.currency, Hold.amount_micros).join(Book)
    rows = rows.where(Hold.state == HoldState.OPEN)
    if book_id is not None:
        rows = rows.where(Hold.book == book_id)
    return [OpenHold(*row) for row in rows.tuples()]
