"""Peewee's pool of SQLite connections, which waits for nothing by itself and never goes on after an error."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import Any

from peewee import OperationalError, __exception_wrapper__  # type: ignore[attr-defined]  # the stubs leave it out
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase

from stasis_callback.store.database.trouble import Busy, Trouble, cause_of

_logger = logging.getLogger("peewee")
"""Where peewee says what it runs."""
BUSY_TIMEOUT_S = 0.1
"""SQLite's own wait for another process, within one try. The long wait is `Patience`."""

_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_LASTING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)


class SqlitePool(PooledSqliteDatabase):  # type: ignore[misc]  # the stubs do not know it
    """The pool. A transaction in which a statement has failed takes no other: SQLite may have ended it already, and
    the next would be committed by itself.
    """

    def __init__(self, path: str, **options: Any) -> None:
        # A thread takes a connection and gives it back; a model that is asked outside must not open one for ever.
        super().__init__(path, autoconnect=False, **options)
        self._shut = False

    def shut(self) -> None:
        """Close this thread's own and what nobody uses; what is in use is closed when it is given back."""
        self._shut = True
        self.close()
        self.close_idle()

    def _connect(self) -> Any:
        if self._shut:
            raise Busy("the database is closed")
        return super()._connect()

    def _can_reuse(self, conn: Any) -> bool:
        return not self._shut and bool(super()._can_reuse(conn))

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement: what peewee does, in a third of the time."""
        transaction = self.top_transaction()
        if transaction is not None and getattr(transaction, "failed", False):
            raise OperationalError("this transaction has failed and accepts no further statements")
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug((sql, params))
        try:
            return self.cursor().execute(sql, params or ())
        except sqlite3.Error:
            if transaction is not None:
                transaction.failed = True
            with __exception_wrapper__:
                raise

    def rollback(self) -> None:
        """Undo what is not undone. The error that led here is the one to tell."""
        with suppress(sqlite3.Error):
            if self.connection().in_transaction:
                self.connection().rollback()


def trouble_of(error: Exception) -> Trouble | None:
    """The kind of database failure of an error."""
    if isinstance(error, Busy | MaxConnectionsExceeded):
        return Trouble.PASSING
    cause = cause_of(error)
    code = getattr(cause, "sqlite_errorcode", None) if isinstance(cause, sqlite3.Error) else None
    primary = None if code is None else code & 0xFF
    if primary in _PASSING:
        return Trouble.PASSING
    return Trouble.LASTING if primary in _LASTING else None
