"""`backup` and `restore`: one file with the database and the settings of a node."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from stasis_callback.admin.context import (
    existing_database,
    invocation,
    open_database,
    settings,
    shown_url,
)
from stasis_callback.admin.files import must_be_new, new_file, write_private
from stasis_callback.clock import Clock, iso
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.disk import sqlite_file

FORM = 1
"""The form of the file, for versions that read others."""
NOTE, DATABASE, SETTINGS = "backup.json", "database", "stasis-callback.toml"
_LARGEST_TEXT = 1 << 20
_PART = 1 << 20
"""How much is read at once of what may be large."""


def backup(
    file: Annotated[Path, typer.Argument(help="New file, for example books.tar.gz.", metavar="FILE")],
) -> None:
    """Write the database and the settings into one file. The service may be running.

    The file has the passwords of the settings in it, and only its owner can read it. Not included: Asterisk's
    configuration (/etc/asterisk/local), the CEL journal, and the prompts, which come with the program.
    """
    from stasis_callback.settings import find_config
    from stasis_callback.store.backup import applied_migrations, save

    must_be_new(file)
    url, config = existing_database(), find_config(invocation.config)
    note = {
        "form": FORM,
        "version": version("stasis-callback"),
        "made_at": iso(Clock().now_us()),
        "node": settings().node,
        "database": "sqlite" if sqlite_file(url) else "postgresql",
        "migrations": applied_migrations(url),
    }
    with tempfile.TemporaryDirectory(prefix=f"{file.name}.", dir=file.parent) as folder:
        copy = Path(folder) / DATABASE
        try:
            save(url, copy)
        except CallbackError as error:
            raise type(error)(f"{file} was not written: {error}") from error
        size = copy.stat().st_size
        with (
            new_file(file, 0o600) as stream,
            tarfile.open(fileobj=stream, mode="w:gz", compresslevel=3) as archive,
        ):
            _add(archive, NOTE, json.dumps(note, indent=2).encode())
            if config:
                _add(archive, SETTINGS, config.read_bytes())
            archive.add(copy, DATABASE)
    typer.echo(f"{file} written: the database {shown_url(url)} ({size / 1e6:.1f} MB)", nl=False)
    typer.echo(f" and the settings {config}" if config else "; there is no settings file")
    typer.echo("not in it: /etc/asterisk/local, the CEL journal, and prompts of your own")


def restore(
    file: Annotated[Path, typer.Argument(help="File written by `backup`.", metavar="FILE")],
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace an existing SQLite database; it is kept under another name."),
    ] = False,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="Also write the settings of the backup, into this new file.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Restore the database from a backup. The service must be stopped.

    The database goes where the settings say. It is upgraded to this version, and its whole ledger is verified before
    it takes the place of another. A PostgreSQL database must exist and be empty.
    """
    with _opened(file) as archive:
        note = _note_of(file, archive)
        if settings_file is None:
            _restore(file, archive, note, settings().database.url, replace=replace)
            return
        must_be_new(settings_file)
        text = _text(archive, SETTINGS)
        if text is None:
            raise InvalidInput(f"{file} has no settings: leave --settings out")
        write_private(settings_file, text)
        try:
            invocation.config = settings_file
            _restore(file, archive, note, settings().database.url, replace=replace)
        except BaseException:
            settings_file.unlink()
            raise
    typer.echo(f"{settings_file} written")


def _restore(file: Path, archive: tarfile.TarFile, note: dict[str, Any], url: str, *, replace: bool) -> None:
    """Put the database of an archive to this URL. Raises CallbackError where it must not go."""
    path = sqlite_file(url)
    kind = "sqlite" if path else "postgresql"
    if note["database"] != kind:
        raise InvalidInput(
            f"{file} has a {note['database']} database, and the settings name a {kind} one: set database.url to a "
            f"new {note['database']} database, restore, then use `stasis-callback db copy`"
        )
    if path:
        _restore_file(file, archive, url, path, replace=replace)
    else:
        _restore_server(archive, url)
    typer.echo(f"{shown_url(url)} restored from {file}, made at {note['made_at']} by {note['version']}")
    typer.echo("its ledger is consistent; what happened since then is missing, see docs/operations.md#backup")


def _restore_server(archive: tarfile.TarFile, url: str) -> None:
    """Fill an empty database of a server."""
    from stasis_callback.store.backup import is_empty_server, load_into_server

    if not is_empty_server(url):
        raise InvalidInput(
            f"database {shown_url(url)} is not empty: stop the service, then create an empty database (createdb)"
        )
    with tempfile.TemporaryDirectory() as folder:
        load_into_server(_extracted(archive, Path(folder) / DATABASE), url)
    if wrong := _brought_up(url):
        raise CallbackError(f"the database was restored, but {_told(wrong)}")


def _restore_file(file: Path, archive: tarfile.TarFile, url: str, path: Path, *, replace: bool) -> None:
    """Put a database file in place, once it is known to be right."""
    from stasis_callback.store.backup import alone_at

    if not path.parent.is_dir():
        raise InvalidInput(
            f"folder {path.parent} does not exist: create it, owned by the user of the service"
        )
    with alone_at(url):
        if path.exists() and not replace:
            raise InvalidInput(f"database {path} exists: give --replace, then it is kept under another name")
        kept = _replaced(file, archive, url, path)
    for former in kept[:1]:
        typer.echo(f"the former database is kept as {former}")


def _replaced(file: Path, archive: tarfile.TarFile, url: str, path: Path) -> list[Path]:
    """Bring the database of an archive up to date beside its place, then put it there. Returns what was kept."""
    from stasis_callback.store.backup import damage, put_in_place

    with tempfile.TemporaryDirectory(prefix=f"{path.name}.restore-", dir=path.parent) as folder:
        copy = _extracted(archive, Path(folder) / DATABASE)
        if found := damage(copy):
            raise InvalidInput(
                f"{file} was not restored: its database is damaged ({found}), use another backup"
            )
        if wrong := _brought_up(f"sqlite:///{copy}"):
            raise CallbackError(
                f"{file} was not restored: {_told(wrong)}; `tar -xzf` still extracts its database"
            )
        stamp = iso(Clock().now_us())[:19].translate(str.maketrans("", "", "-:T"))
        return put_in_place(copy, url, f".before-{stamp}")


def _brought_up(url: str) -> list[str]:
    """Upgrade a restored database to this version; what is wrong with its ledger."""
    from stasis_callback.store.audit import verify

    with open_database(url) as s:
        s.database.migrate()
        return verify(s.database, s.tariffs, whole=True)


def _told(wrong: list[str]) -> str:
    return f"its ledger has {len(wrong)} discrepancies, the first: {wrong[0]}"


# --- the archive -------------------------------------------------------------------------------------------------


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, Clock().now_us() // 1_000_000
    archive.addfile(entry, io.BytesIO(content))


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """Raises InvalidInput if it is not an archive, is truncated, or is not what was written."""
    if not file.is_file():
        raise InvalidInput(f"{file} does not exist")
    try:
        with gzip.open(file) as stream:
            while stream.read(_PART):  # to its end, where the checksum is: `tarfile` stops before it
                pass
        with tarfile.open(file, "r:gz") as archive:
            yield archive
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InvalidInput(
            f"{file} is not a complete backup: it is damaged, or another kind of file ({error}); "
            "nothing was restored, use another copy of it"
        ) from None


def _note_of(file: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    """What is known of a backup. Raises InvalidInput if this version cannot restore it."""
    from stasis_callback.store.backup import known_migrations

    try:
        note = json.loads(_text(archive, NOTE) or "{}")
    except ValueError:
        note = {}
    if not isinstance(note, dict) or note.get("form") != FORM:
        raise InvalidInput(f"{file} is not a backup of stasis-callback that this version can read")
    if newer := sorted(set(note["migrations"]) - set(known_migrations())):
        raise InvalidInput(
            f"{file} was made by a newer version, {note['version']} (with {newer[-1]}): install that version first"
        )
    return note


def _text(archive: tarfile.TarFile, name: str) -> str | None:
    content = _content(archive, name)
    return content.read(_LARGEST_TEXT).decode() if content else None


def _content(archive: tarfile.TarFile, name: str) -> IO[bytes] | None:
    try:
        return archive.extractfile(name)
    except KeyError:
        return None


def _extracted(archive: tarfile.TarFile, to: Path) -> Path:
    """Write the database of the archive into a new file. Raises InvalidInput if there is none."""
    content = _content(archive, DATABASE)
    if content is None:
        raise InvalidInput(f"the backup has no {DATABASE}")
    with os.fdopen(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        while part := content.read(_PART):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return to
