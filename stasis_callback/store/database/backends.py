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
from typing import Any

import peewee

from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError, StoreUnavailable
from stasis_callback.store.database.lending import Lending
from stasis_callback.store.database.name_locks import use_of
from stasis_callback.store.database.patience import Patience
from stasis_callback.store.database.sqlite_files import require_one_name, sqlite_path, why_not_opened
from stasis_callback.store.database.sqlite_pool import BUSY_TIMEOUT_S, SqlitePool
from stasis_callback.store.database.sqlite_pool import trouble_of as sqlite_trouble
from stasis_callback.store.database.trouble import Busy, Trouble, words_of

CONNECTIONS_LIMIT = 64
OLDEST_POSTGRESQL = 140_000
"""`pg_terminate_backend` waits for the end of a process since then (`name_locks.py`)."""
LOCK_TIMEOUT = "4s"
"""Less than a thread waits for an answer: one that waits for a lock is told so, and its connection lives."""
_SERVER_SETTINGS = {
    # A commit is on disk when it returns, regardless of the server's default.
    "synchronous_commit": "on",
    "timezone": "UTC",
    "statement_timeout": "60s",
    "lock_timeout": LOCK_TIMEOUT,
    "idle_in_transaction_session_timeout": "60s",
    # No statement is worth compiling, and a report is not to take the processors that calls need.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # As for a solid-state disk or memory: at 4, from the days of disks that turn, a report by customer of thirty days
    # reads the totals of all days from end to end in place of a few thousand rows by their index.
    # At 1.1 the totals of accounts are read by their index, which takes half as long again as page by page.
    "random_page_cost": "1.3",
    # To sort or group a hundred thousand totals in memory; statements beside calls need none of it.
    "work_mem": "16MB",
}
_MIGRATION_LOCK = 7_239_401
_CHANNEL = "stasis_callback_queue"
POLL_S = 0.2


class Wakeups(ABC):
    """Hears of changes that other processes committed. Used by one thread."""

    @abstractmethod
    def wait(self, pause: Callable[[float], object]) -> bool:
        """Wait briefly. Returns whether something may have changed. `pause` waits for a number of seconds."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""


class Engine(ABC):
    """What differs between the kinds of databases, for one open database."""

    kind: str
    moment: str
    """The statement that begins a transaction of reads, all of which see one moment."""
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
        """Prevent other processes from migrating at the same time."""

    @abstractmethod
    def notify(self) -> None:
        """Tell other processes, with the commit of this transaction, that the queue has changed."""

    @abstractmethod
    def wakeups(self) -> Wakeups:
        """The wakeups for `notify`."""

    def close(self) -> None:
        """Close what is not in use, and what comes back later. SQLite does not survive it under its thread."""
        self.peewee.shut()

    @abstractmethod
    def trouble(self, error: Exception) -> Trouble | None:
        """The kind of database failure of an error; None if the error is not a database failure."""

    def go_on_after(self, table: str, has_counter: bool) -> None:  # noqa: B027 - SQLite's counter follows by itself
        """Rows with ids were put into `table`: the ids of new ones begin after them."""

    def broken(self) -> None:  # noqa: B027 - a file does not break
        """A connection has broken: drop it, and those that wait in the pool, they are broken too."""


class SqliteWakeups(Wakeups):
    """SQLite counts the commits of others on every connection; asking costs some microseconds."""

    def __init__(self, path: Path) -> None:
        # A separate connection, because the counter does not change with commits on its own connection.
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._seen = self._version()

    def wait(self, pause: Callable[[float], object]) -> bool:
        """Wait a fifth of a second, then check for commits of other processes."""
        pause(POLL_S)
        before, self._seen = self._seen, self._version()
        return self._seen != before

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


class PostgresqlWakeups(Wakeups):
    """Wakeups by LISTEN on a separate connection."""

    def __init__(self, url: str) -> None:
        import psycopg

        from stasis_callback.store.database.postgres_pool import LINK_OPTIONS

        self._connection = psycopg.connect(url, autocommit=True, **LINK_OPTIONS)
        self._connection.execute(f"LISTEN {_CHANNEL}")

    def wait(self, pause: Callable[[float], object]) -> bool:
        """Wait for a notification, at most a second, so that the waiting thread can be stopped."""
        return any(True for _ in self._connection.notifies(timeout=1.0, stop_after=1))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Sqlite(Engine):
    """An SQLite file."""

    kind = "sqlite"
    moment = "BEGIN DEFERRED"

    def __init__(self, url: str, patience: Patience) -> None:
        path = sqlite_path(url)
        if not path.parent.is_dir():
            raise CallbackError(f"the folder of the database, {path.parent}, does not exist: create it first")
        require_one_name(path)
        self._path = path
        self._patience = patience
        self._use = use_of(path)
        self.peewee = SqlitePool(
            str(path),
            max_connections=CONNECTIONS_LIMIT,
            lock_type="IMMEDIATE",
            check_same_thread=False,
            pragmas={
                "busy_timeout": int(BUSY_TIMEOUT_S * 1000),
                "journal_mode": "wal",
                "synchronous": "full",
                "foreign_keys": 1,
            },
        )
        # SQLite lets one writer in and makes the others poll for their turn. Within this process the turn is handed
        # over at once, in the order of asking.
        self._turn: Lending[str] = Lending(patience)
        self._turn.give("turn")
        try:
            patience.again(self._try, lambda error: sqlite_trouble(error) is Trouble.PASSING)
        except (peewee.OperationalError, peewee.DatabaseError, Busy) as error:
            self._use.release()
            passes = sqlite_trouble(error) is Trouble.PASSING
            raise why_not_opened(path, error, passes=passes) from error

    def _try(self) -> None:
        # Before the file is looked at: `restore` has the lock alone while it puts another in its place.
        if not self._use.take():
            raise Busy("another process is putting another database in its place")
        self.peewee.connect()
        self.peewee.close()

    def close(self) -> None:
        """Close it, and give up its use."""
        super().close()
        self._use.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Admit only one writer in this process at a time."""
        turn = self._turn.take()
        if turn is None:
            raise Busy("other processes were writing for too long")
        try:
            yield
        finally:
            self._turn.give(turn)

    def trouble(self, error: Exception) -> Trouble | None:
        """Classify an error by SQLite's error code."""
        return sqlite_trouble(error)

    def pipelined(self) -> AbstractContextManager[object]:
        """Without a pipeline: statements are executed immediately."""
        return nullcontext()

    def lock(self, name: str) -> None:
        """Nothing to do: a transaction is the only one that writes."""

    def migrating(self) -> AbstractContextManager[object]:
        """Each migration is a transaction; of two processes one finds it done."""
        return self.writing()

    def notify(self) -> None:
        """Nothing to do: other processes detect the commit itself."""

    def wakeups(self) -> Wakeups:
        """Wakeups by polling."""
        return SqliteWakeups(self._path)


class Postgresql(Engine):
    """A PostgreSQL server."""

    kind = "postgresql"
    moment = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, url: str, patience: Patience) -> None:
        try:
            from stasis_callback.store.database.postgres_pool import (
                PostgresPool,
                is_away,
                may_be_a_standby,
                trouble_of,
            )
        except ImportError:
            raise CallbackError(
                "PostgreSQL requires psycopg: install it with `pip install 'stasis-callback[postgres]'`"
            ) from None
        if may_be_a_standby(url):
            raise CallbackError(
                "the database url names several servers, of which only one can be written to: "
                "add ?target_session_attrs=read-write"
            )
        self._url = url
        self.peewee = PostgresPool(
            url,
            patience,
            options=" ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
        )
        self._trouble_of = trouble_of
        try:
            self.peewee.open_one()
        except (peewee.ImproperlyConfigured, peewee.DatabaseError) as error:
            words = f"the database server cannot be used: {words_of(error)}"
            raise (StoreUnavailable if is_away(url) else CallbackError)(words) from error
        version = self.peewee.server_version
        if version < OLDEST_POSTGRESQL:
            raise CallbackError("this PostgreSQL is too old: install version 14 or newer")

    def writing(self) -> AbstractContextManager[object]:
        """Admit any number of concurrent writers."""
        return nullcontext()

    def trouble(self, error: Exception) -> Trouble | None:
        """Classify an error by PostgreSQL's error code."""
        return self._trouble_of(error)

    def pipelined(self) -> AbstractContextManager[object]:
        """A psycopg pipeline: statements are sent without waiting for each result."""
        return self.peewee.pipelined()  # type: ignore[no-any-return]

    def lock(self, name: str) -> None:
        """An advisory lock on a hash of the name, given back by the commit. Its row is read: that waits for it."""
        self.peewee.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,)).fetchone()

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Hold an advisory lock of the session."""
        self.peewee.execute_sql("SET lock_timeout = 0")  # the process that is migrating may need a while
        self.peewee.execute_sql("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        self.peewee.execute_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            yield
        finally:
            self.peewee.execute_sql("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))

    def notify(self) -> None:
        """NOTIFY; the server sends it with the commit."""
        self.peewee.execute_sql(f"NOTIFY {_CHANNEL}")

    def wakeups(self) -> Wakeups:
        """Wakeups by LISTEN."""
        return PostgresqlWakeups(self._url)

    def go_on_after(self, table: str, has_counter: bool) -> None:
        """Advance the identity sequence of a table."""
        if has_counter:
            highest = f"(SELECT COALESCE(MAX(id), 0) + 1 FROM {table})"
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            self.peewee.execute_sql(f"SELECT setval({sequence}, {highest}, false)")

    def broken(self) -> None:
        """After a restart of the server every waiting connection is broken; each would fail once."""
        self.peewee.broken()


def open_engine(url: str, patience: Patience | None = None) -> Engine:
    """The database of a URL. Raises CallbackError that says what is wrong with it."""
    patience = patience or Patience(Clock())
    if url.startswith("sqlite:///"):
        return Sqlite(url, patience)
    if url.startswith("postgresql://"):
        return Postgresql(url, patience)
    raise CallbackError(
        "invalid database url: write sqlite:///path/to/file.db or postgresql://user@host/name"
    )
