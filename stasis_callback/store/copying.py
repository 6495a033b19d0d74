"""`db copy`: copies all data to another database of either kind, everything or nothing.

There must be no live calls. The source is read from one snapshot, without blocking writers. The rows are inserted in
one transaction; before it commits, every table must be identical in both databases, and the source unchanged since
the start of the copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

import peewee

from stasis_callback.core.errors import CallbackError, InvalidInput, require
from stasis_callback.core.states import RequestState
from stasis_callback.disk import sqlite_file
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.database.backends import Engine, open_engine
from stasis_callback.store.database.database import Database, migrate
from stasis_callback.store.database.name_locks import alone_at
from stasis_callback.store.database.snapshots import Snapshots, open_snapshots
from stasis_callback.store.database.tables import Table, keys_of
from stasis_callback.store.models import ALL

BATCH = 1000
_MODULUS = 1 << 256

Row = tuple[Any, ...]


def copy_database(source_url: str, target_url: str, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Copy every table; how many rows each has. `progress` hears how many of all rows are done.

    Raises InvalidInput when a call is under way, the source is not up to date, or the target is not empty.
    """
    if source_url == target_url or (sqlite_file(source_url) or source_url) == sqlite_file(target_url):
        raise InvalidInput("source and target are the same database: choose another target")
    if sqlite_file(source_url):
        with alone_at(source_url):
            pass  # who has it open now would go on in it, and not in the copy
    source = Database(source_url)
    try:
        source.check_schema(exactly=True)
        with _target(target_url) as target, closing(open_snapshots(source)) as looks:
            return _copy(looks, target, progress)
    finally:
        source.close()


def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    with closing(open_snapshots(database)) as looks, looks.look():
        return {_name(model): looks.rows(f"SELECT COUNT(*) FROM {_name(model)}")[0][0] for model in ALL}


@contextmanager
def _target(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    database = engine.peewee
    try:
        database.connect(reuse_if_open=True)
        list(migrate(engine))
        for model in ALL:
            if database.execute_sql(f"SELECT 1 FROM {_name(model)} LIMIT 1").fetchone():
                raise InvalidInput(f"the target database is not empty: there are rows in {_name(model)}")
        yield engine
    finally:
        engine.close()


def _copy(looks: Snapshots, target: Engine, progress: Callable[[int, int], None]) -> dict[str, int]:
    written = _Written(target)
    with target.peewee.atomic():
        with looks.look():
            _require_quiet(looks)
            total = sum(looks.rows(f"SELECT COUNT(*) FROM {_name(model)}")[0][0] for model in ALL)
            copied: dict[str, _Content] = {}
            for model in ALL:
                copied[_name(model)] = content = _Content()
                done = sum(one.rows for one in copied.values())
                for rows in _batches(looks, model):
                    _insert(target, model, rows)
                    content.add(rows)
                    progress(done + content.rows, total)
        for model in ALL:
            same = _Content.of(_batches(written, model)) == copied[_name(model)]
            require(same, f"the copy of {_name(model)} differs from the original")
            target.go_on_after(_name(model), model._meta.auto_increment)
        with looks.look():
            changed = [m for m in ALL if _Content.of(_batches(looks, m)) != copied[_name(m)]]
        if changed:
            raise CallbackError(
                f"{_name(changed[0])} was changed during the copy, so nothing was copied: stop all services and "
                "commands that use the database, and copy again"
            )
    return {name: content.rows for name, content in copied.items()}


def _require_quiet(looks: Snapshots) -> None:
    """Raises InvalidInput while a call is under way."""
    under_way = [RequestState.DIALING.value, RequestState.TALKING.value]
    if looks.rows(f"SELECT 1 FROM {_name(Request)} WHERE state IN (?, ?) LIMIT 1", under_way):
        raise InvalidInput(
            "there are live calls: stop the service, let them end, then start it once and stop it again"
        )


class _Content:
    """The content of a table, independent of the row order: the number of rows, and a sum of their hashes."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    @classmethod
    def of(cls, batches: Iterable[Sequence[Row]]) -> _Content:
        content = cls()
        for rows in batches:
            content.add(rows)
        return content

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            said = hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).digest()
            self._sum = (self._sum + int.from_bytes(said)) % _MODULUS
        self.rows += len(rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes


class _Readable(Protocol):
    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a SELECT."""


class _Written:
    """The target, within the transaction that writes it."""

    def __init__(self, target: Engine) -> None:
        self._database = target.peewee

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        found: list[Any] = self._database.execute_sql(
            statement.replace("?", self._database.param), values
        ).fetchall()
        return found


def _batches(readable: _Readable, model: type[Table]) -> Iterator[list[Row]]:
    """The rows in the order of their keys, so that what refers to another row of the same table comes after it."""
    fields = model._meta.sorted_fields
    key = _key(model)
    flags = [isinstance(field, peewee.BooleanField) for field in fields]
    names = [field.column_name for field in fields]
    at = [names.index(name) for name in key]
    select = f"SELECT {', '.join(names)} FROM {_name(model)}"
    rest = f"ORDER BY {', '.join(key)} LIMIT {BATCH}"
    behind = f"({', '.join(key)}) > ({', '.join('?' * len(key))})"
    found = readable.rows(f"{select} {rest}")
    while found:
        yield [
            tuple(bool(value) if flag else value for value, flag in zip(row, flags, strict=True))
            for row in found
        ]
        found = readable.rows(f"{select} WHERE {behind} {rest}", [found[-1][n] for n in at])


def _key(model: type[Table]) -> list[str]:
    """The columns by which the rows of a table are told apart."""
    return [field.column_name for field in keys_of(model)]


def _insert(target: Engine, model: type[Table], rows: Sequence[Row]) -> None:
    columns = ", ".join(field.column_name for field in model._meta.sorted_fields)
    places = ", ".join([target.peewee.param] * len(model._meta.sorted_fields))
    statement = f"INSERT INTO {_name(model)} ({columns}) VALUES ({places})"
    target.peewee.cursor().executemany(statement, rows)


def _name(model: type[Table]) -> str:
    return str(model._meta.table_name)
