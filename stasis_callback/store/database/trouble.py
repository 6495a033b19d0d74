"""Classification of database errors."""

from __future__ import annotations

from enum import Enum


class Trouble(Enum):
    """Kinds of database unavailability. Constraint violations and bugs are not among them."""

    PASSING = "locked, in a deadlock: the same may work soon"
    BROKEN = (
        "the connection is gone, or leads to a server that cannot be used: it may work soon, on another one"
    )
    LASTING = "full, unreadable: to try again at once is in vain"

    @property
    def passes(self) -> bool:
        """Whether the failure is temporary, so that a retry makes sense."""
        return self is not Trouble.LASTING


class Busy(Exception):
    """Nothing was to be had in time: no turn to write, no connection. A `PASSING` trouble."""


def cause_of(error: BaseException) -> BaseException:
    """What the driver has raised, behind what peewee makes of it, sometimes twice."""
    while isinstance(cause := getattr(error, "orig", None), BaseException):
        error = cause
    return error


def words_of(error: BaseException) -> str:
    """The driver's error message on one line."""
    return " ".join(str(cause_of(error)).split())
