"""The database of a simulation: its own file, with faults and thread switches at every begin and commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from peewee import InterfaceError, OperationalError

from stasis_callback.store.database.database import Database
from stasis_callback.store.database.sqlite_pool import BUSY_TIMEOUT_S

from .clock import SimClock
from .scheduler import Killed

Kind = Literal["locked", "full", "away"]


@dataclass
class StoreFaults:
    """The current faults of the database. Shared by all processes of a simulation."""

    until_us: dict[str, int] = field(default_factory=dict)
    """By kind, when it is over: `locked` by another process, `full` disk, `away`."""
    before_commit: int = 0
    """The number of commits that fail and are rolled back."""
    after_commit: int = 0
    """The number of commits that succeed but report a failure."""
    on_commit: Callable[[], None] = lambda: None
    """Called before each commit: a plan may kill the process here."""
    after_it: Callable[[], None] = lambda: None
    """Called after each commit."""
    flaky_percent: int = 0
    """In how many of a hundred commits something goes wrong before, and as many after."""
    strikes: Callable[[int], bool] = lambda percent: False
    hit: Callable[[str], None] = lambda kind: None

    def active(self, kind: Kind, now_us: int) -> bool:
        """Whether this fault is active now."""
        return now_us < self.until_us.get(kind, 0)


class Instrumented:
    """A wrapper of peewee's database, in which faults happen."""

    def __init__(self, database: Database, clock: SimClock, faults: StoreFaults) -> None:
        peewee: Any = database._engine.peewee
        self._clock, self._faults = clock, faults
        self._begin, self._commit, self._connect = peewee.begin, peewee.commit, peewee._connect
        peewee.begin, peewee.commit, peewee._connect = self.begin, self.commit, self.connect
        self._rollback = peewee.rollback
        peewee.rollback = self.rollback

    def connect(self) -> Any:
        self._clock.process.check()
        self._away()
        return self._connect()

    def begin(self, *words: Any, **options: Any) -> None:
        """Begin a transaction, after a thread switch; wait for the lock of another process."""
        clock, faults = self._clock, self._faults
        clock.process.check()
        clock.scheduler.give_way()
        self._away()
        now_us = clock.scheduler.now_us
        if faults.active("locked", now_us):
            faults.hit("database locked")
            left_s = (faults.until_us["locked"] - now_us) / 1e6
            clock.sleep(min(left_s, BUSY_TIMEOUT_S))
            if left_s > BUSY_TIMEOUT_S:
                raise failed("database is locked", sqlite3.SQLITE_BUSY)
        self._begin(*words, **options)

    def commit(self) -> None:
        """Commit, unless a fault prevents it or loses the response."""
        faults = self._faults
        try:
            self._before()
        except Killed:
            self._rollback()  # which peewee does for an Exception only; SQLite does it for a process that is gone
            raise
        self._commit()
        faults.after_it()
        self._clock.scheduler.give_way()
        if faults.after_commit or faults.strikes(faults.flaky_percent):
            faults.after_commit = max(faults.after_commit - 1, 0)
            faults.hit("error after commit")
            raise failed("whether it was committed is not known", self._either())

    def _before(self) -> None:
        clock, faults = self._clock, self._faults
        clock.process.check()
        faults.on_commit()
        clock.scheduler.give_way()
        self._away()
        if faults.active("full", clock.scheduler.now_us):
            faults.hit("disk full")
            raise failed("database or disk is full", sqlite3.SQLITE_FULL)
        if faults.before_commit or faults.strikes(faults.flaky_percent):
            faults.before_commit = max(faults.before_commit - 1, 0)
            faults.hit("error before commit")
            raise failed("it was not committed", self._either())

    def rollback(self) -> None:
        """Roll back what was not committed; no effect after a commit."""
        with suppress(OperationalError, InterfaceError):
            self._rollback()

    def _away(self) -> None:
        if self._faults.active("away", self._clock.scheduler.now_us):
            self._faults.hit("database away")
            raise failed("could not connect to server: Connection refused", sqlite3.SQLITE_BUSY)

    def _either(self) -> int:
        """A temporary error (a broken connection) or a lasting one (a disk)."""
        return self._clock.scheduler.random.choice((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR))


def failed(words: str, code: int) -> OperationalError:
    """The error that peewee raises for one of SQLite."""
    cause = sqlite3.OperationalError(words)
    cause.sqlite_errorcode = code
    error: Any = OperationalError(words)
    error.orig = cause
    return cast(OperationalError, error)
