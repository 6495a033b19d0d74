"""A pool of psycopg connections for peewee: nobody waits in it longer than they like. Imported with PostgreSQL only.

A server may be gone, frozen or unreachable, and a connection may be dead without notice. So waiting for an answer is
limited, and connections are opened by threads of the pool, while callers wait for the first one available. After a
failure, one attempt is made at a time and all callers share its result.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from peewee import OperationalError, __exception_wrapper__  # type: ignore[attr-defined]  # the stubs leave it out
from playhouse.postgres_ext import Psycopg3Database
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping

from stasis_callback.store.database.lending import Lending
from stasis_callback.store.database.patience import Patience
from stasis_callback.store.database.trouble import Busy, Trouble, cause_of

CONNECTIONS_LIMIT = 64
CONNECT_TIMEOUT_S = 3
LINK_OPTIONS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    # A peer that is gone without a word is noticed by the kernel, on a connection that waits too.
    "tcp_user_timeout": 4000,
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}

# What goes wrong at the end of a pipeline is the consequence of the error that is told anyhow.
logging.getLogger("psycopg").setLevel(logging.ERROR)

_PASSING = ("40", "55P03", "57014", "53300")
"""Deadlock or conflict, a lock's or a statement's time-out, too many connections."""
_BROKEN = ("08", "57P", "25006", "25P03")
"""Connection lost, server starting or ending, a server that only reads (since a fail-over), idle for too long."""
_LASTING = ("53", "58")
"""Disk full, out of memory, the server's own trouble with its files."""


class PooledConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer as long as its thread likes, and is dead after that."""

    patience: Patience | None = None

    def wait(self, gen: Any, *words: Any, **options: Any) -> Any:
        """Wait for what psycopg waits for."""
        return super().wait(self._limited(gen, self.patience) if self.patience else gen, *words, **options)

    def _limited(self, gen: Any, patience: Patience) -> Generator[Any, Any, Any]:
        """As `gen`, which is told several times a second that nothing has come."""
        silent_from_s = patience.now_s()
        try:
            wanted = next(gen)
            while True:
                if ready := (yield wanted):
                    silent_from_s = patience.now_s()
                elif (silent_s := patience.now_s() - silent_from_s) >= patience.answer_s():
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {silent_s:.0f} seconds")
                wanted = gen.send(ready or 0)
        except StopIteration as done:
            return done.value


def open_line(url: str, patience: Patience, **options: Any) -> PooledConnection:
    """A new connection, to be used at once or for ever. Raises psycopg.Error."""
    line = PooledConnection.connect(url, **{"autocommit": True, **LINK_OPTIONS, **options})
    line.patience = patience
    return line


class PostgresPool(Psycopg3Database):  # type: ignore[misc]  # the stubs do not know it
    """The pool. What peewee builds is done when its call returns; for what `run` sends see `pipelined`."""

    def __init__(self, url: str, patience: Patience, **options: Any) -> None:
        super().__init__(url, autoconnect=False, **options)
        self._patience = patience
        self._here = threading.local()
        self._lending: Lending[PooledConnection] = Lending(patience)
        self._counting = threading.Lock()
        self._lines = 0
        """Connections that there are, and those being made."""
        self._attempts = 0
        self._in_doubt = False
        self._shut = False

    # --- connections -----------------------------------------------------------------------------------------------

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection for this thread; False when it has one."""
        if not self._state.closed:
            if reuse_if_open:
                return False
            raise OperationalError("this thread already has a connection")
        with __exception_wrapper__:
            line = self._take()
        self._state.reset()
        self._state.set_connection(line)
        return True

    def open_one(self) -> None:
        """Make the first connection, in this thread: what is wrong with the address is said at once."""
        with __exception_wrapper__:
            line = self._make()
        self._set_server_version(line)
        self._lines += 1
        self._lending.give(line)

    def close_idle(self) -> None:
        """Close the idle connections."""
        for line in self._lending.take_all_free():
            self._drop(line)

    def shut(self) -> None:
        """Close this thread's own and what nobody uses; what is in use is closed when it is given back."""
        self._shut = True
        self.close()
        self.close_idle()

    def broken(self) -> None:
        """What this thread has is of no use; what waits is neither."""
        if not self.is_closed():
            self._state.conn.close()
            self.close()
        self._in_doubt = True
        self.close_idle()

    def _take(self) -> PooledConnection:
        while not self._shut:
            line = self._lending.take(self._make_more)
            if line is None:
                raise Busy("no connection to the server was available")
            if not self._is_dead(line):
                return line
            self._drop(line)
        raise Busy("the database is closed")

    def _close(self, conn: PooledConnection) -> None:
        """Give a connection back."""
        if conn.closed or not self._adapter.is_connection_reusable(conn) or self._shut:
            self._drop(conn)
            self._make_more()
        else:
            self._lending.give(conn)

    def _drop(self, line: PooledConnection) -> None:
        line.close()
        with self._counting:
            self._lines -= 1

    def _make_more(self) -> None:
        """Make connections for those who wait: all at once, or one alone while the server is in doubt."""
        with self._counting:
            wanted = min(self._lending.waiting, 1 if self._in_doubt else CONNECTIONS_LIMIT) - self._attempts
            wanted = max(min(wanted, CONNECTIONS_LIMIT - self._lines), 0)
            self._attempts += wanted
            self._lines += wanted
        for _ in range(wanted):
            try:
                self._patience.clock.start_thread(self._attempt, "database-connect")
            except RuntimeError as error:  # the machine has no thread left
                self._attempted(Busy(str(error)))

    def _attempt(self) -> None:
        try:
            self._attempted(self._make())
        except psycopg.Error as error:
            self._attempted(error)

    def _attempted(self, result: PooledConnection | Exception) -> None:
        failed = isinstance(result, Exception)
        with self._counting:
            self._attempts -= 1
            self._lines -= failed
            self._in_doubt = failed
        if isinstance(result, Exception):
            self._lending.fail(result)
        else:
            self._close(result)
            self._make_more()

    def _make(self) -> PooledConnection:
        return open_line(self.database, self._patience, **self.connect_params)

    @staticmethod
    def _is_dead(line: PooledConnection) -> bool:
        """Whether a connection that waited was lost: a server that goes says so, or its kernel does."""
        if line.closed:
            return True
        poller = select.poll()
        poller.register(line, select.POLLIN)
        return bool(poller.poll(0))

    # --- statements ------------------------------------------------------------------------------------------------

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """For a transaction: statements leave one after the other, and only a result that is read is waited for.

        So BEGIN travels with what follows it, and COMMIT with what comes before. An error is raised where the next
        result is read, at the end of the block at the latest.
        """
        connection = self.connection()
        with __exception_wrapper__:
            try:
                with connection.pipeline() as self._here.pipeline:
                    yield
            except BaseException:
                # After a statement that failed, the server has skipped all others, COMMIT too.
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
            finally:
                self._here.pipeline = None

    def execute(self, query: Any, *words: Any, **options: Any) -> Any:
        """Run what peewee has built, which looks at the number of rows and at the columns of the result."""
        cursor = super().execute(query, *words, **options)
        self.arrive()
        return cursor

    def rollback(self) -> None:
        """Undo what has arrived. The error that led here is the one to tell."""
        with suppress(psycopg.Error):
            pipeline = getattr(self._here, "pipeline", None)
            if pipeline is not None:
                pipeline.sync()
        with suppress(psycopg.Error):
            self.connection().rollback()

    def arrive(self) -> None:
        """Wait for the results of all statements sent."""
        pipeline = getattr(self._here, "pipeline", None)
        if pipeline is not None:
            with __exception_wrapper__:
                pipeline.sync()


def may_be_a_standby(url: str) -> bool:
    """Whether an address of several servers does not say that one to write to is wanted: then it may be a standby."""
    try:
        where = conninfo_to_dict(url)
    except psycopg.Error:
        return False  # what is wrong with it is said when it is used
    several = "," in f"{where.get('host') or ''}{where.get('hostaddr') or ''}"
    return several and where.get("target_session_attrs") not in ("read-write", "primary")


def is_away(url: str) -> bool:
    """Whether no server answers at this address that takes connections now, or only a standby does where the address
    wants one to write to. A server that does has another reason to refuse, which stays: the password, the name of the
    database.
    """
    try:
        where = conninfo_to_dict(url)
        if not all(port.isdecimal() for port in str(where.get("port") or "5432").split(",")):
            return False
        answer = PGconn.ping(make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S).encode())
        if answer != Ping.OK:
            return answer in (Ping.REJECT, Ping.NO_RESPONSE)
        if where.get("target_session_attrs", "any") == "any":
            return False
        # Of several servers one may be dead, and its standby not promoted yet: all else about it is right.
        psycopg.connect(url, target_session_attrs="any", connect_timeout=CONNECT_TIMEOUT_S).close()
    except psycopg.Error:
        return False
    return True


def trouble_of(error: Exception) -> Trouble | None:
    """What kind of trouble an error is. One without a state comes from the driver: the server was not heard."""
    if isinstance(error, Busy):
        return Trouble.PASSING
    cause = cause_of(error)
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate
    if state is None:
        return Trouble.BROKEN if isinstance(cause, psycopg.OperationalError) else None
    if state.startswith(_PASSING):
        return Trouble.PASSING
    if state.startswith(_BROKEN):
        return Trouble.BROKEN
    return Trouble.LASTING if state.startswith(_LASTING) else None
