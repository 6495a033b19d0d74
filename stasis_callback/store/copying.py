"""`db copy`: a running business moves from one database to another, of either kind, all or nothing.

Calls must not be under way. The target's rows are inserted in one transaction; before it commits, every table has as
many rows and the same sums at both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import peewee

from stasis_callback.core.errors import CallbackError, InvalidInput, require
from stasis_callback.core.states import RequestState
from stasis_callback.store.database import Database, migrate
from stasis_callback.store.engines import Engine, open_engine
from stasis_callback.store.models import ALL, Request
from stasis_callback.store.tables import Table

BATCH = 1000


def copy_database(source_url: str, target_url: str, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Copy every table; how many rows each has. `progress` hears how many of all rows are done.

    Raises InvalidInput when a call is under way, the source is not up to date, or the target is not empty.
    """
    if source_url == target_url:
        raise InvalidInput("that is the database itself: name another one")
    source = Database(source_url)
    try:
        if source.pending_migrations():
            raise CallbackError("the database is not up to date: run `stasis-callback db upgrade`")
        with _target(target_url) as target, source.transaction():
            under_way = (RequestState.DIALING, RequestState.TALKING)
            if Request.select().where(Request.state.in_(under_way)).exists():
                raise InvalidInput(
                    "calls are under way: stop the service and let them end, then start it once"
                )
            return _copy(target, progress)
    finally:
        source.close()


@contextmanager
def _target(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    database = engine.peewee
    try:
        database.connect(reuse_if_open=True)
        migrate(engine)
        for model in ALL:
            if database.execute_sql(f"SELECT 1 FROM {_name(model)} LIMIT 1").fetchone():  # noqa: S608 - our own name
                raise InvalidInput(f"the other database is not empty: there are rows in {_name(model)}")
        yield engine
    finally:
        database.close_all()


def _copy(target: Engine, progress: Callable[[int, int], None]) -> dict[str, int]:
    copied: dict[str, int] = {}
    total = sum(model.select().count() for model in ALL)
    with target.peewee.atomic():
        for model in ALL:
            done = sum(copied.values())
            copied[_name(model)] = 0
            for rows in _batches(model):
                _insert(target, model, rows)
                copied[_name(model)] += len(rows)
                progress(done + copied[_name(model)], total)
            require(
                _sums(model) == _sums(model, target), f"the copy of {_name(model)} differs from the original"
            )
            target.go_on_after(_name(model), model._meta.auto_increment)
    return copied


def _batches(model: type[Table]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in the order of their keys: what refers to another row of the same table comes after it."""
    rows = model.select().order_by(model._meta.primary_key).tuples().iterator()
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _insert(target: Engine, model: type[Table], rows: Sequence[tuple[Any, ...]]) -> None:
    columns = ", ".join(field.column_name for field in model._meta.sorted_fields)
    places = ", ".join([target.peewee.param] * len(model._meta.sorted_fields))
    statement = f"INSERT INTO {_name(model)} ({columns}) VALUES ({places})"  # noqa: S608 - our own names
    target.peewee.cursor().executemany(statement, rows)


def _sums(model: type[Table], target: Engine | None = None) -> tuple[int, ...]:
    """The number of rows, and the sum of every column that is a whole number."""
    numbers = [f.column_name for f in model._meta.sorted_fields if isinstance(f, peewee.IntegerField)]
    sums = "".join(f", COALESCE(SUM({name}), 0)" for name in numbers)
    database = target.peewee if target else model._meta.database
    row = database.execute_sql(f"SELECT COUNT(*){sums} FROM {_name(model)}").fetchone()  # noqa: S608 - our own names
    return tuple(int(value) for value in row)


def _name(model: type[Table]) -> str:
    return str(model._meta.table_name)
