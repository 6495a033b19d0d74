"""Locks on names that are released when their process dies: whether a node is alive does not depend on a clock.

On SQLite a lock is the kernel's, on a file beside the database; on PostgreSQL it is an advisory lock of a connection
of its own. Both are free again the moment their process is gone, however it went.
"""

from __future__ import annotations

import fcntl
import os
import select
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.database.backends import sqlite_path
from stasis_callback.store.database.patience import Patience
from stasis_callback.store.database.statements import run

_SESSION: dict[str, Any] = {
    # Either end notices within a dozen seconds that the other has gone without a word. Until the server does, it
    # keeps the lock for nobody.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
}

_OF_NAME = """locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = (hashtextextended({name}, 0) >> 32) & 4294967295
    AND objid::bigint = hashtextextended({name}, 0) & 4294967295"""
_TAKEN = f"SELECT 1 FROM pg_locks WHERE {_OF_NAME.format(name='?')}"
_END_FORMER = f"""SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE application_name = %(me)s AND pid <> pg_backend_pid() AND {_OF_NAME.format(name="%(name)s")}"""


class NameLock(ABC):
    """The lock of one name, used by one thread at a time."""

    @abstractmethod
    def take(self) -> bool:
        """Have it from now on; False when another has it. Raises StoreUnavailable."""

    @abstractmethod
    def held(self) -> bool:
        """Whether it is still ours. Asks nobody, so it is quick; a connection that went may be noticed later."""

    @abstractmethod
    def release(self) -> None:
        """Give it back; nothing happens when we do not have it."""

    def forget(self) -> None:
        """Give it back, and leave no trace of the name."""
        self.release()


class FileLock(NameLock):
    """A name lock by `flock` on an empty file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Lock the file; it is created if it does not exist."""
        if self.held():
            return True
        self.release()
        file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        if not _lock(file, fcntl.LOCK_EX):
            os.close(file)
            return False
        self._file = file
        self._closing = weakref.finalize(self, os.close, file)
        # The file may have been removed in the meantime by the previous owner of the name: then the lock is void.
        return self.held()

    def held(self) -> bool:
        """Whether the file that we have locked is the one of this name."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._closing()
            self._file = None

    def forget(self) -> None:
        """Remove it, then close it."""
        if self.held():
            self._path.unlink()
        self.release()


class SessionLock(NameLock):
    """A name lock by `pg_advisory_lock` on a separate connection, which is re-established if it is lost."""

    def __init__(self, url: str, name: str, owner: str) -> None:
        """`owner` marks our connections, so that a former one, which the server still believes in, can be ended."""
        self._url, self._name = url, name
        self._owner = f"stasis-callback {owner}"
        self._patience = Patience(Clock())
        self._connection: Any = None
        self._is_ours = False

    def take(self) -> bool:
        """Ask for the lock; a former connection of ours that still has it is ended."""
        import psycopg

        if self.held():
            return True
        try:
            self._connect()
            if not self._ask():
                self._connection.execute(_END_FORMER, {"me": self._owner, "name": self._name})
                self._ask()
        except psycopg.Error as error:
            self.release()
            raise StoreUnavailable(f"the database is unavailable: {' '.join(str(error).split())}") from error
        return self._is_ours

    def held(self) -> bool:
        """Whether the connection is there. The socket says so when it is not: the server need not be asked."""
        import psycopg

        if not self._is_ours:
            return False
        poller = select.poll()
        try:
            poller.register(self._connection.fileno(), select.POLLIN)
            while poller.poll(0):
                self._connection.pgconn.consume_input()
        except psycopg.Error:
            self.release()
        return self._is_ours

    def release(self) -> None:
        """Close the connection, and with it the lock."""
        if self._connection is not None:
            self._closing()
        self._connection, self._is_ours = None, False

    def _connect(self) -> None:
        from stasis_callback.store.database.postgres_pool import open_line

        if self._connection is not None and not self._connection.closed:
            return
        self.release()
        self._connection = open_line(self._url, self._patience, application_name=self._owner, **_SESSION)
        self._closing = weakref.finalize(self, self._connection.close)

    def _ask(self) -> bool:
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._name,)
        ).fetchone()
        self._is_ours = bool(row[0])
        return self._is_ours


def name_lock(url: str, name: str, owner: str) -> NameLock:
    """The lock of a name in the database of this URL. Nothing is taken yet."""
    if url.startswith("postgresql:"):
        return SessionLock(url, name, owner)
    return FileLock(_file(url, name))


def taken_names(url: str, names: Iterable[str]) -> set[str]:
    """Which of `names` somebody has now. Within `reading()`: on PostgreSQL the server is asked."""
    if url.startswith("postgresql:"):
        return {name for name in names if run(_TAKEN, name, name).fetchone()}
    return {name for name in names if _is_locked(_file(url, name))}


def _file(url: str, name: str) -> Path:
    database = sqlite_path(url)
    return database.with_name(f"{database.name}.{name}")


def _is_locked(path: Path) -> bool:
    """Whether another has it. A shared lock shows that, and keeps off a start of this moment, which asks again."""
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY)
        try:
            return not _lock(file, fcntl.LOCK_SH)
        finally:
            os.close(file)
    return False


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
