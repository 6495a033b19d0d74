"""`db`: the database and its tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.context import (
    AsJson,
    database_file,
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

app = typer.Typer(name="db", help="The database and its tables.")


@app.command()
def upgrade() -> None:
    """Bring the tables up to date; makes the file when there is none."""
    url = settings().database.url
    applied = create_or_upgrade(url)
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"{shown_url(url)} is up to date")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which database is used and what `db upgrade` would do to it; exit code 1 when it is not up to date."""
    url = settings().database.url
    file = database_file(url)
    if file and not file.is_file():
        raise CallbackError(f"there is no database {file}: `stasis-callback db upgrade` makes it")
    with open_database(url) as s:
        pending = s.database.pending_migrations()
    shown = url if file else shown_url(url)
    print_one({"url": shown, "up_to_date": not pending, "pending": pending}, as_json=as_json)
    raise typer.Exit(1 if pending else 0)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            help="The other database, empty: postgresql://user@host/name or sqlite:///file.", metavar="URL"
        ),
    ],
) -> None:
    """Copy everything into another, empty database, and compare every row. The service must be stopped.

    All or nothing. Afterwards put the new address into the settings.
    """
    from stasis_callback.store.copying import copy_database

    source = settings().database.url
    file = database_file(to)
    if file and file.parent.is_dir():
        file.touch(mode=0o600)
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
            "the copy is complete, but the ledger in it is not in order: keep the old database"
        )
    typer.echo(
        f"{sum(copied.values())} rows are in {shown_url(to)}; every row is the same, the ledger is in order"
    )


@app.command()
def purge(
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only this kind of row; may be given several times.", metavar="KIND"),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(
            help="For how many days it has been over, in place of the setting.",
            metavar="DAYS",
            parser=whole(1, DAYS_LIMIT),
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is over for longer than the settings keep it, beside a running service, which does so too.

    Kinds: steps, refused, idempotency, logins, replies, tokens, rates, numbers (which are made unreadable, and call
    records stay), windows of limits that are over, drafts of changes that were never finished.
    """
    from stasis_callback.store.retention import ALL_KINDS, Retention

    kinds = list(dict.fromkeys(kind or ALL_KINDS))
    unknown = [name for name in kinds if name not in ALL_KINDS]
    if unknown:
        raise InvalidInput(f"{unknown[0]!r} is not a kind of row: write one of {', '.join(ALL_KINDS)}")
    days = settings().retention.days
    if older_than is not None:
        if not kind:
            raise InvalidInput("--older-than is for a kind of row: name it with --kind")
        days |= {name: checked_days(name, older_than) for name in kinds if name in days}
    for_ever = [name for name in kind or () if days.get(name) == 0]
    if for_ever:
        raise InvalidInput(f"the settings keep {for_ever[0]} for ever: say how long with --older-than")
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
    """Migrate, on a new file that only its owner can read when there is none; the migrations applied."""
    file = database_file(url)
    if file and file.parent.is_dir():
        file.touch(mode=0o600)
    with open_database(url) as s:
        return s.database.migrate()
