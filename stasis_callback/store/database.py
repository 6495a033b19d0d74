"""Opening the database safely, and the two ways to use it: `reading()` and `transaction()`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import InterfaceError, ModelSelect, OperationalError
from playhouse.migrations import Runner

from stasis_callback.clock import Clock
from stasis_callback.core.errors import require
from stasis_callback.store.engines import Engine, Row, Wakeups, open_engine
from stasis_callback.store.tables import bound_database

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """An open database. Safe for any number of threads; each use takes a connection from a pool for its duration."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        """Open `sqlite:///path` or `postgresql://user@host/name`. Raises CallbackError when it cannot be used.

        One at a time in a process: the models know one database only, and a transaction on another would not
        hold theirs together.
        """
        require(bound_database.obj is None, "a database is open in this process already: close it first")
        self.url = url
        self._engine = open_engine(url, clock)
        self._peewee = self._engine.peewee
        self._part = threading.local()
        self.kind = self._engine.kind
        """`sqlite` or `postgresql`."""
        bound_database.initialize(self._peewee)

    def close(self) -> None:
        """Close what is not in use. Threads that are at it finish their transaction; what they ask next is an error.

        A connection in use is not closed under its thread: SQLite's library does not survive that.
        """
        self._peewee.close()
        self._peewee.close_idle()
        bound_database.initialize(None)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A connection for a few SELECTs. What they see may be out of date at once; never base money on it."""
        with self._connected():
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block is left. Nested use joins the outer transaction.

        A part that fails fails all of it: there is no going on without it.
        """
        if self._peewee.in_transaction():
            try:
                yield
            except BaseException:
                self._part.failed = True
                raise
            return
        with (
            self._engine.writing(),
            self._connected(),
            self._engine.pipelined(),
            self._peewee.atomic(),
        ):
            self._part.failed = False
            yield
            require(not self._part.failed, "a part of this transaction failed: nothing of it can be kept")

    def lock(self, *names: str) -> None:
        """Within a transaction: wait until no other works on any of `names`, and keep others off until the commit.

        For what is decided by looking first. All names at once, so that two can never wait for each other.
        """
        require(self._peewee.in_transaction(), "a lock is for a transaction")
        for name in sorted(names):
            self._engine.lock(name)

    def notify(self) -> None:
        """Within a transaction: when it is committed, let every process that waits for the queue look at it."""
        self._engine.notify()

    def wakeups(self) -> Wakeups:
        """What hears of changes by other processes; for one thread, which closes it."""
        return self._engine.wakeups()

    def taking(self, rows: ModelSelect[Row]) -> ModelSelect[Row]:
        """Rows that this transaction is about to take; what another takes meanwhile is left out."""
        return self._engine.taking(rows)

    def migrate(self) -> list[str]:
        """Bring the tables up to date; the names of the migrations that were applied."""
        with self._connected():
            return migrate(self._engine)

    def pending_migrations(self) -> list[str]:
        """Names of migrations that `migrate` would apply."""
        with self._connected():
            return [m.name for m in Runner(self._peewee, str(MIGRATIONS)).status() if not m.applied]

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """A pooled connection for this thread, given back at the end unless it was taken further out already."""
        fresh = self._peewee.connect(reuse_if_open=True)
        try:
            yield
        except (InterfaceError, OperationalError):
            self._engine.broken()
            raise
        finally:
            if fresh:
                self._peewee.close()


def migrate(engine: Engine) -> list[str]:
    """Bring the tables of an open database up to date; the names of the migrations that were applied."""
    with engine.migrating():
        return list(Runner(engine.peewee, str(MIGRATIONS)).up())
