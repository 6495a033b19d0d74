"""The triggers that keep tables append-only: whether the database has those of its migrations, and no others.

Who has full access to the database can drop a trigger, put another one in its place, or put one in that changes what
is written. What a database must have is heard from the migrations themselves: they are run on something that keeps
what they say of triggers, and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from playhouse.migrations import Migration

MIGRATIONS = Path(__file__).parent / "migrations"

Rows = Callable[[str], list[Any]]
"""All rows of a SELECT without values."""

_OF_SQLITE = "SELECT name, tbl_name, sql, '', 'O' FROM sqlite_master WHERE type = 'trigger'"
_OF_POSTGRESQL = """SELECT CASE WHEN t.tgisinternal THEN '' ELSE t.tgname END, c.relname, pg_get_triggerdef(t.oid),
    p.prosrc, CAST(t.tgenabled AS TEXT)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND (NOT t.tgisinternal OR t.tgenabled <> 'O') ORDER BY 2, 1"""
"""Of the triggers that PostgreSQL makes for foreign keys, those that are switched off."""
_CREATED = re.compile(r"CREATE TRIGGER (\w+) .*? ON (\w+)\b", re.DOTALL)
_DROPPED = re.compile(r"DROP TRIGGER (\w+)")
_FUNCTION = re.compile(r"CREATE FUNCTION (\w+)\(\).*?\$\$(.*)\$\$", re.DOTALL)
_CALLED = re.compile(r"EXECUTE FUNCTION (\w+)\(\)")


class _Trigger(NamedTuple):
    """A trigger as the database shows it; `body` is what its function does (PostgreSQL)."""

    table: str
    definition: str
    body: str


def wrong_guards(kind: str, rows: Rows, applied: Set[str]) -> Iterator[str]:
    """What is wrong with the triggers of a database of this kind, a sentence each. `applied` are its migrations."""
    known = {file.stem for file in MIGRATIONS.glob("[0-9]*.py")}
    missing = dict(_expected(kind, frozenset(applied & known)))
    for name, table, definition, body, enabled in rows(_OF_SQLITE if kind == "sqlite" else _OF_POSTGRESQL):
        if not name:
            yield f"a foreign key of table {table} is switched off"
            continue
        due = missing.pop(name.lower(), None)
        if due is None:
            # A newer version may have one that this one does not know.
            if applied <= known:
                yield f"table {table} has a trigger that no migration made: {name}"
        elif due != _Trigger(table, _plain(definition), body):
            yield f"trigger {name} of table {table} is not as the migrations made it"
        if due is not None and enabled != "O":
            yield f"trigger {name} of table {table} is switched off"
    for name, due in sorted(missing.items()):
        yield f"trigger {name} of table {due.table} is missing"


@lru_cache(maxsize=8)
def _expected(kind: str, applied: frozenset[str]) -> tuple[tuple[str, _Trigger], ...]:
    """The triggers that these migrations leave, by name."""
    triggers: dict[str, _Trigger] = {}
    bodies: dict[str, str] = {}
    for statement in _said(kind, applied):
        if found := _FUNCTION.match(statement):
            bodies[found[1]] = found[2]
        elif found := _CREATED.match(statement):
            called = _CALLED.search(statement)
            triggers[found[1].lower()] = _Trigger(
                found[2], _plain(statement), bodies[called[1]] if called else ""
            )
        elif found := _DROPPED.match(statement):
            triggers.pop(found[1].lower(), None)
    return tuple(triggers.items())


def _said(kind: str, applied: Iterable[str]) -> Iterator[str]:
    """What migrations say to a database of this kind, as far as triggers are in it, in their order."""
    for name in sorted(applied):
        file = MIGRATIONS / f"{name}.py"
        if "TRIGGER" in file.read_text("utf-8"):
            heard = (_Sqlite if kind == "sqlite" else _Postgresql)()
            Migration(0, name, str(file), None).load().up(None, heard)
            yield from (statement.strip() for statement in heard.statements)


class _Heard:
    """What a migration gets as its database: empty, it hears everything and does nothing."""

    param = "?"

    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute_sql(self, statement: str, *_: object) -> _Heard:
        self.statements.append(statement)
        return self

    def fetchall(self) -> list[Any]:
        return []


class _Sqlite(_Heard):
    """Migrations know the kind of a database by the name of its class."""


class _Postgresql(_Heard):
    pass


def _plain(definition: str) -> str:
    """A definition in one form: names are in any case, and PostgreSQL adds what is usual, and the schema."""
    words = " ".join(definition.lower().split())
    return re.sub(r" on \w+\.", " on ", words).replace(" for each statement", "")
