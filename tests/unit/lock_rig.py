"""Two who change something at once on PostgreSQL. On SQLite a transaction is the only one that writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
from shop import Shop

WAITING = """SELECT COUNT(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()"""


def until(met: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end_s = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def waiting(line: psycopg.Connection) -> int:
    """How many wait for a lock."""
    row = line.execute(WAITING).fetchone()
    assert row is not None
    return int(row[0])


def beside(shop: Shop, ann: Callable[[], object], bob: Callable[[], object]) -> Future[object]:
    """What comes of `bob`, who begins when `ann` has done all but the commit, for which she waits till he waits."""
    inside, go_on = threading.Event(), threading.Event()
    database = shop.stores.database

    def anns() -> None:
        database.operator = "ann"
        with database.transaction():
            ann()
            inside.set()
            assert go_on.wait(10)

    def bobs() -> object:
        database.operator = "bob"
        return bob()

    with psycopg.connect(shop.url, autocommit=True) as looks, ThreadPoolExecutor(2) as pool:
        first = pool.submit(anns)
        until(lambda: inside.is_set() or first.done())
        second = pool.submit(bobs)
        until(lambda: second.done() or waiting(looks) > 0)
        go_on.set()
        first.result()
    return second
