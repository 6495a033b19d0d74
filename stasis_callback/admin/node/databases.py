"""`db`: the database and its tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.context import (
    AsJson,
    open_database,
    settings,
    shown_url,
    store,
    whole,
)
from stasis_callback.admin.output import print_json, print_list, print_one, progress_bar
from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.retention import DAYS_LIMIT, checked_days
from stasis_callback.disk import sqlite_file

app = typer.Typer(name="db", help="Database administration: migrations, copying, purging.")


@app.command()
def upgrade() -> None:
    """Apply pending migrations; creates an SQLite file if it does not exist."""
    url = settings().database.url
    applied = create_or_upgrade(url)
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"{shown_url(url)} is up to date")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the database in use, pending migrations, those of a newer version, and what is wrong with the triggers.

    The triggers keep the ledger append-only. Exit code 1 if any of these is not empty.
    """
    url = settings().database.url
    file = sqlite_file(url)
    if file and not file.is_file():
        raise CallbackError(f"database {file} does not exist: create it with `stasis-callback db upgrade`")
    with open_database(url) as s:
        pending, newer = s.database.other_migrations()
        wrong = s.database.wrong_guards()
    shown = url if file else shown_url(url)
    well = not (pending or newer)
    found = {"url": shown, "up_to_date": well, "pending": pending, "newer": newer, "wrong_triggers": wrong}
    print_one(found, as_json=as_json)
    raise typer.Exit(0 if well and not wrong else 1)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            help="Target database, empty: postgresql://user@host/name or sqlite:///file.", metavar="URL"
        ),
    ],
) -> None:
    """Copy all data into another, empty database and compare every row. The service must be stopped.

    Either everything is copied or nothing. Afterwards, set database.url in the settings to the new database.
    """
    from stasis_callback.store.copying import copy_database

    source = settings().database.url
    _make_private(to)
    with progress_bar("rows") as progress:
        copied = copy_database(source, to, progress)
    for table, rows in copied.items():
        typer.echo(f"{table}: {rows}")
    with open_database(to) as s:
        from stasis_callback.store.audit import verify

        wrong = verify(s.database, s.tariffs, whole=True)
    for sentence in wrong:
        typer.echo(sentence)
    if wrong:
        raise CallbackError(
            "the copy is complete, but the ledger in it has discrepancies: keep using the old database"
        )
    typer.echo(
        f"{sum(copied.values())} rows copied to {shown_url(to)}: all rows are identical and the ledger is consistent"
    )


@app.command()
def purge(
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only this kind of data; repeatable.", metavar="KIND"),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(
            help="Age in days, instead of the setting.",
            metavar="DAYS",
            parser=whole(1, DAYS_LIMIT),
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove data older than its retention period, see [retention] in the settings.

    A running service does this by itself; the command can run at the same time. Kinds: steps, refused, idempotency,
    logins, replies, tokens, rates, numbers (phone numbers are masked, the call records are kept), windows (expired
    rate limit windows), drafts (changes that were never completed).
    """
    from stasis_callback.store.retention import ALL_KINDS, Retention

    kinds = list(dict.fromkeys(kind or ALL_KINDS))
    unknown = [name for name in kinds if name not in ALL_KINDS]
    if unknown:
        raise InvalidInput(f"unknown kind {unknown[0]!r}: use one of {', '.join(ALL_KINDS)}")
    days = settings().retention.days
    if older_than is not None:
        if not kind:
            raise InvalidInput("--older-than needs --kind: give the kind of data it is for")
        days |= {name: checked_days(name, older_than) for name in kinds if name in days}
    for_ever = [name for name in kind or () if days.get(name) == 0]
    if for_ever:
        raise InvalidInput(f"the settings keep {for_ever[0]} for ever: give their age with --older-than")
    with store() as s:
        retention = Retention(s.database, Clock(), days)
        rows = [asdict(p) for p in (retention.count if dry_run else retention.purge)(kinds)]
    if as_json:
        print_json({"dry_run": dry_run, "kinds": rows})
        return
    print_list(rows, ("kind", "days", "rows"), as_json=False)
    done = "would be removed" if dry_run else "were removed"
    typer.echo(f"{sum(p['rows'] for p in rows)} rows {done}")


def create_or_upgrade(url: str) -> list[str]:
    """Apply pending migrations; a missing SQLite file is created, readable only by its owner. Returns their names."""
    _make_private(url)
    with open_database(url) as s:
        return s.database.migrate()


def _make_private(url: str) -> None:
    """Create an SQLite file that does not exist, readable only by its owner."""
    file = sqlite_file(url)
    if file and file.parent.is_dir() and not file.exists():
        file.touch(mode=0o600)
