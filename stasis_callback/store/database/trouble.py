"""What kind of trouble an error of the database is."""

from __future__ import annotations

from enum import Enum


class Trouble(Enum):
    """A database that cannot be used now. What else an error may be (a constraint, a mistake) is none."""

    PASSING = "locked, in a deadlock: the same may work soon"
    BROKEN = (
        "the connection is gone, or leads to a server that cannot be used: it may work soon, on another one"
    )
    LASTING = "full, unreadable: to try again at once is in vain"

    @property
    def passes(self) -> bool:
        """Whether to try again soon."""
        return self is not Trouble.LASTING


class Busy(Exception):
    """Nothing was to be had in time: no turn to write, no connection. A `PASSING` trouble."""


def cause_of(error: BaseException) -> BaseException:
    """What the driver has raised, behind what peewee makes of it, sometimes twice."""
    while isinstance(cause := getattr(error, "orig", None), BaseException):
        error = cause
    return error


def words_of(error: BaseException) -> str:
    """What the driver says, on one line."""
    return " ".join(str(cause_of(error)).split())
