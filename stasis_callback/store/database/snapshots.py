"""Long reads while the service is running: one consistent snapshot after another, without blocking writers.

On SQLite a look (snapshot) is a read transaction of the write-ahead log, on a separate connection; on PostgreSQL one
with REPEATABLE READ, READ ONLY. It should be short: while it lasts, SQLite's log cannot be reset and grows with every
write, and PostgreSQL cannot vacuum.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.sqlite_files import sqlite_path
from stasis_callback.store.database.sqlite_pool import BUSY_TIMEOUT_S


class Snapshots(ABC):
    """A connection for reading. For one thread, which closes it."""

    kind: str
    """`sqlite` or `postgresql`."""

    @abstractmethod
    @contextmanager
    def look(self) -> Iterator[None]:
        """Within the block, `rows` sees one moment. Raises StoreUnavailable when the database cannot be read."""
        yield

    @abstractmethod
    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a SELECT; values are marked by `?`. So it must be one of few."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


class SqliteSnapshots(Snapshots):
    """Reads on a separate read-only connection."""

    kind = "sqlite"

    def __init__(self, url: str) -> None:
        try:
            self._connection = sqlite3.connect(sqlite_path(url), timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._connection.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    @contextmanager
    def look(self) -> Iterator[None]:
        """The first SELECT decides which moment it is."""
        try:
            self._connection.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()


class PostgresqlSnapshots(Snapshots):
    """Reads on a separate connection, in a REPEATABLE READ transaction."""

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        import psycopg

        from stasis_callback.store.database.postgres_pool import LINK_OPTIONS

        self._unavailable = (psycopg.OperationalError, psycopg.InterfaceError)
        try:
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                options="-c statement_timeout=60s -c timezone=UTC",
                **LINK_OPTIONS,
            )
        except self._unavailable as error:
            raise StoreUnavailable(f"the database cannot be read: {_line(error)}") from error

    @contextmanager
    def look(self) -> Iterator[None]:
        """The first SELECT decides which moment it is."""
        try:
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
            self._connection.execute("ROLLBACK")
        except self._unavailable as error:
            raise StoreUnavailable(f"the database cannot be read: {_line(error)}") from error
        except BaseException:
            self._connection.rollback()
            raise

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        return self._connection.execute(statement.replace("?", "%s"), values).fetchall()

    def close(self) -> None:
        self._connection.close()


def open_snapshots(database: Database) -> Snapshots:
    """A separate connection for reading the open database. Raises StoreUnavailable if it cannot be opened."""
    return (SqliteSnapshots if database.kind == "sqlite" else PostgresqlSnapshots)(database.url)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
