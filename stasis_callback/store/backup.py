"""The file of a database for a backup, and back: SQLite's own online backup, or `pg_dump` and `pg_restore`.

Both read one snapshot and keep nobody from writing. A file is put in the place of a database only as a whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from stasis_callback.core.errors import CallbackError, InvalidInput, StoreUnavailable
from stasis_callback.store.database.database import MIGRATIONS, Database
from stasis_callback.store.database.name_locks import alone_at as alone_at
from stasis_callback.store.database.name_locks import use_of
from stasis_callback.store.database.sqlite_files import sqlite_path
from stasis_callback.store.database.tables import bound_database

BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database file: the latest commits are there."""


def applied_migrations(url: str) -> list[str]:
    """The migrations that the tables of this database have, in their order. Raises StoreUnavailable."""
    database = Database(url)
    try:
        pending, newer = database.other_migrations()
        return sorted({*known_migrations(), *newer} - set(pending))
    finally:
        database.close()


def known_migrations() -> list[str]:
    """The migrations of this version."""
    return sorted(file.stem for file in MIGRATIONS.glob("[0-9]*.py"))


def save(url: str, file: Path) -> None:
    """Write the database into a new file, while it may be in use. Raises CallbackError."""
    if url.startswith("postgresql:"):
        _run_tool("pg_dump", url, ["--format=custom", f"--file={file}"])
        return
    file.touch(mode=0o600)
    use = use_of(sqlite_path(url))
    if not use.take():
        raise StoreUnavailable("another process is putting another database in its place")
    try:
        with closing(sqlite3.connect(sqlite_path(url))) as live, closing(sqlite3.connect(file)) as copy:
            live.backup(copy)
    except sqlite3.Error as error:
        raise CallbackError(f"the database cannot be copied: {error}") from error
    finally:
        use.release()
    if found := damage(file):
        raise CallbackError(f"the database is damaged: {found}")


def damage(file: Path) -> str:
    """What is wrong with a file that is to be a SQLite database; "" if nothing is."""
    try:
        with closing(sqlite3.connect(file)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found)


def is_empty_server(url: str) -> bool:
    """Whether a server's database has no tables. Raises StoreUnavailable."""
    database = Database(url)
    try:
        return not database.read(bound_database.get_tables)
    finally:
        database.close()


def load_into_server(file: Path, url: str) -> None:
    """Fill an empty database of a server from what `save` wrote, everything or nothing. Raises CallbackError."""
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", str(file)]
    _run_tool("pg_restore", url, options)


def put_in_place(file: Path, url: str, aside: str) -> list[Path]:
    """Make `file`, which is beside it, the database of this URL. A former one is kept with `aside` after its name.

    Returns what was kept. To be done alone, see `name_locks.alone_at`.
    """
    path = sqlite_path(url)
    kept = []
    # The former database goes first: a process that opened it now would find all or nothing, never half of each.
    for end in ("", *BESIDE):
        former = path.with_name(path.name + end)
        if former.exists():
            kept.append(former.rename(path.with_name(f"{path.name}{aside}{end}")))
    file.rename(path)
    if os.geteuid() == 0:  # the service's own, not root's
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    return kept


def _run_tool(program: str, url: str, options: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs on a database. The password is not among its arguments, which all may read."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    if shutil.which(program) is None:
        raise InvalidInput(f"{program} is not installed on this machine: install Debian's postgresql-client")
    address = conninfo_to_dict(url)
    password = address.pop("password", None)
    done = subprocess.run(
        [program, f"--dbname={make_conninfo('', **address)}", "--no-password", *options],
        env=os.environ | ({"PGPASSWORD": str(password)} if password else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CallbackError(f"{program} failed: {' '.join(done.stderr.split()) or done.returncode}")
