"""The two kinds of database, and all in which they differ: how to open one, who may write when, what a lock is.

SQLite: write-ahead log, `synchronous=FULL` (NORMAL may lose the last commits when the power fails), and every
transaction starts as a writer (`BEGIN IMMEDIATE`): a deferred one that reads first and writes later fails at once
with "locked" when another has written in between, whatever the busy timeout says (measured: 422 of 480). So there is
one writer at a time, and whatever a transaction has read stays true until it commits.

PostgreSQL: many writers at READ COMMITTED. What a transaction reads may be changed by another before it commits;
where it decides by what it read, it locks the name of what it decides about first (`Database.lock`).
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import peewee
from peewee import ModelSelect
from playhouse.pool import PooledSqliteDatabase

from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError

Row = TypeVar("Row", bound=peewee.Model)

BUSY_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 5
CONNECTIONS_LIMIT = 64
OLDEST_POSTGRESQL = 130_000
_SERVER_SETTINGS = {
    # A commit is on the disk when it returns, whatever the server's default is.
    "synchronous_commit": "on",
    "timezone": "UTC",
    "statement_timeout": "60s",
    "lock_timeout": f"{BUSY_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": "60s",
}
_MIGRATION_LOCK = 7_239_401
_CHANNEL = "stasis_callback_queue"
POLL_S = 0.2


class Wakeups(ABC):
    """Hears of changes that other processes committed. Used by one thread."""

    @abstractmethod
    def wait(self, pause: Callable[[float], object]) -> bool:
        """Wait a little; whether something may have changed. `pause` waits so many seconds."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""


class Engine(ABC):
    """One open database."""

    kind: str
    peewee: Any
    """A pooled database of peewee's."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[object]:
        """Wait for one's turn to write, where there are turns."""

    @abstractmethod
    def pipelined(self) -> AbstractContextManager[object]:
        """For a transaction: its statements need not be waited for one by one."""

    @abstractmethod
    def lock(self, name: str) -> None:
        """Let no other transaction that locks the same name go on until this one is over."""

    @abstractmethod
    def migrating(self) -> AbstractContextManager[object]:
        """Let no other process migrate meanwhile."""

    @abstractmethod
    def taking(self, rows: ModelSelect[Row]) -> ModelSelect[Row]:
        """Rows that this transaction is about to take, without waiting for those that another is taking."""

    @abstractmethod
    def notify(self) -> None:
        """Tell other processes, with the commit of this transaction, that the queue has changed."""

    @abstractmethod
    def wakeups(self) -> Wakeups:
        """What hears of it."""

    def go_on_after(self, table: str, has_counter: bool) -> None:  # noqa: B027 - SQLite's counter follows by itself
        """Rows with ids were put into `table`: the ids of new ones begin after them."""

    def broken(self) -> None:  # noqa: B027 - a file does not break
        """A connection has broken: drop those that wait in the pool, they are broken too."""


class SqliteWakeups(Wakeups):
    """SQLite counts the commits of others on every connection; asking costs some microseconds."""

    def __init__(self, path: Path) -> None:
        # A connection of its own: its counter would not move with commits through itself.
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._seen = self._version()

    def wait(self, pause: Callable[[float], object]) -> bool:
        """Ask again after a fifth of a second."""
        pause(POLL_S)
        before, self._seen = self._seen, self._version()
        return self._seen != before

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


class PostgresqlWakeups(Wakeups):
    """LISTEN on a connection of its own."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        self._connection.execute(f"LISTEN {_CHANNEL}")

    def wait(self, pause: Callable[[float], object]) -> bool:
        """Until the server says something, for a second at most, so that whoever waits can be stopped."""
        return any(True for _ in self._connection.notifies(timeout=1.0, stop_after=1))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Sqlite(Engine):
    """A file."""

    kind = "sqlite"

    def __init__(self, url: str, clock: Clock) -> None:
        path = sqlite_path(url)
        if not path.parent.is_dir():
            raise CallbackError(f"the folder of the database, {path.parent}, does not exist: create it first")
        self.peewee = PooledSqliteDatabase(
            str(path),
            max_connections=CONNECTIONS_LIMIT,
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
        # SQLite lets one writer in and makes the others poll for their turn, with pauses that grow to 100 ms. Within
        # this process a lock hands the turn over at once; the busy timeout remains for other processes.
        self._writer = clock.lock()
        self._path = path
        try:
            self.peewee.connect()
            self.peewee.close()
        except (peewee.OperationalError, peewee.DatabaseError) as error:
            raise CallbackError(f"the database {path} cannot be opened: {error}") from error

    def writing(self) -> AbstractContextManager[object]:
        """The one writer of this process."""
        return self._writer

    def pipelined(self) -> AbstractContextManager[object]:
        """They are done at once."""
        return nullcontext()

    def lock(self, name: str) -> None:
        """Nothing to do: a transaction is the only one that writes."""

    def migrating(self) -> AbstractContextManager[object]:
        """Each migration is a transaction; of two processes one finds it done."""
        return self._writer

    def taking(self, rows: ModelSelect[Row]) -> ModelSelect[Row]:
        """As they are: nobody else takes any."""
        return rows

    def notify(self) -> None:
        """Nothing to do: the commit itself is seen."""

    def wakeups(self) -> Wakeups:
        """Polls."""
        return SqliteWakeups(self._path)


class Postgresql(Engine):
    """A server."""

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        try:
            from stasis_callback.store.postgres_pool import PostgresPool
        except ImportError:
            raise CallbackError(
                "PostgreSQL needs psycopg: install it with `pip install 'stasis-callback[postgres]'`"
            ) from None
        self._url = url
        self.peewee = PostgresPool(
            url,
            max_connections=CONNECTIONS_LIMIT,
            timeout=BUSY_TIMEOUT_S,
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=30,
            options=" ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
        )
        try:
            self.peewee.connect()
            version = self.peewee.server_version
            self.peewee.close()
        except (peewee.ImproperlyConfigured, peewee.OperationalError, peewee.DatabaseError) as error:
            words = " ".join(str(error).split())
            raise CallbackError(f"the database server cannot be used: {words}") from error
        if version < OLDEST_POSTGRESQL:
            raise CallbackError("this PostgreSQL is too old: install version 13 or newer")

    def writing(self) -> AbstractContextManager[object]:
        """Everybody at once."""
        return nullcontext()

    def pipelined(self) -> AbstractContextManager[object]:
        """A pipeline of psycopg's."""
        return self.peewee.pipelined()  # type: ignore[no-any-return]

    def lock(self, name: str) -> None:
        """An advisory lock on a hash of the name, given back by the commit. Its row is read: that waits for it."""
        self.peewee.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,)).fetchone()

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """An advisory lock of the connection."""
        self.peewee.execute_sql("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        try:
            yield
        finally:
            self.peewee.execute_sql("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))

    def taking(self, rows: ModelSelect[Row]) -> ModelSelect[Row]:
        """Locked, and those that are locked already left out."""
        return rows.for_update("FOR UPDATE SKIP LOCKED")  # type: ignore[arg-type]  # the stubs know of True only

    def notify(self) -> None:
        """NOTIFY; the server sends it with the commit."""
        self.peewee.execute_sql(f"NOTIFY {_CHANNEL}")

    def wakeups(self) -> Wakeups:
        """Listens."""
        return PostgresqlWakeups(self._url)

    def go_on_after(self, table: str, has_counter: bool) -> None:
        """Move the identity's sequence."""
        if has_counter:
            highest = f"(SELECT COALESCE(MAX(id), 0) + 1 FROM {table})"  # noqa: S608 - our own name
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            self.peewee.execute_sql(f"SELECT setval({sequence}, {highest}, false)")

    def broken(self) -> None:
        """After a restart of the server every waiting connection is broken; each would fail once."""
        self.peewee.close_idle()


def sqlite_path(url: str) -> Path:
    """The file behind `sqlite:///path`."""
    return Path(url.removeprefix("sqlite:///"))


def open_engine(url: str, clock: Clock | None = None) -> Engine:
    """The database of a URL. Raises CallbackError that says what is wrong with it."""
    if url.startswith("sqlite:///"):
        return Sqlite(url, clock or Clock())
    if url.startswith("postgresql://"):
        return Postgresql(url)
    raise CallbackError(
        "the database url cannot be used: write sqlite:///path/to/file.db or postgresql://user@host/name"
    )
