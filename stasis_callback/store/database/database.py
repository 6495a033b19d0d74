"""Opening the database safely, and how it is used.

`unit` and `read` are for everything that must work: they are run again when the database hiccups, also after a commit
of which only the answer was lost. So what they run must be safe to repeat, by its key. `transaction()` and
`reading()` are blocks, which cannot be run again: for commands, whose user can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from playhouse.migrations import Runner

from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError, StoreUnavailable, require
from stasis_callback.store.database.backends import Engine, Wakeups, open_engine
from stasis_callback.store.database.guards import MIGRATIONS as MIGRATIONS
from stasis_callback.store.database.guards import wrong_guards
from stasis_callback.store.database.patience import Patience
from stasis_callback.store.database.tables import bound_database
from stasis_callback.store.database.trouble import Trouble, words_of

AFTER = "_after"
"""How the name of a migration ends that takes away what the version before does not use any more: no older one works
with the tables after that. All others only add, and the version before goes on working.
"""
LONG_S = 120.0
"""The patience for what may have the server work for a minute before it answers: a report, a migration."""

_OPERATOR: ContextVar[str] = ContextVar("operator", default="")

T = TypeVar("T")
P = ParamSpec("P")


class _Here(threading.local):
    """The state of the current thread's transaction."""

    failed = False
    """A part of its transaction has failed."""
    asking = False
    """It is in a unit or a read: what goes wrong is judged at the end of that."""
    known: dict[str, Any] | None = None
    noted: dict[str, Any] | None = None
    """What the earlier runs of its unit have noted, and what this one has."""


class Database:
    """An open database. Safe for any number of threads; each use takes a connection from a pool for its duration.

    Raises StoreUnavailable wherever the database cannot be used, when the patience of the thread is over.
    """

    def __init__(self, url: str, clock: Clock | None = None, patience: Patience | None = None) -> None:
        """Open `sqlite:///path` or `postgresql://user@host/name`. Raises StoreUnavailable when it is away or locked,
        and CallbackError when something else is wrong, which stays: the address, the password.

        One at a time in a process: the models know one database only, and a transaction on another would not
        hold theirs together.
        """
        require(bound_database.obj is None, "a database is already open in this process: close it first")
        self.url = url
        self._patience = patience or Patience(clock or Clock())
        self._engine = open_engine(url, self._patience)
        self._peewee = self._engine.peewee
        self._here = _Here()
        self.kind = self._engine.kind
        """`sqlite` or `postgresql`."""
        self.operator = ""
        bound_database.initialize(self._peewee)

    @property
    def operator(self) -> str:
        """Who is at work, for the audit log; "" for a service, whose changes are noted elsewhere.

        Of the current context: the threads of the console work for different operators.
        """
        return _OPERATOR.get()

    @operator.setter
    def operator(self, name: str) -> None:
        _OPERATOR.set(name)

    def close(self) -> None:
        """Close what is not in use. Threads finish their transaction; what they ask next is an error."""
        self.hurry()
        self._engine.close()
        bound_database.initialize(None)

    # --- how it is used ------------------------------------------------------------------------------------------

    def unit(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in one transaction and durable. Run again when the database hiccups: `work` must be
        safe to repeat.

        Within another transaction it is a part of that, and not repeated by itself: the whole is.
        """
        if self._peewee.in_transaction():
            with self.transaction():
                return work()
        return self._asked(lambda: self._once(work))

    def read(self, work: Callable[[], T]) -> T:
        """What `work` reads. Run again when the database hiccups. It may be out of date at once: never base money on
        it.
        """
        if self._peewee.in_transaction() or self._here.asking:
            return work()
        return self._asked(lambda: self._looked(work))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block is left. Nested use joins the outer transaction.

        A part that fails fails all of it: there is no going on without it.
        """
        if self._peewee.in_transaction():
            try:
                yield
            except BaseException:
                self._here.failed = True
                raise
            return
        with self._judged(), self._patience.again(self._begun, self._passes):
            yield
            self._require_whole()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A connection for a few SELECTs. What they see may be out of date at once."""
        with self._judged(), self._patience.again(self._connected, self._passes):
            yield

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Within a `read`: the SELECTs of the block see one moment, which the first of them decides.

        In a transaction they see what that sees.
        """
        if self._peewee.in_transaction():
            yield
            return
        self._peewee.execute_sql(self._engine.moment)
        try:
            yield
        finally:
            self._peewee.execute_sql("ROLLBACK")

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Within the block this thread waits `seconds` for each thing it asks, in place of `PATIENCE_S`; 0: each is
        tried once.
        """
        return self._patience.of(seconds)

    def first(self) -> AbstractContextManager[None]:
        """Within the block this thread goes before others, where there are turns: for what is short, and waited for
        by somebody who would give up.
        """
        return self._patience.first()

    def hurry(self) -> None:
        """From now on nobody waits, nobody who waits already neither: the process is to end. For a signal handler."""
        self._patience.hurry()

    @property
    def repeats(self) -> int:
        """How often something was tried again since the database was opened."""
        return self._patience.repeats

    # --- what a unit knows of its earlier runs -------------------------------------------------------------------

    def note(self, name: str, value: object = True) -> None:
        """Within a unit: for `noted`, should it be run again. What must be answered as the first time is noted."""
        if self._here.noted is not None:
            self._here.noted[name] = value

    def noted(self, name: str) -> Any:
        """Within a unit: what an earlier run of it has noted, be that committed or not; None for nothing."""
        return (self._here.known or {}).get(name)

    def repeated(self, name: str) -> bool:
        """Within a unit: whether an earlier run of it came here; so what stands in the way may be its own work."""
        self.note(name)
        return self.noted(name) is not None

    # --- within a transaction --------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a transaction."""
        return bool(self._peewee.in_transaction())

    @property
    def alone(self) -> bool:
        """Whether a transaction is the only one that writes, so that it need not lock what it changes."""
        return self.kind == "sqlite"

    def lock(self, *names: str) -> None:
        """Within a transaction: wait until no other works on any of `names`, and keep others off until the commit.

        For what is decided by looking first. All names at once, so that two can never wait for each other.
        """
        require(self._peewee.in_transaction(), "a lock can only be taken within a transaction")
        for name in sorted(names):
            self._engine.lock(name)

    def notify(self) -> None:
        """Within a transaction: when it is committed, let every process that waits for the queue look at it."""
        self._engine.notify()

    # --- beside it -------------------------------------------------------------------------------------------------

    def wakeups(self) -> Wakeups:
        """What hears of changes by other processes; for one thread, which closes it."""
        with self._judged():
            return self._engine.wakeups()

    def migrate(self) -> list[str]:
        """Bring the tables up to date; the names of the migrations that were applied.

        Services may be at work meanwhile: who loses against one of their transactions is tried again.
        """
        applied: list[str] = []

        def once() -> None:
            with self._connected():
                applied.extend(migrate(self._engine))

        with self.patience(LONG_S), self._judged():
            self._patience.again(once, self._passes)
        return applied

    def pending_migrations(self) -> list[str]:
        """Names of migrations that `migrate` would apply."""
        return self.other_migrations()[0]

    def other_migrations(self) -> tuple[list[str], list[str]]:
        """Names of the migrations that `migrate` would apply, and of those that a newer version has applied."""
        found = self.read(Runner(self._peewee, str(MIGRATIONS)).status)
        return [m.name for m in found if not m.applied], [m.name for m in found if m.path is None]

    def wrong_guards(self) -> list[str]:
        """What is wrong with the triggers that keep tables append-only, a sentence each."""

        def found() -> list[str]:
            applied = {m.name for m in Runner(self._peewee, str(MIGRATIONS)).status() if m.applied}
            return list(
                wrong_guards(self.kind, lambda said: self._peewee.execute_sql(said).fetchall(), applied)
            )

        return self.read(found)

    def check_schema(self, *, exactly: bool = False) -> None:
        """Raises CallbackError, which says what to do, unless this version can work with the tables.

        It can where a newer version has only added to them, which is what migrations do (`AFTER`): nodes are upgraded
        one after another. `exactly`: only with those that it knows, all of them.
        """
        pending, newer = self.other_migrations()
        if pending:
            raise CallbackError("the database is not up to date: run `stasis-callback db upgrade`")
        if newer and (exactly or any(name.endswith(AFTER) for name in newer)):
            raise CallbackError(
                f"the database was upgraded by a newer version of stasis-callback ({newer[-1]}): install that "
                "version, or restore the backup from before the upgrade"
            )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _asked(self, once: Callable[[], T]) -> T:
        """What `once` gives as soon as it works, if that is within the patience."""
        here = self._here
        before = here.asking, here.known, here.noted
        here.asking, here.known = True, {}
        try:
            try:
                return self._patience.again(once, self._passes)
            finally:
                here.asking, here.known, here.noted = before
        except Exception as error:
            self._judge(error)
            raise

    def _once(self, work: Callable[[], T]) -> T:
        """Run a unit once, in one transaction."""
        noted: dict[str, Any] = {}
        self._here.noted = noted
        # One by one, and not by `_begun`: each call runs through here a dozen times.
        try:
            with (
                self._engine.writing(),
                self._connected(),
                self._engine.pipelined(),
                self._peewee.transaction(),
            ):
                self._here.failed = False
                done = work()
                self._require_whole()
            return done
        finally:
            self._here.known = (self._here.known or {}) | noted

    def _looked(self, work: Callable[[], T]) -> T:
        """Run a read once."""
        with self._connected():
            return work()

    def _require_whole(self) -> None:
        require(not self._here.failed, "a part of this transaction has failed: it cannot be committed")

    def _begun(self) -> ExitStack:
        """A transaction that has begun; it is committed when the stack is left."""
        with ExitStack() as stack:
            stack.enter_context(self._engine.writing())
            stack.enter_context(self._connected())
            stack.enter_context(self._engine.pipelined())
            stack.enter_context(self._peewee.atomic())
            self._here.failed = False
            return stack.pop_all()

    def _connected(self) -> _Connected:
        """A pooled connection for this thread, given back at the end unless it was taken further out already."""
        return _Connected(self._engine, self._peewee.connect(reuse_if_open=True))

    def _passes(self, error: Exception) -> bool:
        trouble = self._engine.trouble(error)
        return trouble is not None and trouble.passes

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """Say in the product's words what has gone wrong; within something greater, that says it."""
        try:
            yield
        except Exception as error:
            self._judge(error)
            raise

    def _judge(self, error: Exception) -> None:
        """Raise StoreUnavailable for what has gone wrong, if it is the database's, and nothing greater says it."""
        if not (self._here.asking or self._peewee.in_transaction() or self._engine.trouble(error) is None):
            raise StoreUnavailable(f"the database is unavailable: {words_of(error)}") from error


class _Connected:
    """The use of a connection that is there already."""

    __slots__ = ("_engine", "_is_ours", "_outermost")

    def __init__(self, engine: Engine, is_ours: bool) -> None:
        """`is_ours`: to be given back at the end."""
        self._engine = engine
        self._is_ours = is_ours
        self._outermost = not engine.peewee.in_transaction()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            # With what has broken the others are dropped too, they wait in vain.
            failed = error if self._outermost and isinstance(error, Exception) else None
            if failed and self._engine.trouble(failed) is Trouble.BROKEN:
                self._engine.broken()
        finally:
            if self._is_ours:
                self._engine.peewee.close()


class _Store(Protocol):
    _database: Database


S = TypeVar("S", bound=_Store)


def unit(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Make a method of a store one unit of its database, see `Database.unit`: it must be safe to repeat."""

    @wraps(method)
    def whole(store: S, /, *words: P.args, **options: P.kwargs) -> T:
        return store._database.unit(lambda: method(store, *words, **options))

    return whole


def read(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Make a method of a store one look at its database, see `Database.read`. It returns what is read already."""

    @wraps(method)
    def looks(store: S, /, *words: P.args, **options: P.kwargs) -> T:
        return store._database.read(lambda: method(store, *words, **options))

    return looks


def migrate(engine: Engine) -> Iterator[str]:
    """Bring the tables of an open database up to date: the name of each migration once it is applied."""
    with engine.migrating():
        runner = Runner(engine.peewee, str(MIGRATIONS))
        for migration in runner.status():
            if not migration.applied:
                yield from runner.up(migration.name)
