"""Which database a test gets: a fresh file, or with `--db=postgres` a fresh database on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from stasis_callback.store.database.database import Database
from stasis_callback.testing.postgres import PostgresServer, PostgresUnavailable, postgres_server

KINDS = ("sqlite", "postgres")
_TEMPLATE = "template_migrated"
_numbers = count(1)


class Databases:
    """Makes databases for tests. `kind` is set once, from the command line."""

    kind = "sqlite"
    _things = ExitStack()
    _templates: ClassVar[dict[str, Template]] = {}
    """By name."""
    _made_from: ClassVar[dict[str, str]] = {}
    """The template of each copy, by name."""

    @classmethod
    def new(cls, folder: Path, name: str = "callback") -> str:
        """The URL of a migrated, empty database for one test; `remove` it afterwards."""
        if cls.kind == "sqlite":
            shutil.copyfile(_migrated_file(), folder / f"{name}.db")
            return f"sqlite:///{folder}/{name}.db"
        return cls.clone(migrated(), name)

    @classmethod
    def clone(cls, template: str, name: str = "clone") -> str:
        """The URL of a copy of a server's database, which must not be in use: one given back, else a new one."""
        if template not in cls._templates:
            cls._templates[template] = Template(template)
        if free := cls._templates[template].free:
            return server().url(free.pop())
        name = f"{name}_{os.getpid()}_{next(_numbers)}"
        cls._made_from[name] = template
        return server().create(name, template=template)

    @classmethod
    def remove(cls, url: str) -> None:
        """Give a database of `server` back; a file goes with its folder, and another server's with that."""
        if not url.startswith("postgresql://") or not url.startswith(server().url("")):
            return
        name = url.rsplit("/", 1)[1]
        if was := cls._templates.pop(name, None):
            for copy in was.free:
                server().drop(copy)
        template = cls._templates.get(cls._made_from.get(name, ""))
        if template and template.restore(name):
            template.free.append(name)
        else:
            server().drop(name)

    @classmethod
    def close(cls) -> None:
        """Stop the server at the end of all tests."""
        cls._things.close()


@cache
def server() -> PostgresServer:
    """The one server of this process. Fails under CI where none can be started; skips on a laptop."""
    try:
        return Databases._things.enter_context(postgres_server())
    except PostgresUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


@cache
def migrated() -> str:
    """The name of a migrated database to copy: migrating takes longer than most tests."""
    url = server().create(_TEMPLATE)
    _migrate(url)
    return _TEMPLATE


class Template:
    """A server's database that nobody changes, and its copies. One that was given back is made like it again, which
    takes a tenth of the time of a new copy.
    """

    def __init__(self, name: str) -> None:
        self.free: list[str] = []
        """Copies like new."""
        with psycopg.connect(server().url(name)) as line:
            line.execute(_ALONE)
            self._schema = _schema_of(line)
            self._tables = [name for (name,) in line.execute(_TABLES)]
            self._rows = {table: _rows_of(line, table) for table in self._filled(line)}
            self._counters = line.execute(_COUNTERS).fetchall()

    def restore(self, name: str) -> bool:
        """Give a copy the template's rows; False if the test has changed its tables or triggers."""
        with psycopg.connect(server().url(name)) as line:
            line.execute(_ALONE)
            if _schema_of(line) != self._schema:
                return False
            line.execute("SET session_replication_role = replica")  # no trigger, no foreign key
            for table in {*self._filled(line), *self._rows}:
                line.execute(f'DELETE FROM "{table}"')
                if table in self._rows:
                    with line.cursor().copy(f'COPY "{table}" FROM STDIN') as copy:
                        copy.write(self._rows[table])
            for counter, value in self._counters:
                line.execute("SELECT setval(%s::regclass, %s, %s)", (counter, value or 1, value is not None))
        return True

    def _filled(self, line: psycopg.Connection[Any]) -> list[str]:
        """The tables with rows."""
        looks = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM \"{table}\")" for table in self._tables)
        return [table for (table,) in line.execute(" UNION ALL ".join(looks))]


_ALONE = """
    SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_COUNTERS = "SELECT quote_ident(sequencename), last_value FROM pg_sequences WHERE schemaname = 'public'"
_SCHEMA = """
    SELECT relname::text, relkind::text, reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod) || attnotnull || attnum,
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL
    SELECT conrelid::regclass || '.' || conname, 'constraint', pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tgrelid::regclass || '.' || tgname, 'trigger ' || tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger
    WHERE NOT tgisinternal
    UNION ALL
    SELECT indexrelid::regclass::text, 'index', pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL
    SELECT proname, 'function', prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT nspname, 'schema', NULL FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
"""
"""All that a test could have changed, but for the rows."""


def _schema_of(line: psycopg.Connection[Any]) -> str:
    [(digest,)] = line.execute(f"SELECT md5(string_agg(s::text, ';' ORDER BY s::text)) FROM ({_SCHEMA}) AS s")
    return str(digest)


def _rows_of(line: psycopg.Connection[Any], table: str) -> bytes:
    with line.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
        return b"".join(bytes(part) for part in copy)


@cache
def _migrated_file() -> Path:
    folder = Path(Databases._things.enter_context(tempfile.TemporaryDirectory()))
    _migrate(f"sqlite:///{folder}/empty.db")
    assert sorted(folder.iterdir()) == [folder / "empty.db", folder / "empty.db.lock"]  # no log is left
    return folder / "empty.db"


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
