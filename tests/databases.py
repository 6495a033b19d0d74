"""Which database a test gets: a fresh file, or with `--db=postgres` a fresh database on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import ClassVar

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
    _made: ClassVar[set[str]] = set()

    @classmethod
    def new(cls, folder: Path, name: str = "callback") -> str:
        """The URL of a migrated, empty database for one test; `remove` it afterwards."""
        if cls.kind == "sqlite":
            shutil.copyfile(_migrated_file(), folder / f"{name}.db")
            return f"sqlite:///{folder}/{name}.db"
        return cls.clone(migrated(), name)

    @classmethod
    def clone(cls, template: str, name: str = "clone") -> str:
        """The URL of a copy of a server's database, which must not be in use."""
        server().sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'")
        url = server().create(f"{name}_{os.getpid()}_{next(_numbers)}", template=template)
        cls._made.add(url)
        return url

    @classmethod
    def remove(cls, url: str) -> None:
        """Drop a database made here; a file goes with its folder, and another server's with that."""
        if url in cls._made:
            server().drop(url.rsplit("/", 1)[1])

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


@cache
def _migrated_file() -> Path:
    folder = Path(Databases._things.enter_context(tempfile.TemporaryDirectory()))
    _migrate(f"sqlite:///{folder}/empty.db")
    assert list(folder.iterdir()) == [folder / "empty.db"]
    return folder / "empty.db"


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
