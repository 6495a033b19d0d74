"""Locks on names that are released when their process dies: whether a node is alive does not depend on a clock.

On SQLite a lock is the kernel's, on a file beside the database; on PostgreSQL it is an advisory lock of a connection
of its own. Both are free again the moment their process is gone, however it went.

One lock of a file is shared: every process has that of the database while it has this open (`SharedLock`), so that
nobody puts another in its place meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.store.database.patience import Patience
from stasis_callback.store.database.sqlite_files import (
    IN_USE,
    beside,
    require_one_name,
    sqlite_path,
    why_not_opened,
)
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
_END_FORMER = f"""SELECT pg_terminate_backend(pid, 2000) FROM pg_locks JOIN pg_stat_activity USING (pid)
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
    """A name lock by `flock` on an empty file beside that of the database."""

    kind = fcntl.LOCK_EX

    def __init__(self, database: Path, name: str) -> None:
        self._database, self._path = database, beside(database, name)
        self._file: int | None = None

    def take(self) -> bool:
        """Lock the file; it is created if it does not exist. Raises CallbackError where that cannot be."""
        if self.held():
            return True
        self.release()
        try:
            file = _opened(self._path)
        except OSError as error:
            raise why_not_opened(self._database, error, passes=False) from error
        if not _lock(file, self.kind):
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


class SharedLock(FileLock):
    """The same lock for any number of owners, none of whom has it while another has it alone."""

    kind = fcntl.LOCK_SH


class SessionLock(NameLock):
    """A name lock by `pg_advisory_lock` on a separate connection, which is re-established if it is lost."""

    _taking = threading.Lock()
    _here: ClassVar[MutableMapping[tuple[str, str], SessionLock]] = weakref.WeakValueDictionary()
    """Who has it, by owner and name: another thread that has it now is no former one that can be ended."""

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
            with self._taking:
                return self._take()
        except psycopg.Error as error:
            self.release()
            raise StoreUnavailable(f"the database is unavailable: {' '.join(str(error).split())}") from error

    def _take(self) -> bool:
        other = self._here.get((self._owner, self._name))
        if other is not None and other._is_ours:
            return False
        self._connect()
        if not self._ask():
            self._connection.execute(_END_FORMER, {"me": self._owner, "name": self._name})
            self._ask()
        if self._is_ours:
            self._here[self._owner, self._name] = self
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
    return FileLock(sqlite_path(url), name)


def use_of(path: Path) -> SharedLock:
    """The lock of those who have the database in this file open. Nothing is taken yet."""
    return SharedLock(path, IN_USE)


@contextmanager
def alone_at(url: str) -> Iterator[None]:
    """Within the block no other process has the database file of this URL open, or opens one there.

    Raises InvalidInput while one has: a service, a part of it that runs alone, the console, a command.
    """
    path = sqlite_path(url)
    require_one_name(path)
    if nodes := _services_at(url):
        raise InvalidInput(f"node {nodes[0]} is running on {path}: stop its service first")
    alone = FileLock(path, IN_USE)
    if not alone.take():
        raise InvalidInput(
            f"the database {path} is in use: stop everything that has it open first (also `run --only web`, "
            f"`run --only journal`, the console, commands); `fuser -v {beside(path, IN_USE)}` names the processes"
        )
    try:
        yield
    finally:
        alone.release()


def taken_names(url: str, names: Iterable[str]) -> set[str]:
    """Which of `names` somebody has now. Within `reading()`: on PostgreSQL the server is asked."""
    if url.startswith("postgresql:"):
        return {name for name in names if run(_TAKEN, name, name).fetchone()}
    return {name for name in names if _is_locked(beside(sqlite_path(url), name))}


def _services_at(url: str) -> list[str]:
    """The nodes that are running on the database file of this URL, or where it would be: they hold its locks."""
    path = sqlite_path(url)
    locks = [file.name.removeprefix(f"{path.name}.") for file in path.parent.glob(f"{path.name}.node-*")]
    return sorted(name.removeprefix("node-") for name in taken_names(url, locks))


def _opened(path: Path) -> int:
    """An open file, created where there is none. It becomes the service's own, not root's, as SQLite does it."""
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    if os.geteuid() == 0:
        owner, now = path.parent.stat(), os.fstat(file)
        if (owner.st_uid, owner.st_gid) != (now.st_uid, now.st_gid):
            with suppress(OSError):  # of a file system that knows no owners
                os.fchown(file, owner.st_uid, owner.st_gid)
    return file


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
