"""Opening the database safely, and the two ways to use it: `reading()` and `transaction()`.

SQLite: write-ahead log, `synchronous=FULL` (NORMAL may lose the last commits when the power fails), and every
transaction starts as a writer (`BEGIN IMMEDIATE`): a deferred one that reads first and writes later fails at once
with "locked" when another has written in between, whatever the busy timeout says (measured: 422 of 480).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from peewee import OperationalError
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

from stasis_callback.core.errors import CallbackError, require
from stasis_callback.store import models

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 10
READERS_LIMIT = 64


class Database:
    """An open database. Safe for any number of threads; each use takes a connection from a pool for its duration."""

    def __init__(self, url: str) -> None:
        """Open `sqlite:///path`. Raises CallbackError when the URL or the file cannot be used.

        One at a time in a process: the models know one database only, and a transaction on another would not
        hold theirs together.
        """
        require(
            models.bound_database.obj is None, "a database is open in this process already: close it first"
        )
        self.url = url
        self._peewee = _open(url)
        # SQLite lets one writer in and makes the others poll for their turn, with pauses that grow to 100 ms. Within
        # this process a lock hands the turn over at once; the busy timeout remains for other processes.
        self._writer = threading.RLock()
        models.bound_database.initialize(self._peewee)

    def close(self) -> None:
        """Close every connection. Uses of the database that are under way in other threads end with an error."""
        self._peewee.close_all()
        models.bound_database.initialize(None)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A connection for a few SELECTs. What they see may be out of date at once; never base money on it."""
        with _connected(self._peewee):
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block is left. Nested use joins the outer transaction."""
        with self._writer, _connected(self._peewee), self._peewee.atomic():
            yield

    def migrate(self) -> list[str]:
        """Bring the tables up to date; the names of the migrations that were applied."""
        with self._writer, _connected(self._peewee):
            return list(Runner(self._peewee, str(MIGRATIONS)).up())

    def pending_migrations(self) -> list[str]:
        """Names of migrations that `migrate` would apply."""
        with _connected(self._peewee):
            return [m.name for m in Runner(self._peewee, str(MIGRATIONS)).status() if not m.applied]


@contextmanager
def _connected(database: peewee.Database) -> Iterator[None]:
    """A pooled connection for this thread, given back at the end unless it was taken further out already."""
    fresh = database.connect(reuse_if_open=True)
    try:
        yield
    finally:
        if fresh:
            database.close()


def _open(url: str) -> PooledSqliteDatabase:
    if not url.startswith("sqlite:///"):
        raise CallbackError(f"database url {url!r}: write sqlite:///path/to/file.db")
    path = Path(url.removeprefix("sqlite:///"))
    if not path.parent.is_dir():
        raise CallbackError(f"the folder of the database, {path.parent}, does not exist: create it first")
    database = PooledSqliteDatabase(
        str(path),
        max_connections=READERS_LIMIT,
        timeout=BUSY_TIMEOUT_S,
        lock_type="IMMEDIATE",
        check_same_thread=False,
        pragmas={
            "journal_mode": "wal",
            "synchronous": "full",
            "foreign_keys": 1,
            "busy_timeout": BUSY_TIMEOUT_S * 1000,
        },
    )
    try:
        database.connect()
        database.close()
    except (OperationalError, peewee.DatabaseError) as error:
        raise CallbackError(f"the database {path} cannot be opened: {error}") from error
    return database
