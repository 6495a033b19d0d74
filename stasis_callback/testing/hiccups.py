"""Hiccups of the database, put where its driver would have them.

A plan is asked for each transaction that begins, and for each statement outside of one. With SQLite a hiccup is an
error as of a locked file; with PostgreSQL the connection is cut, and the driver finds out. What was to be committed
is lost, or, "after", only the answer is.

    with hiccups(stores.database, at_random(seed=7, share=0.04)):
        ...
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from peewee import OperationalError

from stasis_callback.store.database.database import Database

Asked = Literal["transaction", "read"]
Moment = Literal["statement", "before", "after"]
"""At the first statement; before the commit; after it."""
MOMENTS: tuple[Moment, ...] = ("statement", "before", "after")
Plan = Callable[[Asked], Moment | None]


class _Here(threading.local):
    moment: Moment | None = None


@contextmanager
def hiccups(database: Database, plan: Plan) -> Iterator[None]:
    """Within the block the database hiccups as planned, in all threads."""
    pool, here = database._engine.peewee, _Here()
    begin, execute_sql, commit = pool.begin, pool.execute_sql, pool.commit

    def begins(*words: Any, **options: Any) -> Any:
        here.moment = plan("transaction")
        return begin(*words, **options)

    def executes(*words: Any, **options: Any) -> Any:
        moment = here.moment if pool.in_transaction() else plan("read")
        if moment == "statement":
            here.moment = None
            _hiccup(database)
        return execute_sql(*words, **options)

    def commits() -> None:
        moment, here.moment = here.moment, None
        if moment in ("statement", "before"):
            _hiccup(database)
        commit()
        if moment == "after":
            if database.kind == "postgresql":
                pool.arrive()
            _hiccup(database)

    pool.begin, pool.execute_sql, pool.commit = begins, executes, commits
    try:
        yield
    finally:
        del pool.begin, pool.execute_sql, pool.commit


def once(moment: Moment) -> Plan:
    """One hiccup, in the first transaction."""
    left = [moment]

    def plan(asked: Asked) -> Moment | None:
        return left.pop() if left and asked == "transaction" else None

    return plan


def at_random(seed: int, share: float) -> Plan:
    """Hiccups in this share of all transactions and reads; the same ones for the same seed and order of asking."""
    dice = random.Random(seed)

    def plan(asked: Asked) -> Moment | None:
        if dice.random() >= share:
            return None
        return dice.choice(MOMENTS) if asked == "transaction" else "statement"

    return plan


def _hiccup(database: Database) -> None:
    """Fail as the driver does. Raises what peewee makes of it."""
    if database.kind == "sqlite":
        locked = sqlite3.OperationalError("a hiccup: the database is locked")
        locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise OperationalError(locked, str(locked))
    import psycopg

    database._engine.peewee.connection().pgconn.finish()
    lost = psycopg.OperationalError("a hiccup: the connection is lost")
    raise OperationalError(lost, str(lost))
